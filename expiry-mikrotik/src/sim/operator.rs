//! What an operator does at the router itself, and what a test may look at.

use std::{collections::BTreeMap, time::Duration};

use expiry_core::{BindingKind, MacAddr, spelling::spell};

use super::{
    ClientId, FaultRule, Link, SimConfig, SimStats, Simulator, Trap, api, session::Session,
};
use crate::wire::Sentence;

/// A row of a table by column, in its spelling.
pub type Row = BTreeMap<String, String>;

/// An account as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimUser {
    /// Its name.
    pub name: String,
    /// Whether it is disabled.
    pub disabled: bool,
}

impl Simulator {
    /// Does any command of the API, given by its words, as the operator does it at the router: at
    /// once, not counted, and spared by faults. Returns the rows it answers.
    ///
    /// ```
    /// # use expiry_mikrotik::sim::{SimConfig, Simulator};
    /// let mut router = Simulator::new(SimConfig::new("api", "secret".into()));
    /// router.operate(["/ip/hotspot/user/add", "=name=alice", "=password=x"])?;
    /// router.operate(["/ip/hotspot/user/set", "=numbers=alice", "=disabled=yes"])?;
    /// let users = router.operate(["/ip/hotspot/user/print", "?disabled=true"])?;
    /// assert_eq!(users[0]["name"], "alice");
    /// # Ok::<(), expiry_mikrotik::sim::Trap>(())
    /// ```
    ///
    /// # Errors
    /// The router refuses the command.
    pub fn operate<W: AsRef<[u8]>>(
        &mut self,
        words: impl IntoIterator<Item = W>,
    ) -> Result<Vec<Row>, Trap> {
        let command = words.into_iter().fold(Sentence::default(), Sentence::word);
        let may_write = std::mem::replace(&mut self.hotspot.config.write_policy, true);
        let outcome = api::execute(&mut self.hotspot, self.booted_at, &command);
        self.hotspot.config.write_policy = may_write;
        let rows = outcome?.rows.into_iter().map(|row| {
            let columns = row
                .attributes()
                .map(|(name, value)| (spell(name), spell(value)));
            columns.collect()
        });
        Ok(rows.collect())
    }

    /// Returns all rows of a table, such as `/ip/hotspot/active`. None if there is no such table.
    pub fn table(&mut self, path: &str) -> Vec<Row> {
        self.operate([format!("{path}/print")]).unwrap_or_default()
    }

    /// Returns all accounts.
    pub fn users(&self) -> Vec<SimUser> {
        let users = self.hotspot.users.table().iter().map(|(_, user)| SimUser {
            name: spell(&user.name),
            disabled: user.disabled,
        });
        users.collect()
    }

    /// Adds an account.
    ///
    /// # Errors
    /// There is one of that name.
    pub fn add_user(&mut self, name: &str, password: &str) -> Result<(), Trap> {
        let words = ["/ip/hotspot/user/add".into(), format!("=name={name}")];
        self.operate(words.into_iter().chain([format!("=password={password}")]))?;
        Ok(())
    }

