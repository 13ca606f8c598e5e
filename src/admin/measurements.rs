//! The metrics of the daemon: their descriptions (HELP), and those that are not counted by the recorder but read when metrics
//! are fetched.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use rustix::process::{Resource, getrlimit};

/// How a metric is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

use MetricKind::{Counter, Gauge, Histogram};

/// Every metric, with its help. `tests/metrics.rs` compares the list with the source and with docs/monitoring.md.
pub const METRICS: &[(&str, MetricKind, &str)] = &[
    ("vca_admin_auth_failures_total", Counter, "Requests without a valid key, by reason."),
    (
        "vca_admin_connections_closed_total",
        Counter,
        "Connections to the admin port that were closed, by reason.",
    ),
    (
        "vca_admin_connections_refused_total",
        Counter,
        "Connections to the admin port beyond its limits, by reason.",
    ),
    ("vca_admin_key_uses_lost_total", Counter, "Uses of API keys whose time was not recorded."),
    ("vca_admin_shares_used_up_total", Counter, "Requests beyond a tenant's share of the API, by limit."),
    ("vca_announcements_dropped_total", Counter, "Announced calls that were not remembered."),
    ("vca_ari_answering", Gauge, "1 while Asterisk carries out requests."),
    ("vca_ari_connected", Gauge, "1 while the event WebSocket is connected."),
    ("vca_ari_connects_total", Counter, "Connects of the event WebSocket."),
    ("vca_ari_disconnects_total", Counter, "Losses of the event WebSocket, by reason."),
    ("vca_ari_events_total", Counter, "Events from Asterisk, by kind."),
    ("vca_ari_request_seconds", Histogram, "Duration of requests to Asterisk, by operation."),
    ("vca_ari_requests_total", Counter, "Requests to Asterisk, by operation and outcome."),
    ("vca_ari_undecoded_events_total", Counter, "Frames of the event WebSocket that were not events."),
    ("vca_asterisk_leaks_total", Counter, "Channels and bridges that Asterisk did not delete."),
    ("vca_calls_live", Gauge, "Live calls, those that are being refused included."),
    ("vca_calls_total", Counter, "Ended calls, by disposition."),
    (
        "vca_realtime_failovers_total",
        Counter,
        "Calls in which a speech-to-speech engine failed and the other engines took over, by engine.",
    ),
    ("vca_calls_with_echo_total", Counter, "Calls with an echo of the agent in the caller's audio."),
    (
        "vca_calls_without_noise_suppression_total",
        Counter,
        "Calls whose noise was not suppressed: media.noise_suppression_calls, or the tenant's share of it, was reached.",
    ),
    ("vca_transfers_total", Counter, "Transfers that began, by method."),
    ("vca_agent_changes_total", Counter, "Changes of profile or language in mid-call, by cause."),
    ("vca_calls_without_media_total", Counter, "Calls without packets after the answer, by likely cause."),
    ("vca_config_reloads_total", Counter, "Reloads of the configuration, by outcome."),
    ("vca_database_connections", Gauge, "Connections to the database, by pool and state."),
    ("vca_database_connections_max", Gauge, "The most connections to the database, by pool."),
    (
        "vca_database_wait_seconds",
        Histogram,
        "Time until a transaction began: a connection and BEGIN, by pool.",
    ),
    (
        "vca_end_of_turn_judgements_total",
        Counter,
        "Utterances whose end was judged by its sound, by verdict.",
    ),
    ("vca_end_of_turn_seconds", Histogram, "Time of a judgement of an utterance's end by its sound."),
    ("vca_engine_failures_total", Counter, "Failed requests to engines, by engine, kind and reason."),
    (
        "vca_engine_full_total",
        Counter,
        "Requests to engines beyond the operator's limit on requests at once, by engine and kind.",
    ),
    (
        "vca_engine_health",
        Gauge,
        "Share of an engine's recent attempts that succeeded, 0 to 1, by engine and kind.",
    ),
    (
        "vca_engine_limited_total",
        Counter,
        "Requests to engines beyond a tenant's share, by tenant and stage.",
    ),
    (
        "vca_engine_open",
        Gauge,
        "1 while an engine's circuit breaker is open and its requests go to the fallback.",
    ),
    ("vca_engine_requests_total", Counter, "Requests to engines, by engine, kind and outcome."),
    ("vca_engine_seconds", Histogram, "Duration of requests to engines, by engine and kind."),
    (
        "vca_inbound_addresses_refused_total",
        Counter,
        "Announcements of calls from addresses beyond their limit.",
    ),
    ("vca_intonations_total", Counter, "Utterances whose end was judged by its intonation, by result."),
    ("vca_ledger_dead_letters_total", Counter, "Call records that the database refused."),
    ("vca_ledger_dropped_total", Counter, "Call records that were lost."),
    ("vca_ledger_pending", Gauge, "Call records that are not in the database yet."),
    ("vca_live_commands_total", Counter, "Commands to live calls, by command and outcome."),
    ("vca_llm_replies_total", Counter, "Replies of language models, by engine and end."),
    ("vca_mcp_listings_total", Counter, "Lists of tools that were asked of MCP servers, by outcome."),
    ("vca_call_messages_dropped_total", Counter, "Messages dropped because a call's queue was full."),
    ("vca_pre_call_webhook_seconds", Histogram, "Time until pre-call webhooks responded, or the wait ended."),
    ("vca_pre_call_webhooks_total", Counter, "Requests to pre-call webhooks, by outcome."),
    ("vca_ratings_total", Counter, "Ratings that callers gave at the end of calls, by rating."),
    ("vca_redis_lost_total", Counter, "Losses of the connection to Redis."),
    ("vca_refusals_total", Counter, "Calls that no agent answers, by reason."),
    ("vca_registrations_failed_total", Counter, "Failed registrations of numbers with providers, by reason."),
    ("vca_retention_deleted_total", Counter, "Rows deleted by retention, by kind."),
    (
        "vca_routing_from_cache_total",
        Counter,
        "Calls routed by a cached answer while the database was unavailable.",
    ),
    ("vca_sentence_cache_bytes", Gauge, "Size of the cache of sentences, in bytes."),
    (
        "vca_sentence_cache_total",
        Counter,
        "Sentences that were looked up in the cache, by outcome: hit or miss.",
    ),
    ("vca_statements_held", Gauge, "Statements that are held back."),
    ("vca_tenant_calls_total", Counter, "Ended calls, by tenant and status (completed, failed, refused)."),
    (
        "vca_tenant_month_cost",
        Gauge,
        "Cost of the present month in the currency of the price list, by tenant.",
    ),
    ("vca_tenant_talk_seconds_total", Counter, "Seconds from answer to end, by tenant."),
    ("vca_tls_reloads_total", Counter, "Reloads of the admin port's certificate, by outcome."),
    ("vca_tool_calls_total", Counter, "Calls of tools by agents, by outcome."),
    ("vca_tool_seconds", Histogram, "Duration of tools that agents called."),
    (
        "vca_turn_stage_seconds",
        Histogram,
        "Time that a stage of a turn took, by stage and by the agent's engine: transcript, reply, speech.",
    ),
    ("vca_turn_seconds", Histogram, "Time from the end of the caller's speech, by stage of the response."),
    ("vca_analyses_pending", Gauge, "Analyses of calls that are due or wait for another attempt."),
    (
        "vca_analyses_total",
        Counter,
        "Attempts to analyse calls, by outcome: done, retried, failed, unavailable.",
    ),
    ("vca_analysis_seconds", Histogram, "Duration of attempts to analyse calls."),
    ("vca_webhook_attempt_seconds", Histogram, "Duration of attempts to deliver webhooks."),
    ("vca_webhook_attempts_total", Counter, "Attempts to deliver webhooks, by outcome."),
    ("vca_webhook_deliveries_pending", Gauge, "Webhook deliveries that are due or wait for another attempt."),
];

