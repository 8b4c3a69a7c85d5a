//! How long confirmations took, as counters in buckets.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{LagKind, RouterId, Want, millis};

/// Upper bounds of the buckets. What took longer than the last is counted in one bucket more.
pub const LAG_BOUNDS: [Duration; 17] = [
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
];

const BUCKETS: usize = LAG_BOUNDS.len() + 1;

/// Returns the upper bound of the bucket that a lag falls into; `None` if it is beyond all.
pub fn lag_bound(lag: Duration) -> Option<Duration> {
    LAG_BOUNDS.get(index(lag)).copied()
}

fn index(lag: Duration) -> usize {
    LAG_BOUNDS.partition_point(|bound| *bound < lag)
}

fn bounds() -> impl Iterator<Item = Option<Duration>> {
    LAG_BOUNDS.into_iter().map(Some).chain([None])
}

/// Counted lags, or other spans. Counts only ever grow, from the first one the database has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(Box<[Bucket; BUCKETS]>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    count: u64,
    sum: Duration,
    max: Duration,
}

impl Bucket {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }
}

impl Histogram {
    /// Counts one lag.
    pub fn record(&mut self, lag: Duration) {
        self.put(lag_bound(lag), 1, lag, lag);
    }

    /// Adds `count` lags of the bucket with this upper bound, of which the longest is `max`.
    pub fn put(&mut self, bound: Option<Duration>, count: u64, sum: Duration, max: Duration) {
        self.0[bound.map_or(BUCKETS - 1, index)].add(Bucket { count, sum, max });
    }

    /// Adds all that another one has counted.
    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in self.0.iter_mut().zip(*other.0) {
            bucket.add(more);
        }
    }

    /// Returns how many lags were counted.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.count).sum()
    }

    /// Returns the sum of all lags.
    pub fn sum(&self) -> Duration {
        let sums = self.0.iter().map(|bucket| bucket.sum);
        sums.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Returns the longest lag; `None` if there was none.
    pub fn max(&self) -> Option<Duration> {
        let filled = self.0.iter().filter(|bucket| bucket.count > 0);
        filled.map(|bucket| bucket.max).max()
    }

    /// Returns what `percent` of the lags did not exceed: the upper bound of the bucket in which
    /// that one lies, or the longest of all if that is less. `None` if there was none.
    pub fn percentile(&self, percent: u8) -> Option<Duration> {
        let rank = (self.count() * u64::from(percent)).div_ceil(100).max(1);
        let (bound, _) = self.cumulative().find(|(_, count)| *count >= rank)?;
        let max = self.max()?;
        Some(bound.unwrap_or(max).min(max))
    }

    /// Returns the buckets as monitoring wants them: each upper bound, then none for all, with the
    /// number of lags that did not exceed it.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let counts = self.0.iter().scan(0, |sum, bucket| {
            *sum += bucket.count;
            Some(*sum)
        });
        bounds().zip(counts)
    }

    /// Returns what [`put`](Self::put) makes the same histogram of: of each bucket that counted
    /// anything its upper bound, its count, its sum and its longest.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64, Duration, Duration)> {
        let filled = bounds().zip(*self.0).filter(|(_, bucket)| bucket.count > 0);
        filled.map(|(bound, Bucket { count, sum, max })| (bound, count, sum, max))
    }
}

#[derive(Serialize)]
struct Figures {
    count: u64,
    sum_ms: u64,
    p50_ms: Option<u64>,
    p99_ms: Option<u64>,
    max_ms: Option<u64>,
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let figures = Figures {
            count: self.count(),
            sum_ms: millis::of(self.sum()),
            p50_ms: self.percentile(50).map(millis::of),
            p99_ms: self.percentile(99).map(millis::of),
            max_ms: self.max().map(millis::of),
        };
        figures.serialize(to)
    }
}

/// The lags of one router, or of all. Each first confirmation since a deadline is counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lags {
    /// From the end of access until the cut was confirmed.
    pub cuts: Histogram,
    /// The same of cuts that waited for a router that was down.
    pub outage_cuts: Histogram,
    /// Of cuts whose end nobody could see in time, from when it was known until they were confirmed:
    /// no lag, see [`LagKind::KnownLate`].
    pub known_late_cuts: Histogram,
    /// From the payment until the restore was confirmed.
    pub restores: Histogram,
    /// The same of restores that waited for a router that was down.
    pub outage_restores: Histogram,
}

