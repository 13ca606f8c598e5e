//! Dates and times of day.

use super::forms::{ClockStyle, Forms};
use super::number::digits;

/// A numeric date at the beginning of `text`, and its length: by ISO 8601, or day, month and year. The order of day and
/// month must be certain: in languages of several countries "3/4/2026" stays as it is.
pub(super) fn date(text: &str, forms: &Forms) -> Option<(String, usize)> {
    let (first, mark, second, rest) = two_numbers(text)?;
    let third = rest.strip_prefix(mark).map_or(0, digits);
    let end = text.len() - rest.len() + mark.len_utf8() + third;
    let year = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok();
    let (day, month, year) = match (digits(text), third) {
        (4, 1 | 2) if mark == '-' => (year(end - third..end)?, second, first),
        (1 | 2, 4) => {
            let (day, month) = day_and_month(first, second, mark, forms)?;
            (day, month, year(end - 4..end)?)
        }
        (1 | 2, 0) if mark == '.' && forms.dotted && rest.starts_with('.') => {
            return forms.date_in_words(first, second, None).map(|date| (date, text.len() - rest.len() + 1));
        }
        _ => return None,
    };
    let ends = !text[end..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '/'));
    let known = (1900..=2199).contains(&year) && ends;
    known.then(|| forms.date_in_words(day, month, Some(year))).flatten().map(|date| (date, end))
}

/// "12.30" as 12, the mark, 30, and the rest of the text.
fn two_numbers(text: &str) -> Option<(u32, char, u32, &str)> {
    let (first, rest) = text.split_at(digits(text));
    let mark = rest.chars().next().filter(|mark| matches!(mark, '-' | '/' | '.' | ':'))?;
    let (second, rest) = rest[1..].split_at(digits(&rest[1..]));
    let short = first.len() <= 4 && matches!(second.len(), 1 | 2);
    Some((first.parse().ok().filter(|_| short)?, mark, second.parse().ok()?, rest))
}

fn day_and_month(first: u32, second: u32, mark: char, forms: &Forms) -> Option<(u32, u32)> {
    match (first, second) {
        (13.., _) => Some((first, second)),
        (_, 13..) => Some((second, first)),
        _ if first == second || mark == '.' || forms.clock != ClockStyle::English => Some((first, second)),
        _ => None,
    }
}

impl Forms {
    /// A date in words; `None` for one that no calendar has.
    pub(in crate::language) fn date_in_words(
        &self,
        day: u32,
        month: u32,
        year: Option<u32>,
    ) -> Option<String> {
        let name = self.months.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
        let day = match self.first {
            _ if !(1..=31).contains(&day) => return None,
            Some(first) if day == 1 => first.to_owned(),
            _ => day.to_string(),
        };
        let date = self.date.replace("{d}", &day).replace("{m}", name);
        Some(match year {
            Some(year) => date.replace("{y}", &year.to_string()),
            None => date.replace("{y}", "").trim_end_matches([' ', ',']).to_owned(),
        })
    }
}

/// Which half of the day, where it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Morning,
    Afternoon,
}

/// A time of day at the beginning of `text`, and its length. `before` is the text that was said before it.
pub(super) fn time(text: &str, before: &str, forms: &Forms) -> Option<(String, usize)> {
    let (hour, minute, length) = hour_and_minute(text, forms)?;
    let rest = &text[length..];
    let (half, mark) = half(rest).map_or((None, 0), |(half, length)| (Some(half), length));
    let minute = match minute {
        Some(minute) => minute,
        // "5 pm" is a time, 5 alone is none.
        None if half.is_some() => 0,
        None => return None,
    };
    let known = hour <= 24 && minute < 60 && (half.is_none() || (1..=12).contains(&hour));
    let spoken = match &forms.clock {
        _ if !known => return None,
        ClockStyle::English => english(hour, minute, half),
        ClockStyle::Hindi => hindi(hour, minute, half, before),
        ClockStyle::Plain { .. } if half.is_some() => return None,
        ClockStyle::Plain { whole, minutes, .. } => {
            let pattern = if minute == 0 { whole } else { minutes };
            pattern.replace("{h}", &hour.to_string()).replace("{min}", &minute.to_string())
        }
    };
    let mut end = length + mark;
    if half.is_none() {
        end += replaced_mark(&text[end..], &forms.clock);
    }
    // The full stop of "p.m." is also that of a sentence.
    let has_stop = spoken.ends_with('.') && text[end..].starts_with('.');
    Some((spoken, end + usize::from(has_stop)))
}

