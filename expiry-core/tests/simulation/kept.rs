//! Plans that once broke a rule, as short as they could be made.

use crate::{
    fails,
    plan::{Cast, OfRouter, Plan, Step},
};

/// A bypass binding that the operator gave a device was taken for the way in of the subscriber
/// under whose session the device was seen before, and its host was dropped every 30 s for ever.
#[test]
fn r1_a_bypass_of_a_device_that_is_nobodys_is_left_alone() {
    holds(
        (1, 1, 3),
        &[
            (4_620, Step::RemoveDevice(1, 1)),
            (174_657, Step::Router(0, OfRouter::Bypass(1, true))),
            (239_404, Step::Pay(1, 49)),
        ],
    );
}

/// A look that a brake had held up undid what the operator disabled long after a restore.
#[test]
fn r3_what_is_disabled_by_hand_long_after_a_restore_stays_disabled() {
    holds(
        (1, 2, 5),
        &[
            (169_927, Step::Pay(0, 36)),
            (177_762, Step::SetDatabase(19)),
            (235_000, Step::Router(0, OfRouter::ByHand(0, false))),
        ],
    );
}

fn holds((routers, watchers, subscribers): (usize, usize, usize), steps: &[(u64, Step)]) {
    let plan = Plan {
        seed: 0,
        cast: Cast {
            routers,
            watchers,
            subscribers,
            twins: 0,
            share_limit: 100,
        },
        steps: steps.to_vec(),
    };
    assert!(!fails(&plan), "{}", crate::report(&plan));
}
