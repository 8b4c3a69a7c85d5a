//! Which addresses a binding fits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::BindingRow;

/// The addresses from the first to the last, both of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    first: IpAddr,
    last: IpAddr,
}

impl Reach {
    const EVERYBODY: Self = Self {
        first: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        last: IpAddr::V4(Ipv4Addr::BROADCAST),
    };

    /// Reads what a router prints: `10.5.0.7`, `10.5.0.7-10.5.0.9` or `10.5.0.0/24`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((network, length)) = text.split_once('/') {
            return Self::network(network.parse().ok()?, length.parse().ok()?);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
        let is_one_family = first.is_ipv4() == last.is_ipv4();
        (is_one_family && first <= last).then_some(Self { first, last })
    }

    /// Returns the address if there is only one.
    pub fn only(self) -> Option<IpAddr> {
        (self.first == self.last).then_some(self.first)
    }

    /// Tells whether an address is among them.
    pub fn covers(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }

    fn network(address: IpAddr, length: u32) -> Option<Self> {
        match address {
            IpAddr::V4(address) => {
                let free = u32::MAX.checked_shr(length).unwrap_or(0);
                let address = u32::from(address);
                (length <= 32).then_some(Self {
                    first: Ipv4Addr::from(address & !free).into(),
                    last: Ipv4Addr::from(address | free).into(),
                })
            }
            IpAddr::V6(address) => {
                let free = u128::MAX.checked_shr(length).unwrap_or(0);
                let address = u128::from(address);
                (length <= 128).then_some(Self {
                    first: Ipv6Addr::from(address & !free).into(),
                    last: Ipv6Addr::from(address | free).into(),
                })
            }
        }
    }
}

impl BindingRow {
    /// Returns the addresses that the row fits; without an address, those that it translates to.
    /// `None` if they cannot be read. A row without MAC and addresses fits everybody.
    pub fn reach(&self) -> Option<Reach> {
        match (&self.address, &self.to_address, self.mac) {
            (Some(text), ..) | (None, Some(text), _) => Reach::parse(text),
            (None, None, None) => Some(Reach::EVERYBODY),
            (None, None, Some(_)) => None,
        }
    }

    /// Returns the one address that the row fits or translates to, if it is only one.
    pub fn only_address(&self) -> Option<IpAddr> {
        self.reach()?.only()
    }

    /// Returns the single addresses that the row names: the one that it fits, and the one that it
    /// translates to. A device has tracked connections under both.
    pub fn named_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let texts = [&self.address, &self.to_address].into_iter().flatten();
        texts.filter_map(|text| Reach::parse(text)?.only())
    }

    /// Tells whether the row fits a device by nothing but its address.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.mac.is_none() && self.reach().is_some_and(|reach| reach.covers(address))
    }

    /// Says which binding this is, for the operator: `the binding for 10.5.0.0/24 (comment "till")`.
    pub fn describe(&self) -> String {
        let whom = match (self.mac, &self.address, &self.to_address) {
            (Some(mac), ..) => mac.to_string(),
            (None, Some(address), _) | (None, None, Some(address)) => address.clone(),
            (None, None, None) => "every address".into(),
        };
        match self.comment.as_deref() {
            Some(comment) => format!("the binding for {whom} (comment \"{comment}\")"),
            None => format!("the binding for {whom}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.5.0.7", "10.5.0.7", "10.5.0.7")]
    #[case("10.5.0.7-10.5.0.7", "10.5.0.7", "10.5.0.7")]
    #[case("10.5.0.7/32", "10.5.0.7", "10.5.0.7")]
    #[case("10.5.0.7-10.5.0.9", "10.5.0.7", "10.5.0.9")]
    #[case("10.5.3.7/23", "10.5.2.0", "10.5.3.255")]
    #[case("0.0.0.0/0", "0.0.0.0", "255.255.255.255")]
    #[case("2001:db8::/127", "2001:db8::", "2001:db8::1")]
    fn addresses_ranges_and_networks_are_read(
        #[case] text: &str,
        #[case] first: IpAddr,
        #[case] last: IpAddr,
    ) {
        let reach = Reach::parse(text).expect("readable");
        assert_eq!(reach, Reach { first, last });
        assert_eq!(reach.only().is_some(), first == last);
    }

    #[rstest]
    #[case("")]
    #[case("10.5.0.9-10.5.0.7")]
    #[case("10.5.0.7-2001:db8::1")]
    #[case("10.5.0.0/33")]
    #[case("2001:db8::/129")]
    #[case("pool1")]
    fn what_is_no_address_is_none(#[case] text: &str) {
        assert_eq!(Reach::parse(text), None);
    }

    proptest! {
        #[test]
        fn a_network_has_the_addresses_that_begin_like_it(
            network: u32, other: u32, length in 0..=32u32,
        ) {
            let reach = Reach::parse(&format!("{}/{length}", Ipv4Addr::from(network)));
            let alike = (network ^ other).leading_zeros() >= length;
            let covers = reach.expect("readable").covers(Ipv4Addr::from(other).into());
            prop_assert_eq!(covers, alike);
        }
    }
}
