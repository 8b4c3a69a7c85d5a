use chrono::DateTime;
use expiry_core::{
    Conflict, GatewayError, Hardware, KeyState, MacAddr, MockDirectory, MockPasswordStore,
    MockRouterGateway, OpenWork, Presence, PresenceKind, Router, RouterFacts, RouterId,
    RouterLogin, Secrets, StoreError, Stray, Strays, Tenant, TenantId, WayIn,
};
use secrecy::ExposeSecret;

use super::*;
use crate::error;

const PASSWORD: &str = "hunter2";

fn router() -> Router {
    Router {
        id: RouterId(1),
        name: "r1".into(),
        tenant: None,
        address: RouterAddress {
            host: "10.0.0.1".into(),
            port: 8728,
            username: "expiry".into(),
        },
        enabled: true,
        seen: None,
    }
}

fn directory() -> MockDirectory {
    let mut directory = MockDirectory::new();
    directory.expect_routers().returning(|| Ok(vec![router()]));
    directory.expect_tenants().returning(|| Ok(Vec::new()));
    directory
}

fn passwords() -> MockPasswordStore {
    let mut passwords = MockPasswordStore::new();
    passwords.expect_router_login().returning(|id| {
        let (router, password) = (Router { id, ..router() }, PASSWORD.into());
        Ok(RouterLogin { router, password })
    });
    passwords.expect_secrets().returning(|| {
        Ok(Secrets {
            key_file: "/a.key".into(),
            key: KeyState::Missing,
            routers: Vec::new(),
        })
    });
    passwords
}

async fn output(
    command: RouterCommand,
    directory: &MockDirectory,
    gateway: &MockRouterGateway,
    json: bool,
) -> (String, Result<(), CliError>) {
    let mut bytes = Vec::new();
    let result = run(
        command,
        directory,
        &passwords(),
        gateway,
        &mut Output::new(&mut bytes, json),
    )
    .await;
    (String::from_utf8(bytes).expect("text"), result)
}

async fn directory_only(
    command: RouterCommand,
    directory: &MockDirectory,
) -> (String, Result<(), CliError>) {
    output(command, directory, &MockRouterGateway::new(), false).await
}

fn remove(force: bool) -> RouterCommand {
    RouterCommand::Remove {
        name: "r1".into(),
        force,
    }
}

fn open() -> OpenWork {
    OpenWork {
        cuts: vec!["255700000001".into()],
        restores: Vec::new(),
        undo: vec!["AA:BB:CC:DD:EE:01".into(), "joe".into()],
    }
}

#[tokio::test]
async fn a_router_with_open_work_is_kept_and_the_work_is_listed() {
    let mut directory = directory();
    directory.expect_open_work().return_once(|_| Ok(open()));
    directory.expect_remove_router().never();
    let (text, result) = directory_only(remove(false), &directory).await;
    let error = result.expect_err("refused");
    assert_eq!(error.exit_code(), error::OWED);
    assert!(
        error
            .to_string()
            .contains("1 cut, 2 disabled names or MACs"),
        "{error}"
    );
    assert!(text.contains("255700000001: cut owed"), "{text}");
}

#[tokio::test]
async fn work_that_opens_between_the_look_and_the_removal_still_refuses_it() {
    let mut directory = directory();
    let mut looks = vec![open(), OpenWork::default()];
    directory
        .expect_open_work()
        .returning(move |_| Ok(looks.pop().unwrap_or_default()));
    directory
        .expect_remove_router()
        .return_once(|_, _| Err(StoreError::Conflict(Conflict::RouterBusy)));
    let (text, result) = directory_only(remove(false), &directory).await;
    assert_eq!(result.expect_err("refused").exit_code(), error::OWED);
    assert!(text.contains("255700000001: cut owed"), "{text}");
}

