//! What became of everybody, by the simulators' own account.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::plan::{Actor, Payment};

/// What is known of one actor at the end.
#[derive(Clone, Debug)]
pub(super) struct Fate {
    pub(super) payment: Option<Payment>,
    /// When access ended, or would have without a payment.
    pub(super) ends: Instant,
    pub(super) paid: Option<Instant>,
    /// When traffic stopped.
    pub(super) stops: Vec<Instant>,
    pub(super) can_move_bytes: bool,
    pub(super) could_log_in: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    subscribers: usize,
    renewed: usize,
    expired: usize,
    cut: usize,
    restored: usize,
    early: usize,
    still_online: usize,
    lag_ms: Lags,
    outage_lag_ms: Lags,
    /// Who paid and cannot be online.
    #[serde(skip)]
    shut_out: usize,
}

impl Fate {
    pub(super) fn new(actor: &Actor, start: Instant) -> Self {
        Self {
            payment: actor.payment,
            ends: start + actor.ends,
            paid: None,
            stops: Vec::new(),
            can_move_bytes: false,
            could_log_in: false,
        }
    }

    /// Whether access was live at an instant.
    fn is_live(&self, at: Instant) -> bool {
        at < self.ends || self.paid.is_some_and(|paid| paid <= at)
    }

    fn expired(&self) -> bool {
        self.payment != Some(Payment::BeforeTheEnd)
    }
}

impl Summary {
    pub(super) fn new(fates: &[Fate], lags: Vec<Duration>, outage_lags: Vec<Duration>) -> Self {
        let count = |fits: &dyn Fn(&Fate) -> bool| fates.iter().filter(|fate| fits(fate)).count();
        let was_cut = |fate: &Fate| fate.stops.iter().any(|at| !fate.is_live(*at));
        Self {
            subscribers: fates.len(),
            renewed: count(&|fate| !fate.expired() && fate.paid.is_some()),
            expired: count(&Fate::expired),
            cut: count(&|fate| fate.expired() && was_cut(fate)),
            restored: count(&|fate| fate.expired() && fate.paid.is_some() && fate.could_log_in),
            early: count(&|fate| fate.stops.iter().any(|at| fate.is_live(*at))),
            still_online: count(&|fate| {
                fate.expired() && fate.paid.is_none() && fate.can_move_bytes
            }),
            lag_ms: Lags(lags),
            outage_lag_ms: Lags(outage_lags),
            shut_out: count(&|fate| fate.payment.is_some() && !fate.could_log_in),
        }
        .sorted()
    }

    fn sorted(mut self) -> Self {
        self.lag_ms.0.sort();
        self.outage_lag_ms.0.sort();
        self
    }

    /// Whether nobody was cut early, everybody else was cut, and everybody who paid can be online.
    pub(super) fn holds(&self) -> bool {
        self.early == 0 && self.still_online == 0 && self.cut == self.expired && self.shut_out == 0
    }

    /// Says what did not hold.
    pub(crate) fn broken(&self) -> String {
        format!(
            "{} cut early, {} still online, {} of {} cut, {} who paid cannot be online",
            self.early, self.still_online, self.cut, self.expired, self.shut_out
        )
    }
}

/// What it means that all held, and what comes next.
const VERDICT: &str = "\
It held: whoever's access ended is off, nobody was cut early, and who paid is back.
Next, with a router of your own: `expiryctl router add NAME --host ADDRESS --username ACCOUNT`, then
`expiryctl subscriber add NUMBER --for 1h` and `expiryctl run`.";

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "subscribers {}, renewed in time {}",
            self.subscribers, self.renewed
        )?;
        write!(f, "expired {}, cut {}, ", self.expired, self.cut)?;
        writeln!(f, "paid after the cut and restored {}", self.restored)?;
        writeln!(
            f,
            "cut early {}, still online {}",
            self.early, self.still_online
        )?;
        write!(f, "lag {}", self.lag_ms)?;
        write!(
            f,
            "\nlag of cuts that waited for the router {}",
            self.outage_lag_ms
        )?;
        if self.holds() {
            write!(f, "\n{VERDICT}")?;
        }
        Ok(())
    }
}

