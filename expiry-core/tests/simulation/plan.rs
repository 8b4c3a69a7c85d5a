//! What happens in one simulation: everything follows from a seed.

use std::time::Duration;

use expiry_core::testing::gateway::Fault;
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// How many there are of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cast {
    pub(crate) routers: usize,
    pub(crate) watchers: usize,
    pub(crate) subscribers: usize,
    /// So many of the subscribers have a namesake, with the same device, in another tenant, which
    /// has one router of its own.
    pub(crate) twins: usize,
    /// The watchers' share limit, in percent; 100 is none.
    pub(crate) share_limit: u32,
}

impl Cast {
    /// The subscribers of both tenants: namesakes come last.
    pub(crate) fn people(&self) -> usize {
        self.subscribers + self.twins
    }

    /// The routers of both tenants: the other's comes last.
    pub(crate) fn boxes(&self) -> usize {
        self.routers + usize::from(self.twins > 0)
    }
}

/// A simulation from its beginning to the moment from which nothing happens any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) cast: Cast,
    /// In milliseconds from the beginning.
    pub(crate) steps: Vec<(u64, Step)>,
}

/// Whoever is named by a number that does not exist now is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Access is extended by seconds.
    Pay(usize, u64),
    /// Access ends at a moment in seconds from now, maybe past.
    End(usize, i64),
    Revoke(usize),
    Forever(usize),
    /// All who have an end have it now.
    AllEnd,
    Remove(usize),
    Add(usize, u64),
    /// A device is moved to another subscriber.
    Move(usize, usize),
    RemoveDevice(usize, usize),
    AddDevice(usize, usize),
    /// A device leaves, or comes back.
    Present(usize, bool),
    Router(usize, OfRouter),
    /// A new router comes into service. Some of the devices are in its range, too.
    AddRouter,
    DatabaseDown(bool),
    /// In percent.
    LoseAnswers(u32),
    /// Calls of the database take at most so many milliseconds.
    Slow(u64),
    Watcher(usize, OfWatcher),
    /// The database refuses writes, and goes on being read: its disk is full, or it is a standby.
    ReadOnly(bool),
    /// The database is put back to what it was so many seconds ago.
    PutBack(u64),
    /// The database's clock is stepped by seconds.
    SetDatabase(i64),
    /// An operator looks at the brakes and releases them.
    ReleaseBrakes,
    /// What is older than a second is pruned.
    Prune,
}

/// What happens to a router, or on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OfRouter {
    /// The operator enables or disables an account by hand.
    ByHand(usize, bool),
    /// A device gets a bypass binding, or the operator enables or disables the one it has.
    Bypass(usize, bool),
    /// The same with an account that is named as a device: it logs in by its MAC.
    MacAccount(usize, bool),
    Trial(bool),
    Fault(Fault),
    /// Each flight to it takes so many milliseconds longer.
    Delay(u64),
    /// It starts anew, and gives out its ids again.
    Restart,
    Enable(bool),
    /// Another box with the operator's set-up answers at its address.
    Swap,
    /// The operator accepts the box that answers.
    Accept,
    /// It gets another address.
    Readdress,
}

/// What happens to a watcher, or to the machine it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OfWatcher {
    Kill,
    Start,
    Stop,
    Freeze(bool),
    /// It freezes at so many crossings from now, to or from a router or the database, of what a cut
    /// is made of.
    FreezeWithin(u32),
    /// The clock is stepped by seconds.
    SetClock(i64),
    /// The clock runs fast or slow, in per mille.
    Drift(i32),
    /// The machine sleeps for seconds.
    Suspend(u64),
}

/// Everything happens within this.
const LENGTH: u64 = 240_000;

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let cast = Cast {
            routers: rng.random_range(1..=3),
            watchers: rng.random_range(1..=3),
            subscribers: rng.random_range(2..=6),
            twins: if rng.random_bool(0.3) {
                rng.random_range(1..=2)
            } else {
                0
            },
            share_limit: if rng.random_bool(0.2) { 50 } else { 100 },
        };
        let count = rng.random_range(5..60);
        // A few kinds of trouble in each plan meet each other more often than all of them would.
        let mut kinds: Vec<u32> = (0..KINDS).collect();
        for at in (1..kinds.len()).rev() {
            kinds.swap(at, rng.random_range(0..=at));
        }
        kinds.truncate(rng.random_range(3..14));
        let mut steps: Vec<_> = (0..count)
            .map(|_| {
                let kind = if rng.random_bool(0.5) {
                    rng.random_range(0..EVERYDAY)
                } else {
                    kinds[rng.random_range(0..kinds.len())]
                };
                (
                    rng.random_range(500..LENGTH),
                    Step::draw(kind, &cast, &mut rng),
                )
            })
            .collect();
        steps.sort_by_key(|(at, _)| *at);
        Self { seed, cast, steps }
    }
}

