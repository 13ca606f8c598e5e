//! The latest warnings and errors of the log, for the daemon's report.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::{Mutex, PoisonError};

use chrono::Utc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::admin::LoggedProblem;

/// How many lines are kept, and characters of each.
const MOST: usize = 20;
const LONGEST: usize = 400;

static RECENT: Mutex<VecDeque<LoggedProblem>> = Mutex::new(VecDeque::new());

/// The latest warnings and errors since the start, the latest first.
pub fn recent_problems() -> Vec<LoggedProblem> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
}

/// Keeps the latest warnings and errors.
pub struct Recent;

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return;
        }
        let mut line = EventText::default();
        event.record(&mut line);
        let problem = LoggedProblem {
            at: Utc::now(),
            level: metadata.level().to_string(),
            target: metadata.target().to_owned(),
            text: line.text(),
        };
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == MOST {
            recent.pop_front();
        }
        recent.push_back(problem);
    }
}

/// The message and the fields of an event: `message; name: value`.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl EventText {
    fn text(self) -> String {
        format!("{}{}", self.message, self.fields).chars().take(LONGEST).collect()
    }
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A String takes all text.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, "; {name}: {value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_latest_problems_are_kept_with_their_fields() {
        with_default(tracing_subscriber::registry().with(Recent), || {
            tracing::info!("not kept: recent test");
            for n in 0..=MOST {
                tracing::warn!(n, reason = "too short", "recent test");
            }
            tracing::error!("recent test {}", "x".repeat(1_000));
        });
        let kept = recent_problems();
        assert_eq!(kept.len(), MOST);
        assert_eq!((kept[0].level.as_str(), kept[0].text.len()), ("ERROR", LONGEST));
        assert_eq!(kept[1].text, format!("recent test; n: {MOST}; reason: too short"));
        assert!(kept.iter().all(|problem| !problem.text.contains("not kept")));
    }
}
