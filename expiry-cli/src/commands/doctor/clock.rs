//! Deadlines are decided by the database's clock, so it has to be right, and this one with it.

use chrono::TimeDelta;
use expiry_core::{
    Clock, EnforcementStore, SystemClock,
    brake::{Agreement, Apart},
};

use super::check::{Check, answer};

/// More than this between two clocks is worth a look.
const NOTABLE: TimeDelta = TimeDelta::seconds(1);

const SYNCHRONISE: &str = "have both machines keep their clocks by NTP (chrony, systemd-timesyncd)";

/// Compares the database's clock with this machine's.
pub(super) async fn against(store: &(impl EnforcementStore + ?Sized)) -> Check {
    const NAME: &str = "database clock";
    let before = SystemClock.wall();
    let theirs = match answer(NAME, store.now()).await {
        Ok(now) => now,
        Err(check) => return check,
    };
    judge(Apart::between(before, theirs, SystemClock.wall()))
}

fn judge(apart: Apart) -> Check {
    const NAME: &str = "database clock";
    let ahead = apart.certain();
    let side = if ahead > TimeDelta::zero() {
        "ahead of"
    } else {
        "behind"
    };
    let seconds = ahead.abs().as_seconds_f64();
    let found = format!("at least {seconds:.1} s {side} this machine's");
    if let Agreement::Differ(_) = apart.agreement() {
        Check::failed(NAME, found, SYNCHRONISE)
    } else if ahead.abs() > NOTABLE {
        Check::warning(NAME, found, SYNCHRONISE)
    } else {
        Check::ok(NAME, "agrees with this machine's")
    }
}

/// Tells what the kernel thinks of its clock.
pub(super) async fn kernel() -> Check {
    const NAME: &str = "kernel clock";
    match SystemClock.is_synchronised().await {
        Some(true) => Check::ok(NAME, "synchronised"),
        Some(false) => Check::warning(NAME, "not synchronised", SYNCHRONISE),
        None => Check::ok(NAME, "cannot be told on this machine"),
    }
}

#[cfg(test)]
mod tests {
    use expiry_core::MockEnforcementStore;

    use super::*;
    use crate::commands::doctor::check::State;

    async fn with_clock(off: TimeDelta) -> Check {
        let mut store = MockEnforcementStore::new();
        store
            .expect_now()
            .returning(move || Ok(SystemClock.wall() + off));
        against(&store).await
    }

    #[tokio::test]
    async fn r10_clocks_that_differ_by_more_than_5_s_are_a_failure() {
        let second = TimeDelta::seconds(1);
        assert_eq!(with_clock(TimeDelta::zero()).await.state, State::Ok);
        assert_eq!(with_clock(second * 3).await.state, State::Warning);
        for off in [second * 8, -second * 8] {
            let check = with_clock(off).await;
            assert_eq!(check.state, State::Failed);
            let side = if off > TimeDelta::zero() {
                "ahead"
            } else {
                "behind"
            };
            assert!(check.found.contains(side), "{check}");
        }
    }
}
