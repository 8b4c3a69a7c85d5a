use std::collections::{BTreeMap, BTreeSet};

use super::{Hotspot, Logout, Table, User};

/// `/ip/hotspot/user`, by name.
#[derive(Debug, Default)]
pub(crate) struct Users {
    table: Table<User>,
    by_name: BTreeMap<Vec<u8>, BTreeSet<u32>>,
}

impl Users {
    pub(crate) fn table(&self) -> &Table<User> {
        &self.table
    }

    pub(crate) fn get(&self, id: u32) -> Option<&User> {
        self.table.get(id)
    }

    pub(crate) fn named(&self, name: &[u8]) -> impl Iterator<Item = (u32, &User)> {
        let ids = self.by_name.get(name).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.table.get(*id)?)))
    }

    pub(super) fn renumber(&mut self) {
        self.table.renumber();
        self.by_name.clear();
        for (id, user) in self.table.iter() {
            self.by_name
                .entry(user.name.clone())
                .or_default()
                .insert(id);
        }
    }

    fn insert(&mut self, user: User) -> u32 {
        let name = user.name.clone();
        let id = self.table.insert(user);
        self.by_name.entry(name).or_default().insert(id);
        id
    }

    fn remove(&mut self, id: u32) -> Option<User> {
        let user = self.table.remove(id)?;
        if let Some(ids) = self.by_name.get_mut(&user.name) {
            ids.remove(&id);
        }
        Some(user)
    }

    pub(super) fn add_uptime(&mut self, name: &[u8], uptime: std::time::Duration) {
        let id = self.named(name).next().map(|(id, _)| id);
        if let Some(user) = id.and_then(|id| self.table.get_mut(id)) {
            user.uptime += uptime;
        }
    }
}

impl Hotspot {
    pub(crate) fn add_user(&mut self, user: User) -> u32 {
        let name = user.name.clone();
        let id = self.users.insert(user);
        self.user_changed(&name);
        id
    }

    /// Puts `user` in the place of a row.
    pub(crate) fn set_user(&mut self, id: u32, user: User) {
        let Some(before) = self.users.remove(id) else {
            return;
        };
        let name = user.name.clone();
        self.users
            .by_name
            .entry(name.clone())
            .or_default()
            .insert(id);
        self.users.table.insert_at(id, user);
        self.user_changed(&before.name);
        self.user_changed(&name);
    }

    pub(crate) fn remove_user(&mut self, id: u32) {
        if let Some(user) = self.users.remove(id) {
            self.user_changed(&user.name);
        }
    }

    fn user_changed(&mut self, name: &[u8]) {
        let usable = self.users.named(name).any(|(_, user)| !user.disabled);
        if !usable && self.config.disable_ends_sessions {
            for active in self.sessions_of(name) {
                self.end_session(active, Logout::Admin);
            }
        }
        self.touch_named(name);
    }
}
