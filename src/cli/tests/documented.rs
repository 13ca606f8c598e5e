//! The commands of the README and of the pages in `docs` exist, with their options.

use std::fs;
use std::path::Path;

use clap::Command as Clap;
use clap::error::ErrorKind;
use regex::Regex;

use super::*;

/// The README and the pages: name and text.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed =
        fs::read_dir(root.join("docs")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let documents = listed.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let page = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a text");
        (path.strip_prefix(root).expect("a path below it").display().to_string(), text)
    };
    documents.chain([root.join("README.md")]).map(page).collect()
}

/// The commands of code blocks in the shell's language, each with all its lines; and the other text.
fn divided(page: &str) -> (Vec<String>, String) {
    let (mut lines, mut prose, mut block) = (Vec::<String>::new(), String::new(), None);
    let mut is_open = false;
    for line in page.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.trim()) };
            is_open = false;
            continue;
        }
        match block {
            None => prose.extend([line, "\n"]),
            Some("sh") => {
                let begun = if is_open { lines.pop().unwrap_or_default() } else { String::new() };
                let whole = format!("{}{}", begun.trim_end_matches('\\'), line.trim_start());
                // A line break is within quotes, or after a backslash.
                is_open = shlex::split(&whole).is_none();
                lines.push(whole);
            }
            Some(_) => {}
        }
    }
    (lines, prose)
}

/// The words of each command of this program in a line of the shell, without redirections.
fn commands(line: &str) -> Vec<Vec<String>> {
    if !line.contains("vca ") {
        return Vec::new();
    }
    let substitution = Regex::new(r"\$\([^)]*\)").expect("a pattern");
    let words =
        shlex::split(&substitution.replace_all(line, "X")).unwrap_or_else(|| panic!("quotes of {line}"));
    let parts = words.split(|word| ["|", "&&", ";"].contains(&word.as_str()));
    let own = parts.filter_map(|part| {
        let variables = part.iter().take_while(|word| word.split_once('=').is_some()).count();
        let command = part[variables..].strip_prefix(&["vca".to_owned()])?;
        Some(command.iter().take_while(|word| ![">", "<"].contains(&word.as_str())).cloned().collect())
    });
    own.collect()
}

/// The program with its options in place, those for all commands included.
fn program() -> Clap {
    let mut program = Cli::command();
    program.build();
    program
}

/// The first word that is neither a command nor an option where it stands.
fn unknown_word<'a>(program: &Clap, words: &'a [String]) -> Option<&'a str> {
    let (mut command, mut rest) = (program, words.iter());
    while let Some(word) = rest.next() {
        if let Some(option) = word.strip_prefix("--") {
            let name = option.split('=').next().unwrap_or_default();
            let known = command.get_arguments().find(|argument| argument.get_long() == Some(name));
            match known {
                Some(argument) if argument.get_action().takes_values() && !option.contains('=') => {
                    rest.next();
                }
                Some(_) => {}
                None if ["help", "version"].contains(&name) => {}
                None => return Some(word),
            }
        } else if command.has_subcommands() && word != "…" {
            match command.find_subcommand(word) {
                Some(subcommand) => command = subcommand,
                None => return Some(word),
            }
        }
    }
    None
}

#[test]
fn the_commands_of_code_blocks_are_understood() {
    let mut count = 0;
    for (page, text) in pages() {
        for line in divided(&text).0 {
            for words in commands(&line) {
                count += 1;
                let parsed = Cli::try_parse_from(["vca".to_owned()].into_iter().chain(words));
                let problem = parsed.err().filter(|error| {
                    // Ids of calls are abridged.
                    error.kind() != ErrorKind::ValueValidation
                        || !["…", " ID"].iter().any(|it| line.contains(it))
                });
                assert!(
                    problem.is_none(),
                    "{page}: {line}\n{}",
                    problem.map(|it| it.to_string()).unwrap_or_default()
                );
            }
        }
    }
    assert!(count > 50, "{count} commands were found");
}

#[test]
fn the_commands_in_sentences_exist() {
    let (program, mut count) = (program(), 0);
    for (page, text) in pages() {
        let prose = divided(&text).1.replace('\n', " ");
        for code in prose.split('`').skip(1).step_by(2) {
            // Brackets mark options that may be left out.
            let words = code.split_whitespace().map(|word| word.trim_matches(['[', ']']).to_owned());
            let words: Vec<String> = words.collect();
            let Some(words) = words.strip_prefix(&["vca".to_owned()]) else { continue };
            count += 1;
            assert_eq!(unknown_word(&program, words), None, "{page}: {code}");
        }
    }
    assert!(count > 50, "{count} commands were found");
}

#[test]
fn unknown_commands_and_options_are_found() {
    let program = program();
    for (line, unknown) in [
        ("vca profile update \"front desk\" --tenant Acme --prompts x", Some("--prompts")),
        ("vca call shew last", Some("shew")),
        ("KEY=x vca --json tenant list > file", None),
        ("printf x | vca tool create-secret --tenant Bakery shop-api   # a comment", None),
        ("vca backup a-$(date +%F).db", None),
    ] {
        let found = commands(line);
        let [words] = &found[..] else { panic!("not one command: {line}") };
        assert_eq!(unknown_word(&program, words), unknown, "{line}");
    }
}
