//! Percentiles of values from the frequency of each value.

use crate::store::Counted;

/// Values with their frequencies, the smallest value first.
pub struct Distribution {
    values: Vec<Counted>,
    total: i64,
}

impl Distribution {
    pub fn new(mut values: Vec<Counted>) -> Distribution {
        values.retain(|counted| counted.times > 0);
        values.sort_by_key(|counted| counted.value);
        let total = values.iter().map(|counted| counted.times).sum();
        Distribution { values, total }
    }

    pub fn count(&self) -> i64 {
        self.total
    }

    /// The smallest value that `percent` of all values do not exceed (nearest rank); `None` when there are no
    /// values.
    pub fn percentile(&self, percent: u8) -> Option<i64> {
        // Counts of calls and turns are far below a hundredth of the largest `i64`.
        let rank = (self.total * i64::from(percent) + 99) / 100;
        let mut seen = 0;
        let reached = self.values.iter().find(|counted| {
            seen += counted.times;
            seen >= rank.max(1)
        });
        reached.map(|counted| counted.value)
    }
}
