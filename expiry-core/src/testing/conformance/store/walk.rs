use std::{fmt::Debug, sync::Arc, time::Duration};

use chrono::TimeDelta;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::world::{HOUR, World, mac, mac_undo, name_undo, new_subscriber, ok, username};
use crate::{
    Access, AccessChange, AuditEvent, Field, MacAddr, Outcome, Presence, PresenceKind, PutOptions,
    PutSubscriber, Reconciliation, RouterId, Service, Settled, State, Store, StoreError,
    SubscriberId, SystemClock, Task, TenantId, UndoKey, Want, WayIn, testing::MemoryStore,
};

const ROUTERS: [&str; 3] = ["r0", "r1", "theirs"];
const NAMES: u8 = 4;
const DEVICES: u8 = 3;
const STEPS: usize = 240;

pub async fn r2_r3_every_store_owes_the_same_after_the_same_changes(store: Arc<dyn Store>) {
    let model = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let mut rng = StdRng::seed_from_u64(20_260_801);
    let mut pair = [Side::new(store).await, Side::new(model).await];
    let mut so_far = Vec::new();
    for _ in 0..STEPS {
        let step = Step::draw(&mut rng);
        so_far.push(step.clone());
        let [answer, expected] = &mut pair;
        let answer = answer.take(&step).await;
        assert_eq!(answer, expected.take(&step).await, "after {so_far:#?}");
        let [found, expected] = &pair;
        assert_eq!(
            found.view().await,
            expected.view().await,
            "after {so_far:#?}"
        );
    }
    let [found, expected] = &pair;
    assert_eq!(found.told().await, expected.told().await);
}

pub async fn r3_whatever_happens_nobody_live_stays_disabled(store: Arc<dyn Store>) {
    let mut rng = StdRng::seed_from_u64(7);
    let mut side = Side::new(store).await;
    for _ in 0..4 {
        for _ in 0..STEPS / 4 {
            let step = Step::draw(&mut rng);
            side.take(&step).await;
            ok(side.world.prune(Duration::ZERO, 1000).await);
        }
        side.finish().await;
        assert_eq!(side.world.owed().await, (0, 0));
        side.assert_nobody_live_is_disabled().await;
    }
}

/// One thing that happens, by names that every store knows.
#[derive(Clone, Debug)]
enum Step {
    Make(u8, Option<u8>, Kind, bool),
    Change(u8, Kind),
    Remove(u8),
    AddDevice(u8, u8),
    RemoveDevice(u8, u8),
    Put(Vec<Line>),
    Switch(usize, bool),
    Accept(usize),
    Plan,
    Attempt(usize, bool, End),
    Late(usize, End),
    Recheck(usize, u8),
    Reconcile(usize, u8),
    Nudge,
}

/// A line of a list; devices that are `None` are kept.
#[derive(Clone, Debug)]
struct Line {
    name: u8,
    kind: Kind,
    devices: Option<Vec<u8>>,
    router: Field<Option<usize>>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    None,
    Forever,
    Ahead,
    Over,
    LongOver,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Done,
    Look,
    Back,
    Failed,
}

impl Step {
    fn draw(rng: &mut StdRng) -> Self {
        let name = rng.random_range(0..NAMES);
        let device = rng.random_range(0..DEVICES);
        let router = rng.random_range(0..ROUTERS.len());
        let kind = Kind::draw(rng);
        let end = [End::Done, End::Done, End::Look, End::Back, End::Failed][rng.random_range(0..5)];
        match rng.random_range(0..32) {
            0..3 => Self::Make(
                name,
                rng.random_bool(0.5).then_some(device),
                kind,
                device == 0,
            ),
            3..7 => Self::Change(name, kind),
            7 => Self::Remove(name),
            8 | 9 => Self::AddDevice(name, device),
            10 => Self::RemoveDevice(name, device),
            11 | 12 => Self::Switch(router, rng.random_bool(0.75)),
            13 => Self::Accept(router),
            14 | 15 => Self::Plan,
            16 => Self::Recheck(router, device),
            17 => Self::Nudge,
            18..20 => Self::Late(router, end),
            20 | 21 => Self::Reconcile(router, device),
            22..26 => {
                let lines = rng.random_range(1..4);
                Self::Put((0..lines).map(|_| Line::draw(rng)).collect())
            }
            _ => Self::Attempt(router, rng.random_bool(0.7), end),
        }
    }
}

