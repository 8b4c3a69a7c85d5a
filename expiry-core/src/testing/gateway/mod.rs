//! A gateway to simulated routers, without a wire.

mod hotspot;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

pub use hotspot::{Admission, Hotspot};

use crate::{
    BlockOrder, BrokenOff, DropOrder, GatewayError, Hardware, Query, Refusal, Router, RouterFacts,
    RouterGateway, RouterId, RouterLogin, RowId, RowKind, Sighting, UnblockOrder, Unreached,
};

/// What goes wrong with a simulated router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Connections are refused at once.
    Down,
    /// Nothing answers: every flight times out after 5 s and does nothing.
    BlackHole,
    /// Flights happen, and their answers are lost.
    LostAnswers,
    /// The same with flights that write; reads are answered.
    LostResults,
    /// Writes are answered as if they had happened, and do nothing.
    Ignored,
    /// The account is refused.
    Login,
    /// Writes are answered with an error, and do nothing.
    NoPermission,
    /// Reads are answered with an error.
    Unreadable,
    /// Answers with rows of this kind break off after half of them.
    BreaksOff(RowKind),
    /// Flights neither end nor fail, as no gateway should behave.
    Hang,
}

/// One flight, for tests that count or interrupt them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flight {
    /// `look`
    Look,
    /// `block`
    Block,
    /// `drop_rows`
    Drop,
    /// `unblock`
    Unblock,
    /// `sessions`
    Sessions,
    /// `probe`
    Probe,
}

/// A [`RouterGateway`] to [`Hotspot`]s in memory. Each flight takes the time it was made with, and
/// what it writes happens in the middle of it.
pub struct SimGateway {
    routers: Mutex<BTreeMap<RouterId, SimHotspot>>,
    latency: Duration,
    began: Instant,
    /// How often any connection was lost while nobody used it.
    hang_ups: watch::Sender<u64>,
}

#[derive(Default)]
struct SimHotspot {
    hotspot: Hotspot,
    fault: Fault,
    connected: bool,
    dialled: u64,
    /// When it was last started, if it was started anew.
    booted: Option<Instant>,
    /// What each flight takes beside the latency.
    delay: Duration,
    /// How often all connections were lost at once.
    losses: u32,
    /// How often another box took the place.
    swaps: i64,
    flights: Vec<Flight>,
    hook: Option<Hook>,
}

/// What a router refused to write.
struct Refused {
    /// Everything: the account lacks a permission.
    all: bool,
    /// These rows.
    rows: BTreeSet<RowId>,
}

type Hook = Box<dyn FnMut(Flight, &mut Hotspot) + Send>;

impl SimGateway {
    /// Makes a gateway whose flights take `latency`.
    pub fn new(latency: Duration) -> Self {
        Self {
            routers: Mutex::default(),
            latency,
            began: Instant::now(),
            hang_ups: watch::Sender::new(0),
        }
    }

    /// Reads or changes a router's hotspot.
    pub fn with<R>(&self, router: RouterId, f: impl FnOnce(&mut Hotspot) -> R) -> R {
        f(&mut self.lock().entry(router).or_default().hotspot)
    }

    /// Sets what goes wrong from now on. A router that goes down loses its connection.
    pub fn set_fault(&self, router: RouterId, fault: Fault) {
        let mut routers = self.lock();
        let sim = routers.entry(router).or_default();
        sim.fault = fault;
        sim.connected &= fault != Fault::Down;
        self.hang_ups.send_modify(|count| *count += 1);
    }

    /// Has each flight to a router take so much longer from now on.
    pub fn set_delay(&self, router: RouterId, delay: Duration) {
        self.lock().entry(router).or_default().delay = delay;
    }

    /// Starts a router anew. All connections are lost, with the flights under way.
    pub fn restart(&self, router: RouterId) {
        let mut routers = self.lock();
        let sim = routers.entry(router).or_default();
        sim.lose_connections();
        sim.hotspot.reboot();
        sim.booted = Some(Instant::now());
        self.hang_ups.send_modify(|count| *count += 1);
    }

    /// Puts another box in the place of a router: it answers with another serial number.
    pub fn swap(&self, router: RouterId, hotspot: Hotspot) {
        let mut routers = self.lock();
        let sim = routers.entry(router).or_default();
        sim.lose_connections();
        sim.swaps += 1;
        sim.hotspot = hotspot;
        self.hang_ups.send_modify(|count| *count += 1);
    }

    /// Runs `hook` in the middle of every flight to a router, after its writes and before its
    /// reads.
    pub fn on_flight(
        &self,
        router: RouterId,
        hook: impl FnMut(Flight, &mut Hotspot) + Send + 'static,
    ) {
        self.lock().entry(router).or_default().hook = Some(Box::new(hook));
    }

    /// Returns the flights so far.
    pub fn flights(&self, router: RouterId) -> Vec<Flight> {
        self.lock().entry(router).or_default().flights.clone()
    }

