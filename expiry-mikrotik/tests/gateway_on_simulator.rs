//! The gateway cuts and restores on the simulated router, judged by whether bytes pass.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use expiry_core::{
    GatewayError, Hardware, Known, Live, MacAddr, Progress, Query, Revision, Router, RouterAddress,
    RouterGateway, RouterId, RouterLogin, Task, TaskId, Trace, UnblockOrder, Username, Want,
    decide::{Claim, Leftovers, attribute, block_order, drop_order, sort_out},
};
use expiry_mikrotik::{
    GatewayConfig, MikrotikGateway,
    sim::{
        Access, ClientConfig, ClientId, Fault, FaultRule, LoginMethod, SimConfig, SimRouter,
        StaleIdText,
    },
};
use rstest::rstest;
use tokio::time::{Instant, sleep};

const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const OTHER_MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);

fn sim_config() -> SimConfig {
    SimConfig {
        identity: "hill".into(),
        login_by: [
            LoginMethod::Cookie,
            LoginMethod::Form,
            LoginMethod::Mac,
            LoginMethod::MacCookie,
        ]
        .into(),
        shared_users: None,
        ..SimConfig::new("expiry", "secret".into())
    }
}

/// A router with one subscriber to cut and a neighbour to leave alone.
struct Scene {
    sim: Arc<SimRouter>,
    gateway: MikrotikGateway,
    login: RouterLogin,
    target: ClientId,
    neighbour: ClientId,
}

impl Scene {
    fn new(config: SimConfig, target: ClientConfig) -> Self {
        let sim = Arc::new(SimRouter::offline(config));
        let gateway = MikrotikGateway::new(GatewayConfig {
            dialer: Arc::<SimRouter>::clone(&sim),
            ..GatewayConfig::default()
        });
        let router = Router {
            id: RouterId(1),
            name: "hill".into(),
            tenant: None,
            address: RouterAddress {
                host: "192.0.2.1".into(),
                port: 8728,
                username: "expiry".into(),
            },
            enabled: true,
            seen: Some(Hardware {
                identity: "hill".into(),
                serial: sim.with(|sim| sim.config().serial.clone()),
            }),
        };
        let login = RouterLogin {
            router,
            password: "secret".into(),
        };
        let target = sim.with(|sim| sim.add_client(target));
        let neighbour = sim.with(|sim| sim.add_client(neighbour()));
        Self {
            sim,
            gateway,
            login,
            target,
            neighbour,
        }
    }

    /// One attempt of a cut in its four flights. Returns what the read-back still shows.
    async fn attempt(&self) -> Result<Leftovers, GatewayError> {
        let task = task();
        let live = Live::default();
        let claim = Claim::new(&task, &live, false);
        let mut query = Query {
            names: task.username.iter().cloned().collect(),
            macs: task.macs.clone(),
            connections: true,
            ..Query::default()
        };
        let none = BTreeSet::new();
        let look = self.gateway.look(&self.login, &query).await?;
        let found = Leftovers::find(&claim, &look, &none);
        let known: BTreeSet<IpAddr> = found.addresses.clone();
        query.addresses = known.clone();
        query.stations = found.stations.clone();
        let order = block_order([&found]);
        let (seen, _) = self
            .gateway
            .block(&self.login.router, &order, &query)
            .await?;
        let blocked = Leftovers::find(&claim, &seen, &known);
        let order = drop_order([&found, &blocked]);
        self.gateway.drop_rows(&self.login.router, &order).await?;
        let read_back = self.gateway.look(&self.login, &query).await?;
        Ok(Leftovers::find(&claim, &read_back, &known))
    }

    /// Tries until a read-back shows nothing left. Returns after how many attempts.
    async fn cut(&self) -> usize {
        for attempt in 1..20 {
            if self.attempt().await.is_ok_and(|left| left.is_clear()) {
                return attempt;
            }
            sleep(Duration::from_secs(1)).await;
        }
        panic!("not cut after 20 attempts");
    }

    async fn moves_bytes(&self, client: ClientId) -> bool {
        let before = self.sim.with(|sim| sim.bytes_moved(client));
        sleep(Duration::from_secs(1)).await;
        self.sim.with(|sim| sim.bytes_moved(client)) > before
    }
}

fn target() -> ClientConfig {
    ClientConfig {
        with_cookie: true,
        mac_cookie: true,
        persistent: true,
        fasttrack: true,
        connections: 8,
        ..ClientConfig::new("alice", MAC)
    }
}

fn neighbour() -> ClientConfig {
    ClientConfig {
        fasttrack: true,
        connections: 8,
        ..ClientConfig::new("alice2", OTHER_MAC)
    }
}

fn task() -> Task {
    let due_at = "2026-01-01T00:00:00Z".parse().expect("a time");
    Task {
        id: TaskId(1),
        want: Want::Cut,
        revision: Revision(1),
        username: Some("alice".parse::<Username>().expect("a name")),
        macs: [MAC].into(),
        due_at,
        backlog: false,
        progress: Progress::owed(due_at),
        trace: Trace::default(),
        undo: Vec::new(),
    }
}

#[rstest]
#[case::an_account(target())]
#[case::a_bypass(ClientConfig { access: Access::Bypass, ..target() })]
#[case::a_mac_account(ClientConfig { name: MAC.to_string(), ..target() })]
#[case::a_foreign_address(ClientConfig {
    address: Some(Ipv4Addr::new(192, 168, 77, 5)),
    to_address: Some(Ipv4Addr::new(10, 5, 200, 1)),
    ..target()
})]
#[tokio::test(start_paused = true)]
async fn r6_one_attempt_ends_the_traffic_of(#[case] client: ClientConfig) {
    let scene = Scene::new(sim_config(), client);
    assert!(scene.moves_bytes(scene.target).await);
    assert_eq!(scene.cut().await, 1);
    assert!(!scene.moves_bytes(scene.target).await);
    assert!(scene.moves_bytes(scene.neighbour).await, "R1");
    sleep(Duration::from_hours(1)).await;
    assert!(!scene.moves_bytes(scene.target).await);
    assert!(!scene.sim.with(|sim| sim.client_could_log_in(scene.target)));
}

