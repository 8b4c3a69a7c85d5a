//! Plans that once broke a rule, as short as they could be made.

use expiry_core::testing::gateway::Fault;

use crate::{
    Failure,
    plan::{Cast, OfRouter, OfWatcher, Plan, Step},
    report,
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

/// A write whose answer had come in time was looked at again when its watcher was woken minutes
/// later, and what the operator had disabled since was enabled.
#[test]
fn r3_a_write_that_was_answered_in_time_is_not_looked_at_by_who_wakes_late() {
    let steps = [
        (22_700, Step::Watcher(0, OfWatcher::FreezeWithin(6))),
        (28_112, Step::Forever(0)),
        (126_232, Step::Forever(2)),
        (132_802, Step::Revoke(2)),
        (183_475, Step::RemoveDevice(0, 0)),
        (207_529, Step::Router(1, OfRouter::ByHand(0, false))),
        (238_922, Step::Present(2, true)),
    ];
    holds_with_limit((2, 2, 3), 50, &steps);
}

/// The model held a watcher to what it cannot know: while the answer to a write is under way, it may
/// have been written before or after what the operator does by hand.
#[test]
fn r3_a_write_is_in_hand_until_its_answer_comes() {
    holds(
        (1, 2, 2),
        &[
            (1_000, Step::Watcher(0, OfWatcher::FreezeWithin(3))),
            (40_000, Step::Pay(0, 300)),
            (110_000, Step::Router(0, OfRouter::ByHand(0, false))),
            (200_000, Step::Watcher(0, OfWatcher::Freeze(false))),
        ],
    );
}

/// The model took a step back to the right time for a jump, although nobody had read the clock since
/// it was right: what it had drifted meanwhile was undone.
#[test]
fn r10_what_a_clock_drifted_unread_is_undone_by_a_step_back() {
    holds(
        (3, 1, 6),
        &[
            (2_036, Step::Watcher(0, OfWatcher::Drift(-41))),
            (12_923, Step::Watcher(0, OfWatcher::Kill)),
            (231_628, Step::End(4, 18)),
        ],
    );
    holds(
        (2, 3, 2),
        &[
            (13_950, Step::Watcher(1, OfWatcher::Drift(43))),
            (125_609, Step::DatabaseDown(true)),
        ],
    );
    holds(
        (3, 3, 5),
        &[
            (2_653, Step::DatabaseDown(true)),
            (20_895, Step::Watcher(1, OfWatcher::Drift(51))),
            (226_413, Step::End(0, 16)),
        ],
    );
    holds(
        (3, 2, 5),
        &[
            (83_969, Step::Watcher(0, OfWatcher::Drift(-60))),
            (124_698, Step::DatabaseDown(true)),
            (194_046, Step::Watcher(0, OfWatcher::Kill)),
        ],
    );
}

/// A database that was put back gave out the epoch of a lane that still ran: what that had read of
/// the box of before was recorded for another one.
#[test]
fn r8_a_database_that_is_put_back_gives_out_no_epoch_twice() {
    holds(
        (2, 1, 4),
        &[
            (14_372, Step::AddRouter),
            (93_704, Step::End(2, 17)),
            (113_085, Step::Router(0, OfRouter::Accept)),
            (117_396, Step::PutBack(38)),
            (117_521, Step::Router(0, OfRouter::Accept)),
            (135_953, Step::Revoke(3)),
        ],
    );
}

/// The model took a binding that the operator disabled for one that we have to enable, because the
/// account that is named as its device was.
#[test]
fn r3_what_is_disabled_by_hand_is_its_own_whatever_else_of_its_device_is_ours() {
    holds(
        (3, 2, 6),
        &[
            (49_274, Step::AddRouter),
            (102_501, Step::End(0, 13)),
            (107_140, Step::Router(3, OfRouter::MacAccount(0, true))),
            (200_692, Step::Router(3, OfRouter::Bypass(0, true))),
            (204_107, Step::Router(3, OfRouter::Bypass(0, false))),
        ],
    );
}

/// The model held a watcher to a jump that the database knew no longer, and that was undone.
#[test]
fn r10_a_jump_that_is_forgotten_and_undone_is_none() {
    holds(
        (3, 2, 5),
        &[
            (209_411, Step::Pay(3, 31)),
            (228_651, Step::Watcher(0, OfWatcher::SetClock(-60))),
            (233_993, Step::PutBack(20)),
        ],
    );
}

/// The model forgot that a difference between 5 s and 5.6 s brakes already: who released that brake
/// has accepted it.
#[test]
fn r10_a_small_difference_that_was_released_is_borne() {
    holds(
        (2, 1, 2),
        &[
            (142_466, Step::SetDatabase(-4)),
            (157_649, Step::Watcher(0, OfWatcher::Drift(25))),
            (201_440, Step::Forever(0)),
            (207_776, Step::ReleaseBrakes),
            (229_885, Step::LoseAnswers(0)),
            (235_384, Step::Revoke(0)),
            (237_034, Step::LoseAnswers(0)),
        ],
    );
}

/// The model took somebody for live since they paid, although their access had ended since and was
/// live again only because the database's clock was set back.
#[test]
fn r1_who_is_live_again_by_a_clock_that_was_set_back_is_live_since_then() {
    holds(
        (3, 3, 5),
        &[
            (38_397, Step::Slow(163)),
            (75_302, Step::End(3, 1)),
            (76_634, Step::SetDatabase(-34)),
            (82_610, Step::End(3, -52)),
        ],
    );
}

/// The model asked for 20 s where a reading is what finds the device: it was moved to somebody who
/// had ended, while its router was out of service, and came in by itself when its former owner ended.
#[test]
fn r9_a_device_that_comes_in_as_somebody_else_is_found_by_the_next_reading() {
    holds(
        (1, 2, 3),
        &[
            (43_588, Step::AddRouter),
            (148_322, Step::End(0, 16)),
            (155_425, Step::Router(1, OfRouter::Enable(false))),
            (201_693, Step::Move(0, 1)),
            (215_821, Step::Router(1, OfRouter::MacAccount(0, true))),
            (227_780, Step::Pay(0, 51)),
        ],
    );
}

/// Who paid while the flight that blocks was under way was blocked again, when the router could not
/// show its connection table and the flight was flown once more.
#[test]
fn r3_who_pays_while_a_flight_is_refused_is_not_in_the_next_one() {
    holds(
        (3, 1, 2),
        &[
            (139_066, Step::Pay(0, 66)),
            (142_737, Step::Watcher(0, OfWatcher::FreezeWithin(4))),
            (206_109, Step::Router(0, OfRouter::Fault(Fault::Unreadable))),
            (209_745, Step::Pay(0, 15)),
            (218_764, Step::Watcher(0, OfWatcher::Freeze(false))),
            (239_378, Step::Watcher(0, OfWatcher::FreezeWithin(6))),
        ],
    );
}

/// The model did not count the time that a machine sleeps, as its boot clock does.
#[test]
fn r10_a_minute_in_which_the_machine_slept_is_a_minute() {
    holds(
        (3, 2, 2),
        &[
            (98_865, Step::Router(1, OfRouter::Trial(true))),
            (132_777, Step::End(0, -15)),
            (147_820, Step::SetDatabase(-40)),
            (153_205, Step::Watcher(0, OfWatcher::SetClock(-42))),
            (184_513, Step::Watcher(0, OfWatcher::Suspend(3))),
        ],
    );
}

/// The model held a watcher to a jump that its drifting clock had undone before anybody read it.
#[test]
fn r10_a_jump_that_the_drift_undoes_unseen_is_none() {
    holds(
        (2, 1, 5),
        &[
            (21_750, Step::Watcher(0, OfWatcher::Drift(-49))),
            (42_450, Step::Watcher(0, OfWatcher::Stop)),
            (50_000, Step::Pay(0, 30)),
            (65_971, Step::Watcher(0, OfWatcher::SetClock(8))),
            (110_000, Step::Watcher(0, OfWatcher::Start)),
        ],
    );
}

fn holds(cast: (usize, usize, usize), steps: &[(u64, Step)]) {
    holds_with_limit(cast, 100, steps);
}

fn holds_with_limit(
    (routers, watchers, subscribers): (usize, usize, usize),
    share_limit: u32,
    steps: &[(u64, Step)],
) {
    let plan = Plan {
        seed: 0,
        cast: Cast {
            routers,
            watchers,
            subscribers,
            twins: 0,
            share_limit,
        },
        steps: steps.to_vec(),
    };
    if let Some(failure) = Failure::of(plan) {
        panic!("{}", report(&failure));
    }
}