    async fn fly<R>(
        &self,
        router: &Router,
        flight: Flight,
        write: impl FnOnce(&mut Hotspot),
        read: impl FnOnce(&Hotspot) -> R,
    ) -> Result<(R, Refused), GatewayError> {
        let (losses, latency) = {
            let mut routers = self.lock();
            let sim = routers.entry(router.id).or_default();
            (sim.losses, self.latency + sim.delay)
        };
        sleep(latency / 2).await;
        let (result, fault, stuck) = {
            let mut routers = self.lock();
            let sim = routers.entry(router.id).or_default();
            sim.flights.push(flight);
            if sim.losses != losses {
                return Err(GatewayError::Disconnected {
                    reason: "the connection was lost".into(),
                });
            }
            let dials = matches!(flight, Flight::Look | Flight::Sessions | Flight::Probe);
            match sim.fault {
                Fault::Down => {
                    sim.connected = false;
                    let address = router.name.clone();
                    return Err(GatewayError::Connect {
                        address,
                        how: Unreached::Refused,
                        reason: "refused".into(),
                    });
                }
                Fault::Login => {
                    let message = "invalid user name or password (6)".into();
                    return Err(GatewayError::Login { message });
                }
                Fault::Unreadable => {
                    return Err(GatewayError::Refused {
                        command: "/ip/hotspot/user/print".into(),
                        message: "no such command prefix".into(),
                    });
                }
                Fault::BlackHole | Fault::Hang => (None, sim.fault, BTreeSet::new()),
                Fault::None
                | Fault::LostAnswers
                | Fault::LostResults
                | Fault::Ignored
                | Fault::BreaksOff(_)
                | Fault::NoPermission => {
                    let right_box = check_box(router, sim.swaps);
                    if !dials && (!sim.connected || right_box.is_err()) {
                        sim.connected = false;
                        return Err(GatewayError::Disconnected {
                            reason: "not connected".into(),
                        });
                    }
                    right_box?;
                    sim.dialled += u64::from(!sim.connected);
                    sim.connected = true;
                    if !matches!(sim.fault, Fault::NoPermission | Fault::Ignored) {
                        write(&mut sim.hotspot);
                    }
                    if let Some(hook) = &mut sim.hook {
                        hook(flight, &mut sim.hotspot);
                    }
                    let result = read(&sim.hotspot);
                    let is_lost = sim.fault == Fault::LostAnswers
                        || sim.fault == Fault::LostResults && !dials;
                    (
                        (!is_lost).then_some(result),
                        sim.fault,
                        sim.hotspot.stuck.clone(),
                    )
                }
            }
        };
        if fault == Fault::Hang {
            std::future::pending::<()>().await;
        }
        sleep(latency / 2).await;
        if let Some(result) = result {
            let refused = Refused {
                all: fault == Fault::NoPermission,
                rows: stuck,
            };
            return Ok((result, refused));
        }
        sleep(Duration::from_secs(5)).await;
        self.lock().entry(router.id).or_default().connected = false;
        Err(GatewayError::TimedOut {
            after: Duration::from_secs(5),
        })
    }