impl Line {
    fn draw(rng: &mut StdRng) -> Self {
        let devices = (0..DEVICES).filter(|_| rng.random_bool(0.3)).collect();
        let router = rng.random_range(0..ROUTERS.len());
        Self {
            name: rng.random_range(0..NAMES),
            kind: Kind::draw(rng),
            devices: rng.random_bool(0.7).then_some(devices),
            router: if rng.random_bool(0.5) {
                Field::Set(rng.random_bool(0.7).then_some(router))
            } else {
                Field::Keep
            },
        }
    }
}

impl Kind {
    fn draw(rng: &mut StdRng) -> Self {
        [
            Self::None,
            Self::Forever,
            Self::Ahead,
            Self::Ahead,
            Self::Over,
            Self::Over,
            Self::Over,
            Self::LongOver,
        ][rng.random_range(0..8)]
    }
}

/// A store, and what it calls the things of the walk.
struct Side {
    world: World,
    tenant: TenantId,
    routers: [RouterId; 3],
    late: Option<(RouterId, Task)>,
}

impl Side {
    async fn new(store: Arc<dyn Store>) -> Self {
        let world = World::new(store);
        let tenant = world.tenant("a").await;
        let routers = [
            world.router(ROUTERS[0]).await,
            world.router(ROUTERS[1]).await,
            world.router_of(Some(tenant), ROUTERS[2]).await,
        ];
        Self {
            world,
            tenant,
            routers,
            late: None,
        }
    }

    /// Does a step, and tells what came of it.
    async fn take(&mut self, step: &Step) -> String {
        let world = &self.world;
        match step {
            Step::Make(name, device, kind, bound) => {
                let devices: Vec<_> = device.iter().map(|device| mac(*device)).collect();
                let access = self.access(*kind).await;
                let mut new = new_subscriber(&name_of(*name), access, &devices);
                new.tenant = self.tenant_of(*name);
                if *bound && new.tenant.is_none() {
                    new.router = Some(self.routers[0]);
                }
                told(world.add_subscriber(&new).await)
            }
            Step::Change(name, kind) => {
                let change = AccessChange::Set(self.access(*kind).await);
                told(world.change_access(self.id(*name).await, change).await)
            }
            Step::Remove(name) => told(world.remove_subscriber(self.id(*name).await).await),
            Step::AddDevice(name, device) => {
                told(world.add_device(self.id(*name).await, mac(*device)).await)
            }
            Step::RemoveDevice(name, device) => told(
                world
                    .remove_device(self.id(*name).await, mac(*device))
                    .await,
            ),
            Step::Put(lines) => {
                let mut rows = Vec::new();
                for line in lines {
                    rows.push(self.row(line).await);
                }
                let options = PutOptions {
                    shorten: true,
                    ..PutOptions::default()
                };
                match world.put_subscribers(&rows, options).await {
                    Ok(mut report) => {
                        // They hold times, and each store has a clock of its own.
                        report.losses.clear();
                        format!("{report:?}")
                    }
                    Err(StoreError::Rows(refused)) => format!("{refused:?}"),
                    Err(error) => error.to_string(),
                }
            }
            Step::Switch(router, enabled) => {
                world.switch(self.routers[*router], *enabled).await;
                String::new()
            }
            Step::Accept(router) => told(world.accept_router(self.routers[*router]).await),
            Step::Plan => {
                world.plan().await;
                String::new()
            }
            Step::Attempt(router, found, end) => self.attempt(*router, *found, *end).await,
            Step::Late(router, end) => match self.late.take() {
                Some((router, task)) if self.serves(router).await => {
                    self.settle(router, &task, *end).await
                }
                Some(_) => String::new(),
                None => {
                    let tasks = self.tasks(*router).await;
                    let alike =
                        |task: &Task| tasks.iter().filter(|other| is_alike(task, other)).count();
                    let only = tasks.iter().find(|task| alike(task) == 1).cloned();
                    self.late = only.map(|task| (self.routers[*router], task));
                    String::new()
                }
            },
            Step::Recheck(router, number) => {
                let keys = [
                    UndoKey::Name(username(&name_of(*number))),
                    UndoKey::Mac(mac(*number)),
                ];
                told(world.recheck(self.routers[*router], &keys).await)
            }
            Step::Reconcile(router, number) => self.reconcile(*router, *number).await,
            Step::Nudge => told(world.nudge().await),
        }
    }

