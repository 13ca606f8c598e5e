//! The architecture holds itself: which room imports which, and how long a file may be.
//!
//! `ARCHITECTURE.md` has the same table with its reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and what it may import of ours. Tests are free to look around.
const ROOMS: &[(&str, &[&str])] = &[
    ("audio", &[]),
    ("language", &[]),
    ("conversation", &["language"]),
    ("sealing", &[]),
    ("transport", &[]),
    ("ari", &["transport"]),
    ("names", &[]),
    ("rtp", &[]),
    ("tenancy", &["conversation", "names"]),
    ("billing", &["tenancy"]),
    ("media", &["audio", "rtp"]),
    ("engines", &["audio", "names"]),
    ("store", &["billing", "sealing", "tenancy", "transport"]),
    ("analytics", &["store", "tenancy"]),
    ("state", &["tenancy", "transport"]),
    ("webhooks", &["store", "tenancy"]),
    ("call", &["ari", "audio", "conversation", "engines", "language", "media", "state", "store", "tenancy"]),
    ("switchboard", &["ari", "audio", "billing", "call", "store", "tenancy"]),
    ("telephony", &["ari", "store", "tenancy"]),
    ("control", &["state", "store", "telephony", "tenancy"]),
    ("admin", &["analytics", "billing", "control", "state", "store", "telephony", "tenancy", "webhooks"]),
    (
        "config",
        &[
            "admin",
            "ari",
            "billing",
            "engines",
            "media",
            "sealing",
            "names",
            "state",
            "store",
            "switchboard",
            "telephony",
            "tenancy",
            "transport",
            "conversation",
            "webhooks",
        ],
    ),
    ("logging", &["config"]),
    (
        "daemon",
        &[
            "admin",
            "ari",
            "billing",
            "call",
            "config",
            "control",
            "engines",
            "media",
            "state",
            "store",
            "switchboard",
            "telephony",
            "tenancy",
            "conversation",
            "webhooks",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "analytics",
            "ari",
            "audio",
            "billing",
            "call",
            "config",
            "control",
            "daemon",
            "engines",
            "logging",
            "media",
            "state",
            "store",
            "telephony",
            "tenancy",
            "conversation",
            "webhooks",
        ],
    ),
    ("sim", &["audio", "rtp"]),
];

/// Lines that a file may have, tests at its end not counted.
const LONGEST: usize = 600;

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src can be read") {
            let path = entry.expect("an entry").path();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            match path.extension() {
                _ if is_test => {}
                None => folders.push(path),
                Some(extension) if extension == "rs" => found.push(path),
                Some(_) => {}
            }
        }
    }
    found.sort();
    found
}

/// A file's code without its tests.
fn product(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file is text");
    let cut = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..cut].to_owned()
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("below src");
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
    assert!(faults.is_empty(), "the architecture is broken:\n{}", faults.join("\n"));
}

#[test]
fn files_are_short() {
    let length = |path: &PathBuf| product(path).lines().count();
    let long: Vec<_> = sources().into_iter().filter(|path| length(path) > LONGEST).collect();
    assert!(long.is_empty(), "files over {LONGEST} lines, each a place to divide: {long:?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = |path: &PathBuf| !fs::read_to_string(path).expect("text").starts_with("//!");
    let silent: Vec<_> = sources().into_iter().filter(silent).collect();
    assert!(silent.is_empty(), "files without a module doc: {silent:?}");
}

#[test]
fn the_table_is_read_as_it_is_meant() {
    let text = "use crate::{ari, store::{Store, a}};\n// crate::sim\nuse crate::audio::Clip;\nlet x = crate::tts::y();";
    assert_eq!(imports(text), ["ari", "audio", "store", "tts"].map(String::from).into());
}