    fn break_off(&self, router: RouterId, seen: &mut Sighting) {
        let fault = self.lock().entry(router).or_default().fault;
        let Fault::BreaksOff(kind) = fault else {
            return;
        };
        match kind {
            RowKind::Account => halve(&mut seen.users),
            RowKind::Session => halve(&mut seen.actives),
            RowKind::Host => halve(&mut seen.hosts),
            RowKind::Cookie => halve(&mut seen.cookies),
            RowKind::Binding => halve(&mut seen.bindings),
            RowKind::Connection => halve(&mut seen.connections),
            RowKind::Holder => halve(&mut seen.holders),
        }
        seen.break_off([BrokenOff {
            kind,
            command: format!("{kind:?}/print"),
            message: "no such item (4)".into(),
        }]);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RouterId, SimHotspot>> {
        self.routers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimHotspot {
    fn lose_connections(&mut self) {
        self.connected = false;
        self.losses += 1;
    }
}

fn halve<T>(rows: &mut Vec<T>) {
    rows.truncate(rows.len() / 2);
}

/// What a router prints that was started at `booted`, or else a good day before the simulation.
fn uptime(booted: Option<Instant>, began: Instant) -> String {
    let seconds = match booted {
        Some(booted) => booted.elapsed().as_secs(),
        None => 93_784 + began.elapsed().as_secs(),
    };
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hours, rest) = (rest / 3_600, rest % 3_600);
    format!("{days}d{hours:02}:{:02}:{:02}", rest / 60, rest % 60)
}

fn hardware(router: &Router, swaps: i64) -> Hardware {
    Hardware {
        identity: router.name.clone(),
        serial: Some(format!("SIM{:06}", router.id.0 + 1_000 * swaps)),
    }
}

/// Checks that the box on record answers.
fn check_box(router: &Router, swaps: i64) -> Result<(), GatewayError> {
    let found = hardware(router, swaps);
    let name = |h: &Hardware| format!("{} {}", h.identity, h.serial.as_deref().unwrap_or("-"));
    match &router.seen {
        Some(seen) if !seen.is_same_box(&found) => Err(GatewayError::WrongRouter {
            expected: name(seen),
            found: name(&found),
        }),
        _ => Ok(()),
    }
}

/// The rows of a flight that the router refused to write.
fn refusals<'a>(
    refused: &Refused,
    rows: impl IntoIterator<Item = (RowKind, &'a Vec<RowId>)>,
) -> Vec<Refusal> {
    let rows = rows
        .into_iter()
        .flat_map(|(kind, rows)| rows.iter().map(move |row| (kind, row)));
    let message = |row| {
        if refused.all {
            return Some("not enough permissions (9)");
        }
        refused.rows.contains(row).then_some("action failed (6)")
    };
    rows.filter_map(|(kind, row)| {
        Some(Refusal {
            kind,
            row: row.clone(),
            message: message(row)?.into(),
        })
    })
    .collect()
}

#[async_trait]
impl RouterGateway for SimGateway {
    async fn look(&self, login: &RouterLogin, query: &Query) -> Result<Sighting, GatewayError> {
        let (mut seen, _) = self
            .fly(
                &login.router,
                Flight::Look,
                |_| {},
                |hotspot| hotspot.read(query),
            )
            .await?;
        self.break_off(login.router.id, &mut seen);
        Ok(seen)
    }

    async fn block(
        &self,
        router: &Router,
        order: &BlockOrder,
        query: &Query,
    ) -> Result<(Sighting, Vec<Refusal>), GatewayError> {
        let write = |hotspot: &mut Hotspot| {
            order
                .users
                .iter()
                .for_each(|id| hotspot.disable_user(id, true));
            order
                .cookies
                .iter()
                .for_each(|id| hotspot.remove_cookie(id));
            order
                .bindings
                .iter()
                .for_each(|id| hotspot.disable_binding(id, true));
        };
        let read = |hotspot: &Hotspot| {
            let seen = hotspot.read(query);
            Sighting {
                users: vec![],
                cookies: vec![],
                bindings: vec![],
                holders: vec![],
                ..seen
            }
        };
        let (mut seen, refused) = self.fly(router, Flight::Block, write, read).await?;
        self.break_off(router.id, &mut seen);
        let rows = [
            (RowKind::Account, &order.users),
            (RowKind::Cookie, &order.cookies),
            (RowKind::Binding, &order.bindings),
        ];
        Ok((seen, refusals(&refused, rows)))
    }

    async fn drop_rows(
        &self,
        router: &Router,
        order: &DropOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        let write = |hotspot: &mut Hotspot| {
            order
                .actives
                .iter()
                .for_each(|id| hotspot.remove_active(id));
            order.hosts.iter().for_each(|id| hotspot.remove_host(id));
            order
                .connections
                .iter()
                .for_each(|id| hotspot.remove_connection(id));
        };
        let ((), refused) = self.fly(router, Flight::Drop, write, |_| ()).await?;
        let rows = [
            (RowKind::Session, &order.actives),
            (RowKind::Host, &order.hosts),
            (RowKind::Connection, &order.connections),
        ];
        Ok(refusals(&refused, rows))
    }

    async fn unblock(
        &self,
        router: &Router,
        order: &UnblockOrder,
    ) -> Result<Vec<Refusal>, GatewayError> {
        let write = |hotspot: &mut Hotspot| {
            order
                .users
                .iter()
                .for_each(|id| hotspot.disable_user(id, false));
            order
                .bindings
                .iter()
                .for_each(|id| hotspot.disable_binding(id, false));
        };
        let ((), refused) = self.fly(router, Flight::Unblock, write, |_| ()).await?;
        let rows = [
            (RowKind::Account, &order.users),
            (RowKind::Binding, &order.bindings),
        ];
        Ok(refusals(&refused, rows))
    }

    async fn sessions(&self, login: &RouterLogin) -> Result<Sighting, GatewayError> {
        let (mut seen, _) = self
            .fly(
                &login.router,
                Flight::Sessions,
                |_| {},
                Hotspot::read_sessions,
            )
            .await?;
        self.break_off(login.router.id, &mut seen);
        Ok(seen)
    }

    async fn probe(&self, login: &RouterLogin) -> Result<RouterFacts, GatewayError> {
        let router = &login.router;
        self.fly(router, Flight::Probe, |_| {}, |_| ()).await?;
        let (swaps, booted) = {
            let mut routers = self.lock();
            let sim = routers.entry(router.id).or_default();
            (sim.swaps, sim.booted)
        };
        Ok(RouterFacts {
            hardware: hardware(router, swaps),
            version: Some("7.18.2 (stable)".into()),
            board: Some("simulated".into()),
            uptime: Some(uptime(booted, self.began)),
            clock: None,
        })
    }

    async fn close(&self, router: RouterId) {
        self.lock().entry(router).or_default().connected = false;
    }

    async fn dialled(&self, router: RouterId) -> u64 {
        self.lock().entry(router).or_default().dialled
    }

    async fn hung_up(&self, router: RouterId) {
        let mut hang_ups = self.hang_ups.subscribe();
        if self.lock().entry(router).or_default().connected {
            while hang_ups.changed().await.is_ok() {
                if !self.lock().entry(router).or_default().connected {
                    return;
                }
            }
        }
        std::future::pending::<()>().await;
    }
}
