//! Who was last let through on which address of a router.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use crate::{MacAddr, Sighting, State, Task, Want};

/// How long a device that is not seen any more counts as the last on its address: as long as a
/// hotspot's lease.
const KEPT: Duration = Duration::from_hours(1);

/// More addresses than this are not remembered.
const MOST: usize = 65_536;

/// What the readings of a whole router showed: a router forgets a host that falls asleep, but not
/// its tracked connections. Nothing depends on it but which addresses a cut asks for.
#[derive(Default)]
pub(super) struct Whereabouts(BTreeMap<IpAddr, Guest>);

struct Guest {
    mac: Option<MacAddr>,
    login: Option<String>,
    seen_at: Instant,
}

impl Whereabouts {
    /// Takes in a reading of the whole router.
    pub(super) fn note(&mut self, seen: &Sighting, now: Instant) {
        self.0.retain(|_, guest| now - guest.seen_at < KEPT);
        for row in seen.hosts.iter().filter(|row| row.bypassed) {
            for address in row.address.into_iter().chain(row.to_address) {
                self.put(address, row.mac, None, now);
            }
        }
        for row in &seen.actives {
            if let Some(address) = row.address {
                self.put(address, row.mac, Some(&row.user), now);
            }
        }
    }

    /// Adds to an owed cut where its target was last seen.
    pub(super) fn place(&self, task: &mut Task) {
        if task.want != Want::Cut || task.progress.state != State::Owed {
            return;
        }
        let is_target = |guest: &Guest| {
            let by_name = guest.login.as_deref().zip(task.username.as_ref());
            let by_mac =
                guest.login.is_none() && guest.mac.is_some_and(|mac| task.macs.contains(&mac));
            by_mac
                || by_name.is_some_and(|(login, name)| name.matches(login))
                || guest
                    .login
                    .as_deref()
                    .and_then(MacAddr::from_login)
                    .is_some_and(|mac| task.macs.contains(&mac))
        };
        let places = self.0.iter().filter(|(_, guest)| is_target(guest));
        let places: Vec<_> = places.map(|(address, _)| *address).collect();
        task.trace.addresses.extend(places);
    }

    fn put(&mut self, address: IpAddr, mac: Option<MacAddr>, login: Option<&str>, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            return;
        }
        let guest = Guest {
            mac,
            login: login.map(Into::into),
            seen_at: now,
        };
        self.0.insert(address, guest);
    }
}
