//! Slows down whoever guesses tokens.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// So many failures of one address within the window are let through.
const ALLOWED: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);

/// Most addresses that are remembered.
const REMEMBERED: usize = 10_000;

/// So many failures within the window are let through of all other addresses together.
const ALLOWED_OTHERS: u32 = 1_000;

/// Those that need not be remembered any more are looked for this often at most.
const SWEEP: Duration = Duration::from_secs(1);

/// Counts failed sign-ins by address; an IPv6 network of 64 bits counts as one. Once there are too
/// many of them to be remembered, the others count as one.
#[derive(Debug, Default)]
pub(crate) struct Guard(Mutex<Failed>);

#[derive(Debug, Default)]
struct Failed {
    addresses: HashMap<IpAddr, Failures>,
    others: Option<Failures>,
    swept_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

impl Failures {
    fn is_over(&self, now: Instant) -> bool {
        now - self.since >= WINDOW
    }

    fn wait(&self, allowed: u32) -> Option<Duration> {
        let left = WINDOW.checked_sub(self.since.elapsed())?;
        (self.count >= allowed && left > Duration::ZERO).then_some(left)
    }

    fn and_one(before: Option<Self>, now: Instant) -> Self {
        match before {
            Some(before) if !before.is_over(now) => Self {
                count: before.count.saturating_add(1),
                ..before
            },
            _ => Self {
                since: now,
                count: 1,
            },
        }
    }
}

impl Guard {
    /// Returns how long an address has still to wait, if it has.
    pub(crate) fn wait(&self, address: IpAddr) -> Option<Duration> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.addresses.get(&network(address)) {
            Some(failures) => failures.wait(ALLOWED),
            None => failed.others?.wait(ALLOWED_OTHERS),
        }
    }

    pub(crate) fn failed(&self, address: IpAddr) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = &mut *failed;
        let now = Instant::now();
        let address = network(address);
        let before = failed.addresses.get(&address).copied();
        if before.is_none() && failed.addresses.len() >= REMEMBERED {
            if failed.swept_at.is_none_or(|at| now - at >= SWEEP) {
                failed.swept_at = Some(now);
                failed
                    .addresses
                    .retain(|_, failures| !failures.is_over(now));
            }
            if failed.addresses.len() >= REMEMBERED {
                failed.others = Some(Failures::and_one(failed.others, now));
                return;
            }
        }
        let failures = Failures::and_one(before, now);
        failed.addresses.insert(address, failures);
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(bits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn ten_failures_in_a_minute_make_an_address_wait_and_no_other() {
        let guard = Guard::default();
        let (guesser, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..ALLOWED {
            assert_eq!(guard.wait(guesser), None);
            guard.failed(guesser);
        }
        assert_eq!(guard.wait(guesser), Some(WINDOW));
        assert_eq!(guard.wait(other), None);
        tokio::time::advance(WINDOW).await;
        assert_eq!(guard.wait(guesser), None);
        guard.failed(guesser);
        assert_eq!(guard.wait(guesser), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_whole_network_has_no_more_guesses() {
        let guard = Guard::default();
        for n in 0..ALLOWED {
            guard.failed(address(&format!("2001:db8:1:2::{n}")));
        }
        assert!(guard.wait(address("2001:db8:1:2:ffff::9")).is_some());
        assert!(guard.wait(address("2001:db8:1:3::9")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn no_number_of_addresses_fills_the_memory() {
        let guard = Guard::default();
        for n in 0..u32::try_from(REMEMBERED).expect("small") + 5_000 {
            guard.failed(IpAddr::from(n.to_be_bytes()));
        }
        let kept = guard.0.lock().expect("not poisoned").addresses.len();
        assert!(kept <= REMEMBERED, "{kept}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_more_addresses_than_are_remembered_has_to_wait_as_well() {
        let guard = Guard::default();
        let remembered = u32::try_from(REMEMBERED).expect("small");
        let nth = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..remembered + ALLOWED_OTHERS {
            assert_eq!(guard.wait(nth(n)), None, "{n}");
            guard.failed(nth(n));
        }
        assert_eq!(guard.wait(nth(remembered + 5_000)), Some(WINDOW));
        assert_eq!(
            guard.wait(nth(7)),
            None,
            "a remembered one counts by itself"
        );
        tokio::time::advance(WINDOW).await;
        assert_eq!(guard.wait(nth(remembered + 5_000)), None);
        guard.failed(nth(remembered + 5_000));
        let kept = guard.0.lock().expect("not poisoned").addresses.len();
        assert_eq!(kept, 1, "the others are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_memory_is_not_swept_for_every_failure() {
        let guard = Guard::default();
        let remembered = u32::try_from(REMEMBERED).expect("small");
        let nth = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..=remembered {
            guard.failed(nth(n));
        }
        let swept_at = || guard.0.lock().expect("not poisoned").swept_at;
        let first = swept_at();
        tokio::time::advance(SWEEP / 2).await;
        guard.failed(nth(remembered + 1));
        assert_eq!(swept_at(), first);
        tokio::time::advance(SWEEP / 2).await;
        guard.failed(nth(remembered + 1));
        assert_ne!(swept_at(), first);
    }
}
