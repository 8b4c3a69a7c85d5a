use super::{MemoryStore, tables::Tables};
use crate::Fence;

/// The content of a store at one moment.
#[derive(Clone)]
pub struct Backup(Tables);

impl MemoryStore {
    /// Returns what stands in the store now.
    pub fn backup(&self) -> Backup {
        Backup(self.tables().clone())
    }

    /// Puts the store back to what it was, as a restored backup or a standby that lagged does: what
    /// happened since then is forgotten. Returns who owns routers then.
    ///
    /// Numbers go on where they were: a standby's sequences are ahead of its rows, too.
    pub fn put_back(&self, backup: &Backup) -> Vec<Fence> {
        let owners = {
            let mut tables = self.tables();
            tables.put_back(&backup.0);
            tables.fences()
        };
        self.shared.changes.announce();
        owners
    }
}