/// The metrics that [`exposition`] writes.
pub const READ_METRICS: &[(&str, MetricKind, &str)] = &[
    ("vca_build_info", Gauge, "1, with the version of the program."),
    ("vca_frame_lateness_seconds", Histogram, "How late media threads sent frames."),
    ("process_cpu_seconds_total", Counter, "CPU time of the process in seconds."),
    ("process_max_fds", Gauge, "The most open files of the process."),
    ("process_open_fds", Gauge, "Open files of the process."),
    ("process_resident_memory_bytes", Gauge, "Resident memory of the process."),
    ("process_start_time_seconds", Gauge, "Start of the process in seconds since 1970."),
    ("process_threads", Gauge, "Threads of the process."),
    ("process_virtual_memory_bytes", Gauge, "Virtual memory of the process."),
];

/// A histogram that is counted elsewhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BucketCounts {
    /// Upper bounds in seconds, the last without bound, each with the count of values between it and the one before.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all values.
    pub sum: Duration,
}

/// Describes all metrics to the recorder.
pub fn describe() {
    for (name, kind, help) in METRICS {
        match kind {
            Counter => describe_counter!(*name, *help),
            Gauge => describe_gauge!(*name, *help),
            Histogram => describe_histogram!(*name, *help),
        }
    }
}