/// Sorted times from the end of access until the confirmed cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lags(Vec<Duration>);

#[derive(Serialize)]
struct Figures {
    p50: Option<u64>,
    p99: Option<u64>,
    max: Option<u64>,
}

impl Lags {
    fn figures(&self) -> Figures {
        Figures {
            p50: self.percentile(50),
            p99: self.percentile(99),
            max: self.percentile(100),
        }
    }

    /// The smallest that so many percent do not exceed, in milliseconds.
    fn percentile(&self, percent: usize) -> Option<u64> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        let lag = self.0.get(rank - 1)?;
        u64::try_from(lag.as_millis()).ok()
    }
}

impl Serialize for Lags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.figures().serialize(serializer)
    }
}

impl fmt::Display for Lags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.figures() {
            Figures {
                p50: Some(p50),
                p99: Some(p99),
                max: Some(max),
            } => write!(f, "p50 {p50} ms, p99 {p99} ms, max {max} ms"),
            _ => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn cut_at(start: Instant, stop: u64) -> Fate {
        Fate {
            payment: None,
            ends: start + seconds(10),
            paid: None,
            stops: vec![start + seconds(stop)],
            can_move_bytes: false,
            could_log_in: false,
        }
    }

    fn renewed(start: Instant) -> Fate {
        Fate {
            payment: Some(Payment::BeforeTheEnd),
            paid: Some(start + seconds(5)),
            stops: Vec::new(),
            can_move_bytes: true,
            could_log_in: true,
            ..cut_at(start, 0)
        }
    }

    fn restored(start: Instant) -> Fate {
        Fate {
            payment: Some(Payment::AfterTheCut),
            paid: Some(start + seconds(12)),
            can_move_bytes: true,
            could_log_in: true,
            ..cut_at(start, 11)
        }
    }

    fn summary(fates: &[Fate]) -> Summary {
        Summary::new(fates, Vec::new(), Vec::new())
    }

    #[tokio::test]
    async fn it_holds_when_everybody_got_what_they_paid_for() {
        let start = Instant::now();
        let summary = summary(&[cut_at(start, 11), renewed(start), restored(start)]);
        assert!(summary.holds(), "{}", summary.broken());
        let counted = (
            summary.renewed,
            summary.expired,
            summary.cut,
            summary.restored,
        );
        assert_eq!(counted, (1, 2, 2, 1));
        assert!(summary.to_string().ends_with(VERDICT), "{summary}");
    }

    #[tokio::test]
    async fn r1_traffic_that_stops_before_its_end_is_early() {
        let start = Instant::now();
        assert!(!summary(&[cut_at(start, 9)]).holds());
        let mut cut_anyway = renewed(start);
        cut_anyway.stops.push(start + seconds(11));
        assert_eq!(summary(&[cut_anyway]).early, 1);
        let mut cut_again = restored(start);
        cut_again.stops.push(start + seconds(13));
        assert_eq!(summary(&[cut_again]).early, 1);
    }

    #[tokio::test]
    async fn whoever_is_online_after_the_end_breaks_it() {
        let start = Instant::now();
        let mut back = cut_at(start, 11);
        back.can_move_bytes = true;
        assert!(!summary(&[back]).holds());
        let mut never = cut_at(start, 11);
        never.stops.clear();
        assert!(!summary(&[never]).holds());
    }

    #[tokio::test]
    async fn whoever_paid_and_cannot_be_online_breaks_it() {
        let start = Instant::now();
        let mut shut_out = restored(start);
        shut_out.could_log_in = false;
        assert!(!summary(&[shut_out]).holds());
    }

    #[test]
    fn lags_are_told_as_percentiles() {
        let lags = Lags((1..=200).map(Duration::from_millis).collect());
        let told = serde_json::to_string(&lags).expect("JSON");
        assert_eq!(told, r#"{"p50":100,"p99":198,"max":200}"#);
        let none = serde_json::to_string(&Lags::default()).expect("JSON");
        assert_eq!(none, r#"{"p50":null,"p99":null,"max":null}"#);
    }
}
