//! Who is in the play, and what happens when. All times count from the start.

use std::time::Duration;

use expiry_core::{MacAddr, Username};
use expiry_mikrotik::sim::{Access, ClientConfig};

/// Nobody's access ends before this.
const QUIET: Duration = Duration::from_secs(2);

/// The whole play.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) actors: Vec<Actor>,
    /// Things that happen by the clock, in order.
    pub(super) steps: Vec<(Duration, Step)>,
    /// Which router is unreachable for a while.
    pub(super) dying: usize,
}

/// One subscriber with one device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Actor {
    pub(super) username: Username,
    pub(super) mac: MacAddr,
    pub(super) router: usize,
    pub(super) ends: Duration,
    pub(super) payment: Option<Payment>,
    bypass: bool,
    fasttrack: bool,
    cookies: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payment {
    BeforeTheEnd,
    AfterTheCut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Renew(usize),
    RouterDies,
    RouterReturns,
}

impl Plan {
    /// Makes a play of `length` with at least one router and five subscribers.
    pub(super) fn new(length: Duration, routers: usize, subscribers: usize) -> Self {
        let middle = subscribers / 2;
        let late = 0;
        let renewing = [subscribers * 3 / 4, subscribers - 1];
        let span = length.saturating_sub(QUIET);
        let actor = |index: usize| Actor {
            username: username(index),
            mac: mac(index),
            router: index % routers.max(1),
            ends: QUIET + span.mul_f64(share(2 * index + 1, 2 * subscribers)),
            payment: if index == late {
                Some(Payment::AfterTheCut)
            } else {
                renewing.contains(&index).then_some(Payment::BeforeTheEnd)
            },
            bypass: index % 5 == 1,
            fasttrack: index % 3 == 2,
            cookies: index.is_multiple_of(2),
        };
        let actors: Vec<_> = (0..subscribers).map(actor).collect();
        let renewals = renewing
            .iter()
            .map(|&index| (actors[index].ends.mul_f64(0.6), Step::Renew(index)));
        // The end of the one in the middle lies within, whatever the sizes.
        let outage = [
            (QUIET + span.mul_f64(0.4), Step::RouterDies),
            (QUIET + span.mul_f64(0.65), Step::RouterReturns),
        ];
        let mut steps: Vec<_> = renewals.chain(outage).collect();
        steps.sort_by_key(|(at, _)| *at);
        Self {
            dying: actors[middle].router,
            actors,
            steps,
        }
    }
}

impl Actor {
    /// The device: it tries to come back as soon as it is off.
    pub(super) fn client(&self) -> ClientConfig {
        ClientConfig {
            access: if self.bypass {
                Access::Bypass
            } else {
                Access::Account
            },
            fasttrack: self.fasttrack,
            with_cookie: self.cookies && !self.bypass,
            mac_cookie: self.cookies && !self.bypass,
            persistent: true,
            connections: 4,
            ..ClientConfig::new(self.username.to_string(), self.mac)
        }
    }

    /// Whether its access ends in the course of the play.
    pub(super) fn expires(&self) -> bool {
        self.payment != Some(Payment::BeforeTheEnd)
    }
}

fn username(index: usize) -> Username {
    let name = format!("2557{index:08}");
    name.parse().expect("a few digits are a name")
}

fn mac(index: usize) -> MacAddr {
    let [.., a, b, c] = index.to_be_bytes();
    MacAddr::new([2, 0, 0, a, b, c])
}

#[expect(clippy::cast_precision_loss, reason = "both are small")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_play_has_all_its_scenes(
            seconds in 5..3_600u64,
            routers in 1..200usize,
            subscribers in 5..2_000usize,
        ) {
            let length = Duration::from_secs(seconds);
            let plan = Plan::new(length, routers, subscribers);
            prop_assert_eq!(plan.actors.len(), subscribers);
            prop_assert!(plan.actors.iter().all(|a| a.ends > QUIET && a.ends < length));
            let paying = |payment| plan.actors.iter().filter(move |a| a.payment == Some(payment));
            prop_assert_eq!(paying(Payment::BeforeTheEnd).count(), 2);
            prop_assert_eq!(paying(Payment::AfterTheCut).count(), 1);

            let at = |wanted| plan.steps.iter().find(|(_, step)| *step == wanted).map(|(at, _)| *at);
            let dies = at(Step::RouterDies).expect("a death");
            let returns = at(Step::RouterReturns).expect("a return");
            let waits = |a: &&Actor| {
                a.router == plan.dying && a.expires() && a.ends > dies && a.ends < returns
            };
            prop_assert!(plan.actors.iter().any(|a| waits(&a)));
            let late = paying(Payment::AfterTheCut).next().expect("one");
            prop_assert!(late.ends < dies);
            for (index, actor) in plan.actors.iter().enumerate() {
                if actor.payment == Some(Payment::BeforeTheEnd) {
                    prop_assert!(at(Step::Renew(index)).expect("a renewal") < actor.ends);
                }
            }
        }
    }
}
