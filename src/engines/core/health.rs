//! The health of an engine: the share of its recent attempts that succeeded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The weight of the latest attempt. The figure follows the latest 20 attempts, more or less.
const WEIGHT: f64 = 0.1;

/// The health of one engine, from 0.0 to 1.0. Clones share it.
#[derive(Debug, Clone)]
pub struct HealthFigure(Arc<Mutex<f64>>);

impl Default for HealthFigure {
    /// An engine that was never asked is taken to be sound.
    fn default() -> HealthFigure {
        HealthFigure(Arc::new(Mutex::new(1.0)))
    }
}

impl HealthFigure {
    /// Counts an attempt; the new figure.
    pub fn count(&self, succeeded: bool) -> f64 {
        let mut figure = self.figure();
        *figure += WEIGHT * (f64::from(u8::from(succeeded)) - *figure);
        *figure
    }

    pub fn get(&self) -> f64 {
        *self.figure()
    }

    fn figure(&self) -> MutexGuard<'_, f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_follows_the_latest_attempts() {
        let health = HealthFigure::default();
        assert_eq!((health.get(), health.clone().count(true)), (1.0, 1.0));
        for _ in 0..20 {
            health.count(false);
        }
        assert!((0.05..0.2).contains(&health.get()), "{}", health.get());
        for _ in 0..40 {
            health.count(true);
        }
        assert!(health.get() > 0.95, "{}", health.get());
    }
}