    /// Disables or enables an account.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn set_user_disabled(&mut self, name: &str, disabled: bool) -> Result<(), Trap> {
        let verb = if disabled { "disable" } else { "enable" };
        let words = [
            format!("/ip/hotspot/user/{verb}"),
            format!("=numbers={name}"),
        ];
        self.operate(words)?;
        Ok(())
    }

    /// Removes an account.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_user(&mut self, name: &str) -> Result<(), Trap> {
        self.operate(["/ip/hotspot/user/remove".into(), format!("=numbers={name}")])?;
        Ok(())
    }

    /// Adds a binding for a device at the end of the list.
    pub fn add_binding(&mut self, mac: MacAddr, kind: BindingKind, comment: &str) {
        let kind = match kind {
            BindingKind::Regular => "regular",
            BindingKind::Bypassed => "bypassed",
            BindingKind::Blocked => "blocked",
        };
        let words = [
            "/ip/hotspot/ip-binding/add".into(),
            format!("=mac-address={mac}"),
            format!("=type={kind}"),
            format!("=comment={comment}"),
        ];
        // Every value above is valid, so nothing can be refused.
        let _ = self.operate(words);
    }

    /// Disables or enables all bindings of a device.
    pub fn set_bindings_disabled(&mut self, mac: MacAddr, disabled: bool) {
        let verb = if disabled { "disable" } else { "enable" };
        self.for_rows(
            "/ip/hotspot/ip-binding",
            verb,
            &format!("mac-address={mac}"),
        );
    }

    /// Removes all bindings of a device.
    pub fn remove_bindings(&mut self, mac: MacAddr) {
        self.for_rows(
            "/ip/hotspot/ip-binding",
            "remove",
            &format!("mac-address={mac}"),
        );
    }

    /// Returns whether each binding of a device is disabled, in list order.
    pub fn bindings_disabled(&self, mac: MacAddr) -> Vec<bool> {
        let rows = self.hotspot.bindings.table().iter();
        let own = rows.filter(|(_, row)| row.mac.as_ref().is_some_and(|found| found.addr == mac));
        own.map(|(_, row)| row.disabled).collect()
    }

    /// Removes all sessions of an account.
    pub fn kick(&mut self, name: &str) {
        self.for_rows("/ip/hotspot/active", "remove", &format!("user={name}"));
    }

    /// Removes all cookies of an account.
    pub fn remove_cookies(&mut self, name: &str) {
        self.for_rows("/ip/hotspot/cookie", "remove", &format!("user={name}"));
    }

    /// Removes the host rows of a device.
    pub fn remove_hosts(&mut self, mac: MacAddr) {
        self.for_rows("/ip/hotspot/host", "remove", &format!("mac-address={mac}"));
    }

    /// Removes the tracked connections of a device.
    pub fn remove_connections(&mut self, client: ClientId) {
        let of_client = |row: &super::hotspot::Connection| row.station == client.0;
        for id in self.hotspot.connections.ids_where(of_client) {
            self.hotspot.remove_connection(id);
        }
    }

    /// Switches a device on or off.
    pub fn set_client_on(&mut self, client: ClientId, on: bool) {
        self.hotspot.set_sending(client.0, on);
    }

    /// Restarts the router: API connections, sessions, hosts and tracked connections are gone,
    /// accounts, bindings and cookies stay, and every id names another row or none.
    pub fn reboot(&mut self) {
        self.booted_at = self.hotspot.now;
        self.hotspot.reboot();
        // Of those on which nothing passes any more nobody is told.
        let open = self
            .sessions
            .iter()
            .filter(|(_, session)| !session.is_silent());
        let open: Vec<_> = open.map(|(conn, _)| *conn).collect();
        for conn in open {
            self.with_session(conn, Session::reset);
        }
    }

    /// Has all connections that exist fall silent, for good: what a client sends is taken by the
    /// system below, and nobody answers. New connections work.
    pub fn go_half_open(&mut self) {
        for session in self.sessions.values_mut() {
            session.fall_silent();
        }
    }

    /// Changes what the router is or how it behaves. The seed and the start of the wall clock
    /// are read only at the beginning.
    pub fn configure(&mut self, change: impl FnOnce(&mut SimConfig)) {
        change(&mut self.hotspot.config);
        self.work();
    }

    /// Returns what the router is and how it behaves.
    pub fn config(&self) -> &SimConfig {
        &self.hotspot.config
    }

    /// Returns what the network does.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Changes what the network does.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
        match link {
            Link::Up | Link::Filtered => {}
            Link::Refused => self.reset_connections(),
            Link::BlackHole => {
                for session in self.sessions.values_mut() {
                    session.outbox.clear();
                    session.fall_silent();
                }
            }
        }
    }

    /// Adds a fault. If several fit a command, the oldest strikes.
    pub fn inject(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    /// Removes all faults; the link and the configuration stay as they are.
    pub fn clear_faults(&mut self) {
        self.rules.clear();
        self.logins_to_refuse = 0;
    }

    /// Refuses the next logins although their password is right, as real routers now and then do.
    pub fn refuse_logins(&mut self, count: u64) {
        self.logins_to_refuse = count;
    }

    /// Lets the router do nothing at all for this long. Devices go on.
    pub fn stall(&mut self, time: Duration) {
        self.stalled_until = self.stalled_until.max(self.hotspot.now + time);
    }

    /// Sets the statistics back to nothing and returns what they were.
    pub fn take_stats(&mut self) -> SimStats {
        std::mem::take(&mut self.stats)
    }

    fn reset_connections(&mut self) {
        let open: Vec<_> = self.sessions.keys().copied().collect();
        for conn in open {
            self.with_session(conn, Session::reset);
        }
    }

    fn for_rows(&mut self, path: &str, verb: &str, query: &str) {
        let print = [
            format!("{path}/print"),
            "=.proplist=.id".into(),
            format!("?{query}"),
        ];
        for row in self.operate(print).unwrap_or_default() {
            let id = row.get(".id").cloned().unwrap_or_default();
            // The row was read a moment ago, and nothing happens in between.
            let _ = self.operate([format!("{path}/{verb}"), format!("=.id={id}")]);
        }
    }
}
