use std::{collections::BTreeSet, time::Duration};

use expiry_core::BindingKind;

use super::{Active, Hotspot, Mac, Wake};
use crate::sim::{Access, LoginMethod};

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logout {
    /// The operator removed the session.
    Admin,
    /// The host row was removed.
    Host,
    /// A time limit was reached.
    Limit,
    /// The device was silent for too long.
    Silence,
}

impl Logout {
    /// Whether the device's MAC cookie goes, too. An HTTP cookie stays in any case.
    fn ends_mac_cookie(self) -> bool {
        matches!(self, Self::Admin | Self::Limit)
    }
}

impl Hotspot {
    pub(super) fn sessions_of(&self, name: &[u8]) -> BTreeSet<u32> {
        self.sessions_of.get(name).cloned().unwrap_or_default()
    }

    /// Whether the login of an account would be accepted. `password` is not asked for where the
    /// router vouches for the device itself.
    fn admits(&self, name: &[u8], password: Option<&[u8]>, station: usize) -> bool {
        let of = &self.stations[station];
        let others = match self.sessions_of.get(name) {
            Some(all) => all.iter().filter(|id| of.active != Some(**id)).count(),
            None => 0,
        };
        let mut rows = self.users.named(name);
        rows.any(|(_, user)| {
            !user.disabled
                && password.is_none_or(|given| given == user.password)
                && user.mac.as_ref().is_none_or(|mac| mac.addr == of.mac)
                && user.limit_uptime.is_none_or(|limit| user.uptime < limit)
                && self.config.shared_users.is_none_or(|most| others < most)
        })
    }

    /// Whether a login with the device's own account and password would be accepted.
    pub(super) fn may_log_in(&self, station: usize) -> bool {
        let of = &self.stations[station];
        of.access == Access::Account && self.admits(&of.name, Some(&of.password), station)
    }

    fn may_log_in_by_mac(&self, station: usize) -> bool {
        let name = self.stations[station].mac.to_string();
        self.config.offers(LoginMethod::Mac) && self.admits(name.as_bytes(), None, station)
    }

    /// Whether the device has any right to pass: by its account, an account named like its MAC,
    /// or a binding.
    pub(crate) fn could_log_in(&self, station: usize) -> bool {
        match self.binding_of(station) {
            Some(BindingKind::Bypassed) => true,
            Some(BindingKind::Blocked) => false,
            Some(BindingKind::Regular) | None => {
                self.may_log_in(station) || self.may_log_in_by_mac(station)
            }
        }
    }

    /// A device is seen for the first time: the router itself tries what it knows of it, once.
    pub(super) fn log_in_unasked(&mut self, station: usize) {
        if self.config.offers(LoginMethod::MacCookie)
            && let Some(id) = self.stations[station].mac_cookie
        {
            let cookie = self.cookies.get(id);
            if cookie.is_some_and(|row| self.admits(&row.user, None, station)) {
                self.accept(station, LoginMethod::MacCookie);
                return;
            }
            self.remove_cookie(id);
        }
        if self.may_log_in_by_mac(station) {
            self.accept(station, LoginMethod::Mac);
        }
    }

    /// A device that is off does all it can to be on again.
    pub(super) fn come_back(&mut self, station: usize) {
        let blocked = self.stations[station]
            .host
            .and_then(|id| self.hosts.get(id));
        if blocked.is_none_or(|host| host.blocked) || self.stations[station].logging_in {
            return;
        }
        let of = &self.stations[station];
        let cookie = of.cookie.and_then(|id| self.cookies.get(id));
        let by_cookie = cookie.is_some_and(|row| self.admits(&row.user, None, station));
        if by_cookie && self.config.offers(LoginMethod::Cookie) {
            self.accept(station, LoginMethod::Cookie);
        } else if self.config.offers(LoginMethod::Form) && self.may_log_in(station) {
            self.accept(station, LoginMethod::Form);
        } else if self.config.offers(LoginMethod::Trial) && self.trial_left(station).is_some() {
            self.accept(station, LoginMethod::Trial);
        }
    }

