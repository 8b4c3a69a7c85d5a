//! The end of a simulation: everything is mended, time passes, and everybody must be where their
//! access says.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use expiry_core::{
    Access, Clock, MacAddr, RouterId, StatusStore, Subscriber, Username,
    testing::gateway::{Fault, Flight},
};
use tokio::time::sleep;

use crate::{
    orders::Way,
    people::{PRINTER, STAFF},
    plan::{OfWatcher, Step},
    ports::{Weather, lock},
    world::World,
};

/// After this long without trouble everything must be as it should: time for the longest wait, the
/// brake's minute, and a reading of each router.
const CALM: Duration = Duration::from_mins(12);

/// When nothing is in the way, everything is as it should be after this: the last look at a cut is
/// made ten seconds after it.
const PROMPTLY: Duration = Duration::from_secs(20);

/// Another watcher takes over what a frozen one owned, within this.
const OTHERS_TURN: Duration = Duration::from_secs(25);

/// What pays at the end for longer than that.
const LONG: u64 = 7_200;

/// The time from one reading of a whole router to the end of the next.
const READING: Duration = Duration::from_mins(6);

/// A device that is on as somebody whose access is over.
struct Intruder {
    what: String,
    /// Whose it is then, unless they were removed.
    owner: Option<Username>,
}

/// What a device has of a router.
struct Sight {
    can_move: bool,
    login: Option<String>,
}

impl World {
    /// Mends everything, lets some pay, and waits.
    pub(crate) async fn calm_down(&mut self) {
        self.truth.tell("all is mended");
        self.truth.goes_on();
        *lock(&self.weather) = Weather::default();
        for router in self.routers.clone() {
            self.gateway.set_delay(router, Duration::ZERO);
            self.gateway.set_fault(router, Fault::None);
            self.enable(router, true).await;
            self.accept(router).await;
            self.gateway.with(router, |hotspot| hotspot.trial = false);
        }
        for who in 0..self.plan.cast.people() {
            self.present(who, true);
        }
        for number in 0..self.plan.cast.watchers {
            self.freeze(number, false);
            self.clocks[number].drift(0);
            let off = self.database.wall() - self.clocks[number].wall();
            self.clocks[number].step_wall(off);
            self.truth.stepped(number);
        }
        self.update().await;
        sleep(Duration::from_secs(30)).await;
        if self.plan.cast.share_limit < 100 {
            // Nothing else ends this one.
            self.take(&Step::ReleaseBrakes).await;
        }
        for number in 0..self.plan.cast.watchers {
            self.start(number);
        }
        for who in (0..self.plan.cast.people()).step_by(2) {
            self.take(&Step::Pay(who, LONG)).await;
        }
        self.update().await;
        sleep(CALM).await;
        self.update().await;
    }

    /// When nothing is in the way, who ends is off at once, and so is who had a login under way
    /// that comes through seconds after the cut; and who pays is on at once.
    pub(crate) async fn end_promptly(&mut self) {
        let paid = self.paid().await;
        for &who in &paid {
            self.straggle(who);
            self.take(&Step::End(who, 1)).await;
        }
        self.update().await;
        sleep(PROMPTLY).await;
        self.update().await;
        if self.is_on_as_another(&paid) {
            // A device of somebody who ended long ago was on as somebody else, and comes back by a
            // way in that nobody had used when the router was read last. The next reading finds it.
            sleep(READING).await;
            self.update().await;
        }
        self.judge().await;
        for &who in &paid {
            self.take(&Step::Pay(who, LONG)).await;
        }
        self.update().await;
        sleep(PROMPTLY).await;
        self.update().await;
        self.judge().await;
    }

    /// A watcher that is frozen before a write, and woken when another one has undone the cut and
    /// looked again at that, takes from who paid meanwhile. That is undone in turn.
    pub(crate) async fn write_late(&mut self) {
        let watchers = self.plan.cast.watchers;
        if watchers < 2 {
            return;
        }
        let number = usize::try_from(self.plan.seed % 6).expect("small") % watchers;
        self.truth
            .tell(format!("w{number} is frozen at its next cut"));
        self.truth.freeze(number, true);
        self.gates[number].freeze_within(2);
        let paid = self.paid().await;
        for &who in &paid {
            self.take(&Step::End(who, 1)).await;
        }
        self.update().await;
        sleep(OTHERS_TURN).await;
        for &who in &paid {
            self.take(&Step::Pay(who, LONG)).await;
        }
        self.update().await;
        sleep(PROMPTLY).await;
        self.truth.tell(format!("w{number} is woken"));
        self.freeze(number, false);
        self.update().await;
        sleep(PROMPTLY).await;
        self.update().await;
        self.judge().await;
    }

