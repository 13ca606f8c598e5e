//! The retry schedule of failed deliveries, as Standard Webhooks recommends it: three days in all.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::store::DeliveryOutcome;

/// The pause before each attempt, in seconds.
const PAUSES: [u64; 10] =
    [0, 5, 5 * 60, 30 * 60, 2 * 3_600, 5 * 3_600, 10 * 3_600, 14 * 3_600, 20 * 3_600, 24 * 3_600];
/// The longest `Retry-After` that is respected.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// The outcome of a delivery that was tried `before` times before. `retry_after` is the receiver's; `jitter`, from 0
/// to 1, spreads the pause by up to a tenth in either direction.
pub fn outcome(
    status: Option<u16>,
    retry_after: Option<Duration>,
    before: u32,
    now: DateTime<Utc>,
    jitter: f64,
) -> DeliveryOutcome {
    match status {
        Some(200..300) => DeliveryOutcome::Delivered,
        Some(410) => DeliveryOutcome::Unsubscribed,
        _ => match pause(before.saturating_add(1), jitter) {
            Some(pause) => {
                DeliveryOutcome::Again(now + pause.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER)))
            }
            None => DeliveryOutcome::GivenUp,
        },
    }
}

/// The pause after `attempts` attempts; `None` after the last one.
fn pause(attempts: u32, jitter: f64) -> Option<Duration> {
    let seconds = PAUSES.get(usize::try_from(attempts).ok()?)?;
    Some(Duration::from_secs(*seconds).mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_attempts_take_three_days() {
        let pauses: Vec<u64> = (1..)
            .map_while(|attempts| pause(attempts, 0.5))
            .map(|p| p.as_secs_f64().round() as u64)
            .collect();
        assert_eq!(pauses, PAUSES[1..]);
        assert_eq!(pauses.iter().sum::<u64>() / 3_600, 75);
    }

    proptest! {
        #[test]
        fn a_response_is_a_success_an_unsubscription_or_followed_by_a_pause(
            status in proptest::option::of(100_u16..600), before in 0_u32..20, jitter in 0.0..1.0, retry_after in 0_u64..200_000,
        ) {
            let now = DateTime::UNIX_EPOCH;
            let found = outcome(status, Some(Duration::from_secs(retry_after)), before, now, jitter);
            match (status, found) {
                (Some(200..300), DeliveryOutcome::Delivered) | (Some(410), DeliveryOutcome::Unsubscribed) => {}
                (_, DeliveryOutcome::GivenUp) => prop_assert!(before >= 9),
                (_, DeliveryOutcome::Again(at)) => {
                    let (pause, nominal) = ((at - now).num_seconds(), PAUSES[before as usize + 1] as i64);
                    let retry_after = retry_after.min(86_400) as i64;
                    prop_assert!((nominal * 9 / 10 - 1..=nominal * 11 / 10).contains(&pause) || pause == retry_after);
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
