//! What a step of a plan does.

use std::time::Duration;

use chrono::TimeDelta;
use expiry_core::{
    Access, AccessChange, BrakeStore, Clock, Directory, EnforcementStore, RouterChange, RouterId,
    Subscriber, UndoItem, testing::gateway::Hotspot,
};
use tokio::time::Instant;

use crate::{
    orders::Way,
    plan::{OfRouter, OfWatcher, Step, at},
    ports::lock,
    world::World,
};

impl World {
    pub(crate) async fn take(&mut self, step: &Step) {
        match *step {
            Step::Pay(who, seconds) => {
                let by = AccessChange::Extend(Duration::from_secs(seconds));
                self.change(who, by).await;
            }
            Step::End(who, seconds) => {
                let end = self.database.wall() + TimeDelta::seconds(seconds);
                self.change(who, AccessChange::Set(Access::Until(end)))
                    .await;
            }
            Step::Revoke(who) => self.change(who, AccessChange::Revoke).await,
            Step::Forever(who) => self.change(who, AccessChange::Set(Access::Forever)).await,
            Step::AllEnd => self.all_end().await,
            Step::Remove(who) => {
                if let Some(found) = self.found(who).await {
                    let removed = self.store.remove_subscriber(found.id).await;
                    removed.expect("it can be removed");
                }
            }
            Step::Add(who, seconds) => self.add(who, seconds).await,
            Step::Move(from, to) => {
                self.device(from, from, false).await;
                self.device(to, from, true).await;
            }
            Step::RemoveDevice(who, device) => self.device(who, device, false).await,
            Step::AddDevice(who, device) => self.device(who, device, true).await,
            Step::Present(who, present) => self.present(who, present),
            Step::AddRouter => self.new_router().await,
            Step::DatabaseDown(down) => lock(&self.weather).down = down,
            Step::LoseAnswers(percent) => lock(&self.weather).lost_answers = percent,
            Step::Slow(most) => lock(&self.weather).latency = at(most),
            Step::ReadOnly(read_only) => lock(&self.weather).read_only = read_only,
            Step::PutBack(seconds) => self.put_back(Duration::from_secs(seconds)).await,
            Step::SetDatabase(seconds) => {
                self.database.step_wall(TimeDelta::seconds(seconds));
                self.truth.database_stepped();
            }
            Step::ReleaseBrakes => {
                let released = self.store.release_brakes().await;
                released.expect("they can be released");
                self.truth.released();
            }
            Step::Prune => self.prune().await,
            Step::Router(router, ref what) => {
                if let Some(&router) = self.routers.get(router) {
                    self.take_at(router, what).await;
                }
            }
            Step::Watcher(watcher, ref what) => self.take_on(watcher, what),
        }
    }

    /// What happens to a router.
    async fn take_at(&mut self, router: RouterId, what: &OfRouter) {
        let cast = &self.plan.cast;
        match *what {
            OfRouter::ByHand(who, enabled) => {
                let account = Way::Account(cast.account(who));
                self.set_by_hand(router, account, enabled);
                if enabled {
                    let who = self.plan.cast.like(who);
                    self.let_in.insert((router, who));
                }
            }
            OfRouter::Bypass(who, enabled) => {
                self.set_by_hand(router, Way::Binding(cast.mac(who)), enabled);
            }
            OfRouter::MacAccount(who, enabled) => {
                let account = Way::Account(cast.mac(who).to_string());
                self.set_by_hand(router, account, enabled);
            }
            OfRouter::Trial(trial) => self.gateway.with(router, |hotspot| hotspot.trial = trial),
            OfRouter::Fault(fault) => self.gateway.set_fault(router, fault),
            OfRouter::Delay(by) => self.gateway.set_delay(router, at(by)),
            OfRouter::Restart => {
                self.truth.restarted(router);
                self.gateway.restart(router);
            }
            OfRouter::Enable(enabled) => self.enable(router, enabled).await,
            OfRouter::Swap => self.swap(router).await,
            OfRouter::Accept => self.accept(router).await,
            OfRouter::Readdress => self.readdress(router).await,
        }
    }

    /// What happens to a watcher and its machine.
    fn take_on(&mut self, watcher: usize, what: &OfWatcher) {
        match *what {
            OfWatcher::Kill => {
                if let Some(running) = self.running[watcher].take() {
                    running.task.abort();
                }
                self.freeze(watcher, false);
            }
            OfWatcher::Start => self.start(watcher),
            OfWatcher::Stop => {
                if let Some(running) = &self.running[watcher] {
                    running.stop.cancel();
                }
            }
            OfWatcher::Freeze(frozen) => self.freeze(watcher, frozen),
            OfWatcher::FreezeWithin(crossings) => {
                self.truth.freeze(watcher, true);
                self.gates[watcher].freeze_within(crossings);
            }
            OfWatcher::SetClock(seconds) => {
                self.clocks[watcher].step_wall(TimeDelta::seconds(seconds));
                self.truth.stepped(watcher);
            }
            OfWatcher::Drift(per_mille) => self.clocks[watcher].drift(per_mille),
            OfWatcher::Suspend(seconds) => {
                let time = Duration::from_secs(seconds);
                self.clocks[watcher].suspend(time);
                self.truth.slept(watcher, time);
            }
        }
    }

    async fn change(&self, who: usize, change: AccessChange) {
        if let Some(found) = self.found(who).await {
            let changed = self.store.change_access(found.id, change).await;
            changed.expect("access can be changed");
        }
    }

