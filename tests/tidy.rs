//! The structure of the source: the imports of each room, the length of files, and figures of style.
//!
//! `ARCHITECTURE.md` has the same table with its reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

// With paths, so that `./dev count` can compile this file on its own, without the program.
#[path = "tidy/counts.rs"]
mod counts;
#[path = "tidy/source.rs"]
mod source;

use source::{product, root, sources};

/// Each room and the rooms that it may import. Tests may import any.
const ROOMS: &[(&str, &[&str])] = &[
    ("audio", &[]),
    ("language", &[]),
    ("current", &[]),
    ("dtmf", &[]),
    ("violation", &[]),
    ("conversation", &["dtmf", "language", "violation"]),
    ("sealing", &[]),
    ("transport", &[]),
    ("ari", &["current", "dtmf", "transport"]),
    ("names", &[]),
    ("rtp", &[]),
    ("tenancy", &["conversation", "dtmf", "language", "names", "violation"]),
    ("billing", &["tenancy"]),
    ("media", &["audio", "rtp"]),
    ("engines", &["audio", "egress", "language", "names", "transport", "violation"]),
    ("store", &["billing", "sealing", "tenancy", "transport", "current", "violation"]),
    ("analytics", &["store", "tenancy"]),
    ("state", &["current", "tenancy", "transport"]),
    ("egress", &[]),
    ("webhooks", &["egress", "store", "tenancy"]),
    ("analysis", &["billing", "current", "engines", "store", "tenancy"]),
    ("tools", &["conversation", "dtmf", "egress", "engines", "language", "store", "tenancy"]),
    (
        "call",
        &[
            "ari",
            "audio",
            "conversation",
            "current",
            "dtmf",
            "engines",
            "language",
            "media",
            "state",
            "store",
            "tenancy",
            "tools",
        ],
    ),
    ("switchboard", &["ari", "audio", "billing", "call", "store", "tenancy", "current", "webhooks"]),
    ("telephony", &["ari", "store", "tenancy"]),
    (
        "control",
        &["analysis", "egress", "state", "store", "telephony", "tenancy", "tools", "violation", "webhooks"],
    ),
    (
        "admin",
        &[
            "analysis",
            "analytics",
            "billing",
            "control",
            "egress",
            "state",
            "store",
            "telephony",
            "tenancy",
            "tools",
            "current",
            "violation",
            "webhooks",
        ],
    ),
    (
        "config",
        &[
            "admin",
            "analysis",
            "ari",
            "billing",
            "call",
            "engines",
            "media",
            "sealing",
            "names",
            "state",
            "store",
            "switchboard",
            "telephony",
            "tenancy",
            "tools",
            "transport",
            "conversation",
            "webhooks",
            "violation",
        ],
    ),
    ("logging", &["admin", "config"]),
    (
        "daemon",
        &[
            "admin",
            "analysis",
            "ari",
            "billing",
            "call",
            "config",
            "control",
            "current",
            "egress",
            "engines",
            "logging",
            "media",
            "state",
            "store",
            "switchboard",
            "telephony",
            "tenancy",
            "tools",
            "transport",
            "conversation",
            "webhooks",
            "violation",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "analysis",
            "analytics",
            "ari",
            "audio",
            "billing",
            "call",
            "config",
            "control",
            "current",
            "daemon",
            "engines",
            "logging",
            "media",
            "names",
            "state",
            "store",
            "telephony",
            "tenancy",
            "tools",
            "conversation",
            "webhooks",
        ],
    ),
    ("sim", &["audio", "rtp"]),
];

/// The lines that a file may have, without the tests at its end.
const LONGEST: usize = 600;

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).expect("below src");
    let first = inside.iter().next().expect("a name").to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a text names, in `crate::room` and in `use crate::{room, …}`.
fn imports(text: &str) -> BTreeSet<String> {
    let code =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(listed(list)),
            None => rooms.extend([name(rest)]),
        }
    }
    rooms
}

/// The first names of a brace list's members.
fn listed(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.push(name(list[start..at].trim_start()));
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()
}

#[test]
fn rooms_import_only_what_they_may() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut faults = Vec::new();
    for path in sources() {
        let room = room_of(&path);
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let Some(may) = allowed.get(room.as_str()) else {
            faults.push(format!("{}: the room {room} is not in the table", path.display()));
            continue;
        };
        for import in imports(&product(&path)) {
            let known = allowed.contains_key(import.as_str());
            if known && import != room && !may.contains(&import.as_str()) {
                faults.push(format!("{}: {room} may not import {import}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "imports that the table does not allow:\n{}", faults.join("\n"));
}

#[test]
fn files_are_short() {
    let length = |path: &PathBuf| product(path).lines().count();
    let long: Vec<_> = sources().into_iter().filter(|path| length(path) > LONGEST).collect();
    assert!(long.is_empty(), "files of over {LONGEST} lines, which can be split: {long:?}");
}

#[test]
fn every_file_has_module_documentation() {
    let undocumented = |path: &PathBuf| !fs::read_to_string(path).expect("text").starts_with("//!");
    let undocumented: Vec<_> = sources().into_iter().filter(undocumented).collect();
    assert!(undocumented.is_empty(), "files without module documentation: {undocumented:?}");
}

/// The modules of integration tests that place calls: names of files, or of the folders that they are in.
fn modules_with_calls() -> BTreeSet<String> {
    const CALLS: [&str; 5] = ["env.dial(", "env.place(", "env.answered(", "phone::call(", " Call::place("];
    let (mut modules, mut folders) = (BTreeSet::new(), vec![root().join("tests")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("tests can be read") {
            let path = entry.expect("an entry").path();
            let inside = path.strip_prefix(root().join("tests")).expect("below tests");
            let module = inside.iter().next().expect("a name").to_string_lossy().replace(".rs", "");
            let is_rust = path.extension().is_some_and(|extension| extension == "rs");
            if ["support", "demo", "tidy"].contains(&&*module) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if is_rust {
                let text = fs::read_to_string(&path).expect("text");
                modules.extend(CALLS.iter().any(|call| text.contains(call)).then_some(module));
            }
        }
    }
    modules
}

#[test]
fn tests_that_place_calls_run_alone() {
    let settings = fs::read_to_string(root().join(".config/nextest.toml")).expect("text");
    let filters = settings.lines().filter(|line| line.starts_with("filter = "));
    let listed: BTreeSet<&str> = filters
        .flat_map(|line| line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_'))
        .collect();
    let modules = modules_with_calls();
    let missing: Vec<_> = modules.iter().filter(|module| !listed.contains(module.as_str())).collect();
    assert!(
        modules.len() > 10 && missing.is_empty(),
        "not in the filters of .config/nextest.toml: {missing:?}"
    );
}

#[test]
fn imports_are_read_from_paths_and_lists() {
    let text = "use crate::{ari, store::{Store, a}};\n// crate::sim\nuse crate::audio::Clip;\nlet x = crate::tts::y();";
    assert_eq!(imports(text), ["ari", "audio", "store", "tts"].map(String::from).into());
}
