//! Where a request comes from.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, request::Parts},
};

use crate::{Network, hosts, state::App};

/// The ends of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The other end.
    pub(crate) address: SocketAddr,
    /// The address here that it was made to.
    pub(crate) here: IpAddr,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address; of a caller that named none, the one that stands for all such.
    pub(crate) address: IpAddr,
    /// Whether it is on this machine, by itself and not through a proxy, and asks for a name of it: a
    /// browser here may have been sent by a page from elsewhere.
    pub(crate) is_local: bool,
    /// Whether the peer says for whom it asks, and is not trusted.
    pub(crate) is_unheard: bool,
}

/// Headers that proxies add, each of them some.
const TRACES: [&str; 6] = [
    "x-forwarded-for",
    "forwarded",
    "via",
    "x-real-ip",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Whether something happened already, which is worth one warning.
#[derive(Debug, Default)]
pub(crate) struct First(AtomicBool);

impl First {
    pub(crate) fn is_first(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

impl Client {
    /// Takes the word of trusted proxies for where the request was before, from the nearest on.
    pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let Some(peer) = extensions.get::<Peer>() else {
            return Self {
                address: IpAddr::from([0, 0, 0, 0]),
                is_local: false,
                is_unheard: false,
            };
        };
        let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
        let mut address = peer.address.ip().to_canonical();
        let forwarded = headers.get_all("x-forwarded-for").iter();
        let mut hops: Vec<_> = forwarded
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .collect();
        let came_through = TRACES.iter().any(|trace| headers.contains_key(*trace));
        let is_unheard = !hops.is_empty() && !is_trusted(address);
        while is_trusted(address) {
            let Some(hop) = hops.pop() else { break };
            match parsed(hop) {
                Some(hop) => address = hop.to_canonical(),
                None => break,
            }
        }
        Self {
            address,
            is_local: !came_through && address.is_loopback() && hosts::is_loopback(headers),
            is_unheard,
        }
    }
}

impl FromRequestParts<App> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let proxies = &app.service.proxies;
        Ok(Self::of(&parts.extensions, &parts.headers, proxies))
    }
}

/// Some proxies add the port, and brackets to an IPv6 address.
fn parsed(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|at| at.ip());
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    hop.parse().ok().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};
    use rstest::rstest;

    use super::*;

    fn peer_at(address: &str) -> Peer {
        let here = address.parse().expect("an address");
        let address = SocketAddr::new(here, 1);
        Peer { address, here }
    }

    fn host(name: &'static str) -> HeaderMap {
        [(header::HOST, HeaderValue::from_static(name))]
            .into_iter()
            .collect()
    }

    #[rstest]
    #[case("localhost:8080", true)]
    #[case("127.0.0.1:8080", true)]
    #[case("[::1]", true)]
    #[case("expiry.example", false)]
    #[case("10.8.0.1", false)]
    fn who_asks_here_for_another_name_is_not_local(
        #[case] name: &'static str,
        #[case] is_local: bool,
    ) {
        let mut extensions = Extensions::new();
        extensions.insert(peer_at("127.0.0.1"));
        let client = Client::of(&extensions, &host(name), &[]);
        assert_eq!(client.is_local, is_local);
    }

    #[rstest]
    #[case("127.0.0.1", "", "127.0.0.1", true)]
    #[case("::1", "", "::1", true)]
    #[case("192.0.2.1", "", "192.0.2.1", false)]
    // A stranger may claim anything.
    #[case("192.0.2.1", "127.0.0.1", "192.0.2.1", false)]
    #[case("10.8.0.1", "198.51.100.7", "198.51.100.7", false)]
    #[case("10.8.0.1", "1.1.1.1, 198.51.100.7, 10.8.0.2", "198.51.100.7", false)]
    #[case("10.8.0.1", "nonsense", "10.8.0.1", false)]
    #[case("10.8.0.1", "caf\u{e9}, 198.51.100.7:5678", "198.51.100.7", false)]
    #[case("10.8.0.1", "[2001:db8::1]:443", "2001:db8::1", false)]
    #[case("10.8.0.1", "198.51.100.7, [2001:db8::1]", "2001:db8::1", false)]
    // A proxy on this machine that nobody declared is no reason to trust the whole world.
    #[case("127.0.0.1", "198.51.100.7", "127.0.0.1", false)]
    #[case("10.8.0.1", "127.0.0.1", "127.0.0.1", false)]
    fn the_nearest_stranger_is_the_client(
        #[case] peer: &str,
        #[case] forwarded: &str,
        #[case] address: &str,
        #[case] is_local: bool,
    ) {
        let trusted = ["10.8.0.0/24".parse().expect("a network")];
        let mut extensions = Extensions::new();
        extensions.insert(peer_at(peer));
        let mut headers = host("localhost");
        if !forwarded.is_empty() {
            let value = HeaderValue::from_bytes(forwarded.as_bytes());
            headers.insert("x-forwarded-for", value.expect("a value"));
        }
        let address = address.parse().expect("an address");
        let client = Client::of(&extensions, &headers, &trusted);
        assert_eq!((client.address, client.is_local), (address, is_local));
        let is_unheard = !forwarded.is_empty() && !peer.starts_with("10.8.0.");
        assert_eq!(client.is_unheard, is_unheard);
    }

    #[rstest]
    #[case("via", "1.1 cache")]
    #[case("x-real-ip", "198.51.100.7")]
    #[case("x-forwarded-host", "expiry.example")]
    #[case("x-forwarded-proto", "https")]
    #[case("forwarded", "for=198.51.100.7")]
    #[case("x-forwarded-for", "198.51.100.7")]
    fn who_came_through_a_proxy_on_this_machine_is_not_local(
        #[case] name: &'static str,
        #[case] value: &'static str,
    ) {
        let mut extensions = Extensions::new();
        extensions.insert(peer_at("127.0.0.1"));
        let mut headers = host("localhost");
        assert!(Client::of(&extensions, &headers, &[]).is_local);
        headers.insert(name, value.parse().expect("a value"));
        assert!(!Client::of(&extensions, &headers, &[]).is_local);
    }

    #[test]
    fn one_warning_is_enough() {
        let first = First::default();
        assert!(first.is_first());
        assert!(!first.is_first());
    }
}
