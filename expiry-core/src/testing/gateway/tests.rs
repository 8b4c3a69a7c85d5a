use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;

use super::{Admission, Fault, SimGateway};
use crate::{
    Hardware, HolderRow, MacAddr, Router, RouterAddress, RouterGateway, RouterId, RouterLogin,
    testing::conformance::gateway::{Binding, Device, Entry, GatewayBench},
};

const ROUTER: RouterId = RouterId(1);

struct Bench(SimGateway);

async fn open() -> Bench {
    std::future::ready(Bench(SimGateway::new(Duration::from_millis(10)))).await
}

crate::gateway_conformance!(open; start_paused = true);

#[async_trait]
impl GatewayBench for Bench {
    fn gateway(&self) -> &dyn RouterGateway {
        &self.0
    }

    fn login(&self) -> RouterLogin {
        let router = Router {
            id: ROUTER,
            name: "hill".into(),
            tenant: None,
            address: RouterAddress {
                host: "hill".into(),
                port: 8728,
                username: "expiry".into(),
            },
            enabled: true,
            seen: None,
        };
        RouterLogin {
            router,
            password: SecretString::default(),
        }
    }

    fn hardware(&self) -> Hardware {
        Hardware {
            identity: "hill".into(),
            serial: Some("SIM000001".into()),
        }
    }

    fn add_user(&self, name: &str, disabled: bool) {
        self.0
            .with(ROUTER, |hotspot| hotspot.add_user(name, disabled));
    }

    fn add_binding(&self, binding: Binding<'_>) {
        let Binding {
            mac,
            kind,
            comment,
            disabled,
        } = binding;
        self.0.with(ROUTER, |hotspot| {
            let id = hotspot.add_binding(mac, comment, disabled);
            let row = hotspot.bindings.get_mut(&id).expect("it was added");
            row.kind = kind;
        });
    }

    fn add_address_binding(&self, addresses: &str) {
        self.0
            .with(ROUTER, |hotspot| hotspot.add_address_binding(addresses, ""));
    }

    fn add_lease(&self, mac: MacAddr, address: IpAddr) {
        let mac = Some(mac);
        self.0.with(ROUTER, |hotspot| {
            hotspot.holders.push(HolderRow { mac, address });
        });
    }

    fn add_neighbour(&self, mac: MacAddr, address: IpAddr) {
        self.add_lease(mac, address);
    }

    fn add_device(&self, device: Device<'_>) -> IpAddr {
        let Device {
            mac,
            entry,
            fasttrack,
        } = device;
        let own = mac.to_string();
        let (account, by) = match entry {
            Entry::Account(name) => (name, Admission::Account),
            Entry::MacLogin => (own.as_str(), Admission::Account),
            Entry::Bypass => ("paid", Admission::Bypass),
        };
        self.0.with(ROUTER, |hotspot| {
            hotspot.add_device(mac, account, by, fasttrack);
            let host = hotspot.hosts.values().find(|row| row.mac == Some(mac));
            host.and_then(|row| row.address).expect("it was seen")
        })
    }

    fn can_move(&self, mac: MacAddr) -> bool {
        self.0.with(ROUTER, |hotspot| hotspot.can_move(mac))
    }

    fn users(&self) -> Vec<(String, bool)> {
        let mut users: Vec<_> = self.0.with(ROUTER, |hotspot| {
            let rows = hotspot.users.values();
            rows.map(|row| (row.name.clone(), row.disabled)).collect()
        });
        users.sort();
        users
    }

    fn bindings(&self) -> Vec<(MacAddr, bool)> {
        let mut bindings: Vec<_> = self.0.with(ROUTER, |hotspot| {
            let rows = hotspot.bindings.values();
            rows.filter_map(|row| Some((row.mac?, row.disabled)))
                .collect()
        });
        bindings.sort();
        bindings
    }

    fn refuse_writes(&self) {
        self.0.set_fault(ROUTER, Fault::NoPermission);
    }

    async fn hang_up(&self) {
        self.0.set_fault(ROUTER, Fault::Down);
        self.0.set_fault(ROUTER, Fault::None);
    }

    /// Its devices lose no time.
    async fn settle(&self) {}
}
