//! Whether a request is meant for this service. A page of anybody, opened in a browser that can reach
//! the service, may give its own name this service's address, and would read what it answers.

use std::{net::IpAddr, str::FromStr};

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
};

use crate::{client::Peer, problem::Problem};

/// A name that a service is called by, or an address: what stands in `Host`, without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(Name);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Address(IpAddr),
    /// In small letters, without a dot at its end.
    Text(String),
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_bare = text.parse::<IpAddr>().is_ok();
        let read = if is_bare {
            text.parse().ok().map(Self::of_address)
        } else {
            with_port(text)
                .filter(|(_, port)| port.is_none())
                .map(|(name, _)| name)
        };
        read.ok_or_else(|| {
            format!(
                "`{text}` is no name or address that a service is called by, without a port, as \
                 expiry.example"
            )
        })
    }
}

impl HostName {
    fn of_address(address: IpAddr) -> Self {
        Self(Name::Address(address.to_canonical()))
    }

    /// Tells whether it means the machine on which it is said.
    fn is_loopback(&self) -> bool {
        match &self.0 {
            Name::Address(address) => address.is_loopback(),
            Name::Text(name) => name == "localhost",
        }
    }

    fn is_of(&self, peer: &Peer, hosts: &[Self]) -> bool {
        let is_local = peer.address.ip().to_canonical().is_loopback();
        hosts.contains(self)
            || (is_local && self.is_loopback())
            || *self == Self::of_address(peer.here)
    }
}

/// Whether `Host` means the machine of who asks.
pub(crate) fn is_loopback(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| parsed(host.as_bytes()));
    host.is_some_and(|host| host.is_loopback())
}

/// Whether a request is meant for a service of these names. Of one that came by no connection of
/// [`serve`](crate::serve()) nothing is known.
///
/// # Errors
/// It is not, or that cannot be told.
pub(crate) fn check(request: &Request, hosts: &[HostName]) -> Result<(), Problem> {
    let Some(peer) = request.extensions().get::<Peer>() else {
        return Ok(());
    };
    let mut given = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else {
        return Err(unclear("a request has exactly one `Host`"));
    };
    // Who sends a whole address asks for the name in that.
    let asked = request
        .uri()
        .authority()
        .map(|asked| asked.as_str().as_bytes());
    for said in [Some(host.as_bytes()), asked].into_iter().flatten() {
        let host = parsed(said).ok_or_else(|| unclear("`Host` is no name and no address"))?;
        if !host.is_of(peer, hosts) {
            return Err(misdirected(&host));
        }
    }
    Ok(())
}

fn unclear(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_host", detail)
}

fn misdirected(host: &HostName) -> Problem {
    let name = match &host.0 {
        Name::Address(address) => address.to_string(),
        Name::Text(name) => name.clone(),
    };
    let detail = format!(
        "this service does not go by the name `{name}`; if that is its name, or its proxy's, the \
         setting http.hosts wants it"
    );
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected_request",
        detail,
    )
}

fn parsed(host: &[u8]) -> Option<HostName> {
    Some(with_port(std::str::from_utf8(host).ok()?)?.0)
}

/// Reads `name`, `name:port` or `[address]:port`.
fn with_port(text: &str) -> Option<(HostName, Option<&str>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':')?),
        };
        (HostName::of_address(address.into()), port)
    } else {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        (named(name)?, port)
    };
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    port.is_none_or(is_number).then_some((host, port))
}

