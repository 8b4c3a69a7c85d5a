//! Where a router may be that a caller names: not where only this machine's own network answers.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use expiry_core::{GatewayError, RouterAddress, Unreached};
use tokio::{net::lookup_host, time::timeout};

use crate::problem::Problem;

/// How long a name may take to be found.
const LOOKUP: Duration = Duration::from_secs(2);

/// Finds the addresses of a host. Who connects to one of them reaches what was looked at, whatever the
/// name is of by then.
///
/// # Errors
/// One of them is no place for a router; of a name that nobody has, [`Ok`] of what a gateway would say.
pub(crate) async fn find(
    host: &str,
    port: u16,
) -> Result<Result<Vec<IpAddr>, GatewayError>, Problem> {
    let failed = |reason: String| {
        let address = RouterAddress::place(host, port);
        let how = Unreached::NotFound;
        Ok(Err(GatewayError::Connect {
            address,
            how,
            reason,
        }))
    };
    let found: Vec<_> = match timeout(LOOKUP, lookup_host((host, port))).await {
        Ok(Ok(found)) => found.map(|found| found.ip().to_canonical()).collect(),
        Ok(Err(error)) => return failed(error.to_string()),
        Err(_) => {
            return failed(format!(
                "no answer about the name for {} s",
                LOOKUP.as_secs()
            ));
        }
    };
    for address in &found {
        allowed(host, *address)?;
    }
    if found.is_empty() {
        return failed("the name has no address".into());
    }
    Ok(Ok(found))
}

fn allowed(host: &str, address: IpAddr) -> Result<(), Problem> {
    let Some(kind) = forbidden(address) else {
        return Ok(());
    };
    Err(Problem::body(format!(
        "the host `{host}` is {address}, {kind}: there is no router"
    )))
}

/// Says what an address is that no router has.
fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => forbidden_4(address),
        IpAddr::V6(address) => forbidden_6(address),
    }
}

fn forbidden_4(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        _ if address.octets()[0] == 0 => Some("no address of a machine"),
        _ if address.is_link_local() => Some("a link-local address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if address.is_broadcast() => Some("the broadcast address"),
        _ => None,
    }
}

fn forbidden_6(address: Ipv6Addr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("no address of a machine"),
        _ if address.is_unicast_link_local() => Some("a link-local address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("169.254.169.254", "link-local")]
    #[case("fe80::1", "link-local")]
    #[case("::ffff:169.254.169.254", "link-local")]
    #[case("febf::1", "link-local")]
    #[case("224.0.0.1", "multicast")]
    #[case("ff02::1", "multicast")]
    #[case("255.255.255.255", "broadcast")]
    #[case("0.0.0.0", "no address")]
    #[case("0.1.2.3", "no address")]
    #[case("::", "no address")]
    #[tokio::test]
    async fn no_router_is_there(#[case] host: &str, #[case] kind: &str) {
        let refused = find(host, 8728).await.expect_err("refused");
        assert!(refused.detail.contains(kind), "{refused:?}");
        assert!(refused.detail.contains(host), "{refused:?}");
    }

    #[rstest]
    // How an address may be written, too, where the system reads it so.
    #[case("2852039166")]
    #[case("0xa9fea9fe")]
    #[case("169.254.43518")]
    #[tokio::test]
    async fn other_spellings_of_an_address_lead_nowhere_else(#[case] host: &str) {
        let found = find(host, 8728).await;
        assert!(!matches!(found, Ok(Ok(_))), "{found:?}");
    }

    #[rstest]
    #[case("10.8.0.2")]
    #[case("127.0.0.1")]
    #[case("203.0.113.9")]
    #[case("fd00::2")]
    #[case("2001:db8::1")]
    #[case("localhost")]
    #[tokio::test]
    async fn a_router_may_be_there(#[case] host: &str) {
        let found = find(host, 8728).await.expect("allowed").expect("found");
        assert!(!found.is_empty());
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_is_told_as_by_a_gateway() {
        let missing = find("no-such-name.invalid", 8728).await.expect("allowed");
        let error = missing.expect_err("nobody has it");
        assert_eq!(error.cause(), expiry_core::Cause::HostNotFound);
    }
}