#[tokio::test]
async fn a_forced_removal_lists_who_stays_as_they_are() {
    let mut directory = directory();
    directory.expect_open_work().return_once(|_| Ok(open()));
    directory
        .expect_remove_router()
        .withf(|_, force| *force)
        .return_once(|_, _| Ok(()));
    let (text, result) = directory_only(remove(true), &directory).await;
    result.expect("done");
    let expected = "router r1 removed\n  255700000001: may stay online\n  \
                    AA:BB:CC:DD:EE:01: stays disabled\n  joe: stays disabled\n";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn r9_strays_are_listed_with_how_they_were_let_in() {
    let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("in range");
    let staff = Presence {
        kind: PresenceKind::Session,
        login: Some("sta\u{1b}ff\\xe9".into()),
        mac: Some(MacAddr::new([2, 0, 0, 0, 0, 1])),
        address: Some("10.5.50.7".into()),
        way_in: WayIn::Account,
        online: true,
        comment: None,
    };
    let cameras = Presence {
        kind: PresenceKind::Binding,
        login: None,
        mac: None,
        address: Some("10.5.50.20-10.5.50.29".into()),
        way_in: WayIn::Bypass,
        online: false,
        comment: Some("cameras".into()),
    };
    let strays = [staff, cameras].map(|presence| Stray {
        presence,
        first_seen: at(0),
        last_seen: at(60),
    });
    let strays = Strays::new(Some(at(60)), strays.into());
    let mut directory = directory();
    directory
        .expect_strays()
        .returning(move |_| Ok(strays.clone()));
    let command = || RouterCommand::Strays { name: "r1".into() };

    let (text, result) = directory_only(command(), &directory).await;
    result.expect("done");
    let expected = "router r1: 2 strays, read 2027-01-15T08:01:00Z\n  \
                    session of sta\\u{1b}ff\\xe9 on 02:00:00:00:00:01 at 10.5.50.7, \
                    let in by account, first seen 2027-01-15T08:00:00Z\n  \
                    binding of any device at 10.5.50.20-10.5.50.29, comment cameras, \
                    let in by bypass, first seen 2027-01-15T08:00:00Z, not there now\n";
    assert_eq!(text, expected);
    let gateway = MockRouterGateway::new();
    let (text, _) = output(command(), &directory, &gateway, true).await;
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["router"], "r1");
    assert_eq!(json["reconciled_at"], "2027-01-15T08:01:00Z");
    assert_eq!(json["strays"][0]["way_in"], "account");
    assert_eq!(json["strays"][1]["kind"], "binding");
}

#[tokio::test]
async fn r9_a_router_that_was_never_read_does_not_claim_to_have_no_strays() {
    let mut directory = directory();
    directory
        .expect_strays()
        .return_once(|_| Ok(Strays::default()));
    let command = RouterCommand::Strays { name: "r1".into() };
    let (text, result) = directory_only(command, &directory).await;
    result.expect("done");
    assert_eq!(text, "router r1: no watcher has read it whole yet\n");
}

#[tokio::test]
async fn set_changes_only_what_is_given() {
    let mut directory = directory();
    directory
        .expect_change_router()
        .withf(|_, change| {
            change.port == Some(8729)
                && change.host.is_none()
                && change.username.is_none()
                && change.password.is_none()
                && change.enabled.is_none()
        })
        .return_once(|_, _| Ok(router()));
    let set = |port| {
        RouterCommand::Set(SetRouter {
            name: "r1".into(),
            host: None,
            port,
            username: None,
            password_file: None,
            tenant: None,
        })
    };
    let (_, result) = directory_only(set(Some(8729)), &directory).await;
    result.expect("done");
    let (_, result) = directory_only(set(None), &directory).await;
    assert!(matches!(result, Err(CliError::NothingToChange)));
}

#[tokio::test]
async fn set_changes_nothing_of_a_router_that_serves_somebody_else() {
    let mut directory = MockDirectory::new();
    let other = Tenant {
        id: TenantId(7),
        slug: "other".into(),
        name: "Other".into(),
    };
    directory
        .expect_routers()
        .return_once(|| Ok(vec![router()]));
    directory
        .expect_tenants()
        .return_once(move || Ok(vec![other]));
    let set = RouterCommand::Set(SetRouter {
        name: "r1".into(),
        host: None,
        port: Some(8729),
        username: None,
        password_file: None,
        tenant: Some("other".into()),
    });
    let (_, result) = directory_only(set, &directory).await;
    let refused = result.expect_err("refused");
    assert_eq!(refused.exit_code(), error::USAGE);
    assert!(
        refused
            .to_string()
            .contains("does not serve tenant `other`")
    );
}

#[tokio::test]
async fn r11_the_password_comes_from_the_file_and_is_never_printed() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{PASSWORD}\n")).expect("written");
    let mut directory = directory();
    directory
        .expect_add_router()
        .withf(|new| new.password.expose_secret() == PASSWORD)
        .return_once(|_| Ok(router()));
    let add = RouterCommand::Add(AddRouter {
        name: "r1".into(),
        host: "10.0.0.1".into(),
        port: 8728,
        username: "expiry".into(),
        password_file: Some(file.path().into()),
        tenant: None,
    });
    let mut gateway = MockRouterGateway::new();
    gateway
        .expect_probe()
        .returning(|_| Err(GatewayError::TooOld));
    gateway.expect_close().returning(|_| ());
    let (text, result) = output(add, &directory, &gateway, true).await;
    result.expect("done");
    assert!(
        text.contains("10.0.0.1") && !text.contains(PASSWORD),
        "{text}"
    );
    let list = RouterCommand::List;
    let (text, result) = output(list, &directory, &MockRouterGateway::new(), true).await;
    result.expect("done");
    assert!(
        text.contains("10.0.0.1") && !text.contains(PASSWORD),
        "{text}"
    );
}

