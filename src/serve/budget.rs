//! How many refusals of callers whom nobody knows are recorded one by one: a flood of them must not fill the disk, nor bury what else is in the log.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use prometheus_client::metrics::counter::Counter;

use super::limits::{check, group};
use crate::audit::{Action, Event, Status};

/// Of one address: so many at once, and one more each so many milliseconds.
const OF_ONE: (NonZeroU32, Duration) = (NonZeroU32::new(1000).expect("1000 is not zero"), Duration::from_secs(1));
/// Of all together. At the rate that is left it is some four hundred megabytes a day.
const OF_ALL: (NonZeroU32, Duration) = (NonZeroU32::new(10_000).expect("10000 is not zero"), Duration::from_millis(100));

/// What is left of the records for refusals without a credential, and how many went without one.
pub struct Budget {
    of_one: DefaultKeyedRateLimiter<Option<IpAddr>>,
    of_all: DefaultDirectRateLimiter,
    beyond: AtomicU64,
    sealed: AtomicU64,
    total: Counter,
}

impl Default for Budget {
    fn default() -> Self {
        let quota = |(at_once, every): (NonZeroU32, Duration)| {
            Quota::with_period(every).map_or(Quota::per_minute(at_once), |quota| quota.allow_burst(at_once))
        };
        Self {
            of_one: RateLimiter::keyed(quota(OF_ONE)),
            of_all: RateLimiter::direct(quota(OF_ALL)),
            beyond: AtomicU64::default(),
            sealed: AtomicU64::default(),
            total: Counter::default(),
        }
    }
}

impl Budget {
    /// Takes a record out of it. `false`: there is none left, and this refusal is counted.
    pub fn take(&self, from: Option<IpAddr>) -> bool {
        // One address that has nothing left takes nothing from the others.
        let is_taken = check(&self.of_one, &from.map(group)).is_ok() && self.of_all.check().is_ok();
        if !is_taken {
            self.beyond.fetch_add(1, Ordering::Relaxed);
            self.total.inc();
        }
        is_taken
    }

    /// Something was refused because the vault is sealed: without its key nothing says so in its log.
    pub fn refused_while_sealed(&self) {
        self.sealed.fetch_add(1, Ordering::Relaxed);
        self.total.inc();
    }

    /// How many refusals had no record of their own since the start.
    pub fn total(&self) -> Counter {
        self.total.clone()
    }

    /// The records that stand for those that have none of their own since this was asked last.
    pub fn summaries(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut say = |count: &AtomicU64, code, what| {
            let count = count.swap(0, Ordering::Relaxed);
            if count > 0 {
                let event = Event::new(Action::Request).ended(Status::Denied, Some(code));
                events.push(event.detail(format!("{count} requests {what}, and have no record of their own")));
            }
        };
        say(&self.sealed, "sealed", "were refused while the vault was sealed");
        say(&self.beyond, "refused", "without a credential were refused");
        events
    }

    /// They could not be recorded: they are counted with those to come.
    pub fn give_back(&self, events: &[Event]) {
        for event in events {
            let count = event.detail_text().and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0);
            let of = if event.error_code() == Some("sealed") { &self.sealed } else { &self.beyond };
            of.fetch_add(count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_the_others_theirs_and_all_together_have_an_end() {
        let budget = Budget::default();
        let from = |last: u32| Some(IpAddr::from((0x0a00_0000 + last).to_be_bytes()));
        let taken = (0..3000).filter(|_| budget.take(from(1))).count();
        assert!((1000..1100).contains(&taken), "{taken}");
        assert!((2..100).all(|last| budget.take(from(last))));
        let more = (100..20_000).filter(|last| budget.take(from(*last))).count();
        assert!((9_000 - 98..11_000).contains(&more), "{more}");
        let skipped = 3000 - taken + 19_900 - more;
        let summaries = budget.summaries();
        assert_eq!(summaries.len(), 1);
        assert!(summaries[0].detail_text().unwrap().starts_with(&format!("{skipped} requests")), "{summaries:?}");
        assert!(budget.summaries().is_empty());
        budget.give_back(&summaries);
        assert_eq!(budget.summaries()[0].detail_text(), summaries[0].detail_text());
    }
}
