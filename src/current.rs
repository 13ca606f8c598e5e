//! A value that can be replaced while it is in use: settings that a reload of the configuration changes.

use std::sync::{Arc, PoisonError, RwLock};

/// Cloning it is cheap; clones share the value.
#[derive(Debug)]
pub struct Current<T>(Arc<RwLock<Arc<T>>>);

impl<T> Current<T> {
    pub fn new(value: T) -> Current<T> {
        Current(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value at this moment. A later [`Current::set`] does not change what the caller holds.
    pub fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the value for all clones.
    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Current<T> {
        Current(self.0.clone())
    }
}

impl<T: Default> Default for Current<T> {
    fn default() -> Current<T> {
        Current::new(T::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_see_a_new_value_and_holders_keep_the_old_one() {
        let current = Current::new(1);
        let (clone, held) = (current.clone(), current.get());
        current.set(2);
        assert_eq!((*held, *clone.get()), (1, 2));
    }
}
