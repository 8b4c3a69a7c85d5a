//! What the simulated hotspot lets through, by the truth about bytes.

mod properties;

use std::time::Duration;

use expiry_core::{BindingKind, MacAddr};
use expiry_mikrotik::sim::{
    Access, ClientConfig, ClientId, LoginMethod, SimConfig, Simulator, TrafficEvent,
};

const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 7]);

/// Long enough for a device to send its next packet.
const NEXT_PACKET: Duration = Duration::from_millis(10);

fn config(login_by: &[LoginMethod]) -> SimConfig {
    SimConfig {
        login_by: login_by.iter().copied().collect(),
        ..SimConfig::new("api", "secret".into())
    }
}

fn router(login_by: &[LoginMethod]) -> Simulator {
    Simulator::new(config(login_by))
}

fn persistent() -> ClientConfig {
    ClientConfig {
        persistent: true,
        ..ClientConfig::new("alice", MAC)
    }
}

fn wait(sim: &mut Simulator, time: Duration) {
    sim.advance(sim.now() + time);
}

/// Tells whether bytes passed within a second, which no flag or table can pretend.
fn moves_bytes(sim: &mut Simulator, client: ClientId) -> bool {
    let before = sim.bytes_moved(client);
    wait(sim, Duration::from_secs(1));
    sim.bytes_moved(client) > before
}

fn login_by(sim: &mut Simulator) -> Vec<String> {
    let sessions = sim.table("/ip/hotspot/active");
    sessions.iter().map(|row| row["login-by"].clone()).collect()
}

fn events(sim: &mut Simulator) -> Vec<TrafficEvent> {
    std::iter::from_fn(|| sim.poll_traffic()).collect()
}

#[test]
fn a_client_with_an_account_is_online_from_the_start() {
    let mut sim = router(&[LoginMethod::Form]);
    let client = sim.add_client(ClientConfig::new("alice", MAC));
    assert!(moves_bytes(&mut sim, client));
    let host = &sim.table("/ip/hotspot/host")[0];
    assert_eq!(host["mac-address"], "02:00:00:00:00:07");
    assert_eq!(host["authorized"], "true");
    assert_eq!(sim.table("/ip/firewall/connection").len(), 1);
}

#[test]
fn disabling_an_account_leaves_its_session() {
    let mut sim = router(&[LoginMethod::Form]);
    let client = sim.add_client(persistent());
    sim.set_user_disabled("alice", true).expect("it exists");
    assert!(moves_bytes(&mut sim, client));
    assert!(!sim.client_could_log_in(client));
}

#[test]
fn disabling_an_account_ends_its_session_where_the_router_does_so() {
    let mut sim = Simulator::new(SimConfig {
        disable_ends_sessions: true,
        ..config(&[LoginMethod::Form])
    });
    let client = sim.add_client(persistent());
    sim.set_user_disabled("alice", true).expect("it exists");
    assert!(!moves_bytes(&mut sim, client));
}

#[test]
fn a_kick_alone_is_undone_by_the_cookie_within_a_packet() {
    let mut sim = router(&[LoginMethod::Cookie]);
    let client = sim.add_client(ClientConfig {
        with_cookie: true,
        ..persistent()
    });
    sim.kick("alice");
    assert!(!sim.client_can_move_bytes(client));
    wait(&mut sim, NEXT_PACKET);
    assert!(sim.client_can_move_bytes(client));
    assert_eq!(login_by(&mut sim), ["cookie"]);
}

#[test]
fn without_its_cookie_the_client_types_its_password() {
    let mut sim = router(&[LoginMethod::Cookie, LoginMethod::Form]);
    let client = sim.add_client(ClientConfig {
        with_cookie: true,
        ..persistent()
    });
    sim.remove_cookies("alice");
    sim.kick("alice");
    assert!(moves_bytes(&mut sim, client));
    assert_eq!(login_by(&mut sim), ["http-chap"]);
    // The form leaves a new cookie.
    assert_eq!(sim.table("/ip/hotspot/cookie").len(), 1);
}

#[test]
fn a_disabled_account_and_a_kick_keep_the_client_off_until_it_is_enabled() {
    let mut sim = router(&[LoginMethod::Cookie, LoginMethod::Form]);
    let client = sim.add_client(ClientConfig {
        with_cookie: true,
        ..persistent()
    });
    sim.set_user_disabled("alice", true).expect("it exists");
    sim.kick("alice");
    assert!(!moves_bytes(&mut sim, client));
    // The HTTP cookie outlives the kick and is as good as ever.
    sim.set_user_disabled("alice", false).expect("it exists");
    assert!(moves_bytes(&mut sim, client));
    assert_eq!(login_by(&mut sim), ["cookie"]);
}

