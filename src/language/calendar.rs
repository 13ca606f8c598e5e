//! Dates and opening hours in words.

use super::spoken::forms::{ENGLISH, Forms};
use super::{Language, fold};

impl Language {
    /// A date with its day of the week, counted from Monday as 0: "Saturday, November 28, 2026". English where the language
    /// has no forms.
    pub fn date(&self, weekday: usize, day: u32, month: u32, year: u32) -> String {
        let forms = self.calendar();
        let name = forms.weekdays.get(weekday).copied().unwrap_or_default();
        let date = forms.date_in_words(day, month, Some(year)).unwrap_or_default();
        format!("{name}, {date}")
    }

    /// The opening hours of a week from Monday, in minutes from midnight; consecutive days with the same hours are joined.
    /// `None` is always open. English where the language has no forms.
    pub fn opening_hours(&self, week: Option<&[Vec<(u32, u32)>; 7]>) -> String {
        let forms = self.calendar();
        let Some(week) = week else { return forms.always.to_owned() };
        let mut days: Vec<(usize, usize)> = Vec::new();
        for day in (0..7).filter(|day| !week[*day].is_empty()) {
            match days.last_mut() {
                Some((first, last)) if *last + 1 == day && week[*first] == week[day] => *last = day,
                _ => days.push((day, day)),
            }
        }
        let spans = days.into_iter().map(|(first, last)| {
            let times = week[first].iter().map(|(from, to)| format!("{}–{}", clock(*from), clock(*to)));
            format!("{} {}", days_in_words(forms, first, last), times.collect::<Vec<_>>().join(", "))
        });
        spans.collect::<Vec<_>>().join("; ")
    }

    /// Whether `word`, in lower case, is the name of a day or a month.
    pub fn names_day_or_month(&self, word: &str) -> bool {
        let names = self.forms.map(|forms| forms.weekdays.iter().chain(forms.months.iter()));
        names.into_iter().flatten().any(|name| fold(name) == word)
    }

    fn calendar(&self) -> &'static Forms {
        self.forms.unwrap_or(&ENGLISH)
    }
}

fn days_in_words(forms: &Forms, first: usize, last: usize) -> String {
    let [first_name, last_name] = [forms.weekdays[first], forms.weekdays[last]];
    match last - first {
        0 => first_name.to_owned(),
        1 => format!("{first_name}, {last_name}"),
        _ => format!("{first_name} {} {last_name}", forms.to),
    }
}

/// Minutes from midnight as a time of day. An end on the next day is beyond 24 hours.
fn clock(minutes: u32) -> String {
    let minutes = if minutes > 24 * 60 { minutes - 24 * 60 } else { minutes };
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_said_in_its_language() {
        let date = |tag| Language::of(Some(tag)).date(5, 28, 11, 2026);
        assert_eq!(date("en"), "Saturday, November 28, 2026");
        assert_eq!(date("hi"), "शनिवार, 28 नवंबर 2026");
        assert_eq!(date("de"), "Samstag, 28. November 2026");
        assert_eq!(date("xx"), "Saturday, November 28, 2026");
    }

    #[test]
    fn days_with_the_same_hours_are_joined() {
        let day = vec![(540, 1_020)];
        let week = [day.clone(), day.clone(), day.clone(), vec![], day, vec![(1_200, 1_560)], vec![]];
        let hours = |tag, week| Language::of(Some(tag)).opening_hours(week);
        assert_eq!(
            hours("en", Some(&week)),
            "Monday to Wednesday 09:00–17:00; Friday 09:00–17:00; Saturday 20:00–02:00"
        );
        assert_eq!(hours("de", Some(&week)).split(' ').next(), Some("Montag"));
        assert_eq!(hours("en", None), "at all hours");
        assert!(hours("hi", None) != hours("en", None));
    }
}
