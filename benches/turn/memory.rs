//! The memory of a call.

use crate::figures::Figures;
use crate::setting::Setting;

/// The daemon's resident memory before calls, and at its highest during them.
pub struct Memory {
    before_kb: u64,
    highest_kb: u64,
    most: usize,
}

impl Memory {
    pub fn before(setting: &Setting) -> Memory {
        let before_kb = setting.env.resident_kb().unwrap_or_default();
        Memory { before_kb, highest_kb: before_kb, most: 0 }
    }

    /// Reads the memory when the number of calls in progress is the highest so far.
    pub fn sample(&mut self, setting: &Setting, running: usize) {
        if running >= self.most {
            self.most = running;
            self.highest_kb = self.highest_kb.max(setting.env.resident_kb().unwrap_or_default());
        }
    }

    pub fn report(&self, figures: &mut Figures, calls: usize) {
        let kb = self.highest_kb.saturating_sub(self.before_kb) as f64;
        figures.add("memory_idle_mb", self.before_kb as f64 / 1_024.0, None);
        figures.add("memory_of_a_call_mb", kb / 1_024.0 / calls as f64, Some(0.6));
    }
}