    /// Finds a name and a device on, and a stray.
    async fn reconcile(&self, number: usize, device: u8) -> String {
        let router = self.routers[number];
        if !self.serves(router).await {
            return String::new();
        }
        let name = UndoKey::Name(username(&name_of(device)));
        let keys = [name, UndoKey::Mac(mac(device))];
        let known = ok(self.world.known(router, &keys.clone().into()).await);
        let reconciliation = Reconciliation {
            on: keys
                .map(|key| {
                    let way_in = (device == 0).then_some(WayIn::Account);
                    (key, way_in)
                })
                .into(),
            strays: vec![Presence {
                kind: PresenceKind::Host,
                login: None,
                mac: Some(mac(device)),
                address: None,
                way_in: WayIn::Bypass,
                online: true,
                comment: None,
            }],
            pace: Duration::ZERO,
            is_partial: false,
        };
        let fence = self.world.fence(router).await;
        let done = ok(self.world.reconciled(&fence, &reconciliation).await);
        let found = done.found.into_iter();
        let found = sorted(found.map(|found| (found.username, found.cannot_hold)));
        format!("{known:?} {found:?} {:?}", done.new_strays)
    }

    async fn attempt(&self, number: usize, found: bool, end: End) -> String {
        let router = self.routers[number];
        let mut answers = Vec::new();
        for task in &self.tasks(number).await {
            let mut undo = Vec::new();
            if found && task.want == Want::Cut && task.progress.state == State::Owed {
                undo.extend(task.username.iter().map(|name| name_undo(name.as_str())));
                undo.extend(task.macs.iter().copied().map(mac_undo));
            }
            answers.push(self.world.intend_on(router, task, &undo).await.to_string());
            answers.push(self.settle(router, task, end).await);
        }
        answers.sort();
        answers.join(", ")
    }

    async fn settle(&self, router: RouterId, task: &Task, end: End) -> String {
        let outcome = match end {
            End::Done => Outcome::Confirmed { next_look: None },
            End::Look => Outcome::Confirmed {
                next_look: Some(Duration::ZERO),
            },
            End::Back => Outcome::Returned {
                way_in: Some(WayIn::Cookie),
                retry_in: Duration::ZERO,
            },
            End::Failed => Outcome::Unconfirmed {
                error: "refused".into(),
                online: None,
                retry_in: Duration::ZERO,
            },
        };
        match self
            .world
            .settle_on(router, task, outcome, &task.undo)
            .await
        {
            Settled::Superseded => "superseded".into(),
            Settled::Recorded(recorded) => {
                format!(
                    "{:?}, lag {}",
                    recorded.progress.state,
                    recorded.lag().is_some()
                )
            }
        }
    }

    /// The work of a router in an order that does not hang on ids.
    async fn tasks(&self, number: usize) -> Vec<Task> {
        let router = self.routers[number];
        if !self.serves(router).await {
            return Vec::new();
        }
        let mut tasks = self.world.tasks(router).await;
        tasks.sort_by_key(|task| (task.want, task.username.clone(), task.macs.clone()));
        tasks
    }

    async fn serves(&self, router: RouterId) -> bool {
        self.world.router_row(router).await.enabled
    }

    /// Confirms all that is owed. A confirmation may owe a restore that had waited for it.
    async fn finish(&self) {
        for router in self.routers {
            self.world.switch(router, true).await;
        }
        self.world.plan().await;
        for _ in 0..4 {
            for router in self.routers {
                for task in self.world.tasks(router).await {
                    self.world.confirm(router, &task).await;
                }
            }
        }
    }

    async fn assert_nobody_live_is_disabled(&self) {
        for (router, name) in self.routers.into_iter().zip(ROUTERS) {
            for key in ok(self.world.open_work(router).await).undo {
                let live = self.is_live(router, &key).await;
                assert!(!live, "{key} is live and still disabled on {name}");
            }
        }
    }