    async fn all_end(&self) {
        let now = self.database.wall();
        let end = AccessChange::Set(Access::Until(now));
        let all = self.truth.subscribers();
        let routers = self.store.routers().await.expect("the routers");
        let is_owed = |one: &&Subscriber| {
            let mut routers = routers.iter().filter(|router| router.enabled);
            one.access.is_live(now)
                && routers.any(|router| {
                    router.tenant == one.tenant && one.router.is_none_or(|at| at == router.id)
                })
        };
        let ended = all.iter().filter(is_owed).count();
        for who in 0..self.plan.cast.people() {
            self.change(who, end).await;
        }
        let limit = self.plan.cast.share_limit as usize;
        if limit < 100 && ended * 100 > all.len() * limit {
            self.truth.too_many_ended();
        }
    }

    async fn device(&self, who: usize, device: usize, added: bool) {
        let Some(found) = self.found(who).await else {
            return;
        };
        let mac = self.plan.cast.mac(device);
        // It may be there already, or be somebody else's.
        let _ = if added {
            self.store.add_device(found.id, mac).await
        } else {
            self.store.remove_device(found.id, mac).await
        };
    }

    pub(crate) fn present(&self, who: usize, present: bool) {
        let mac = self.plan.cast.mac(who);
        let at = self.places.iter().filter(|(_, of)| *of == who);
        for (router, _) in at {
            self.gateway
                .with(*router, |hotspot| hotspot.set_present(mac, present));
        }
    }

    /// What is disabled already stays whose it is.
    fn set_by_hand(&mut self, router: RouterId, way: Way, enabled: bool) {
        let was_disabled = self.gateway.with(router, |hotspot| {
            let was_disabled = way.is_disabled(hotspot);
            way.set(hotspot, enabled);
            was_disabled
        });
        if enabled {
            self.truth.remembered(router, &way);
            self.by_hand.remove(&(router, way));
        } else if was_disabled == Some(false) && !self.is_to_be_undone(router, &way) {
            self.by_hand.insert((router, way), Instant::now());
        }
    }

    /// Tells whether the store knows that we closed a way in. Another way in of the same device or
    /// name says nothing of this one.
    pub(crate) fn is_to_be_undone(&self, router: RouterId, way: &Way) -> bool {
        let is_its = |item: &UndoItem| match (item, way) {
            (UndoItem::User { name, .. }, Way::Account(account)) => name == account,
            (UndoItem::IpBinding { mac, .. }, Way::Binding(of)) => *mac == Some(*of),
            (UndoItem::User { .. }, Way::Binding(_))
            | (UndoItem::IpBinding { .. }, Way::Account(_)) => false,
        };
        let mut undo = self.store.undo_rows().into_iter();
        undo.any(|row| row.open && row.router == router && row.undo.items.iter().any(is_its))
    }

    pub(crate) async fn enable(&self, router: RouterId, enabled: bool) {
        let change = RouterChange {
            enabled: Some(enabled),
            ..RouterChange::default()
        };
        let changed = self.store.change_router(router, &change).await;
        changed.expect("a router can be switched");
        if !enabled {
            self.truth.disowned(router);
        }
    }

    /// One more router, in whose range some of the devices are, too.
    async fn new_router(&mut self) {
        let cast = self.plan.cast.clone();
        if self.routers.len() > cast.boxes() {
            return;
        }
        let router = self.add_router(None).await;
        for who in (0..cast.subscribers).step_by(2) {
            self.place(router, who);
        }
        self.know_strangers(router).await;
    }

    /// The operator puts another box in a router's place, set up like the first.
    async fn swap(&mut self, router: RouterId) {
        self.truth.restarted(router);
        self.gateway.swap(router, Hotspot::default());
        let places = self.places.clone();
        for (_, who) in places.into_iter().filter(|(at, _)| *at == router) {
            self.set_up(router, who);
        }
        self.set_up_staff(router);
        self.by_hand.retain(|(at, _), _| *at != router);
        self.know_strangers(router).await;
    }

    /// On a new box the accounts of who was removed are strangers'.
    async fn know_strangers(&mut self, router: RouterId) {
        for (at, who) in self.places.clone() {
            if at == router && self.found(who).await.is_none() {
                self.let_in.insert((router, self.plan.cast.like(who)));
            }
        }
    }

    pub(crate) async fn accept(&self, router: RouterId) {
        self.truth.disowned(router);
        let accepted = self.store.accept_router(router).await;
        accepted.expect("a router can be accepted");
    }

    async fn readdress(&self, router: RouterId) {
        let routers = self.store.routers().await.expect("the routers");
        let known = routers.into_iter().find(|one| one.id == router);
        let change = RouterChange {
            host: known.map(|one| format!("{}x", one.address.host)),
            ..RouterChange::default()
        };
        self.truth.disowned(router);
        let changed = self.store.change_router(router, &change).await;
        changed.expect("a router can be moved");
    }

    /// What is pruned is kept for longer than anybody is frozen.
    async fn prune(&self) {
        if !self.truth.may_be_late() {
            let pruned = self.store.prune(Duration::from_secs(1), 500).await;
            pruned.expect("the store is there");
        }
    }

    pub(crate) fn freeze(&self, watcher: usize, frozen: bool) {
        self.truth.freeze(watcher, frozen);
        self.gates[watcher].set(frozen);
    }
}