/// The metrics that are read now, in the text format of Prometheus.
pub fn exposition(lateness: &BucketCounts) -> String {
    let mut text = String::new();
    head(&mut text, "vca_build_info");
    let _ = writeln!(text, "vca_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    write_histogram(&mut text, "vca_frame_lateness_seconds", lateness);
    for (name, value) in process().unwrap_or_default() {
        head(&mut text, name);
        let _ = writeln!(text, "{name} {value}");
    }
    text
}

fn head(text: &mut String, name: &str) {
    let Some((_, kind, help)) = READ_METRICS.iter().find(|(known, ..)| *known == name) else { return };
    let kind = match kind {
        Counter => "counter",
        Gauge => "gauge",
        Histogram => "histogram",
    };
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn write_histogram(text: &mut String, name: &str, counts: &BucketCounts) {
    head(text, name);
    let mut total = 0;
    for (bound, count) in &counts.buckets {
        total += count;
        let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(text, "{name}_sum {}\n{name}_count {total}", counts.sum.as_secs_f64());
}

/// Linux reports CPU times to programs in hundredths of a second (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process, from proc(5).
fn process() -> Option<Vec<(&'static str, f64)>> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program is in brackets and may contain anything; the third field follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().trim_end_matches("kB").trim_end().parse::<f64>().ok()
    };
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(vec![
        ("process_cpu_seconds_total", (field(14)? + field(15)?) / TICKS_PER_SECOND),
        ("process_max_fds", getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) as f64),
        ("process_open_fds", open as f64),
        ("process_resident_memory_bytes", line("VmRSS")? * 1024.0),
        ("process_start_time_seconds", boot + field(22)? / TICKS_PER_SECOND),
        ("process_threads", line("Threads")?),
        ("process_virtual_memory_bytes", line("VmSize")? * 1024.0),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_without_bound() {
        let counts = BucketCounts {
            buckets: vec![(0.001, 3), (0.02, 2), (f64::INFINITY, 1)],
            sum: Duration::from_millis(70),
        };
        let text = exposition(&counts);
        let expected = "vca_frame_lateness_seconds_bucket{le=\"0.001\"} 3\n\
            vca_frame_lateness_seconds_bucket{le=\"0.02\"} 5\n\
            vca_frame_lateness_seconds_bucket{le=\"+Inf\"} 6\n\
            vca_frame_lateness_seconds_sum 0.07\nvca_frame_lateness_seconds_count 6\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn every_metric_that_is_read_has_its_help_type_and_value() {
        let text = exposition(&BucketCounts::default());
        for (name, _, help) in READ_METRICS {
            assert!(text.contains(&format!("# HELP {name} {help}\n# TYPE {name} ")), "{name}: {text}");
            let is_line = |line: &str| line.strip_prefix(name).is_some_and(|rest| !rest.is_empty());
            assert!(text.lines().any(is_line), "{name}: {text}");
        }
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{name}: {text}"))
        };
        assert!(value("process_threads") >= 1.0 && value("process_threads") < 10_000.0);
        assert!(value("process_resident_memory_bytes") > 1e5);
        // Between 2020 and 2100.
        assert!((1.58e9..4.2e9).contains(&value("process_start_time_seconds")));
    }
}
