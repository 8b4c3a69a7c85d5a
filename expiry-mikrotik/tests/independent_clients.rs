//! Clients that others wrote use the simulated router, so that our client and our simulator cannot
//! be wrong in the same way.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use expiry_core::MacAddr;
use expiry_mikrotik::sim::{ClientConfig, LoginMethod, SimConfig, SimRouter};
use rstest::rstest;

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started or fails, with what it printed and `hint`.
fn run(command: &mut Command, hint: &str) {
    let shown = format!("{command:?}");
    match command.output() {
        Err(error) => panic!("cannot run {shown}: {error}\n{hint}"),
        Ok(output) if !output.status.success() => panic!(
            "{shown} failed:\n{}{}\n{hint}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        ),
        Ok(_) => {}
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python")
}

/// Makes a Python environment with the clients below `target`, once for each set of versions.
fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(home.join("python-clients.lock")).expect("target can be written");
    lock.lock().expect("another test makes it, and ends");
    let requirements = scripts().join("requirements.txt");
    let wanted = fs::read_to_string(&requirements).expect("it is in the repository");
    let environment = home.join("python-clients");
    let python = environment.join("bin/python");
    let installed = environment.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return python;
    }
    run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment),
        "This test needs Python 3 with venv and pip: on Debian `apt-get install python3-venv`.",
    );
    run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(&requirements),
        "This test needs to reach PyPI once, or an index in PIP_INDEX_URL.",
    );
    fs::write(installed, wanted).expect("target can be written");
    python
}

#[rstest]
#[case("with_librouteros.py")]
#[case("with_routeros_api.py")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_independent_client_works_the_router_and_cuts_a_client_off(#[case] script: &str) {
    let script = scripts().join(script);
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
    tokio::task::spawn_blocking(move || run(Command::new(python()).arg(script).arg(port), ""))
        .await
        .expect("the client is content");

    router.with(|sim| {
        let moved = sim.bytes_moved(alice);
        assert!(moved > 0, "alice was never online");
        sim.advance(sim.now() + Duration::from_hours(1));
        assert_eq!(sim.bytes_moved(alice), moved, "alice is not cut off");
        assert!(sim.users().iter().all(|user| user.disabled));
        assert_eq!((sim.stats().logins, sim.stats().refused_logins), (1, 1));
    });
}
