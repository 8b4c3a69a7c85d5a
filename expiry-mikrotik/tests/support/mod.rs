//! Streams in memory to simulated routers, by host name.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use async_trait::async_trait;
use expiry_core::RouterAddress;
use expiry_mikrotik::{
    Dialer, Stream,
    sim::{Link, SimRouter},
};

/// Connects to the simulated router of a host name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switchboard(Arc<Mutex<BTreeMap<String, Weak<SimRouter>>>>);

impl Switchboard {
    pub(crate) fn connect(&self, host: &str, router: &Arc<SimRouter>) {
        let mut routers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routers.insert(host.into(), Arc::downgrade(router));
    }

    fn find(&self, host: &str) -> Option<Arc<SimRouter>> {
        let routers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routers.get(host)?.upgrade()
    }
}

#[async_trait]
impl Dialer for Switchboard {
    async fn dial(&self, address: &RouterAddress) -> io::Result<Box<dyn Stream>> {
        let router = self
            .find(&address.host)
            .ok_or(io::ErrorKind::HostUnreachable)?;
        if router.with(|sim| sim.link()) == Link::Refused {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(64 << 10);
        router.serve_stream(far);
        Ok(Box::new(near))
    }
}