impl Lags {
    /// Returns the one that counts such a confirmation.
    pub fn of(&mut self, want: Want, kind: LagKind) -> &mut Histogram {
        match (want, kind) {
            (Want::Cut, LagKind::Prompt) => &mut self.cuts,
            (Want::Cut, LagKind::Outage) => &mut self.outage_cuts,
            (Want::Cut, LagKind::KnownLate) => &mut self.known_late_cuts,
            // A payment is known when it is made.
            (Want::Restore, LagKind::Prompt | LagKind::KnownLate) => &mut self.restores,
            (Want::Restore, LagKind::Outage) => &mut self.outage_restores,
        }
    }

    /// Adds all that another one has counted.
    pub fn add(&mut self, other: &Self) {
        self.cuts.add(&other.cuts);
        self.outage_cuts.add(&other.outage_cuts);
        self.known_late_cuts.add(&other.known_late_cuts);
        self.restores.add(&other.restores);
        self.outage_restores.add(&other.outage_restores);
    }
}

/// The lags of one router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouterLags {
    /// Its number; `None` for all routers together that were removed since.
    pub id: Option<RouterId>,
    /// Its name.
    pub router: Option<String>,
    /// Its lags.
    #[serde(flatten)]
    pub lags: Lags,
}

/// All lags that were ever counted. What removed routers took stays in the sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LagReport {
    /// Of all routers together, removed ones too.
    pub all: Lags,
    /// Of each router by name, the removed ones last.
    pub routers: Vec<RouterLags>,
}

impl LagReport {
    /// Puts a report together; routers in any order.
    pub fn new(mut routers: Vec<RouterLags>) -> Self {
        routers.sort_by(|a, b| {
            let key = |of: &RouterLags| (of.router.is_none(), of.router.clone());
            key(a).cmp(&key(b))
        });
        let mut all = Lags::default();
        for of in &routers {
            all.add(&of.lags);
        }
        Self { all, routers }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(lags: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for lag in lags {
            histogram.record(Duration::from_millis(*lag));
        }
        histogram
    }

    #[test]
    fn a_lag_falls_into_the_first_bucket_that_is_not_below_it() {
        let ms = Duration::from_millis;
        assert_eq!(lag_bound(Duration::ZERO), Some(ms(10)));
        assert_eq!(lag_bound(ms(10)), Some(ms(10)));
        assert_eq!(lag_bound(ms(10) + Duration::from_nanos(1)), Some(ms(20)));
        assert_eq!(lag_bound(ms(3_600_001)), None);
    }

    #[test]
    fn percentiles_are_bounds_and_the_longest_is_exact() {
        let histogram = counted(&[7, 11, 12, 13, 180]);
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!(histogram.percentile(50), ms(20));
        assert_eq!(histogram.percentile(99), ms(180));
        assert_eq!(
            (histogram.max(), histogram.sum()),
            (ms(180), Duration::from_millis(223))
        );
        let beyond = counted(&[4_000_000]);
        assert_eq!(beyond.percentile(50), ms(4_000_000));
        assert_eq!(Histogram::default().percentile(50), None);
        let json = serde_json::to_value(Histogram::default()).expect("JSON");
        assert_eq!(json["p99_ms"], serde_json::Value::Null);
    }

    #[test]
    fn what_removed_routers_took_stays_in_the_sum() {
        let of = |name: Option<&str>, lags: &[u64]| RouterLags {
            id: None,
            router: name.map(Into::into),
            lags: Lags {
                cuts: counted(lags),
                ..Lags::default()
            },
        };
        let report = LagReport::new(vec![
            of(None, &[1]),
            of(Some("b"), &[2]),
            of(Some("a"), &[3]),
        ]);
        assert_eq!(report.all.cuts.count(), 3);
        let names: Vec<_> = report
            .routers
            .iter()
            .map(|of| of.router.as_deref())
            .collect();
        assert_eq!(names, [Some("a"), Some("b"), None]);
    }

    proptest! {
        #[test]
        fn every_lag_is_counted_once_and_no_percentile_lies_below_it(
            lags in proptest::collection::vec(0..5_000_000u64, 1..50),
            percent in 1..=100u8,
        ) {
            let histogram = counted(&lags);
            let mut sorted = lags.clone();
            sorted.sort_unstable();
            let rank = (lags.len() * usize::from(percent)).div_ceil(100).max(1);
            let exact = Duration::from_millis(sorted[rank - 1]);
            let told = histogram.percentile(percent).expect("some");
            prop_assert!(told >= exact && told <= histogram.max().expect("some"));
            let (last, count) = histogram.cumulative().last().expect("buckets");
            prop_assert_eq!((last, count), (None, lags.len() as u64));
            let mut again = Histogram::default();
            for (bound, count, sum, max) in histogram.buckets() {
                again.put(bound, count, sum, max);
            }
            prop_assert_eq!(again, histogram);
        }
    }
}
