//! The conversation on the screen, as it happens: what the caller says aloud, what the daemon understood of it,
//! what it answered, and how long that took.

use std::time::Instant;

use serde_json::Value;

/// Takes the daemon's log, line by line, and prints what a person wants to see of it. Times count from the ring.
pub struct Transcript {
    begun: Instant,
    /// The figures of a turn, until its words come.
    figures: Value,
}

impl Transcript {
    pub fn begin() -> Transcript {
        Transcript { begun: Instant::now(), figures: Value::Null }
    }

    /// The caller begins to say something.
    pub fn says(&self, text: &str) {
        self.print("caller", text);
    }

    /// Reads a line of the log.
    pub fn read(&mut self, line: &Value) {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        match text("message") {
            "call came in" => self.begun = Instant::now(),
            "call answered" => self.print("vca", "takes the call"),
            "call ended" => self.print("vca", &format!("the call is over: {}", text("disposition"))),
            "turn finished" => self.figures = line.clone(),
            _ if text("target") == "vca::transcript" => self.turn(text("caller"), text("agent"), line),
            message if matches!(text("level"), "WARN" | "ERROR") => {
                let told = [message, text("engine"), text("error")];
                self.print("vca", &format!("! {}", told.join(" ").trim_end()));
            }
            _ => {}
        }
    }

    fn turn(&mut self, caller: &str, agent: &str, line: &Value) {
        let figures = self.figures.take();
        let is_same = figures["turn"] == line["turn"] && figures["spans"] == line["spans"];
        if !caller.is_empty() {
            self.print("heard", caller);
        }
        if !agent.is_empty() {
            let cut = if figures["interrupted"] == true { " - (interrupted)" } else { "" };
            self.print("agent", &format!("{agent}{cut}"));
        }
        if let Some(latency) = latency(&figures).filter(|_| is_same) {
            println!("{:16}{latency}", "");
        }
    }

    fn print(&self, who: &str, what: &str) {
        let seconds = self.begun.elapsed().as_secs();
        println!("{:4}:{:02}  {who:6}  {what}", seconds / 60, seconds % 60);
    }
}

/// The stages of a turn, each counted from the end of the caller's speech (or the beginning of the call).
fn latency(figures: &Value) -> Option<String> {
    let stages = [
        ("understood", "transcript_ms"),
        ("reply ready", "reply_ms"),
        ("turn over", "commit_ms"),
        ("answering", "audio_ms"),
    ];
    let told = stages.map(|(name, key)| Some(format!("{name} after {} ms", figures[key].as_u64()?)));
    let told: Vec<String> = told.into_iter().flatten().collect();
    if told.is_empty() { None } else { Some(format!("[{}]", told.join(", "))) }
}
