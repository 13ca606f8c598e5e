//! Waiting for something to become true, with a deadline.

use std::time::{Duration, Instant};

/// Asks every 5 ms until there is an answer; `None` after `timeout`.
pub fn until<T>(timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Like [`until`], for a yes or no: whether it became true in time.
pub fn until_true(timeout: Duration, mut ask: impl FnMut() -> bool) -> bool {
    until(timeout, || ask().then_some(())).is_some()
}