    /// All that can be seen through the ports, without ids and times.
    async fn view(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for (number, router) in self.routers.into_iter().enumerate() {
            let mut tasks = Vec::new();
            for task in self.tasks(number).await {
                tasks.push(format!(
                    "{} {} {:?} {:?} backlog {} {:?} attempts {} returns {} undo {:?}",
                    ROUTERS[number],
                    task.want,
                    task.username,
                    task.macs,
                    task.backlog,
                    task.progress.state,
                    task.progress.attempts,
                    task.progress.returns,
                    sorted(task.undo),
                ));
            }
            seen.extend(sorted(tasks));
            let open = ok(self.world.open_work(router).await);
            seen.push(format!("{} {open:?}", ROUTERS[number]));
            let strays = ok(self.world.strays(router).await);
            let read = strays.reconciled_at.is_some();
            let presences = strays.strays.into_iter().map(|stray| stray.presence);
            seen.push(format!(
                "{} {read} {:?}",
                ROUTERS[number],
                sorted(presences)
            ));
        }
        seen.push(format!("{:?}", self.world.owed().await));
        seen
    }

    /// All that was told of it, without ids and times.
    async fn told(&self) -> Vec<String> {
        let events = self.world.audit().await;
        let told = events.into_iter().map(|AuditEvent { entry, .. }| {
            let kind = format!("{:?}", entry.kind);
            let kind = kind.split(' ').next().unwrap_or_default().to_owned();
            let (lag, due) = (entry.lag.is_some(), entry.due_at.is_some());
            let whose = (
                entry.username,
                entry.device,
                entry.router_name,
                entry.outage,
            );
            (kind, lag, due, whose)
        });
        let told: Vec<_> = told.collect();
        assert!(told.len() > 100, "much has happened");
        sorted(told)
    }

    async fn is_live(&self, router: RouterId, key: &str) -> bool {
        let names = key.parse().into_iter().collect();
        let macs = key.parse::<MacAddr>().into_iter().collect();
        let live = ok(self.world.live_at(router, &names, &macs).await);
        !(live.names.is_empty() && live.macs.is_empty())
    }

    async fn id(&self, name: u8) -> SubscriberId {
        let tenant = self.tenant_of(name);
        let found = ok(self
            .world
            .subscriber(tenant, &username(&name_of(name)))
            .await);
        found.map_or(SubscriberId(0), |found| found.id)
    }

    /// The last name is a subscriber of the tenant.
    fn tenant_of(&self, name: u8) -> Option<TenantId> {
        (name + 1 == NAMES).then_some(self.tenant)
    }

    async fn row(&self, line: &Line) -> PutSubscriber {
        let set = |devices: &Vec<u8>| Field::Set(devices.iter().copied().map(mac).collect());
        PutSubscriber {
            tenant: self.tenant_of(line.name),
            username: username(&name_of(line.name)),
            service: Service::Hotspot,
            access: self.access(line.kind).await,
            router: match line.router {
                Field::Keep => Field::Keep,
                Field::Set(number) => Field::Set(number.map(|number| self.routers[number])),
            },
            devices: line.devices.as_ref().map_or(Field::Keep, set),
        }
    }

    async fn access(&self, kind: Kind) -> Access {
        let now = self.world.time().await;
        match kind {
            Kind::None => Access::None,
            Kind::Forever => Access::Forever,
            Kind::Ahead => Access::Until(now + HOUR),
            Kind::Over => Access::Until(now - TimeDelta::seconds(1)),
            Kind::LongOver => Access::Until(now - HOUR),
        }
    }
}

fn is_alike(a: &Task, b: &Task) -> bool {
    (&a.username, &a.macs, a.want) == (&b.username, &b.macs, b.want)
}

fn name_of(number: u8) -> String {
    format!("s{number}")
}

fn told<T>(result: Result<T, StoreError>) -> String {
    match result {
        Ok(_) => "done".into(),
        Err(error) => error.to_string(),
    }
}

fn sorted<T: Debug>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut items: Vec<_> = items.into_iter().map(|item| format!("{item:?}")).collect();
    items.sort();
    items
}