#[test]
fn a_kicked_client_that_does_not_persist_stays_off() {
    let mut sim = router(&[LoginMethod::Cookie, LoginMethod::Form]);
    let client = sim.add_client(ClientConfig::new("alice", MAC));
    sim.kick("alice");
    assert!(!moves_bytes(&mut sim, client));
    assert!(sim.client_could_log_in(client));
}

#[test]
fn a_kick_takes_the_mac_cookie_but_losing_the_host_row_does_not() {
    let methods = [LoginMethod::MacCookie];
    let with_mac_cookie = ClientConfig {
        mac_cookie: true,
        ..ClientConfig::new("alice", MAC)
    };
    let mut kicked = router(&methods);
    kicked.add_client(with_mac_cookie.clone());
    kicked.kick("alice");
    assert!(kicked.table("/ip/hotspot/cookie").is_empty());

    let mut sim = router(&methods);
    let client = sim.add_client(with_mac_cookie);
    sim.remove_hosts(MAC);
    assert!(!sim.client_can_move_bytes(client));
    // The device itself does nothing for it: the router knows it again.
    assert!(moves_bytes(&mut sim, client));
    assert_eq!(login_by(&mut sim), ["mac-cookie"]);
}

#[test]
fn a_mac_cookie_of_a_disabled_account_fails_and_is_gone() {
    let mut sim = router(&[LoginMethod::MacCookie]);
    let client = sim.add_client(ClientConfig {
        mac_cookie: true,
        ..persistent()
    });
    sim.set_user_disabled("alice", true).expect("it exists");
    sim.remove_hosts(MAC);
    assert!(!moves_bytes(&mut sim, client));
    assert!(sim.table("/ip/hotspot/cookie").is_empty());
}

#[test]
fn removing_the_host_readmits_a_mac_account_that_a_kick_keeps_out() {
    let mut sim = router(&[LoginMethod::Mac, LoginMethod::Form]);
    let client = sim.add_client(ClientConfig::new(MAC.to_string(), MAC));
    assert_eq!(login_by(&mut sim), ["mac"]);
    sim.kick(&MAC.to_string());
    assert!(!moves_bytes(&mut sim, client));
    sim.remove_hosts(MAC);
    assert!(moves_bytes(&mut sim, client));
    assert_eq!(login_by(&mut sim), ["mac"]);
}

#[test]
fn a_trial_lets_a_cut_client_in_for_half_an_hour() {
    let mut sim = router(&[LoginMethod::Form, LoginMethod::Trial]);
    let client = sim.add_client(persistent());
    sim.set_user_disabled("alice", true).expect("it exists");
    sim.kick("alice");
    wait(&mut sim, NEXT_PACKET);
    let session = &sim.table("/ip/hotspot/active")[0];
    assert_eq!(session["user"], "T-02:00:00:00:00:07");
    assert_eq!(session["login-by"], "trial");
    assert!(sim.client_can_move_bytes(client));
    wait(&mut sim, Duration::from_mins(31));
    assert!(!sim.client_can_move_bytes(client));
}

#[test]
fn a_login_in_flight_appears_after_its_account_was_disabled() {
    let mut sim = Simulator::new(SimConfig {
        login_latency: Duration::from_millis(500),
        ..config(&[LoginMethod::Form])
    });
    let client = sim.add_client(persistent());
    sim.kick("alice");
    wait(&mut sim, NEXT_PACKET);
    sim.set_user_disabled("alice", true).expect("it exists");
    sim.kick("alice");
    assert!(sim.table("/ip/hotspot/active").is_empty());
    wait(&mut sim, Duration::from_secs(1));
    assert!(sim.client_can_move_bytes(client));
    sim.kick("alice");
    assert!(!moves_bytes(&mut sim, client));
}

#[test]
fn a_fasttracked_download_goes_on_until_its_connections_are_removed() {
    let mut sim = router(&[LoginMethod::Form]);
    let client = sim.add_client(ClientConfig {
        fasttrack: true,
        connections: 3,
        ..persistent()
    });
    sim.set_user_disabled("alice", true).expect("it exists");
    sim.kick("alice");
    sim.remove_hosts(MAC);
    assert!(moves_bytes(&mut sim, client));
    let rows = sim.table("/ip/firewall/connection");
    assert_eq!(rows.len(), 3);
    for (left, row) in [2, 1, 0].into_iter().zip(rows) {
        let id = format!("=.id={}", row[".id"]);
        sim.operate(["/ip/firewall/connection/remove", &id])
            .expect("it was read just now");
        assert_eq!(moves_bytes(&mut sim, client), left > 0, "{left} left");
    }
}