/// The first kinds are what customers do.
const EVERYDAY: u32 = 6;
const KINDS: u32 = 35;

impl Step {
    fn draw(kind: u32, cast: &Cast, rng: &mut StdRng) -> Self {
        let who = rng.random_range(0..cast.people());
        let other = rng.random_range(0..cast.subscribers);
        // There may be one more later.
        let router = rng.random_range(0..=cast.boxes());
        let watcher = rng.random_range(0..cast.watchers);
        let flip = rng.random_bool(0.5);
        match kind {
            0 | 1 => Self::Pay(who, rng.random_range(1..90)),
            2 => Self::End(who, rng.random_range(0..20)),
            3 => Self::Revoke(who),
            4 => Self::End(who, rng.random_range(-90..5)),
            5 => Self::Present(who, flip),
            6 => Self::Forever(who),
            7 => Self::AllEnd,
            8 => Self::Remove(who),
            9 => Self::Add(who, rng.random_range(1..60)),
            10 => Self::Move(who, rng.random_range(0..cast.people())),
            11 => Self::RemoveDevice(who, other),
            12 => Self::AddDevice(who, other),
            13 => Self::Router(router, OfRouter::ByHand(who, flip)),
            14 => Self::Router(router, OfRouter::Bypass(who, flip)),
            15 => Self::Router(router, OfRouter::Trial(flip)),
            16 | 17 => Self::Router(router, OfRouter::Fault(draw_fault(rng))),
            18 => Self::Router(router, OfRouter::Restart),
            19 => Self::Router(router, OfRouter::Enable(flip)),
            20 => Self::DatabaseDown(flip),
            21 => Self::LoseAnswers(if flip { 0 } else { rng.random_range(1..40) }),
            22 => Self::Slow(rng.random_range(0..400)),
            23 => Self::Watcher(watcher, OfWatcher::Kill),
            24 => Self::Watcher(watcher, OfWatcher::Start),
            25 => match rng.random_range(0..6) {
                0 => Self::Watcher(watcher, OfWatcher::Stop),
                1 | 2 => {
                    let crossings = rng.random_range(1..=10);
                    Self::Watcher(watcher, OfWatcher::FreezeWithin(crossings))
                }
                _ => Self::Watcher(watcher, OfWatcher::Freeze(flip)),
            },
            26 => Self::Router(router, OfRouter::MacAccount(who, flip)),
            27 => Self::Router(
                router,
                OfRouter::Delay(if flip { 0 } else { rng.random_range(1..4_000) }),
            ),
            28 => Self::AddRouter,
            29 => match rng.random_range(0..4) {
                0 => Self::Router(router, OfRouter::Readdress),
                1 => Self::Router(router, OfRouter::Swap),
                _ => Self::Router(router, OfRouter::Accept),
            },
            30 => Self::Prune,
            31 => Self::ReleaseBrakes,
            32 => Self::ReadOnly(flip),
            33 => Self::PutBack(rng.random_range(0..40)),
            _ => match rng.random_range(0..6) {
                0 => Self::SetDatabase(rng.random_range(-60..60)),
                1 => Self::Watcher(watcher, OfWatcher::Suspend(rng.random_range(1..60))),
                2 => Self::Watcher(watcher, OfWatcher::Drift(rng.random_range(-60..60))),
                _ => Self::Watcher(watcher, OfWatcher::SetClock(rng.random_range(-90..90))),
            },
        }
    }
}

fn draw_fault(rng: &mut StdRng) -> Fault {
    [
        Fault::None,
        Fault::None,
        Fault::None,
        Fault::Down,
        Fault::BlackHole,
        Fault::LostAnswers,
        Fault::LostResults,
        Fault::Ignored,
        Fault::Login,
        Fault::NoPermission,
        Fault::Unreadable,
    ][rng.random_range(0..11)]
}

/// Returns the plan without one part after the other, until it does not fail without any step.
pub(crate) fn shrink(plan: &Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut part = best.steps.len().div_ceil(2);
    while part > 0 {
        let before = best.steps.len();
        let mut from = 0;
        while from < best.steps.len() {
            let mut smaller = best.clone();
            let to = (from + part).min(smaller.steps.len());
            smaller.steps.drain(from..to);
            if fails(&smaller) {
                best = smaller;
            } else {
                from += part;
            }
        }
        if part > 1 || best.steps.len() == before {
            part /= 2;
        }
    }
    best
}

pub(crate) fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_plan_shrinks_to_the_steps_that_it_takes() {
    let plan = Plan::of(3);
    let needed: Vec<_> = plan.steps.iter().step_by(7).cloned().collect();
    let fails = |plan: &Plan| needed.iter().all(|step| plan.steps.contains(step));
    assert_eq!(shrink(&plan, fails).steps, needed);
    assert!(shrink(&plan, |_| true).steps.is_empty());
}
