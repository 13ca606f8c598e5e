//! Removes what a language model writes for the eye: Markdown, addresses and pictures.

/// The text without Markdown, with links by their text or host, and without emoji. It is empty when nothing in it can be
/// spoken.
pub fn speakable(text: &str) -> String {
    let lines =
        text.lines().map(|line| spoken_line(line.trim())).filter(|line| line.contains(char::is_alphanumeric));
    lines.collect::<Vec<_>>().join("\n")
}

fn spoken_line(line: &str) -> String {
    let line = heading(line);
    let row = table_row(line);
    let line = row.as_deref().unwrap_or(line);
    let bullet = ["- ", "* ", "+ ", "• ", "– ", "— "].into_iter().find_map(|mark| line.strip_prefix(mark));
    without_pictures(&without_emphasis(&without_tags(&without_links(bullet.unwrap_or(line)))))
}

/// The line without the marks of a heading or a quote. "#5" is no heading.
fn heading(line: &str) -> &str {
    let inner = line.trim_start_matches(['#', '>']);
    if line.starts_with('#') && inner.starts_with(|c: char| c.is_ascii_digit()) {
        line
    } else {
        inner.trim_start()
    }
}

/// The cells of a table's row, with pauses between them.
fn table_row(line: &str) -> Option<String> {
    let is_row = line.starts_with('|') || line.matches('|').count() >= 2;
    let cells = || line.split('|').map(str::trim).filter(|cell| cell.contains(char::is_alphanumeric));
    is_row.then(|| cells().collect::<Vec<_>>().join(", "))
}

/// The longest HTML tag, in bytes.
const LONGEST_TAG: usize = 100;

/// Tags that divide words.
const BLOCKS: [&str; 8] = ["br", "p", "li", "td", "th", "tr", "div", "hr"];

/// Without HTML tags; those that divide words become a space.
fn without_tags(line: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let name = tag[1..].strip_prefix('/').unwrap_or(&tag[1..]);
        let end = tag
            .find('>')
            .filter(|end| *end <= LONGEST_TAG && name.starts_with(|c: char| c.is_ascii_alphabetic()));
        rest = &tag[end.map_or(1, |end| end + 1)..];
        match end {
            None => out.push('<'),
            Some(_) => {
                let name = name.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
                let divides = BLOCKS.contains(&name) && !out.is_empty() && !out.ends_with(' ');
                out.push_str(if divides && !rest.starts_with(' ') { " " } else { "" });
            }
        }
    }
    out.push_str(rest);
    out
}

