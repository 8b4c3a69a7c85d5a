//! The section `http` of the configuration.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use expiry_core::config::{Field, Key, Section};

use crate::HostName;

/// How the service is reached, and by whom. Keys, defaults and what they mean are told by the file
/// `docs/expiry.toml`.
#[derive(Clone)]
pub struct HttpConfig {
    /// Where to listen.
    pub listen: Option<String>,
    /// The token that opens it.
    pub token: Option<String>,
    /// The file that holds the token.
    pub token_file: Option<PathBuf>,
    /// Proxies whose word for where a request comes from is taken.
    pub trusted_proxies: Option<String>,
    /// Names that it is called by, besides its addresses.
    pub hosts: Option<String>,
    /// Whether a watcher runs inside.
    pub watcher_enabled: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Some("127.0.0.1:8080".into()),
            token: None,
            token_file: None,
            trusted_proxies: None,
            hosts: None,
            watcher_enabled: false,
        }
    }
}

/// Never shows the token.
impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("listen", &self.listen)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("token_file", &self.token_file)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("hosts", &self.hosts)
            .field("watcher_enabled", &self.watcher_enabled)
            .finish()
    }
}

impl Section for HttpConfig {
    const NAME: &'static str = "http";
    const KEYS: &'static [Key<Self>] = &[
        Key::new("listen", Field::Text(|c: &mut Self| &mut c.listen)).also(&["EXPIRY_LISTEN"]),
        Key::new("token", Field::Text(|c: &mut Self| &mut c.token)).secret(),
        Key::new("token_file", Field::Path(|c| &mut c.token_file)),
        Key::new("trusted_proxies", Field::Text(|c| &mut c.trusted_proxies)),
        Key::new("hosts", Field::Text(|c| &mut c.hosts)),
        Key::switch("watcher_enabled", |c: &mut Self| &mut c.watcher_enabled)
            .also(&["EXPIRY_WATCHER_ENABLED"]),
    ];
}

impl HttpConfig {
    /// Reads where to listen.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn address(&self) -> Result<SocketAddr, String> {
        let text = self.listen.as_deref().unwrap_or("127.0.0.1:8080");
        text.parse().map_err(|_| {
            format!("`{text}` is no address to listen on: give an IP address and a port, as 127.0.0.1:8080")
        })
    }

    /// Reads the proxies.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn proxies(&self) -> Result<Vec<Network>, String> {
        list(self.trusted_proxies.as_deref())
    }

    /// Reads the names.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn hosts(&self) -> Result<Vec<HostName>, String> {
        list(self.hosts.as_deref())
    }
}

fn list<T: FromStr<Err = String>>(text: Option<&str>) -> Result<Vec<T>, String> {
    let parts = text.unwrap_or_default().split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(str::parse).collect()
}

/// Addresses with a common beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Tells whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differ = u32::from(ours) ^ u32::from(theirs);
                differ.leading_zeros() >= self.bits
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differ = u128::from(ours) ^ u128::from(theirs);
                differ.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address or network, as 127.0.0.1 or 10.8.0.0/24");
        let (address, bits) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            "" => most,
            bits => bits.parse().map_err(|_| wrong())?,
        };
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_begin_as_it_does() {
        let network: Network = "10.8.0.0/24".parse().expect("a network");
        let cases = [
            ("10.8.0.7", true),
            ("10.8.1.7", false),
            ("::ffff:10.8.0.1", true),
            ("::1", false),
        ];
        for (address, expected) in cases {
            assert_eq!(
                network.contains(address.parse().expect(address)),
                expected,
                "{address}"
            );
        }
        let all: Network = "0.0.0.0/0".parse().expect("all");
        assert!(all.contains("203.0.113.9".parse().expect("an address")));
        for wrong in ["", "10.8.0.0/33", "ten", "10.8.0.0/-1", "::1/129"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn r11_the_token_is_never_shown() {
        let config = HttpConfig {
            token: Some("correct horse battery staple".into()),
            ..HttpConfig::default()
        };
        let shown = format!("{config:?} {config:#?}");
        assert!(!shown.contains("horse"), "{shown}");
        assert!(shown.contains("127.0.0.1:8080"), "{shown}");
    }

    #[test]
    fn the_example_file_names_every_key() {
        let example = include_str!("../../docs/expiry.toml");
        let (_, section) = example.split_once("\n[http]\n").expect("the section");
        for key in HttpConfig::KEYS {
            let line = format!("\n#{} = ", key.name);
            assert!(section.contains(&line), "{}", key.name);
        }
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let text = Some("127.0.0.1, fd00::/8".into());
        let config = HttpConfig {
            trusted_proxies: text,
            ..HttpConfig::default()
        };
        assert_eq!(config.proxies().expect("two").len(), 2);
        assert_eq!(HttpConfig::default().proxies(), Ok(Vec::new()));
        let config = HttpConfig {
            hosts: Some("expiry.example, 10.8.0.1,".into()),
            ..HttpConfig::default()
        };
        assert_eq!(config.hosts().expect("two").len(), 2);
        assert_eq!(HttpConfig::default().hosts(), Ok(Vec::new()));
    }
}
