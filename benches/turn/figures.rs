//! Measured values and their goals.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use vca::sim::conversation::percentile;

/// The most that a value may be; `None` for a value without a goal.
pub type Goal = Option<f64>;

#[derive(Default)]
pub struct Figures(Vec<(String, f64, Goal)>);

impl Figures {
    /// Adds a value and prints it.
    pub fn add(&mut self, name: &str, value: f64, goal: Goal) {
        let value = (value * 100.0).round() / 100.0;
        let judged = match goal {
            Some(goal) if value <= goal => format!("goal {goal}"),
            Some(goal) => format!("goal {goal}: missed"),
            None => String::new(),
        };
        println!("{name:<52} {value:>10} {judged}");
        self.0.push((name.to_owned(), value, goal));
    }

    /// Adds the median and the 95th percentile of times, in milliseconds, and their number. Without times both are no number,
    /// which meets no goal.
    pub fn add_times(&mut self, name: &str, times: &[Duration], goals: [Goal; 2]) {
        for ((share, suffix), goal) in [(0.5, "p50"), (0.95, "p95")].into_iter().zip(goals) {
            let time =
                if times.is_empty() { f64::NAN } else { percentile(times, share).as_secs_f64() * 1_000.0 };
            self.add(&format!("{name}_{suffix}_ms"), time, goal);
        }
        self.add(&format!("{name}_count"), times.len() as f64, None);
    }

    /// All of them as one line.
    pub fn json(&self, program: &Path) -> Value {
        let figure = |(name, value, goal): &(String, f64, Goal)| {
            let met = goal.map(|goal| *value <= goal);
            (name.clone(), json!({ "value": value, "goal": goal, "met": met }))
        };
        let measures: serde_json::Map<String, Value> = self.0.iter().map(figure).collect();
        json!({ "program": program.display().to_string(), "measures": measures })
    }
}