/// `[text](address)` becomes `text`, an address its host.
fn without_links(line: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(next) = rest.chars().next() {
        if let Some((text, after)) = link(rest) {
            out.push_str(text);
            rest = after;
        } else if let Some((host, after)) = address(rest) {
            out.push_str(host);
            rest = after;
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

/// The text of a link or image that begins here, and the rest of the line.
fn link(rest: &str) -> Option<(&str, &str)> {
    let inner = rest.strip_prefix("![").or_else(|| rest.strip_prefix('['))?;
    let (text, after) = inner.split_once("](")?;
    let (address, after) = after.split_once(')')?;
    (!text.contains(['[', ']']) && !address.contains(char::is_whitespace)).then_some((text, after))
}

/// The host of an address that begins here, and the rest of the line. Punctuation at its end belongs to the sentence.
fn address(rest: &str) -> Option<(&str, &str)> {
    let inner = rest.strip_prefix('<').unwrap_or(rest);
    let is_bracketed = inner.len() < rest.len();
    let inner = inner.strip_prefix("https://").or_else(|| inner.strip_prefix("http://"))?;
    let end = inner.find(|c: char| c.is_whitespace() || matches!(c, '>' | '<' | '"')).unwrap_or(inner.len());
    let whole = inner[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '*', '_']);
    let after = &inner[whole.len()..];
    let after = if is_bracketed { after.strip_prefix('>').unwrap_or(after) } else { after };
    let host = whole.split(['/', '?', '#']).next()?;
    let host = host.strip_prefix("www.").unwrap_or(host);
    (!host.is_empty()).then_some((host, after))
}

/// Without `*`, `` ` ``, `~~`, and without underscores around words; those within a word stay.
fn without_emphasis(line: &str) -> String {
    let line = line.replace("~~", "");
    let mut before = ' ';
    let mut letters = line.chars().peekable();
    let mut out = String::with_capacity(line.len());
    while let Some(letter) = letters.next() {
        let after = letters.peek().copied().unwrap_or(' ');
        let is_mark = match letter {
            '*' | '`' => true,
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            _ => false,
        };
        if !is_mark {
            out.push(letter);
        }
        before = letter;
    }
    out
}

/// Without emoji, and without the space that each of them had to itself.
fn without_pictures(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut has_gap = false;
    for letter in line.chars() {
        if is_picture(letter) {
            has_gap = true;
            continue;
        }
        let closes = letter.is_whitespace() || matches!(letter, '.' | ',' | '!' | '?' | ';' | ':' | ')');
        if has_gap && closes && (out.ends_with(' ') || out.is_empty()) {
            out.pop();
        }
        has_gap = false;
        out.push(letter);
    }
    out.trim().to_owned()
}

/// Emoji, their modifiers and joiners, dingbats, symbols and arrows by Unicode block. Letters, digits, punctuation and
/// currencies are in other blocks.
fn is_picture(letter: char) -> bool {
    matches!(u32::from(letter),
        0x200d | 0x20e3 | 0xfe0e | 0xfe0f // joiner, keycap, variation selectors
        | 0x2190..=0x21ff // arrows
        | 0x2300..=0x23ff // technical, with clocks
        | 0x2500..=0x27bf // boxes, shapes, symbols, dingbats
        | 0x27f0..=0x27ff | 0x2900..=0x297f | 0x2b00..=0x2bff // more arrows and symbols
        | 0x1f000..=0x1faff // pictures, flags, skin tones
        | 0xe0020..=0xe007f) // tags of flags
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_words_are_left() {
        for (written, spoken) in [
            ("We are open from 9:30 to 17:00.", "We are open from 9:30 to 17:00."),
            ("- Monday\n- Tuesday", "Monday\nTuesday"),
            ("* one\n• two\n1. three", "one\ntwo\n1. three"),
            ("## **Hours**\n---\n> `9` to *5*", "Hours\n9 to 5"),
            ("Great 👍! See you 👋🏽", "Great! See you"),
            ("👍 Yes. 1️⃣ is fine ❤️.", "Yes. 1 is fine."),
            ("🇩🇪 → 👨‍👩‍👧", ""),
            ("See [our page](https://example.com/a?b=c) now.", "See our page now."),
            ("Go to https://www.example.com/book?x=1.", "Go to example.com."),
            ("(see <http://example.org/x>)", "(see example.org)"),
            ("~~old~~ _new_ snake_case", "old new snake_case"),
            ("Room [3] (or 4) costs 5 € – 20 % off & more…", "Room [3] (or 4) costs 5 € – 20 % off & more…"),
            ("Ich heiße Zoë, und Sie?", "Ich heiße Zoë, und Sie?"),
            ("http:// is a scheme", "http:// is a scheme"),
            ("| Day | Hours |\n|---|:--|\n| Mon | 9 to 5 |", "Day, Hours\nMon, 9 to 5"),
            ("One<br>two <b>three</b>, 1 < 2 and 3 > 2", "One two three, 1 < 2 and 3 > 2"),
            ("#5 is yours", "#5 is yours"),
            ("— **", ""),
        ] {
            assert_eq!(speakable(written), spoken, "{written}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let _ = speakable(&text);
        }

        #[test]
        fn plain_sentences_are_kept(text in "[a-zA-Z0-9äöüßéñ]{1,8}( [a-zA-Z0-9äöüßéñ]{1,8}){0,5}[.!?]") {
            prop_assert_eq!(speakable(&text), text);
        }

        #[test]
        fn marks_between_words_take_no_word(marks in "[*_`\\[\\]()<>~#👍 -]{0,20}") {
            let spoken = speakable(&format!("one {marks} two"));
            prop_assert!(spoken.starts_with("one") && spoken.ends_with("two"), "{}", spoken);
        }
    }
}
