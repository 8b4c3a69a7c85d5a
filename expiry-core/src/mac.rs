//! Hardware addresses in any spelling.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A device's MAC address. Prints as `AA:BB:CC:DD:EE:FF`, the way RouterOS does.
///
/// ```
/// # use expiry_core::MacAddr;
/// let mac: MacAddr = "aabb.ccdd.ee0f".parse()?;
/// assert_eq!(mac.to_string(), "AA:BB:CC:DD:EE:0F");
/// # Ok::<(), expiry_core::MacError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr([u8; 6]);

/// Why a text is not the MAC address of a device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MacError {
    /// Not twelve hexadecimal digits with one kind of separator at even places.
    #[error("`{0}` is not a MAC address: twelve hexadecimal digits such as AA:BB:CC:DD:EE:FF")]
    Malformed(String),
    /// All zeros, or a group address: no single device has it.
    #[error("`{0}` is not the MAC address of a single device")]
    NotADevice(String),
}

impl MacAddr {
    /// Takes six octets as they are, in order of transmission.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// Returns the six octets in order of transmission.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Reads the MAC from the name of a hotspot account, if the name is one: MAC login uses the
    /// MAC as the user name, a trial session `T-` and the MAC.
    pub fn from_login(name: &str) -> Option<Self> {
        let mac = name.strip_prefix("T-").unwrap_or(name);
        mac.parse().ok()
    }

    /// Returns the spellings under which a router may hold this MAC as a user name.
    pub fn spellings(self) -> impl Iterator<Item = String> {
        let joined = |separator: &str| {
            let pairs: Vec<_> = self.0.iter().map(|octet| format!("{octet:02X}")).collect();
            pairs.join(separator)
        };
        [":", "-", ""].map(joined).into_iter().flat_map(|upper| {
            let lower = upper.to_lowercase();
            let differs = lower != upper;
            std::iter::once(upper).chain(differs.then_some(lower))
        })
    }
}

impl FromStr for MacAddr {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let malformed = || MacError::Malformed(text.into());
        let separator = text.chars().find(|c| !c.is_ascii_hexdigit());
        let group = match separator {
            None => 12,
            Some(':' | '-') => text.find([':', '-']).unwrap_or_default(),
            Some('.') => 4,
            Some(_) => return Err(malformed()),
        };
        if ![2, 4, 6, 12].contains(&group) {
            return Err(malformed());
        }
        let mut digits = String::with_capacity(12);
        for part in text.split(|c| Some(c) == separator) {
            if part.len() != group || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(malformed());
            }
            digits.push_str(part);
        }
        if digits.len() != 12 {
            return Err(malformed());
        }
        let mut octets = [0; 6];
        for (octet, at) in octets.iter_mut().zip((0..12).step_by(2)) {
            *octet = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| malformed())?;
        }
        if octets == [0; 6] || octets[0] & 1 == 1 {
            return Err(MacError::NotADevice(text.into()));
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, octet) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("AA:BB:CC:DD:EE:0F")]
    #[case("aa:bb:cc:dd:ee:0f")]
    #[case("AA-BB-CC-DD-EE-0F")]
    #[case("aabb.ccdd.ee0f")]
    #[case("AABBCC-DDEE0F")]
    #[case("AABB:CCDD:EE0F")]
    #[case("AABBCCDDEE0F")]
    fn r1_any_spelling_is_the_same_mac(#[case] text: &str) {
        assert_eq!(
            text.parse(),
            Ok(MacAddr([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x0f]))
        );
    }

    #[rstest]
    #[case("")]
    #[case("AA:BB:CC:DD:EE")]
    #[case("AA:BB:CC:DD:EE:FF:00")]
    #[case("AA:BB-CC:DD-EE:FF")]
    #[case("GG:BB:CC:DD:EE:FF")]
    #[case("AA:BB:CC:DD:EE:F")]
    #[case(":::::AABBCCDDEEFF")]
    #[case("ÄABBCCDDEEF")]
    fn what_is_no_mac_is_refused(#[case] text: &str) {
        assert_eq!(
            text.parse::<MacAddr>(),
            Err(MacError::Malformed(text.into()))
        );
    }

    #[rstest]
    #[case("00:00:00:00:00:00")]
    #[case("FF:FF:FF:FF:FF:FF")]
    #[case("01:00:5E:00:00:01")]
    fn what_no_device_has_is_refused(#[case] text: &str) {
        assert_eq!(
            text.parse::<MacAddr>(),
            Err(MacError::NotADevice(text.into()))
        );
    }

    proptest! {
        #[test]
        fn every_spelling_reads_back(mut octets: [u8; 6]) {
            octets[0] = octets[0] & 0xfe | 2;
            let mac = MacAddr(octets);
            for spelling in mac.spellings() {
                prop_assert_eq!(spelling.parse(), Ok(mac));
                prop_assert_eq!(MacAddr::from_login(&format!("T-{spelling}")), Some(mac));
            }
        }

        #[test]
        fn parsing_never_panics(text in ".{0,24}") {
            let _ = text.parse::<MacAddr>();
        }
    }
}
