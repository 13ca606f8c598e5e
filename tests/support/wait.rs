//! Waiting for something to become true, with a deadline.

use std::time::{Duration, Instant};

const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer; `None` after `timeout`. The pauses are a fiftieth of the time that was waited already,
/// between 5 and 50 ms: a question to a server takes more of the machine than a longer wait can notice.
pub fn until<T>(timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        let waited = began.elapsed();
        if waited >= timeout {
            return None;
        }
        std::thread::sleep((waited / 50).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
    }
}

/// Like [`until`], for a yes or no: whether it became true in time.
pub fn until_true(timeout: Duration, mut ask: impl FnMut() -> bool) -> bool {
    until(timeout, || ask().then_some(())).is_some()
}