fn facts(serial: &str) -> RouterFacts {
    RouterFacts {
        hardware: Hardware {
            identity: "gw".into(),
            serial: Some(serial.into()),
        },
        version: None,
        board: None,
        uptime: None,
        clock: None,
    }
}

#[tokio::test]
async fn r1_a_box_that_is_on_record_is_not_added_again_and_a_test_names_it() {
    let mut second = router();
    second.id = RouterId(2);
    second.name = "r2".into();
    let mut first = router();
    first.seen = Some(facts("HF1").hardware);
    let all = vec![first, second];
    let mut directory = MockDirectory::new();
    directory
        .expect_routers()
        .returning(move || Ok(all.clone()));
    directory.expect_add_router().never();
    let gateway = answering(facts("HF1"));
    let name = "r2".into();
    let (_, result) = output(RouterCommand::Test { name }, &directory, &gateway, false).await;
    let told = error::chain(&result.expect_err("twice"));
    assert!(told.contains("the same box as router `r1`"), "{told}");
    assert!(told.contains("`expiryctl router remove r2`"), "{told}");

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{PASSWORD}\n")).expect("written");
    let add = RouterCommand::Add(AddRouter {
        name: "r3".into(),
        host: "10.0.0.3".into(),
        port: 8728,
        username: "expiry".into(),
        password_file: Some(file.path().into()),
        tenant: None,
    });
    let (_, result) = output(add, &directory, &gateway, false).await;
    let error = result.expect_err("twice");
    assert_eq!(error.exit_code(), error::USAGE);
    let told = error::chain(&error);
    assert!(
        told.contains("`r3` was not added: the same box as router `r1`"),
        "{told}"
    );
}

/// A gateway to routers that are right and say this of themselves.
fn answering(facts: RouterFacts) -> MockRouterGateway {
    let mut gateway = MockRouterGateway::new();
    gateway.expect_probe().returning(move |_| Ok(facts.clone()));
    gateway
        .expect_survey()
        .returning(|_| Ok(expiry_core::Survey::default()));
    gateway
        .expect_look()
        .returning(|_, _| Ok(expiry_core::Sighting::default()));
    gateway.expect_drop_rows().returning(|_, _| Ok(Vec::new()));
    gateway.expect_close().returning(|_| ());
    gateway
}

#[tokio::test]
async fn a_test_says_which_step_failed() {
    let failures = [
        (
            GatewayError::Connect {
                address: "10.0.0.1:8728".into(),
                how: expiry_core::Unreached::Refused,
                reason: "connection refused".into(),
            },
            "connecting failed",
        ),
        (
            GatewayError::Login {
                message: "invalid user name or password (6)".into(),
            },
            "logging in failed",
        ),
        (
            GatewayError::WrongRouter {
                expected: "a".into(),
                found: "b".into(),
            },
            "recognising the box failed",
        ),
    ];
    for (failure, expected) in failures {
        let mut gateway = MockRouterGateway::new();
        gateway.expect_probe().return_once(|_| Err(failure));
        gateway.expect_close().return_once(|_| ());
        let name = "r1".into();
        let (_, result) = output(RouterCommand::Test { name }, &directory(), &gateway, false).await;
        let error = result.expect_err("failed");
        assert_eq!(error.exit_code(), error::FAILED);
        assert!(error::chain(&error).contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_test_that_succeeds_says_what_answered() {
    let facts = RouterFacts {
        hardware: Hardware {
            identity: "gw".into(),
            serial: None,
        },
        version: Some("7.18.2 (stable)".into()),
        board: None,
        uptime: None,
        clock: None,
    };
    let gateway = answering(facts);
    let name = "r1".into();
    let (text, result) = output(RouterCommand::Test { name }, &directory(), &gateway, false).await;
    result.expect("done");
    let expected = "router r1: connected, logged in, may read and write; identity gw, no serial, \
                    RouterOS 7.18.2 (stable)\n";
    assert_eq!(text, expected);
}
