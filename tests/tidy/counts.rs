//! Figures of style, each with a recorded maximum that is only ever lowered. `./dev count` prints them.
//!
//! The habits of speech are those that the trade's own code does not have: `docs/GLOSSARY.md` has the trade's words.

use std::collections::BTreeMap;
use std::path::Path;

use super::source::{code, comments, functions, is_name, product, root, sources, type_names};

/// One figure of the whole program.
struct Figure {
    name: &'static str,
    measured: f64,
    /// The maximum that is recorded here: the measured value, rounded up, when it was last lowered.
    recorded: f64,
    goal: f64,
    /// The files, functions or names that are counted, those that count the most first.
    places: Vec<String>,
}

/// Words in comments, with the recorded maximum and the goal per 1,000 words of comments.
struct Habit {
    name: &'static str,
    words: &'static [&'static str],
    recorded: f64,
    goal: f64,
}

const SENTENCES_WITH_WHAT: &str = "sentences that begin with \"What\"";

const HABITS: &[Habit] = &[
    Habit { name: SENTENCES_WITH_WHAT, words: &[], recorded: 0.1, goal: 0.1 },
    Habit {
        name: "nobody, somebody, anybody, everybody",
        words: &["nobody", "somebody", "anybody", "everybody"],
        recorded: 0.1,
        goal: 0.1,
    },
    Habit { name: "told, tells", words: &["told", "tells"], recorded: 0.1, goal: 0.1 },
    Habit {
        name: "whoever, whatever, whose, whichever",
        words: &["whoever", "whatever", "whose", "whosever", "whichever"],
        recorded: 0.3,
        goal: 0.3,
    },
    Habit { name: "come, comes, came", words: &["come", "comes", "came"], recorded: 0.3, goal: 0.3 },
];

/// Names that are used behind the path of their module, and may be shared.
const SHARED: [&str; 4] = ["Settings", "Command", "Row", "Error"];

/// How many places the table names for a figure that has not reached its goal.
const NAMED: usize = 6;

impl Habit {
    fn count(&self, comment: &str) -> usize {
        if self.words.is_empty() {
            return sentences_with_what(comment);
        }
        comment.split(|c| !is_name(c)).filter(|word| self.words.contains(word)).count()
    }

    fn figure(&self, files: &[(String, String)], words: usize) -> Figure {
        let lines =
            |text| comments(text).filter(|(_, comment)| self.count(comment) > 0).map(|(line, _)| line);
        let mut places: Vec<_> = files.iter().map(|(path, text)| (lines(text).collect(), path)).collect();
        places.retain(|(lines, _): &(Vec<usize>, _)| !lines.is_empty());
        places.sort_by_key(|(lines, _)| std::cmp::Reverse(lines.len()));
        let places = places.into_iter().map(|(lines, path)| format!("{path} {lines:?}")).collect();
        let count =
            files.iter().flat_map(|(_, text)| comments(text)).map(|(_, comment)| self.count(comment)).sum();
        let measured = 1000.0 * ratio(count, words);
        Figure { name: self.name, measured, recorded: self.recorded, goal: self.goal, places }
    }
}

/// A line of a comment counts as the beginning of a sentence, as does a word after a full stop, a colon or a semicolon.
fn sentences_with_what(comment: &str) -> usize {
    let begins = usize::from(first_word(comment) == "What");
    let later =
        comment.match_indices(". ").chain(comment.match_indices(": ")).chain(comment.match_indices("; "));
    begins + later.filter(|(at, mark)| first_word(&comment[at + mark.len()..]) == "What").count()
}

