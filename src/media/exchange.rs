//! A value that other threads hand to the media thread while a call goes on, such as the writer of a tap. The media thread
//! does not wait for a lock, allocate or free.

use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The exchange of values between the threads that set them and the media thread.
pub(super) struct Exchange<T> {
    /// Set with each change; the media thread clears it when it has taken the change over.
    has_changed: AtomicBool,
    /// Boxed, to keep the counters beside it on their cache line.
    state: Box<Mutex<ExchangeState<T>>>,
}

/// Written by the threads that set values, which may wait for the lock, and by the media thread, which does not wait.
pub(super) struct ExchangeState<T> {
    is_set: bool,
    /// The value that the media thread is to use; `None` when it is to use none.
    next: Option<Box<T>>,
    /// The value that the media thread has replaced. It is freed with the next change, or at the end of the call.
    former: Option<Box<T>>,
}

impl<T> Default for Exchange<T> {
    fn default() -> Exchange<T> {
        let state = ExchangeState { is_set: false, next: None, former: None };
        Exchange { has_changed: AtomicBool::new(false), state: Box::new(Mutex::new(state)) }
    }
}

impl<T> Exchange<T> {
    pub fn has_changed(&self) -> bool {
        self.has_changed.load(Acquire)
    }

    /// Replaces the media thread's value, where another one was set. Returns false while the lock is held: try again at the
    /// next tick. `former` is empty here: each change empties it, and is taken over once.
    pub fn take_over(&self, current: &mut Option<Box<T>>) -> bool {
        if !self.has_changed() {
            return true;
        }
        let Ok(mut state) = self.state.try_lock() else { return false };
        self.has_changed.store(false, Relaxed);
        state.former = std::mem::replace(current, state.next.take());
        true
    }

    /// Sets a value. Returns false when one is set already.
    pub fn set_first(&self, value: Box<T>) -> bool {
        let state = self.lock();
        let is_free = !state.is_set;
        if is_free {
            self.change(state, Some(value));
        }
        is_free
    }

    pub fn set(&self, value: Option<Box<T>>) {
        self.change(self.lock(), value);
    }

    fn change(&self, mut state: MutexGuard<'_, ExchangeState<T>>, next: Option<Box<T>>) {
        state.is_set = next.is_some();
        state.next = next;
        state.former = None;
        self.has_changed.store(true, Release);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ExchangeState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_value_is_taken_over_once() {
        let exchange = Exchange::default();
        let mut current = None;
        assert!(exchange.take_over(&mut current) && current.is_none());
        exchange.set(Some(Box::new(1)));
        assert!(!exchange.set_first(Box::new(2)));
        exchange.set(Some(Box::new(3)));
        assert!(exchange.take_over(&mut current));
        assert!(exchange.take_over(&mut current), "without a change it stays");
        assert_eq!(current.as_deref(), Some(&3));
        exchange.set(None);
        let lock = exchange.lock();
        assert!(!exchange.take_over(&mut current), "the media thread does not wait");
        drop(lock);
        assert!(exchange.take_over(&mut current) && current.is_none());
        assert!(exchange.set_first(Box::new(4)));
    }
}