fn named(name: &str) -> Option<HostName> {
    if let Ok(address) = name.parse() {
        return Some(HostName::of_address(address));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = !name.is_empty() && name.len() <= 253 && name.bytes().all(allowed);
    is_name.then(|| HostName(Name::Text(name.to_ascii_lowercase())))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Uri};
    use rstest::rstest;

    use super::*;

    /// Asks over a connection from one address to another, of a service that has a name.
    fn asked(peer: &str, here: &str, uri: &str, given: &[&str]) -> u16 {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri.parse::<Uri>().expect("a URI");
        for host in given {
            let host = host.parse().expect("a value");
            request.headers_mut().append(header::HOST, host);
        }
        let address = format!("{peer}:1").parse().expect("an address");
        let here = here.parse().expect("an address");
        request.extensions_mut().insert(Peer { address, here });
        let hosts = ["Expiry.example".parse().expect("a name")];
        check(&request, &hosts).map_or_else(|problem| problem.status().as_u16(), |()| 200)
    }

    #[rstest]
    #[case::as_it_listens("127.0.0.1", "127.0.0.1", "127.0.0.1:8080", 200)]
    #[case::no_port("127.0.0.1", "127.0.0.1", "127.0.0.1", 200)]
    #[case::localhost("127.0.0.1", "127.0.0.1", "LocalHost:9090", 200)]
    #[case::final_dot("127.0.0.1", "127.0.0.1", "localhost.:9090", 200)]
    #[case::six("[::1]", "::1", "[::1]:8080", 200)]
    #[case::six_as_name("[::1]", "::1", "localhost", 200)]
    #[case::both_kinds("[::ffff:127.0.0.1]", "::ffff:127.0.0.1", "127.0.0.1", 200)]
    #[case::its_address("10.8.0.9", "10.8.0.1", "10.8.0.1:8080", 200)]
    #[case::its_name("10.8.0.9", "10.8.0.1", "expiry.example", 200)]
    #[case::its_name_here("127.0.0.1", "127.0.0.1", "EXPIRY.EXAMPLE:443", 200)]
    #[case::rebound("127.0.0.1", "127.0.0.1", "evil.example:8080", 421)]
    #[case::part("127.0.0.1", "127.0.0.1", "localhost.evil.example", 421)]
    #[case::part_of_its_name("10.8.0.9", "10.8.0.1", "a.expiry.example", 421)]
    #[case::number_as_name("127.0.0.1", "127.0.0.1", "127.0.0.1.evil.example", 421)]
    #[case::not_from_there("10.8.0.9", "10.8.0.1", "localhost", 421)]
    #[case::loopback_from_there("10.8.0.9", "10.8.0.1", "127.0.0.1", 421)]
    #[case::another_address("10.8.0.9", "10.8.0.1", "10.8.0.2", 421)]
    #[case::nothing("127.0.0.1", "127.0.0.1", "", 400)]
    #[case::blank("127.0.0.1", "127.0.0.1", "local host", 400)]
    #[case::user("127.0.0.1", "127.0.0.1", "localhost@evil.example", 400)]
    #[case::path("127.0.0.1", "127.0.0.1", "localhost/", 400)]
    #[case::two_ports("127.0.0.1", "127.0.0.1", "localhost:80:80", 400)]
    #[case::no_number("127.0.0.1", "127.0.0.1", "localhost:http", 400)]
    #[case::open("127.0.0.1", "127.0.0.1", "[::1", 400)]
    fn a_request_is_meant_for_the_name_in_its_host(
        #[case] peer: &str,
        #[case] here: &str,
        #[case] host: &str,
        #[case] status: u16,
    ) {
        assert_eq!(asked(peer, here, "/", &[host]), status);
    }

    #[test]
    fn a_request_has_one_host() {
        let here = |uri, hosts: &[&str]| asked("127.0.0.1", "127.0.0.1", uri, hosts);
        assert_eq!(here("/", &[]), 400);
        assert_eq!(here("/", &["localhost", "localhost"]), 400);
        assert_eq!(here("/", &["localhost", "evil.example"]), 400);
    }

    #[test]
    fn a_whole_address_counts_as_its_host() {
        let here = |uri, host| asked("127.0.0.1", "127.0.0.1", uri, &[host]);
        assert_eq!(here("http://localhost:8080/metrics", "localhost:8080"), 200);
        assert_eq!(here("http://evil.example/metrics", "localhost:8080"), 421);
        assert_eq!(here("http://localhost/metrics", "evil.example"), 421);
    }

    #[rstest]
    #[case("expiry.example")]
    #[case("10.8.0.1")]
    #[case("fd00::1")]
    #[case("[fd00::1]")]
    fn names_and_addresses_are_names(#[case] text: &str) {
        assert!(text.parse::<HostName>().is_ok());
    }

    #[rstest]
    #[case("")]
    #[case("expiry.example:8080")]
    #[case("https://expiry.example")]
    #[case("*.example")]
    fn what_is_no_name_is_refused(#[case] text: &str) {
        let wrong = text.parse::<HostName>().expect_err("no name");
        assert!(wrong.contains("expiry.example"), "{wrong}");
    }
}