fn first_word(text: &str) -> &str {
    text.split(|c| !is_name(c)).next().unwrap_or_default()
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn habits(files: &[(String, String)]) -> Vec<Figure> {
    let words = |comment: &str| {
        comment
            .split(|c: char| !(c.is_ascii_alphabetic() || c == '\''))
            .filter(|word| !word.is_empty())
            .count()
    };
    let words = files.iter().flat_map(|(_, text)| comments(text)).map(|(_, comment)| words(comment)).sum();
    HABITS.iter().map(|habit| habit.figure(files, words)).collect()
}

/// The share, in percent, of the types with a name that another type has as well.
fn shared_names(files: &[(String, String)]) -> Figure {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in files {
        for name in type_names(&code(text)) {
            owners.entry(name).or_default().push(path.clone());
        }
    }
    let all = owners.values().map(Vec::len).sum();
    owners.retain(|name, paths| paths.len() > 1 && !SHARED.contains(&name.as_str()));
    let shared = owners.values().map(Vec::len).sum();
    let mut shared_by: Vec<_> = owners.into_iter().map(|(name, paths)| (paths.len(), name)).collect();
    shared_by.sort_unstable_by(|a, b| b.cmp(a));
    let places = shared_by.into_iter().map(|(count, name)| format!("{name} {count}")).collect();
    let measured = 100.0 * ratio(shared, all);
    Figure { name: "types that share their name, in percent", measured, recorded: 7.0, goal: 8.0, places }
}

fn macros(files: &[(String, String)]) -> Figure {
    let mut places = Vec::new();
    for (path, text) in files {
        let count = code(text).matches("macro_rules!").count();
        places.extend(std::iter::repeat_n(path.clone(), count));
    }
    Figure { name: "macro_rules!", measured: places.len() as f64, recorded: 3.0, goal: 5.0, places }
}

/// Median, 90th percentile and maximum of the lines of functions.
fn function_lengths(files: &[(String, String)]) -> [Figure; 3] {
    let mut lengths = Vec::new();
    for (path, text) in files {
        let found = functions(&code(text));
        lengths.extend(found.into_iter().map(|f| (f.length, format!("{path}:{} {}", f.line, f.length))));
    }
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let at = |share: usize| lengths[lengths.len() * share / 100].0 as f64;
    let longest: Vec<_> = lengths.iter().take(2 * NAMED).map(|(_, place)| place.clone()).collect();
    let figure =
        |name, measured, recorded, goal| Figure { name, measured, recorded, goal, places: longest.clone() };
    [
        figure("lines of a function: median", at(50), 7.0, 7.0),
        figure("lines of a function: 90th percentile", at(10), 19.0, 20.0),
        figure("lines of a function: longest", at(0), 60.0, 60.0),
    ]
}

fn file_lengths(files: &[(String, String)]) -> [Figure; 2] {
    let mut lengths: Vec<_> = files.iter().map(|(path, text)| (text.lines().count(), path)).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let longest = lengths[0].0 as f64;
    let places: Vec<_> = lengths
        .iter()
        .take_while(|(length, _)| *length > 400)
        .map(|(length, path)| format!("{path} {length}"))
        .collect();
    let long = places.len() as f64;
    let figure =
        |name, measured, recorded, goal| Figure { name, measured, recorded, goal, places: places.clone() };
    [
        figure("files of over 400 lines", long, 0.0, 0.0),
        figure("lines of a file: longest", longest, 400.0, 400.0),
    ]
}

fn figures() -> Vec<Figure> {
    let name = |path: &Path| path.strip_prefix(root()).expect("below the package").display().to_string();
    let files: Vec<_> = sources().iter().map(|path| (name(path), product(path))).collect();
    let mut figures = habits(&files);
    figures.extend([shared_names(&files), macros(&files)]);
    figures.extend(function_lengths(&files));
    figures.extend(file_lengths(&files));
    figures
}

impl Figure {
    fn most(&self, count: usize) -> String {
        self.places.iter().take(count).cloned().collect::<Vec<_>>().join("; ")
    }
}

#[test]
fn the_figures_of_style_do_not_rise() {
    let figures = figures();
    println!(
        "{:<44} {:>8} {:>8} {:>8}",
        "figure (habits per 1,000 words of comments)", "now", "at most", "goal"
    );
    for figure in &figures {
        println!(
            "{:<44} {:>8.1} {:>8.1} {:>8.1}",
            figure.name, figure.measured, figure.recorded, figure.goal
        );
    }
    for figure in figures.iter().filter(|figure| figure.measured > figure.goal) {
        println!("{}: {}", figure.name, figure.most(NAMED));
    }
    let risen = figures.iter().filter(|figure| figure.measured > figure.recorded);
    let risen: Vec<_> =
        risen.map(|f| format!("{}: {:.2}; {}", f.name, f.measured, f.most(usize::MAX))).collect();
    assert!(
        risen.is_empty(),
        "above the recorded maximum; mend as many of these places:\n{}",
        risen.join("\n")
    );
}
