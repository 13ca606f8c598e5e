//! Results of calls: success, outcomes and sentiment by their analyses, and satisfaction by callers' ratings; by interval, number,
//! and profile with version.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::report::ratio;
use super::{AnalyticsInterval, AnalyticsQuery, clock};
use crate::store::ResultCount;
use crate::tenancy::{NumberId, ProfileId, ProfileShare, Sentiment};

/// The store's counts for a report of results.
pub struct CountedResults {
    pub quarters: Vec<ResultCount<i64>>,
    pub numbers: Vec<ResultCount<NumberId>>,
    pub profiles: Vec<ResultCount<(ProfileId, u32)>>,
    /// The profiles that share the calls of the number that is asked for.
    pub weights: Vec<ProfileShare>,
}

/// Results of a tenant's calls in a period. Analyses that retention has deleted do not count.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CallResults {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// IANA name of the time zone of the series.
    pub timezone: String,
    pub interval: AnalyticsInterval,
    #[serde(flatten)]
    pub totals: ResultTotals,
    /// All intervals of the period, including those without calls.
    pub series: Vec<IntervalResults>,
    /// The numbers that were called.
    pub numbers: Vec<NumberResults>,
    /// The profiles that answered, each version for itself.
    pub profiles: Vec<ProfileResults>,
}

/// Results of some calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ResultTotals {
    /// Answered calls.
    pub answered: i64,
    /// Calls by the outcome of their analysis.
    pub outcomes: BTreeMap<String, i64>,
    /// Calls that are a success by their analysis.
    pub successes: i64,
    /// Calls that are none by their analysis.
    pub failures: i64,
    /// Successes as a share of both, 0 to 1.
    pub success_rate: Option<f64>,
    pub sentiments: SentimentCounts,
    /// Ratings that callers gave.
    pub ratings: i64,
    /// The mean of these ratings, from 1 to 5.
    pub average_rating: Option<f64>,
}

/// Calls by the sentiment of their analysis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct SentimentCounts {
    pub positive: i64,
    pub neutral: i64,
    pub negative: i64,
}

/// Results of the calls that began in an interval.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct IntervalResults {
    /// The beginning of the interval.
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub totals: ResultTotals,
}

/// Results of the calls to a number.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NumberResults {
    pub phone_number_id: NumberId,
    #[serde(flatten)]
    pub totals: ResultTotals,
}

/// Results of the calls that began with a version of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProfileResults {
    pub ai_profile_id: ProfileId,
    pub ai_profile_version: u32,
    /// Its answered calls as a share of all of the report, 0 to 1.
    pub share: Option<f64>,
    /// Its present weight at the number that is asked for; `null` without a number, and for a profile that is none of the number's.
    pub weight: Option<u16>,
    #[serde(flatten)]
    pub totals: ResultTotals,
}

impl CallResults {
    pub fn new(query: &AnalyticsQuery, counted: CountedResults) -> CallResults {
        let AnalyticsQuery { calls, interval, timezone } = query;
        let totals = grouped(&counted.numbers, |_| ()).remove(&()).unwrap_or_default().finished();
        let at = |quarter: i64| clock::start(clock::start_of_quarter(quarter), *interval, *timezone);
        let mut series: BTreeMap<DateTime<Utc>, ResultSums> =
            grouped(&counted.quarters, |quarter| at(*quarter));
        for start in clock::starts(calls.from, calls.to, *interval, *timezone) {
            series.entry(start).or_default();
        }
        let interval_results = |(at, sums): (_, ResultSums)| IntervalResults { at, totals: sums.finished() };
        let number_results = |(id, sums): (_, ResultSums)| NumberResults {
            phone_number_id: NumberId(id),
            totals: sums.finished(),
        };
        let profiles = grouped(&counted.profiles, |(id, version)| (id.0, *version)).into_iter();
        let profile_results = |((id, ai_profile_version), sums): (_, ResultSums)| {
            let (ai_profile_id, totals) = (ProfileId(id), sums.finished());
            let weight = counted.weights.iter().find(|it| it.ai_profile_id == ai_profile_id);
            let (share, weight) =
                (ratio(totals.answered, totals_answered(&counted.numbers)), weight.map(|it| it.weight));
            ProfileResults { ai_profile_id, ai_profile_version, share, weight, totals }
        };
        CallResults {
            from: calls.from,
            to: calls.to,
            timezone: timezone.name().to_owned(),
            interval: *interval,
            totals,
            series: series.into_iter().map(interval_results).collect(),
            numbers: grouped(&counted.numbers, |id| id.0).into_iter().map(number_results).collect(),
            profiles: profiles.map(profile_results).collect(),
        }
    }
}

fn totals_answered(numbers: &[ResultCount<NumberId>]) -> i64 {
    numbers.iter().filter(|count| count.name == "answered").map(|count| count.times).sum()
}

/// Sums by a key of the counts' keys.
fn grouped<K, G: Ord>(counts: &[ResultCount<K>], group: impl Fn(&K) -> G) -> BTreeMap<G, ResultSums> {
    let mut groups: BTreeMap<G, ResultSums> = BTreeMap::new();
    for count in counts {
        groups.entry(group(&count.key)).or_default().add(&count.name, &count.value, count.times);
    }
    groups
}

/// Results as they add up.
#[derive(Debug, Default)]
struct ResultSums {
    totals: ResultTotals,
    /// The sum of all ratings.
    points: i64,
}

impl ResultSums {
    fn add(&mut self, name: &str, value: &str, times: i64) {
        let totals = &mut self.totals;
        match (name, value) {
            ("answered", _) => totals.answered += times,
            ("outcome", outcome) => *totals.outcomes.entry(outcome.to_owned()).or_default() += times,
            ("success", "true") => totals.successes += times,
            ("success", _) => totals.failures += times,
            ("sentiment", mood) => match mood.parse() {
                Ok(Sentiment::Positive) => totals.sentiments.positive += times,
                Ok(Sentiment::Neutral) => totals.sentiments.neutral += times,
                Ok(Sentiment::Negative) => totals.sentiments.negative += times,
                Err(_) => {}
            },
            ("rating", rating) => {
                totals.ratings += times;
                self.points += rating.parse::<i64>().unwrap_or_default() * times;
            }
            _ => {}
        }
    }

    fn finished(self) -> ResultTotals {
        let ResultTotals { successes, failures, ratings, .. } = self.totals;
        let success_rate = ratio(successes, successes + failures);
        ResultTotals { success_rate, average_rating: ratio(self.points, ratings), ..self.totals }
    }
}