#[test]
fn a_plain_download_dies_with_the_session() {
    let mut sim = router(&[LoginMethod::Form]);
    let client = sim.add_client(ClientConfig::new("alice", MAC));
    sim.kick("alice");
    assert!(!sim.client_can_move_bytes(client));
    wait(&mut sim, NEXT_PACKET);
    assert!(sim.table("/ip/firewall/connection").is_empty());
}

#[test]
fn a_removed_connection_of_an_authorized_client_comes_back() {
    let mut sim = router(&[LoginMethod::Form]);
    let client = sim.add_client(ClientConfig {
        fasttrack: true,
        ..ClientConfig::new("alice", MAC)
    });
    sim.remove_connections(client);
    assert!(sim.table("/ip/firewall/connection").is_empty());
    assert!(sim.client_can_move_bytes(client));
    wait(&mut sim, NEXT_PACKET);
    assert_eq!(sim.table("/ip/firewall/connection").len(), 1);
}

#[test]
fn a_bypassed_client_passes_until_binding_and_host_row_are_gone() {
    let mut sim = router(&[LoginMethod::Form]);
    let client = sim.add_client(ClientConfig {
        access: Access::Bypass,
        ..persistent()
    });
    assert!(sim.table("/ip/hotspot/active").is_empty());
    assert!(moves_bytes(&mut sim, client));
    sim.set_bindings_disabled(MAC, true);
    assert!(moves_bytes(&mut sim, client));
    assert_eq!(sim.table("/ip/hotspot/host")[0]["bypassed"], "true");
    sim.remove_hosts(MAC);
    assert!(!moves_bytes(&mut sim, client));
    // It still sends, so it is still seen.
    assert_eq!(sim.table("/ip/hotspot/host")[0]["bypassed"], "false");
    sim.set_bindings_disabled(MAC, false);
    assert!(moves_bytes(&mut sim, client));
}

#[test]
fn removing_only_the_host_row_does_nothing_to_a_bypassed_client() {
    let mut sim = router(&[LoginMethod::Form]);
    let client = sim.add_client(ClientConfig {
        access: Access::Bypass,
        ..persistent()
    });
    events(&mut sim);
    sim.remove_hosts(MAC);
    assert!(moves_bytes(&mut sim, client));
    assert_eq!(events(&mut sim), []);
}

#[test]
fn an_enabled_binding_waits_for_a_new_host_row_where_the_router_does_so() {
    let mut sim = Simulator::new(SimConfig {
        bypass_needs_new_host: true,
        ..config(&[])
    });
    let client = sim.add_client(ClientConfig::new("alice", MAC));
    sim.add_binding(MAC, BindingKind::Bypassed, "alice");
    // The device is logged in; only without a session would it matter.
    sim.kick("alice");
    assert!(!moves_bytes(&mut sim, client));
    sim.remove_hosts(MAC);
    assert!(moves_bytes(&mut sim, client));
}

#[test]
fn the_first_binding_that_fits_decides() {
    let mut sim = router(&[]);
    sim.operate([
        "/ip/hotspot/ip-binding/add",
        "=address=10.5.0.0-10.5.255.255",
        "=type=regular",
    ])
    .expect("valid");
    sim.add_binding(MAC, BindingKind::Bypassed, "alice");
    let client = sim.add_client(ClientConfig {
        access: Access::Bypass,
        ..ClientConfig::new("alice", MAC)
    });
    assert!(!sim.client_can_move_bytes(client));
    let regular = sim.table("/ip/hotspot/ip-binding")[0][".id"].clone();
    sim.operate(["/ip/hotspot/ip-binding/disable", &format!("=.id={regular}")])
        .expect("it exists");
    assert!(moves_bytes(&mut sim, client));
}

#[test]
fn a_second_bypass_of_the_same_device_keeps_it_on() {
    let mut sim = router(&[]);
    sim.add_binding(MAC, BindingKind::Bypassed, "alice");
    sim.add_binding(MAC, BindingKind::Bypassed, "somebody else");
    let client = sim.add_client(ClientConfig {
        access: Access::Bypass,
        ..ClientConfig::new("alice", MAC)
    });
    let first = sim.table("/ip/hotspot/ip-binding")[0][".id"].clone();
    sim.operate(["/ip/hotspot/ip-binding/remove", &format!("=.id={first}")])
        .expect("it exists");
    sim.remove_hosts(MAC);
    assert!(moves_bytes(&mut sim, client));
    assert_eq!(sim.bindings_disabled(MAC), [false]);
}

#[test]
fn an_account_for_one_device_lets_the_second_in_when_the_first_is_kicked() {
    let mut sim = router(&[LoginMethod::Form]);
    let first = sim.add_client(ClientConfig::new("alice", MAC));
    let second = sim.add_client(ClientConfig {
        mac: MacAddr::new([2, 0, 0, 0, 0, 8]),
        ..persistent()
    });
    assert!(sim.client_can_move_bytes(first));
    assert!(!sim.client_can_move_bytes(second));
    sim.kick("alice");
    assert!(moves_bytes(&mut sim, second));
    assert!(!sim.client_can_move_bytes(first));
}

