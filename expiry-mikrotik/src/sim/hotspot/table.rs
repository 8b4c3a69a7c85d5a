use std::collections::BTreeMap;

/// Rows under the ids that the router gave them, in list order.
#[derive(Debug)]
pub(crate) struct Table<R> {
    rows: BTreeMap<u32, R>,
    next: u32,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            next: 1,
        }
    }
}

impl<R> Table<R> {
    pub(crate) fn insert(&mut self, row: R) -> u32 {
        let id = self.next;
        self.next += 1;
        self.rows.insert(id, row);
        id
    }

    pub(crate) fn insert_at(&mut self, id: u32, row: R) {
        self.rows.insert(id, row);
    }

    pub(crate) fn get(&self, id: u32) -> Option<&R> {
        self.rows.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut R> {
        self.rows.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<R> {
        self.rows.remove(&id)
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &R)> {
        self.rows.iter().map(|(id, row)| (*id, row))
    }

    pub(crate) fn ids_where(&self, fits: impl Fn(&R) -> bool) -> Vec<u32> {
        let fitting = self.iter().filter(|(_, row)| fits(row));
        fitting.map(|(id, _)| id).collect()
    }

    pub(crate) fn first_where(&self, fits: impl Fn(&R) -> bool) -> Option<u32> {
        self.iter().find(|(_, row)| fits(row)).map(|(id, _)| id)
    }

    /// Numbers the rows anew so that an id read before names another row afterwards.
    pub(crate) fn renumber(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        self.next = 3;
        for row in rows.into_values() {
            self.insert(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_renumbering_an_old_id_names_another_row() {
        let mut table = Table::default();
        let ids = ["a", "b", "c", "d"].map(|row| table.insert(row));
        table.renumber();
        assert_eq!(table.get(ids[2]), Some(&"a"));
        let order: Vec<_> = table.iter().map(|(_, row)| *row).collect();
        assert_eq!(order, ["a", "b", "c", "d"]);
    }
}