    /// A watcher that is stopped while one of its routers does not answer lets the others go at once:
    /// who ends there a second later is cut as promptly as ever, by another watcher.
    pub(crate) async fn stop_beside_a_black_hole(&mut self) {
        let mut routers = self.routers.clone();
        let first = usize::try_from(self.plan.seed % 7).expect("small") % routers.len();
        routers.rotate_left(first);
        let owned = routers.into_iter().find_map(|router| {
            let owner = self.truth.owner(router)?;
            Some((router, owner))
        });
        let Some((hole, number)) = owned.filter(|_| self.plan.cast.watchers > 1) else {
            return;
        };
        self.gateway.set_fault(hole, Fault::BlackHole);
        let paid = self.paid().await;
        for &who in &paid {
            self.take(&Step::End(who, 1)).await;
        }
        self.update().await;
        sleep(Duration::from_millis(1_200)).await;
        for &who in &paid {
            self.take(&Step::Pay(who, LONG)).await;
        }
        self.update().await;
        sleep(Duration::from_millis(500)).await;
        self.truth.tell(format!(
            "w{number} is stopped while r{hole} does not answer"
        ));
        self.take(&Step::Watcher(number, OfWatcher::Stop)).await;
        for &who in &paid {
            self.take(&Step::End(who, 1)).await;
        }
        self.update().await;
        sleep(Duration::from_millis(2_500)).await;
        self.update().await;
        let is_on_as_another = self.is_on_as_another(&paid);
        for &(router, who) in self.places.iter().filter(|(at, _)| *at != hole) {
            if !is_on_as_another {
                self.judge_device(router, who, &self.truth.in_scope(router));
            }
        }
        self.gateway.set_fault(hole, Fault::None);
        self.start(number);
        for &who in &paid {
            self.take(&Step::Pay(who, LONG)).await;
        }
        self.update().await;
        sleep(PROMPTLY).await;
        self.update().await;
        self.judge().await;
    }

    /// A device that somebody live has no longer is let through by nothing that was its own.
    pub(crate) async fn lose_devices(&mut self) {
        let mut lost = Vec::new();
        for who in self.paid().await {
            let mac = self.plan.cast.mac(who);
            let had = self.found(who).await;
            if had.is_some_and(|found| found.devices.contains(&mac)) {
                self.take(&Step::RemoveDevice(who, who)).await;
                lost.push(who);
            }
        }
        // Where there is a limit of what changes may end, these may be more.
        self.take(&Step::ReleaseBrakes).await;
        self.update().await;
        sleep(PROMPTLY).await;
        self.update().await;
        self.judge().await;
        for who in lost {
            for router in self.routers.clone() {
                if self.is_in_scope(router, who) {
                    self.judge_lost(router, self.plan.cast.mac(who));
                }
            }
        }
    }

    fn judge_lost(&self, router: RouterId, mac: MacAddr) {
        let now = self.database.wall();
        let in_scope = self.truth.in_scope(router);
        let mut live = in_scope.iter().filter(|one| one.access.is_live(now));
        if live.any(|one| one.devices.contains(&mac)) {
            return;
        }
        for way in [Way::Binding(mac), Way::Account(mac.to_string())] {
            let is_disabled = self
                .gateway
                .with(router, |hotspot| way.is_disabled(hotspot));
            if is_disabled == Some(false) {
                self.truth
                    .violate(format!("{way} on r{router} lets in a lost device (R2)"));
            }
        }
    }

    /// Who paid at the end.
    async fn paid(&self) -> Vec<usize> {
        let mut paid = Vec::new();
        for who in (0..self.plan.cast.people()).step_by(2) {
            paid.extend(self.found(who).await.map(|_| who));
        }
        paid
    }

    /// Has a device log in although its account was disabled meanwhile, soon after that.
    fn straggle(&self, who: usize) {
        let mac = self.plan.cast.mac(who);
        let account = self.plan.cast.account(who);
        let delay =
            Duration::from_millis(300 + (self.plan.seed * 977 + who as u64 * 3_001) % 8_000);
        for router in self.places.iter().filter(|(_, of)| *of == who) {
            let router = router.0;
            let gateway = Arc::downgrade(&self.gateway);
            let account = account.clone();
            let mut is_armed = true;
            self.gateway.on_flight(router, move |flight, hotspot| {
                let is_blocked = Way::Account(account.clone()).is_disabled(hotspot) == Some(true);
                if !is_armed || flight != Flight::Block || !is_blocked {
                    return;
                }
                is_armed = false;
                let (gateway, account) = (Weak::clone(&gateway), account.clone());
                tokio::spawn(async move {
                    sleep(delay).await;
                    if let Some(gateway) = gateway.upgrade() {
                        gateway.with(router, |hotspot| hotspot.come_through(mac, &account));
                    }
                });
            });
        }
    }

    pub(crate) async fn judge(&self) {
        let status = self.store.status(100).await.expect("the status");
        for item in &status.owed {
            let what = format!("{:?} of {} on {}", item.want, item.username, item.router);
            let why = item.last_error.as_deref().unwrap_or("not tried");
            self.truth
                .violate(format!("{what} is owed still: {why} (R2, R3)"));
        }
        for &router in &self.routers {
            for mac in [STAFF, PRINTER] {
                if !self.sight(router, mac).can_move {
                    self.truth
                        .violate(format!("{mac}, a stranger on r{router}, is off (R1)"));
                }
            }
        }
        for &(router, who) in &self.places {
            let in_scope = self.truth.in_scope(router);
            self.judge_device(router, who, &in_scope);
            self.judge_ways(router, who, &in_scope);
        }
    }

