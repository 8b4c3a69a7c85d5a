//! The gateway passes the suite of all gateways, against the simulator over TCP and in memory.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use expiry_core::{
    BindingKind, Hardware, MacAddr, Router, RouterAddress, RouterGateway, RouterId, RouterLogin,
    testing::conformance::gateway::{Binding, Device, Entry, GatewayBench},
};
use expiry_mikrotik::{
    GatewayConfig, MikrotikGateway,
    sim::{Access, ClientConfig, ClientId, LoginMethod, SimConfig, SimRouter},
};
use tokio::time::sleep_until;

mod over_tcp {
    use super::Bench;

    async fn open() -> Bench {
        Bench::listening().await.expect("a free port")
    }

    expiry_core::gateway_conformance!(open);
}

mod in_memory {
    use super::Bench;

    async fn open() -> Bench {
        std::future::ready(Bench::offline()).await
    }

    expiry_core::gateway_conformance!(open; start_paused = true);
}

const USER: &str = "expiry";
const PASSWORD: &str = "secret";

struct Bench {
    sim: Arc<SimRouter>,
    gateway: MikrotikGateway,
    clients: Mutex<BTreeMap<MacAddr, ClientId>>,
    host: String,
    port: u16,
}

impl Bench {
    async fn listening() -> io::Result<Self> {
        let sim = SimRouter::listen("127.0.0.1:0", config()).await?;
        let addr = sim.addr();
        Ok(Self {
            sim: Arc::new(sim),
            gateway: MikrotikGateway::new(GatewayConfig::default()),
            clients: Mutex::default(),
            host: addr.ip().to_string(),
            port: addr.port(),
        })
    }

    fn offline() -> Self {
        let sim = Arc::new(SimRouter::offline(config()));
        let config = GatewayConfig {
            dialer: Arc::clone(&sim) as _,
            ..GatewayConfig::default()
        };
        Self {
            sim,
            gateway: MikrotikGateway::new(config),
            clients: Mutex::default(),
            host: "hill".into(),
            port: 8728,
        }
    }

    fn give(&self, menu: &str, mac: MacAddr, address: IpAddr) {
        let words = [
            format!("{menu}/add"),
            format!("=mac-address={mac}"),
            format!("=address={address}"),
        ];
        self.sim
            .with(|sim| sim.operate(words))
            .expect("valid values");
    }
}

fn config() -> SimConfig {
    let methods = [LoginMethod::Cookie, LoginMethod::Form, LoginMethod::Mac];
    SimConfig {
        identity: "hill".into(),
        login_by: methods.into(),
        ..SimConfig::new(USER, PASSWORD.into())
    }
}

#[async_trait]
impl GatewayBench for Bench {
    fn gateway(&self) -> &dyn RouterGateway {
        &self.gateway
    }

    fn login(&self) -> RouterLogin {
        let router = Router {
            id: RouterId(1),
            name: "hill".into(),
            tenant: None,
            address: RouterAddress {
                host: self.host.clone(),
                port: self.port,
                username: USER.into(),
            },
            enabled: true,
            seen: None,
        };
        RouterLogin {
            router,
            password: PASSWORD.into(),
        }
    }

    fn hardware(&self) -> Hardware {
        let config = config();
        Hardware {
            identity: config.identity,
            serial: config.serial,
        }
    }

    fn add_user(&self, name: &str, disabled: bool) {
        self.sim.with(|sim| {
            sim.add_user(name, "x").expect("a new name");
            sim.set_user_disabled(name, disabled).expect("it is there");
        });
    }

    fn add_binding(&self, binding: Binding<'_>) {
        let kind = match binding.kind {
            BindingKind::Regular => "regular",
            BindingKind::Bypassed => "bypassed",
            BindingKind::Blocked => "blocked",
        };
        let words = [
            "/ip/hotspot/ip-binding/add".into(),
            format!("=mac-address={}", binding.mac),
            format!("=type={kind}"),
            format!("=comment={}", binding.comment),
            format!("=disabled={}", binding.disabled),
        ];
        self.sim
            .with(|sim| sim.operate(words))
            .expect("valid values");
    }

    fn add_address_binding(&self, addresses: &str) {
        let words = [
            "/ip/hotspot/ip-binding/add".into(),
            format!("=address={addresses}"),
            "=type=bypassed".into(),
        ];
        self.sim
            .with(|sim| sim.operate(words))
            .expect("valid values");
    }

    fn add_lease(&self, mac: MacAddr, address: IpAddr) {
        self.give("/ip/dhcp-server/lease", mac, address);
    }

    fn add_neighbour(&self, mac: MacAddr, address: IpAddr) {
        self.give("/ip/arp", mac, address);
    }

    fn add_device(&self, device: Device<'_>) -> IpAddr {
        let name = match device.entry {
            Entry::Account(name) => name.to_owned(),
            Entry::MacLogin => device.mac.to_string(),
            Entry::Bypass => "paid".to_owned(),
        };
        let client = ClientConfig {
            access: match device.entry {
                Entry::Account(_) | Entry::MacLogin => Access::Account,
                Entry::Bypass => Access::Bypass,
            },
            with_cookie: matches!(device.entry, Entry::Account(_)),
            persistent: true,
            fasttrack: device.fasttrack,
            ..ClientConfig::new(name, device.mac)
        };
        let mut clients = self.clients.lock().expect("no panic");
        self.sim.with(|sim| {
            clients.insert(device.mac, sim.add_client(client));
            let hosts = sim.table("/ip/hotspot/host");
            let mac = device.mac.to_string();
            let host = hosts.iter().find(|row| row["mac-address"] == mac);
            host.expect("it was seen")["address"]
                .parse()
                .expect("an address")
        })
    }

    fn can_move(&self, mac: MacAddr) -> bool {
        let client = self.clients.lock().expect("no panic")[&mac];
        self.sim.with(|sim| sim.client_can_move_bytes(client))
    }

    fn users(&self) -> Vec<(String, bool)> {
        let users = self.sim.with(|sim| sim.users());
        let mut users: Vec<_> = users
            .into_iter()
            .map(|user| (user.name, user.disabled))
            .collect();
        users.sort();
        users
    }

    fn bindings(&self) -> Vec<(MacAddr, bool)> {
        let rows = self.sim.with(|sim| sim.table("/ip/hotspot/ip-binding"));
        let mut bindings: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row["mac-address"].parse().expect("a MAC"),
                    row["disabled"] == "true",
                )
            })
            .collect();
        bindings.sort();
        bindings
    }

    fn refuse_writes(&self) {
        self.sim
            .with(|sim| sim.configure(|config| config.write_policy = false));
    }

    async fn hang_up(&self) {
        self.sim.down().await;
        self.sim.up().await;
    }

    async fn settle(&self) {
        // Sessions end in hours; packets come within the packet interval.
        let soon = config().packet_interval * 3;
        let until = self.sim.with(|sim| sim.now()) + soon;
        while let Some(next) = self
            .sim
            .with(|sim| sim.next_event())
            .filter(|next| *next <= until)
        {
            sleep_until(self.sim.started() + next).await;
        }
    }
}
