//! The daemon's log: lines on standard output, as JSON for machines or as text for people, each with the fields of
//! its spans, so that every line of a call has the call and the tenant.
//!
//! Masking numbers and leaving out secrets is the duty of the code that logs.

mod recent;

use std::io::{IsTerminal, stdout};
use std::os::fd::AsFd;
use std::panic;

use tracing::{Event, Level, Subscriber, error, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry, reload};

use recent::Recent;
pub use recent::recent_problems;

use crate::config::{self, Log, LogFormat};

/// The target of the crate for MCP.
const MCP: &str = "rmcp";

/// The filter of the log, which can be changed.
#[derive(Clone)]
pub struct LogFilter(reload::Handle<EnvFilter, registry::Registry>);

impl LogFilter {
    /// Filters by `filter` from now on.
    pub fn set(&self, filter: &str) {
        if let Err(error) = self.0.reload(EnvFilter::new(with_words_guarded(filter))) {
            warn!(%error, "the filter of the log cannot be changed");
        }
    }
}

/// Begins to log, and logs panics too. When something logs already, it stays.
pub fn start(settings: &Log) -> LogFilter {
    let pretty = match settings.format {
        LogFormat::Json => false,
        LogFormat::Pretty => true,
        LogFormat::Auto => stdout().is_terminal(),
    };
    // The filter was examined with the configuration; what is wrong in it is left out.
    let (filter, handle) = reload::Layer::new(EnvFilter::new(with_words_guarded(&settings.filter)));
    let priorities = Priorities::of(stdout());
    let lines = if pretty {
        text(stdout, stdout().is_terminal(), priorities)
    } else {
        json(stdout, &settings.service, priorities)
    };
    // The failures of tenants' servers are not the daemon's.
    let recent =
        Recent.with_filter(Targets::new().with_default(LevelFilter::WARN).with_target(MCP, LevelFilter::OFF));
    if registry().with(lines.with_filter(filter)).with(recent).try_init().is_ok() {
        log_panics();
    }
    LogFilter(handle)
}

/// The words of callers and agents, and the messages of the crate for MCP with arguments and results of tools, are logged only
/// where the filter names their target; a general `debug` is not enough.
fn with_words_guarded(filter: &str) -> String {
    let guarded = ["vca::transcript", MCP].into_iter().filter(|target| !filter.contains(target));
    guarded.fold(filter.to_owned(), |filter, target| format!("{filter},{target}=off"))
}

/// Whether each line begins with its priority, which the journal takes from it (`SyslogLevelPrefix=`, sd-daemon(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Priorities {
    Prefixed,
    Omitted,
}

impl Priorities {
    /// Prefixed where the output is the journal's.
    fn of(output: impl AsFd) -> Priorities {
        if config::is_journal(output) { Priorities::Prefixed } else { Priorities::Omitted }
    }

    fn prefix(self, level: &Level) -> &'static str {
        match (self, *level) {
            (Priorities::Omitted, _) => "",
            (Priorities::Prefixed, Level::ERROR) => "<3>",
            (Priorities::Prefixed, Level::WARN) => "<4>",
            (Priorities::Prefixed, Level::INFO) => "<6>",
            (Priorities::Prefixed, _) => "<7>",
        }
    }
}

fn json<S, W>(writer: W, service: &str, priorities: Priorities) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::format().json().flatten_event(true).with_current_span(false).with_span_list(true);
    let service = serde_json::Value::from(service).to_string();
    fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(Prioritised { lines: Labelled { lines, service }, priorities })
        .with_writer(writer)
        .boxed()
}

/// Lines of JSON that begin with the name of the installation, so that logs of several can be collected in one place.
struct Labelled {
    lines: Format<Json>,
    /// As JSON.
    service: String,
}

impl<S, N> FormatEvent<S, N> for Labelled
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(writer, "{{\"service\":{},{rest}", self.service),
            None => writer.write_str(&line),
        }
    }
}

/// Lines that begin with their priority, where that is wanted.
struct Prioritised<F> {
    lines: F,
    priorities: Priorities,
}

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        writer.write_str(self.priorities.prefix(event.metadata().level()))?;
        self.lines.format_event(context, writer, event)
    }
}

fn text<S, W>(writer: W, colours: bool, priorities: Priorities) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = Prioritised { lines: Format::default(), priorities };
    fmt::layer().event_format(lines).with_ansi(colours).with_writer(writer).boxed()
}

/// A panic means a bug: it becomes a line of the log before the usual message.
fn log_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "panic: {}", panic.payload_as_str().unwrap_or("of an unknown kind"));
        usual(panic);
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing::{info, info_span};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
        }
    }

    fn say_something() {
        let _call = info_span!("call", call = "c1", tenant = "t1").entered();
        let _turn = info_span!("turn", turn = 2).entered();
        info!(words = 3, "heard");
    }

    #[test]
    fn a_line_of_json_names_call_and_tenant() {
        let paper = Paper::default();
        let writer = paper.clone();
        let lines = json(move || writer.clone(), "the \"first\"", Priorities::Omitted);
        tracing::subscriber::with_default(registry().with(lines), say_something);
        let line: serde_json::Value = serde_json::from_str(&paper.text()).expect("one object");
        assert_eq!(line["message"], "heard");
        assert_eq!(line["service"], "the \"first\"");
        assert_eq!(line["words"], 3);
        assert_eq!(line["spans"][0]["call"], "c1");
        assert_eq!(line["spans"][0]["tenant"], "t1");
        assert_eq!(line["spans"][1]["turn"], 2);
    }

    #[test]
    fn a_line_of_text_names_call_and_tenant() {
        let paper = Paper::default();
        let writer = paper.clone();
        let lines = text(move || writer.clone(), false, Priorities::Omitted);
        tracing::subscriber::with_default(registry().with(lines), say_something);
        let line = paper.text();
        assert!(line.contains(r#"call{call="c1" tenant="t1"}:turn{turn=2}"#), "{line}");
    }

    #[test]
    fn lines_of_the_journal_begin_with_their_priority() {
        let said = |format: fn(Paper) -> Box<dyn Layer<registry::Registry> + Send + Sync>| {
            let paper = Paper::default();
            tracing::subscriber::with_default(registry().with(format(paper.clone())), || {
                error!("a");
                tracing::warn!("b");
                info!("c");
                tracing::debug!("d");
            });
            let prefixes: Vec<String> = paper.text().lines().map(|line| line[..3].to_owned()).collect();
            prefixes
        };
        let expected = ["<3>", "<4>", "<6>", "<7>"];
        assert_eq!(said(|paper| json(move || paper.clone(), "vca", Priorities::Prefixed)), expected);
        assert_eq!(said(|paper| text(move || paper.clone(), false, Priorities::Prefixed)), expected);
    }

    #[test]
    fn words_are_logged_only_where_the_filter_names_their_target() {
        assert_eq!(with_words_guarded("debug"), "debug,vca::transcript=off,rmcp=off");
        assert_eq!(with_words_guarded("info,rmcp=trace"), "info,rmcp=trace,vca::transcript=off");
    }
}
