//! The metrics of the source, of their descriptions, and of the documents are the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vca::admin::{METRICS, READ_METRICS};

/// The names after each macro of the metrics crate, and those that begin with `vca_` or `process_` in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("vca_") || word.starts_with("process_")).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names that the program gives to the macros of the metrics crate.
fn recorded() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut recorded = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a text");
        for macro_name in ["counter!(", "gauge!(", "histogram!("] {
            for (at, _) in text.match_indices(macro_name) {
                let name = text[at + macro_name.len()..].trim_start().strip_prefix('"');
                recorded.extend(name.and_then(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
    }
    recorded
}

fn described() -> BTreeSet<String> {
    METRICS.iter().map(|(name, ..)| (*name).to_owned()).collect()
}

#[test]
fn every_recorded_metric_has_a_description() {
    let (recorded, described) = (recorded(), described());
    assert!(recorded.len() > 30, "{recorded:?}");
    let missing: Vec<_> = recorded.difference(&described).collect();
    let unused: Vec<_> = described.difference(&recorded).collect();
    assert!(
        missing.is_empty() && unused.is_empty(),
        "without description: {missing:?}; not recorded: {unused:?}"
    );
}

#[test]
fn the_documents_name_metrics_that_exist() {
    let known: BTreeSet<&str> = METRICS.iter().chain(READ_METRICS).map(|(name, ..)| *name).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["docs/monitoring.md", "docs/alerts.yml"] {
        let text = std::fs::read_to_string(root.join(document)).expect("a document");
        let named = names(&text);
        assert!(named.len() > 5, "{document}: {named:?}");
        for name in named {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let exists = known.contains(name) || base.is_some_and(|base| known.contains(base));
            assert!(exists, "{document} names {name}, which does not exist");
        }
    }
}
