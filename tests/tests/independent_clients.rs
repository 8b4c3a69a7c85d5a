//! Clients that others wrote use the simulated router, so that our client and our simulator cannot
//! be wrong in the same way.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use expiry_core::MacAddr;
use expiry_mikrotik::sim::{ClientConfig, LoginMethod, SimConfig, SimRouter};
use expiry_tests::python;
use rstest::rstest;

#[rstest]
#[case("with_librouteros.py")]
#[case("with_routeros_api.py")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_independent_client_works_the_router_and_cuts_a_client_off(#[case] script: &str) {
    let script = python::scripts().join(script);
    let config = SimConfig {
        identity: "independent".into(),
        login_by: [
            LoginMethod::Cookie,
            LoginMethod::Form,
            LoginMethod::MacCookie,
        ]
        .into(),
        ..SimConfig::new("api", "secret".into())
    };
    let router = SimRouter::listen("127.0.0.1:0", config)
        .await
        .expect("loopback has a free port");
    let alice = router.with(|sim| {
        let alice = sim.add_client(ClientConfig {
            with_cookie: true,
            mac_cookie: true,
            persistent: true,
            fasttrack: true,
            connections: 8,
            ..ClientConfig::new("alice", MacAddr::new([2, 0, 0, 0, 0, 1]))
        });
        sim.add_user("bob", "p").expect("he is new");
        alice
    });
    let router = Arc::new(router);
    let port = router.addr().port().to_string();
    let client = tokio::task::spawn_blocking(move || {
        let programs = python::programs(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let mut client = Command::new(programs.join("python"));
        python::run(client.arg(script).arg(port), "")
    });
    client.await.expect("the client is content");

    router.with(|sim| {
        let moved = sim.bytes_moved(alice);
        assert!(moved > 0, "alice was never online");
        sim.advance(sim.now() + Duration::from_hours(1));
        assert_eq!(sim.bytes_moved(alice), moved, "alice is not cut off");
        assert!(sim.users().iter().all(|user| user.disabled));
        assert_eq!((sim.stats().logins, sim.stats().refused_logins), (1, 1));
    });
}
