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

/// Most addresses that are remembered. Whoever has more of them cannot guess a token, either.
const REMEMBERED: usize = 10_000;

/// Counts failed sign-ins by address; an IPv6 network of 64 bits counts as one.
#[derive(Debug, Default)]
pub(crate) struct Guard(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

impl Guard {
    /// Returns how long an address has still to wait, if it has.
    pub(crate) fn wait(&self, address: IpAddr) -> Option<Duration> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = failed.get(&network(address))?;
        let left = WINDOW.checked_sub(failures.since.elapsed())?;
        (failures.count >= ALLOWED && left > Duration::ZERO).then_some(left)
    }

    pub(crate) fn failed(&self, address: IpAddr) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let address = network(address);
        if failed.len() >= REMEMBERED && !failed.contains_key(&address) {
            failed.retain(|_, failures| now - failures.since < WINDOW);
            if failed.len() >= REMEMBERED {
                return;
            }
        }
        let failures = failed.entry(address).or_insert(Failures {
            since: now,
            count: 0,
        });
        if now - failures.since >= WINDOW {
            *failures = Failures {
                since: now,
                count: 0,
            };
        }
        failures.count += 1;
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
        let kept = guard.0.lock().expect("not poisoned").len();
        assert!(kept <= REMEMBERED, "{kept}");
    }
}
