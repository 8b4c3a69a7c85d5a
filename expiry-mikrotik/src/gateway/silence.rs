//! Tables of a router that give no answer while all else is answered.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::flight::{Flight, Silent};
use crate::hotspot::Table;

/// How long a table counts as silent: one that only helps is not asked for meanwhile.
const KEPT: Duration = Duration::from_mins(10);

/// The share of the silence that ends a connection after which a print is given up. What is left is
/// for the router to react.
const SHARE: f64 = 0.7;

/// Which tables were silent lately. A table that only takes long must come to be read: it is given
/// twice and four times as long before it counts as one that does not answer.
#[derive(Debug, Default)]
pub(super) struct Silence(BTreeMap<Table, Since>);

#[derive(Debug)]
struct Since {
    first: Instant,
    times: u32,
}

impl Silence {
    pub(super) fn has(&self, table: Table) -> bool {
        let since = self.0.get(&table);
        since.is_some_and(|since| since.first.elapsed() < KEPT)
    }

    /// Takes in what a flight came to.
    pub(super) fn note(&mut self, flight: &Flight<'_>, silent: &Silent) {
        self.0.retain(|_, since| since.first.elapsed() < KEPT);
        for table in flight.reads.iter().map(|read| read.table) {
            if silent.contains(&table) {
                let first = Instant::now();
                let since = self.0.entry(table).or_insert(Since { first, times: 0 });
                since.times += 1;
            } else {
                self.0.remove(&table);
            }
        }
    }

    /// Returns how long silence is to be borne in a flight, if it is `usual`, and `most` at most.
    pub(super) fn borne(&self, flight: &Flight<'_>, usual: Duration, most: Duration) -> Duration {
        let tables = flight.reads.iter().map(|read| read.table);
        let times = tables.filter(|table| self.has(*table));
        let times = times.filter_map(|table| self.0.get(&table));
        let longer = times.map(|since| match since.times {
            1 => 2,
            2 => 4,
            _ => 1,
        });
        (usual * longer.max().unwrap_or(1)).min(most)
    }

    /// Returns when a print is given up, if silence is borne for so long.
    pub(super) fn of_print(borne: Duration) -> Duration {
        borne.mul_f64(SHARE)
    }
}
