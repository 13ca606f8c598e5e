//! Calls by caller: those in progress, and those that were admitted within an hour, for the operator's ceilings.
//!
//! Pure: its driver passes the time. The counts are in memory and begin anew with the daemon.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::tenancy::{Did, TenantId};

/// The period of `calls.max_calls_per_caller_per_hour`.
const PERIOD: Duration = Duration::from_secs(3_600);
/// The most admissions that are kept of a caller, and so the highest limit.
pub const MOST_PER_HOUR: u32 = 1_000;

/// Words of telephone keypads that networks send in place of a withheld number: anonymous, blocked, private, restricted,
/// unavailable and unknown.
const WITHHELD: [&str; 6] = ["266696687", "2562533", "7748283", "7378742833", "86282452253", "8656696"];

/// One caller of one tenant, by the number that the network announces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantCaller {
    tenant: TenantId,
    number: Did,
}

impl TenantCaller {
    /// `None` for a caller without a number: such callers cannot be told apart, and one must not use up the calls of
    /// another.
    pub fn of(tenant: TenantId, number: Option<&str>) -> Option<TenantCaller> {
        let number: Did = number?.parse().ok()?;
        let digits = number.digits();
        let is_withheld = WITHHELD.contains(&digits) || digits.bytes().all(|digit| digit == b'0');
        (!is_withheld).then_some(TenantCaller { tenant, number })
    }
}

/// The calls of one caller when another one arrives; none for a caller without a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallerStanding {
    /// In progress.
    pub live: u32,
    /// Admitted within the last hour, those in progress included.
    pub last_hour: u32,
}

/// The admitted calls of all callers.
#[derive(Debug, Default)]
pub struct CallerCalls {
    callers: HashMap<TenantCaller, Admissions>,
    swept: Option<Instant>,
}

#[derive(Debug, Default)]
struct Admissions {
    live: u32,
    /// The oldest first.
    times: VecDeque<Instant>,
}

impl Admissions {
    fn forget_before(&mut self, now: Instant) {
        while self.times.front().is_some_and(|time| now.duration_since(*time) >= PERIOD) {
            self.times.pop_front();
        }
    }
}

impl CallerCalls {
    pub fn standing(&mut self, caller: Option<&TenantCaller>, now: Instant) -> CallerStanding {
        let Some(admissions) = caller.and_then(|caller| self.callers.get_mut(caller)) else {
            return CallerStanding::default();
        };
        admissions.forget_before(now);
        CallerStanding { live: admissions.live, last_hour: admissions.times.len() as u32 }
    }

    /// Counts an admitted call, until [`CallerCalls::end`] and for an hour.
    pub fn begin(&mut self, caller: TenantCaller, now: Instant) {
        self.sweep(now);
        let admissions = self.callers.entry(caller).or_default();
        admissions.live += 1;
        admissions.times.push_back(now);
        if admissions.times.len() > MOST_PER_HOUR as usize {
            admissions.times.pop_front();
        }
    }

    pub fn end(&mut self, caller: &TenantCaller) {
        if let Some(admissions) = self.callers.get_mut(caller) {
            admissions.live = admissions.live.saturating_sub(1);
        }
    }

    /// Forgets callers without calls, once an hour.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.duration_since(swept) < PERIOD) {
            return;
        }
        self.swept = Some(now);
        self.callers.retain(|_, admissions| {
            admissions.forget_before(now);
            admissions.live > 0 || !admissions.times.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(live: u32, last_hour: u32) -> CallerStanding {
        CallerStanding { live, last_hour }
    }

    #[test]
    fn callers_without_a_number_are_not_counted_together() {
        let tenant = TenantId::new();
        for text in ["", "anonymous", "unknown", "Restricted", "+266696687", "8656696", "0000000", "sip:x@y"]
        {
            assert_eq!(TenantCaller::of(tenant, Some(text)), None, "{text}");
        }
        assert_eq!(TenantCaller::of(tenant, None), None);
        assert_eq!(CallerCalls::default().standing(None, Instant::now()), standing(0, 0));
        let written = TenantCaller::of(tenant, Some("+49 171 5550123"));
        assert!(written.is_some());
        assert_eq!(written, TenantCaller::of(tenant, Some("491715550123")));
        assert_ne!(written, TenantCaller::of(TenantId::new(), Some("491715550123")), "of another tenant");
    }

    #[test]
    fn calls_count_while_they_last_and_for_an_hour() {
        let (start, tenant) = (Instant::now(), TenantId::new());
        let at = |seconds| start + Duration::from_secs(seconds);
        let caller = |number: &str| TenantCaller::of(tenant, Some(number)).expect("a number");
        let mut calls = CallerCalls::default();
        calls.begin(caller("491715550123"), at(0));
        calls.begin(caller("491715550123"), at(60));
        let first = caller("491715550123");
        assert_eq!(calls.standing(Some(&first), at(61)), standing(2, 2));
        assert_eq!(calls.standing(Some(&caller("491715550124")), at(61)), standing(0, 0));
        calls.end(&first);
        assert_eq!(calls.standing(Some(&first), at(3_599)), standing(1, 2));
        assert_eq!(calls.standing(Some(&first), at(3_600)), standing(1, 1), "the first is an hour ago");
        calls.end(&first);
        calls.begin(caller("491715550124"), at(7_200));
        assert_eq!(calls.callers.len(), 1, "callers without calls are forgotten");
    }

    #[test]
    fn the_times_of_a_caller_are_bounded() {
        let (now, caller) = (Instant::now(), TenantCaller::of(TenantId::new(), Some("491715550123")));
        let caller = caller.expect("a number");
        let mut calls = CallerCalls::default();
        (0..MOST_PER_HOUR + 5).for_each(|_| calls.begin(caller.clone(), now));
        assert_eq!(calls.standing(Some(&caller), now), standing(MOST_PER_HOUR + 5, MOST_PER_HOUR));
    }
}
