//! Numbers that no tenant has, and probes of writing.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Database, on_both};
use crate::store::{Routing, RoutingSettings, UnmatchedCounter};

on_both!(calls_to_unmatched_numbers_are_counted, the_latest_unmatched_numbers_are_kept, a_probe_is_seen_once);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

async fn calls_to_unmatched_numbers_are_counted(db: Database) {
    let route = db.tenant(1).await;
    let routing = Routing::new(db.store.clone(), &RoutingSettings::default());
    let known = route.number.did.to_string();
    assert!(routing.dialled(&known).await.expect("an answer").is_some());
    for called in ["+4930999999", "s", "+4930999999"] {
        assert!(routing.dialled(called).await.expect("an answer").is_none(), "{called}");
    }
    routing.unmatched().write(&db.store).await.expect("written");
    let before = db.store.unmatched_numbers().await.expect("numbers");
    let calls =
        |called: &str| before.iter().find(|number| number.called == called).map(|number| number.calls);
    assert_eq!((calls("+4930999999"), calls("s"), before.len()), (Some(2), Some(1), 2));
    // Written again: added to what is there.
    routing.dialled("s").await.expect("an answer");
    routing.unmatched().write(&db.store).await.expect("written");
    let after = db.store.unmatched_numbers().await.expect("numbers");
    assert_eq!((after[0].called.as_str(), after[0].calls), ("s", 2), "the latest is first");
    let first = before.iter().find(|number| number.called == "s").expect("it was there");
    assert_eq!(after[0].first_at, first.first_at);
    assert!(after[0].last_at >= first.last_at);
}

async fn the_latest_unmatched_numbers_are_kept(db: Database) {
    let counter = UnmatchedCounter::default();
    for round in 0..3 {
        for n in 0..700 {
            counter.add(&format!("+49{}", round * 700 + n), at(round * 700 + n));
        }
        counter.write(&db.store).await.expect("written");
    }
    let kept = db.store.unmatched_numbers().await.expect("numbers");
    assert_eq!(kept.len(), 1_000);
    assert_eq!((kept[0].called.as_str(), kept[999].called.as_str()), ("+492099", "+491100"));
    // In memory, too.
    (0..3_000).for_each(|n| counter.add(&format!("\u{7}{n}{}", "9".repeat(100)), at(10_000 + n)));
    counter.write(&db.store).await.expect("written");
    let kept = db.store.unmatched_numbers().await.expect("numbers");
    assert_eq!(kept.len(), 1_000);
    assert!(kept.iter().all(|number| number.called.len() <= 40 && !number.called.contains('\u{7}')));
}

async fn a_probe_is_seen_once(db: Database) {
    let other = db.impatient().await;
    let probe = db.store.add_probe().await.expect("a row");
    assert!(other.has_probe(probe).await.expect("an answer"), "another program sees it");
    db.store.remove_probe(probe).await.expect("deleted");
    assert!(!other.has_probe(probe).await.expect("an answer"));
    db.store.check_write().await.expect("a database that takes writes");
}