#[rstest]
#[case(SimConfig { empty_reply: false, ..sim_config() })]
#[case(SimConfig { omit_false_flags: true, ..sim_config() })]
#[case(SimConfig { stale_id: StaleIdText::Numbered, ..sim_config() })]
#[case(SimConfig { serial: None, ..sim_config() })]
#[case(SimConfig { delay: Duration::from_millis(20), seed: 7, ..sim_config() })]
#[tokio::test(start_paused = true)]
async fn r6_the_cut_does_not_depend_on_how_the_router_words_things(#[case] config: SimConfig) {
    let scene = Scene::new(config, target());
    assert_eq!(scene.cut().await, 1);
    assert!(!scene.moves_bytes(scene.target).await);
}

#[rstest]
#[case::lost_block("/ip/hotspot/user/set", Fault::LoseAnswer)]
#[case::lost_drop("/ip/hotspot/active/remove", Fault::LoseAnswer)]
#[case::cut_read("/ip/hotspot/host/print", Fault::CutAnswer)]
#[case::silence("/ip/hotspot/active/remove", Fault::Silence)]
#[case::huge("/ip/hotspot/user/print", Fault::HugeWord)]
#[case::fatal("/ip/hotspot/ip-binding/print", Fault::Fatal)]
#[case::stall("/ip/hotspot/user/set", Fault::Stall(Duration::from_secs(40)))]
#[case::login("/login", Fault::Close)]
#[tokio::test(start_paused = true)]
async fn r2_a_fault_costs_attempts_but_not_the_cut(
    #[case] command: &'static str,
    #[case] fault: Fault,
) {
    let scene = Scene::new(sim_config(), target());
    scene
        .sim
        .with(|sim| sim.inject(FaultRule::on(command, fault).once()));
    let attempts = scene.cut().await;
    assert!(attempts > 1, "the fault never struck");
    assert!(!scene.moves_bytes(scene.target).await);
}

#[rstest]
#[case::half_open("/ip/firewall/connection/print", Fault::HalfOpen)]
#[case::garbage("/ip/hotspot/cookie/print", Fault::Garbage)]
#[tokio::test(start_paused = true)]
async fn r4_a_question_that_hangs_is_asked_on_another_connection(
    #[case] command: &'static str,
    #[case] fault: Fault,
) {
    let scene = Scene::new(sim_config(), target());
    scene
        .sim
        .with(|sim| sim.inject(FaultRule::on(command, fault).once()));
    let began = Instant::now();
    assert_eq!(scene.cut().await, 1);
    let second_try = GatewayConfig::default().second_try;
    let took = began.elapsed();
    assert!(took >= second_try, "the fault never struck");
    assert!(took < second_try * 2, "{took:?}");
    assert!(!scene.moves_bytes(scene.target).await);
}

#[tokio::test(start_paused = true)]
async fn r2_a_login_in_flight_is_found_by_a_later_look() {
    let config = SimConfig {
        login_latency: Duration::from_secs(2),
        ..sim_config()
    };
    let scene = Scene::new(config, target());
    scene.sim.with(|sim| sim.kick("alice"));
    sleep(Duration::from_millis(20)).await;
    assert_eq!(scene.cut().await, 1);
    sleep(Duration::from_secs(2)).await;
    assert!(
        scene.moves_bytes(scene.target).await,
        "the login was not in flight"
    );
    scene.cut().await;
    assert!(!scene.moves_bytes(scene.target).await);
}

#[rstest]
#[case(Access::Account)]
#[case(Access::Bypass)]
#[tokio::test(start_paused = true)]
async fn r3_what_was_disabled_can_be_enabled_again(#[case] access: Access) {
    let scene = Scene::new(sim_config(), ClientConfig { access, ..target() });
    scene.cut().await;
    let query = Query {
        names: task().username.iter().cloned().collect(),
        macs: task().macs,
        ..Query::default()
    };
    let seen = scene
        .gateway
        .look(&scene.login, &query)
        .await
        .expect("it answers");
    let order = UnblockOrder {
        users: seen.users.into_iter().map(|row| row.id).collect(),
        bindings: seen.bindings.into_iter().map(|row| row.id).collect(),
    };
    let refusals = scene.gateway.unblock(&scene.login.router, &order).await;
    assert_eq!(refusals, Ok(vec![]));
    assert!(scene.moves_bytes(scene.target).await);
}

#[tokio::test(start_paused = true)]
async fn r9_a_table_of_50_000_rows_is_read_whole() {
    let scene = Scene::new(sim_config(), target());
    scene.sim.with(|sim| {
        for number in 0..50_000_u32 {
            let [_, a, b, c] = number.to_be_bytes();
            let mac = MacAddr::new([2, 1, 0, a, b, c]);
            sim.add_binding(mac, expiry_core::BindingKind::Bypassed, "printer");
        }
    });

    let seen = scene.gateway.sessions(&scene.login).await;

    let strays = sort_out(
        attribute(seen.expect("it answers"), true),
        &Known::default(),
        Duration::ZERO,
    );
    assert_eq!(strays.strays.len(), 50_000 + 2);
}