    fn trial_left(&self, station: usize) -> Option<Duration> {
        let used = self.stations[station].trial_used;
        let left = self.config.trial_limit.checked_sub(used)?;
        (!left.is_zero()).then_some(left)
    }

    fn accept(&mut self, station: usize, by: LoginMethod) {
        if self.config.login_latency.is_zero() {
            self.start_session(station, by, true);
            return;
        }
        self.stations[station].logging_in = true;
        let at = self.now + self.config.login_latency;
        self.schedule(at, Wake::Session { station, by });
    }

    /// Starts the session of a login that was accepted, whatever has changed since.
    pub(super) fn start_session(&mut self, station: usize, by: LoginMethod, give_cookies: bool) {
        let of = &self.stations[station];
        let Some(host) = of.host.filter(|_| of.active.is_none()) else {
            return;
        };
        let user = match by {
            LoginMethod::Cookie | LoginMethod::Form | LoginMethod::MacCookie => of.name.clone(),
            LoginMethod::Mac => of.mac.to_string().into_bytes(),
            LoginMethod::Trial => format!("T-{}", of.mac).into_bytes(),
        };
        let account = self.users.named(&user).next().map(|(_, row)| row);
        let time_limit = match by {
            LoginMethod::Trial => self.trial_left(station),
            LoginMethod::Cookie | LoginMethod::Form | LoginMethod::Mac | LoginMethod::MacCookie => {
                let limit = account.and_then(|row| Some((row.limit_uptime?, row.uptime)));
                limit.map(|(limit, used)| limit.saturating_sub(used))
            }
        };
        let left = time_limit
            .into_iter()
            .chain(self.config.session_timeout)
            .min();
        let ends_at = left.map(|left| self.now + left);
        let id = u32::from(of.to_address);
        let session = Active {
            user: user.clone(),
            mac: Mac::from(of.mac),
            address: of.to_address,
            by,
            since: self.now,
            ends_at,
            station,
        };
        self.actives.insert_at(id, session);
        self.sessions_of.entry(user).or_default().insert(id);
        self.stations[station].active = Some(id);
        if let Some(host) = self.hosts.get_mut(host) {
            host.authorized = true;
        }
        if let Some(ends_at) = ends_at {
            let active = id;
            self.schedule(ends_at, Wake::SessionEnd { active, ends_at });
        }
        if give_cookies {
            self.give_cookies(station, by);
        }
        self.refresh(station);
    }

    fn give_cookies(&mut self, station: usize, by: LoginMethod) {
        let by_page = matches!(by, LoginMethod::Form | LoginMethod::Cookie);
        if by_page && self.config.offers(LoginMethod::Cookie) {
            self.give_cookie(station, false);
        }
        let by_account = by_page || by == LoginMethod::MacCookie;
        if by_account && self.config.add_mac_cookie && self.config.offers(LoginMethod::MacCookie) {
            self.give_cookie(station, true);
        }
    }

    /// Ends a session, if there is one.
    pub(crate) fn end_session(&mut self, id: u32, why: Logout) {
        let Some(session) = self.actives.remove(id) else {
            return;
        };
        let station = session.station;
        if let Some(ids) = self.sessions_of.get_mut(&session.user) {
            ids.remove(&id);
        }
        let connected = self.now.saturating_sub(session.since);
        self.users.add_uptime(&session.user, connected);
        let of = &mut self.stations[station];
        of.active = None;
        if session.by == LoginMethod::Trial {
            of.trial_used += connected;
        }
        let mac_cookie = of.mac_cookie.filter(|_| why.ends_mac_cookie());
        let host = of.host;
        if let Some(host) = host.and_then(|id| self.hosts.get_mut(id)) {
            host.authorized = false;
        }
        if let Some(cookie) = mac_cookie {
            self.remove_cookie(cookie);
        }
        self.refresh(station);
        self.touch(station);
        // Another device may have waited for the place.
        self.touch_named(&session.user);
    }
}