/// Hour and minute as they are written, and their length; no minute where there is none.
fn hour_and_minute(text: &str, forms: &Forms) -> Option<(u32, Option<u32>, usize)> {
    if let Some((hour, mark, minute, rest)) = two_numbers(text) {
        let length = text.len() - rest.len();
        let two = text[..length].ends_with(|c: char| c.is_ascii_digit())
            && text.as_bytes()[length - 3] == mark as u8;
        let dotted = mark == '.' && forms.dotted && rest.starts_with(" Uhr");
        let seconds = rest.starts_with([':', '.']) && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        return (two && digits(text) <= 2 && (mark == ':' || dotted) && !seconds).then_some((
            hour,
            Some(minute),
            length,
        ));
    }
    let length = digits(text);
    (1..=2).contains(&length).then_some((text[..length].parse().ok()?, None, length))
}

/// "am", " p.m." and the like.
fn half(text: &str) -> Option<(Half, usize)> {
    let space = usize::from(text.starts_with(' '));
    let word = &text[space..];
    let forms = [
        ("a.m.", Half::Morning),
        ("p.m.", Half::Afternoon),
        ("A.M.", Half::Morning),
        ("P.M.", Half::Afternoon),
        ("am", Half::Morning),
        ("pm", Half::Afternoon),
        ("AM", Half::Morning),
        ("PM", Half::Afternoon),
    ];
    let (written, half) = forms.into_iter().find(|(form, _)| word.starts_with(form))?;
    let ends = !word[written.len()..].starts_with(char::is_alphanumeric);
    ends.then_some((half, space + written.len()))
}

fn english(hour: u32, minute: u32, half: Option<Half>) -> String {
    let minutes = if minute == 0 { String::new() } else { format!(":{minute:02}") };
    match half {
        Some(Half::Morning) => format!("{hour}{minutes} a.m."),
        Some(Half::Afternoon) => format!("{hour}{minutes} p.m."),
        None if matches!(hour, 0 | 24) && minute == 0 => "midnight".to_owned(),
        None if hour == 0 => format!("12{minutes} a.m."),
        None if hour > 12 => format!("{}{minutes} p.m.", hour - 12),
        None if minute == 0 => format!("{hour} o'clock"),
        None => format!("{hour}{minutes}"),
    }
}

/// The parts of the day, in which Hindi names the hour.
const DAY_PARTS: [(&str, std::ops::Range<u32>); 4] =
    [("सुबह", 4..12), ("दोपहर", 12..16), ("शाम", 16..20), ("रात", 20..28)];

fn hindi(hour: u32, minute: u32, half: Option<Half>, before: &str) -> String {
    let day = match half {
        Some(Half::Morning) => hour % 12,
        Some(Half::Afternoon) => hour % 12 + 12,
        None => hour % 24,
    };
    let is_certain = half.is_some() || hour > 12 || hour == 0;
    let is_said = DAY_PARTS.iter().any(|(part, _)| before.trim_end().ends_with(part));
    let night = if day < 4 { day + 24 } else { day };
    let part = DAY_PARTS.iter().find(|(_, hours)| hours.contains(&night)).filter(|_| is_certain && !is_said);
    let hour = if day % 12 == 0 { 12 } else { day % 12 };
    let time = if minute == 0 {
        format!("{hour} बजे")
    } else {
        format!("{hour} बजकर {minute} मिनट")
    };
    part.map_or(time.clone(), |(part, _)| format!("{part} {time}"))
}

/// The length of a word or letter after a time that its spoken form replaces: "Uhr", "h", "बजे".
fn replaced_mark(text: &str, clock: &ClockStyle) -> usize {
    let marks: &[&str] = match clock {
        ClockStyle::English => &["hrs", "hours", "o'clock"],
        ClockStyle::Hindi => &["बजे"],
        ClockStyle::Plain { marks, .. } => marks,
    };
    let space = usize::from(text.starts_with(' '));
    let word = &text[space..];
    let mark = marks.iter().find(|mark| {
        word.strip_prefix(**mark)
            .is_some_and(|rest| !rest.starts_with(crate::language::words::is_part_of_word))
    });
    mark.map_or(0, |mark| space + mark.len())
}
