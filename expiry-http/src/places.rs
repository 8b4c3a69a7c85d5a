//! How many may be there at once: in all, and of one address, so that no address takes all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::guard::network;

#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    most_of_one: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// Of those who hold any.
    of: HashMap<IpAddr, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    All,
    /// The address has as many as one may have.
    One,
}

impl Places {
    pub(crate) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_one,
            held: Mutex::default(),
        })
    }

    /// Takes a place until it is dropped; an IPv6 network of 64 bits counts as one address.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let address = network(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.of.get(&address).copied().unwrap_or_default() >= self.most_of_one {
            return Err(Full::One);
        }
        if held.all >= self.most {
            return Err(Full::All);
        }
        held.all += 1;
        *held.of.entry(address).or_default() += 1;
        Ok(Place {
            places: Arc::clone(self),
            address,
        })
    }
}

/// One that is held.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let held = &self.places.held;
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all = held.all.saturating_sub(1);
        if let Some(of) = held.of.get_mut(&self.address) {
            *of = of.saturating_sub(1);
            if *of == 0 {
                held.of.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_takes_its_part_and_no_more() {
        let places = Places::new(5, 2);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let _first = places.take(one).expect("a place");
        let second = places.take(one).expect("a place");
        assert_eq!(places.take(one).err(), Some(Full::One));
        let _others = [0; 2].map(|_| places.take(other).expect("a place"));
        drop(second);
        let _again = places.take(one).expect("a place");
    }

    #[test]
    fn all_together_take_no_more_than_there_are() {
        let places = Places::new(3, 2);
        let nth = |n: u8| IpAddr::from([192, 0, 2, n]);
        let held: Vec<_> = (0..3)
            .map(|n| places.take(nth(n)).expect("a place"))
            .collect();
        assert_eq!(places.take(nth(9)).err(), Some(Full::All));
        drop(held);
        assert!(places.take(nth(9)).is_ok());
        assert!(places.held.lock().expect("not poisoned").of.is_empty());
    }

    #[test]
    fn who_has_a_whole_network_has_no_more_places() {
        let places = Places::new(9, 1);
        let _one = places.take(address("2001:db8:1:2::1")).expect("a place");
        assert_eq!(
            places.take(address("2001:db8:1:2::2")).err(),
            Some(Full::One)
        );
        assert!(places.take(address("2001:db8:1:3::2")).is_ok());
    }
}
