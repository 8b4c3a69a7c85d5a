//! Slows down whoever guesses tokens.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// So many different wrong tokens of one address within the window are let through.
const ALLOWED: usize = 10;
const WINDOW: Duration = Duration::from_mins(1);

/// Most addresses that are remembered.
const REMEMBERED: usize = 10_000;

/// So many wrong tokens within the window are let through of all other addresses together.
const ALLOWED_OTHERS: usize = 1_000;

/// Those that need not be remembered any more are looked for this often at most.
const SWEEP: Duration = Duration::from_secs(1);

/// Counts wrong tokens by address; an IPv6 network of 64 bits counts as one. Once there are too many
/// of them to be remembered, the others count as one.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Made anew by every process: nobody who reads what is kept of a token can look it up.
    salt: RandomState,
    failed: Mutex<Failed>,
}

/// What a wrong token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A guess.
    New,
    /// Sent before by the same address, as a client does that nobody told of a new token.
    Again,
    /// The address has guessed too often, and waits for so long.
    TooMany(Duration),
}

#[derive(Debug, Default)]
struct Failed {
    addresses: HashMap<IpAddr, Failures>,
    others: Option<Failures>,
    swept_at: Option<Instant>,
}

/// What was wrong within a window: as much of it as is let through.
#[derive(Clone, Debug)]
struct Failures {
    since: Instant,
    wrong: Vec<u64>,
}

impl Failures {
    fn begun(now: Instant) -> Self {
        Self {
            since: now,
            wrong: Vec::new(),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        now - self.since >= WINDOW
    }

    fn add(&mut self, hash: u64, allowed: usize, now: Instant) -> Wrong {
        if self.is_over(now) {
            *self = Self::begun(now);
        }
        if self.wrong.len() >= allowed {
            return Wrong::TooMany(WINDOW.saturating_sub(now - self.since));
        }
        if self.wrong.contains(&hash) {
            return Wrong::Again;
        }
        self.wrong.push(hash);
        Wrong::New
    }
}

impl Guard {
    /// Counts a wrong token, the same one once.
    pub(crate) fn wrong(&self, address: IpAddr, token: &[u8]) -> Wrong {
        let hash = self.salt.hash_one(token);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (failed, now) = (&mut *failed, Instant::now());
        let address = network(address);
        if !failed.addresses.contains_key(&address) && failed.is_full(now) {
            let others = failed.others.get_or_insert_with(|| Failures::begun(now));
            return others.add(hash, ALLOWED_OTHERS, now);
        }
        let failures = failed.addresses.entry(address);
        let failures = failures.or_insert_with(|| Failures::begun(now));
        failures.add(hash, ALLOWED, now)
    }
}

impl Failed {
    /// Tells whether no other address can be remembered.
    fn is_full(&mut self, now: Instant) -> bool {
        if self.addresses.len() < REMEMBERED {
            return false;
        }
        if self.swept_at.is_none_or(|at| now - at >= SWEEP) {
            self.swept_at = Some(now);
            self.addresses.retain(|_, failures| !failures.is_over(now));
        }
        self.addresses.len() >= REMEMBERED
    }
}

/// The addresses that count as one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
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

    fn nth(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn guess(n: usize) -> Vec<u8> {
        format!("guess {n}").into_bytes()
    }

    fn remembered() -> u32 {
        u32::try_from(REMEMBERED).expect("small")
    }

    #[tokio::test(start_paused = true)]
    async fn r11_ten_guesses_in_a_minute_make_an_address_wait_and_no_other() {
        let guard = Guard::default();
        let (guesser, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for n in 0..ALLOWED {
            assert_eq!(guard.wrong(guesser, &guess(n)), Wrong::New);
        }
        for n in 0..1_000 {
            assert_eq!(guard.wrong(guesser, &guess(n)), Wrong::TooMany(WINDOW));
        }
        assert_eq!(guard.wrong(other, &guess(0)), Wrong::New);
        tokio::time::advance(WINDOW).await;
        assert_eq!(guard.wrong(guesser, &guess(0)), Wrong::New);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_wrong_token_again_is_no_guess() {
        let guard = Guard::default();
        let (client, old) = (address("192.0.2.1"), b"the token of last year");
        assert_eq!(guard.wrong(client, old), Wrong::New);
        for _ in 0..10_000 {
            assert_eq!(guard.wrong(client, old), Wrong::Again);
        }
        for n in 1..ALLOWED {
            assert_eq!(guard.wrong(client, &guess(n)), Wrong::New);
        }
        assert_eq!(guard.wrong(client, b"one more"), Wrong::TooMany(WINDOW));
    }

    #[tokio::test(start_paused = true)]
    async fn r11_what_was_wrong_is_not_kept() {
        let guard = Guard::default();
        guard.wrong(address("192.0.2.1"), b"hunter2hunter2hunter2");
        let kept = format!("{guard:?}");
        assert!(!kept.contains("hunter2"), "{kept}");
        let another = Guard::default();
        let token = b"a token";
        assert_ne!(guard.salt.hash_one(token), another.salt.hash_one(token));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_whole_network_has_no_more_guesses() {
        let guard = Guard::default();
        for n in 0..ALLOWED {
            guard.wrong(address(&format!("2001:db8:1:2::{n}")), &guess(n));
        }
        let waits = |text| matches!(guard.wrong(address(text), b"a"), Wrong::TooMany(_));
        assert!(waits("2001:db8:1:2:ffff::9"));
        assert!(!waits("2001:db8:1:3::9"));
    }

    #[tokio::test(start_paused = true)]
    async fn no_number_of_addresses_or_guesses_fills_the_memory() {
        let guard = Guard::default();
        for n in 0..remembered() + 5_000 {
            for m in 0..ALLOWED + 5 {
                guard.wrong(nth(n), &guess(m));
            }
        }
        let failed = guard.failed.lock().expect("not poisoned");
        assert!(failed.addresses.len() <= REMEMBERED);
        let all = failed.addresses.values().chain(&failed.others);
        let kept: usize = all.map(|failures| failures.wrong.len()).sum();
        assert!(kept <= REMEMBERED * ALLOWED + ALLOWED_OTHERS, "{kept}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_more_addresses_than_are_remembered_has_to_wait_as_well() {
        let guard = Guard::default();
        for n in 0..REMEMBERED + ALLOWED_OTHERS {
            let one = nth(u32::try_from(n).expect("small"));
            assert_eq!(guard.wrong(one, &guess(n)), Wrong::New, "{n}");
        }
        let later = nth(remembered() + 5_000);
        assert_eq!(guard.wrong(later, b"a"), Wrong::TooMany(WINDOW));
        let known = guard.wrong(nth(7), b"a");
        assert_eq!(known, Wrong::New, "a remembered one counts by itself");
        tokio::time::advance(WINDOW).await;
        assert_eq!(guard.wrong(later, b"a"), Wrong::New);
        let kept = guard.failed.lock().expect("not poisoned").addresses.len();
        assert_eq!(kept, 1, "the others are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_memory_is_not_swept_for_every_failure() {
        let guard = Guard::default();
        for n in 0..=remembered() {
            guard.wrong(nth(n), b"a");
        }
        let swept_at = || guard.failed.lock().expect("not poisoned").swept_at;
        let first = swept_at();
        tokio::time::advance(SWEEP / 2).await;
        guard.wrong(nth(remembered() + 1), b"a");
        assert_eq!(swept_at(), first);
        tokio::time::advance(SWEEP / 2).await;
        guard.wrong(nth(remembered() + 1), b"a");
        assert_ne!(swept_at(), first);
    }
}