#[test]
fn limit_uptime_counts_connected_time_over_all_sessions() {
    let mut sim = router(&[LoginMethod::Form]);
    sim.operate([
        "/ip/hotspot/user/add",
        "=name=alice",
        "=password=x",
        "=limit-uptime=1h",
    ])
    .expect("valid");
    let client = sim.add_client(persistent());
    wait(&mut sim, Duration::from_mins(40));
    sim.kick("alice");
    assert!(moves_bytes(&mut sim, client));
    let left = &sim.table("/ip/hotspot/active")[0]["session-time-left"];
    assert!(left.starts_with("19m5"), "{left}");
    wait(&mut sim, Duration::from_mins(21));
    assert!(!sim.client_can_move_bytes(client));
    assert!(!sim.client_could_log_in(client));
    assert_eq!(sim.table("/ip/hotspot/user")[0]["uptime"], "1h");
}

#[test]
fn a_cookie_is_good_for_three_days_across_reboots() {
    let mut sim = router(&[LoginMethod::Cookie]);
    let client = sim.add_client(ClientConfig {
        with_cookie: true,
        ..ClientConfig::new("alice", MAC)
    });
    wait(&mut sim, Duration::from_hours(71));
    sim.reboot();
    assert_eq!(sim.table("/ip/hotspot/cookie")[0]["expires-in"], "1h");
    wait(&mut sim, Duration::from_hours(1));
    assert!(sim.table("/ip/hotspot/cookie").is_empty());
    assert!(!sim.client_can_move_bytes(client));
}

#[test]
fn a_silent_device_loses_its_session_and_host_row() {
    let mut sim = router(&[LoginMethod::Form]);
    let client = sim.add_client(persistent());
    sim.set_client_on(client, false);
    assert!(!moves_bytes(&mut sim, client));
    assert_eq!(sim.table("/ip/hotspot/active").len(), 1);
    wait(&mut sim, Duration::from_mins(3));
    assert!(sim.table("/ip/hotspot/active").is_empty());
    assert!(sim.table("/ip/hotspot/host").is_empty());
    sim.set_client_on(client, true);
    assert!(moves_bytes(&mut sim, client));
}

#[test]
fn a_reboot_ends_sessions_keeps_cookies_and_renumbers_rows() {
    let mut sim = router(&[LoginMethod::Cookie]);
    let client = sim.add_client(ClientConfig {
        with_cookie: true,
        fasttrack: true,
        ..persistent()
    });
    wait(&mut sim, Duration::from_hours(1));
    let id = sim.table("/ip/hotspot/user")[0][".id"].clone();
    sim.reboot();
    assert!(!sim.client_can_move_bytes(client));
    assert!(sim.table("/ip/hotspot/active").is_empty());
    assert!(sim.table("/ip/firewall/connection").is_empty());
    assert_eq!(sim.table("/ip/hotspot/cookie").len(), 1);
    assert_ne!(sim.table("/ip/hotspot/user")[0][".id"], id);
    assert_eq!(sim.table("/system/resource")[0]["uptime"], "0s");
    wait(&mut sim, NEXT_PACKET);
    assert_eq!(login_by(&mut sim), ["cookie"]);
}

#[test]
fn the_id_of_a_session_is_the_address_and_comes_back_with_it() {
    let mut sim = router(&[LoginMethod::Form]);
    sim.add_client(ClientConfig {
        address: Some([192, 168, 10, 8].into()),
        ..persistent()
    });
    assert_eq!(sim.table("/ip/hotspot/active")[0][".id"], "*C0A80A08");
    sim.kick("alice");
    wait(&mut sim, NEXT_PACKET);
    assert_eq!(sim.table("/ip/hotspot/active")[0][".id"], "*C0A80A08");
}

#[test]
fn traffic_events_tell_when_bytes_stop_and_start() {
    let mut sim = router(&[LoginMethod::Form]);
    let client = sim.add_client(persistent());
    let kicked_at = Duration::from_secs(5);
    sim.advance(kicked_at);
    sim.kick("alice");
    wait(&mut sim, Duration::from_secs(5));
    let seen = events(&mut sim);
    let moving: Vec<_> = seen.iter().map(|event| event.moving).collect();
    assert_eq!(moving, [true, false, true]);
    assert_eq!(seen[1].at, kicked_at);
    assert!(seen[2].at > kicked_at && seen[2].at <= kicked_at + NEXT_PACKET);
    assert!(
        seen.iter()
            .all(|event| event.client == client && event.name == "alice")
    );
}