    /// Nobody whose access ended moves a byte.
    fn judge_device(&self, router: RouterId, who: usize, in_scope: &[Subscriber]) {
        if let Some(Intruder { what, .. }) = self.intruder(router, who, in_scope) {
            self.truth.violate(what);
        }
    }

    /// Tells whether a device moves bytes as somebody whose access is over.
    fn intruder(&self, router: RouterId, who: usize, in_scope: &[Subscriber]) -> Option<Intruder> {
        let cast = &self.plan.cast;
        let mac = cast.mac(who);
        let Sight { can_move, login } = self.sight(router, mac);
        let login = login.as_deref();
        let name = login.filter(|login| cast.is_name(login));
        let of_login = login.and_then(MacAddr::from_login).unwrap_or(mac);
        let owner = in_scope.iter().find(|one| match name {
            Some(name) => one.username.matches(name),
            None => one.devices.contains(&of_login),
        });
        let is_known = self.is_known(router, who);
        let is_removed = !is_known && name.is_some() && !self.is_strangers(router, who);
        let now = self.database.wall();
        let has_ended = owner.is_some_and(|owner| owner.access.has_ended(now));
        let by = login.unwrap_or("a bypass");
        (can_move && (has_ended || is_removed)).then(|| Intruder {
            what: format!("device {mac} is on r{router} by {by} (R2)"),
            owner: owner.map(|owner| owner.username.clone()),
        })
    }

    /// Tells whether the account of somebody who was removed, and cut, is a stranger's: enabled by
    /// hand since, or of who was never in scope. Or it was given back by a watcher that was frozen
    /// before that write, and woken when all of its subscriber was over and forgotten: nobody
    /// can tell such an account from one that the operator has enabled. It is told as a stranger's.
    fn is_strangers(&self, router: RouterId, who: usize) -> bool {
        let account = Way::Account(self.plan.cast.account(who));
        self.let_in.contains(&(router, self.plan.cast.like(who)))
            || !self.is_in_scope(router, who)
            || self.truth.was_given_back_late(router, &account)
    }

    /// Tells whether a device is on as somebody whom no cut since `paid` ended was about.
    fn is_on_as_another(&self, paid: &[usize]) -> bool {
        let is_theirs = |name: &Username| {
            let mut names = paid.iter().map(|who| self.plan.cast.name(*who));
            names.any(|paid| paid == *name)
        };
        self.places.iter().any(|&(router, who)| {
            let intruder = self.intruder(router, who, &self.truth.in_scope(router));
            let owner = intruder.and_then(|intruder| intruder.owner);
            owner.is_some_and(|name| !is_theirs(&name))
        })
    }

    /// Everybody who paid can be online by every way in that the operator did not close.
    fn judge_ways(&self, router: RouterId, who: usize, in_scope: &[Subscriber]) {
        let cast = &self.plan.cast;
        let mac = cast.mac(who);
        let now = self.database.wall();
        let live = || in_scope.iter().filter(|one| one.access.is_live(now));
        let owns_name = live().any(|one| one.username == cast.name(who));
        let owns_mac = live().any(|one| one.devices.contains(&mac));
        let account = Way::Account(cast.account(who));
        let ways = [
            (owns_name, account.clone()),
            (owns_mac, Way::Account(mac.to_string())),
            (owns_mac, Way::Binding(mac)),
        ];
        for (has_paid, way) in ways {
            let is_disabled = self
                .gateway
                .with(router, |hotspot| way.is_disabled(hotspot));
            let is_by_hand = self.by_hand.contains_key(&(router, way.clone()))
                || self.truth.is_forgotten(router, &way);
            if has_paid && is_disabled == Some(true) && !is_by_hand {
                self.truth.violate(format!(
                    "{way} on r{router} has paid and stays disabled (R3)"
                ));
            }
        }
        let is_open = self
            .gateway
            .with(router, |hotspot| account.is_disabled(hotspot));
        if owns_name && is_open == Some(false) && !self.sight(router, mac).can_move {
            self.truth
                .violate(format!("{account} on r{router} has paid and is off (R3)"));
        }
    }

    fn sight(&self, router: RouterId, mac: MacAddr) -> Sight {
        self.gateway.with(router, |hotspot| {
            let mut actives = hotspot.actives.values();
            let active = actives.find(|row| row.mac == Some(mac));
            Sight {
                can_move: hotspot.can_move(mac),
                login: active.map(|row| row.user.clone()),
            }
        })
    }

    /// Tells whether the directory has somebody of this name, wherever it may be online.
    fn is_known(&self, router: RouterId, who: usize) -> bool {
        let tenant = self.tenant_of(router);
        let name = self.plan.cast.name(who);
        let all = self.truth.subscribers();
        let mut named = all.iter().filter(|one| one.username == name);
        named.any(|one| one.tenant == tenant && one.access != Access::None)
    }
}
