//! What became of the connection rows that a cut removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{ConnectionRow, Refusal, RowId, RowKind};

/// The connection rows whose removal was ordered in one attempt, and what the router said to the
/// last order. A row is known by its id and its addresses: an id alone may have been given to
/// another connection since.
#[derive(Default)]
pub(super) struct Removals(BTreeMap<RowId, Removal>);

struct Removal {
    addresses: BTreeSet<IpAddr>,
    refusal: Option<String>,
}

impl Removals {
    /// Notes an order and its answer. What an earlier order to the same row came to is forgotten.
    pub(super) fn note<'a>(
        &mut self,
        rows: impl IntoIterator<Item = &'a ConnectionRow>,
        refusals: &[Refusal],
    ) {
        for row in rows {
            let refusal = refusals
                .iter()
                .find(|refusal| refusal.kind == RowKind::Connection && refusal.row == row.id);
            let removal = Removal {
                addresses: row.addresses.clone(),
                refusal: refusal.map(|refusal| refusal.message.clone()),
            };
            self.0.insert(row.id.clone(), removal);
        }
    }

    /// Tells whether the row looks like one whose removal was ordered.
    pub(super) fn include(&self, row: &ConnectionRow) -> bool {
        self.of(row).is_some()
    }

    /// Returns the router's words if it refused to remove the row.
    pub(super) fn refusal(&self, row: &ConnectionRow) -> Option<&str> {
        self.of(row)?.refusal.as_deref()
    }

    fn of(&self, row: &ConnectionRow) -> Option<&Removal> {
        let removal = self.0.get(&row.id);
        removal.filter(|removal| removal.addresses == row.addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RowId {
        RowId::new(text).expect("an id")
    }

    fn row(text: &str, peer: &str) -> ConnectionRow {
        let addresses = ["10.5.0.7", peer].map(|address| address.parse().expect("an address"));
        ConnectionRow {
            id: id(text),
            addresses: addresses.into(),
            fasttrack: false,
        }
    }

    fn refusal(kind: RowKind, text: &str) -> Refusal {
        Refusal {
            kind,
            row: id(text),
            message: "action failed (6)".into(),
        }
    }

    #[test]
    fn r2_a_refused_row_is_known_again_by_its_id_and_addresses() {
        let mut removals = Removals::default();
        let stuck = row("*1", "192.0.2.1");
        let refused = [refusal(RowKind::Connection, "*1")];
        removals.note([&stuck, &row("*2", "192.0.2.1")], &refused);
        assert_eq!(removals.refusal(&stuck), Some("action failed (6)"));
        assert!(removals.include(&stuck));
        assert_eq!(removals.refusal(&row("*2", "192.0.2.1")), None);
        let new_row_with_its_id = row("*1", "192.0.2.9");
        assert_eq!(removals.refusal(&new_row_with_its_id), None);
        assert!(!removals.include(&new_row_with_its_id));
    }

    #[test]
    fn the_last_answer_counts_and_rows_of_other_kinds_do_not() {
        let mut removals = Removals::default();
        let stuck = row("*1", "192.0.2.1");
        removals.note([&stuck], &[refusal(RowKind::Host, "*1")]);
        assert_eq!(removals.refusal(&stuck), None);
        removals.note([&stuck], &[refusal(RowKind::Connection, "*1")]);
        assert!(removals.refusal(&stuck).is_some());
        removals.note([&stuck], &[]);
        assert_eq!(removals.refusal(&stuck), None);
    }
}
