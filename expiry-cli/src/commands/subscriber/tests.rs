use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use clap::Parser;
use expiry_core::{
    Conflict, MacAddr, MockDirectory, MockEnforcementStore, Revision, Service, StoreError, Tenant,
    TenantId, Username,
    testing::{MemoryStore, TestClock},
};
use serde_json::json;

use super::*;
use crate::{args::Who, error};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
}

fn name() -> Username {
    "255700000001".parse().expect("a name")
}

fn mac() -> MacAddr {
    "AA:BB:CC:DD:EE:01".parse().expect("a MAC")
}

fn who(tenant: Option<&str>) -> Who {
    Who {
        username: name(),
        tenant: tenant.map(Into::into),
    }
}

fn subscriber(access: Access) -> Subscriber {
    Subscriber {
        id: SubscriberId(1),
        tenant: None,
        username: name(),
        service: Service::Hotspot,
        access,
        revision: Revision(1),
        router: None,
        devices: [mac()].into(),
    }
}

fn add(end: End) -> SubscriberCommand {
    SubscriberCommand::Add(AddSubscriber {
        who: who(None),
        no_tenant: false,
        end,
        devices: vec![mac(), mac()],
        router: None,
        service: Service::Hotspot,
    })
}

fn lasting(length: Duration) -> End {
    End {
        expires_at: None,
        length: Some(length),
        forever: false,
    }
}

fn directory() -> MockDirectory {
    let mut directory = MockDirectory::new();
    directory.expect_routers().returning(|| Ok(Vec::new()));
    directory
}

async fn output(
    command: SubscriberCommand,
    directory: &MockDirectory,
    json: bool,
) -> Result<String, CliError> {
    let mut clock = MockEnforcementStore::new();
    clock.expect_now().returning(|| Ok(now()));
    let mut bytes = Vec::new();
    run(
        command,
        directory,
        &clock,
        &mut Output::new(&mut bytes, json),
    )
    .await?;
    Ok(String::from_utf8(bytes).expect("text"))
}

#[tokio::test]
async fn r1_access_for_a_while_counts_from_the_clock_of_the_database() {
    let end = now() + Duration::from_hours(2);
    let mut directory = directory();
    directory
        .expect_add_unplaced_subscriber()
        .withf(move |new| new.access == Access::Until(end) && new.devices == [mac()].into())
        .return_once(move |_| Ok(subscriber(Access::Until(end))));
    let text = output(add(lasting(Duration::from_hours(2))), &directory, true)
        .await
        .expect("done");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let expected = json!({
        "username": "255700000001", "tenant": null, "service": "hotspot", "live": true,
        "access": "until", "expires_at": "2027-01-15T10:00:00Z", "router": null,
        "devices": ["AA:BB:CC:DD:EE:01"], "revision": 1,
    });
    assert_eq!(value, expected);
}

#[tokio::test]
async fn what_is_taken_already_is_a_wrong_value() {
    let mut directory = directory();
    directory.expect_add_unplaced_subscriber().return_once(|_| {
        Err(StoreError::Conflict(Conflict::Device {
            mac: mac(),
            owner: "joe".parse().expect("a name"),
        }))
    });
    let error = output(add(lasting(Duration::from_secs(9))), &directory, false)
        .await
        .expect_err("refused");
    assert_eq!(error.exit_code(), error::USAGE);
    assert!(
        error.to_string().contains("belongs to subscriber `joe`"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_made_for_a_router_or_a_tenant_that_is_not_there() {
    let mut directory = directory();
    directory.expect_tenants().returning(|| Ok(Vec::new()));
    let mut args = AddSubscriber {
        no_tenant: false,
        who: who(None),
        end: lasting(Duration::from_secs(9)),
        devices: Vec::new(),
        router: Some("r9".into()),
        service: Service::Hotspot,
    };
    let command = SubscriberCommand::Add(args.clone());
    let error = output(command, &directory, false)
        .await
        .expect_err("refused");
    assert!(matches!(&error, CliError::UnknownRouter(name) if name == "r9"));
    args.router = None;
    args.who = who(Some("cafe"));
    let command = SubscriberCommand::Add(args);
    let error = output(command, &directory, false)
        .await
        .expect_err("refused");
    assert!(matches!(&error, CliError::UnknownTenant(slug) if slug == "cafe"));
}

#[tokio::test]
async fn an_unknown_subscriber_is_named_with_its_tenant() {
    let mut directory = directory();
    let tenant = Tenant {
        id: TenantId(7),
        slug: "cafe".into(),
        name: "Café".into(),
    };
    directory
        .expect_tenants()
        .returning(move || Ok(vec![tenant.clone()]));
    directory.expect_subscriber().returning(|_, _| Ok(None));
    let near = Subscriber {
        username: "0700000001".parse().expect("a name"),
        ..subscriber(Access::Forever)
    };
    directory
        .expect_subscribers()
        .returning(move |_, after, _| {
            Ok(Some(near.clone())
                .filter(|_| after.0 == 0)
                .into_iter()
                .collect())
        });
    let command = SubscriberCommand::Show(who(Some("cafe")));
    let error = output(command, &directory, false)
        .await
        .expect_err("refused");
    assert_eq!(error.exit_code(), error::USAGE);
    let text = error.to_string();
    assert!(
        text.contains("255700000001") && text.contains("`cafe`") && text.contains("`0700000001`"),
        "{text}"
    );
}

#[tokio::test]
async fn extending_to_the_past_ends_nothing() {
    let until = Extension {
        length: None,
        until: Some(now()),
        shorten: false,
    };
    let who = who(None);
    let command = SubscriberCommand::Extend { who, until };
    let error = output(command, &directory(), false)
        .await
        .expect_err("refused");
    assert!(matches!(error, CliError::NotAhead { .. }));
}

/// Extends somebody who has `access` to an hour from now. Returns what they have then.
async fn extended_to_an_hour(access: Access, shorten: bool) -> (Result<String, CliError>, Access) {
    let store = MemoryStore::new(Arc::new(TestClock::starting_at(now())));
    let new = NewSubscriber {
        tenant: None,
        username: name(),
        service: Service::Hotspot,
        access,
        router: None,
        devices: BTreeSet::new(),
    };
    let id = store.add_subscriber(&new).await.expect("added").id;
    let until = Extension {
        length: None,
        until: Some(now() + TimeDelta::hours(1)),
        shorten,
    };
    let who = who(None);
    let mut printed = Vec::new();
    let out = &mut Output::new(&mut printed, false);
    let command = SubscriberCommand::Extend { who, until };
    let done = run(command, &store, &store, out).await;
    let done = done.map(|()| String::from_utf8(printed).expect("text"));
    let found = store.subscriber_by_id(id).await.expect("read");
    (done, found.expect("there").access)
}

#[tokio::test]
async fn extending_takes_nothing_away_unless_told_to() {
    let in_an_hour = Access::Until(now() + TimeDelta::hours(1));
    let in_a_month = Access::Until(now() + TimeDelta::days(30));
    for more in [in_a_month, Access::Forever] {
        let (done, access) = extended_to_an_hour(more, false).await;
        let error = done.expect_err("refused");
        assert_eq!(error.exit_code(), error::USAGE);
        let text = error.to_string();
        assert!(text.contains("--shorten"), "{text}");
        assert_eq!(access, more);
        let (done, access) = extended_to_an_hour(more, true).await;
        assert!(done.is_ok());
        assert_eq!(access, in_an_hour);
    }
    for less in [Access::None, Access::Until(now()), in_an_hour] {
        let (done, access) = extended_to_an_hour(less, false).await;
        assert!(done.is_ok());
        assert_eq!(access, in_an_hour);
    }
}

/// Pays for somebody who has a minute left.
async fn paid(store: &MemoryStore, args: &[&str]) -> Result<String, CliError> {
    done(store, &["pay", "255700000001"], args).await
}

async fn done(store: &MemoryStore, what: &[&str], args: &[&str]) -> Result<String, CliError> {
    let words = ["expiryctl", "subscriber"];
    let words = words.iter().chain(what).chain(args);
    let cli = crate::args::Cli::try_parse_from(words).expect("well-formed");
    let crate::args::Command::Subscriber(command) = cli.command else {
        panic!("not of subscribers");
    };
    let mut printed = Vec::new();
    let out = &mut Output::new(&mut printed, false);
    run(command, store, store, out).await?;
    Ok(String::from_utf8(printed).expect("text"))
}

#[tokio::test]
async fn r3_a_payment_adds_its_time_once_and_says_which_answer_is_an_old_one() {
    let store = MemoryStore::new(Arc::new(TestClock::starting_at(now())));
    let hour = ["--reference", "QK7", "--for", "1h"];
    let unknown = paid(&store, &hour).await.expect_err("nobody is known");
    assert!(
        matches!(unknown, CliError::UnknownSubscriber { .. }),
        "{unknown}"
    );

    let create = [&hour[..], &["--create"]].concat();
    let first = paid(&store, &create).await.expect("taken");
    assert!(first.contains("by payment QK7, new"), "{first}");
    let again = paid(&store, &create).await.expect("known");
    assert!(again.contains("nothing was added"), "{again}");
    let found = store.subscriber(None, &name()).await.expect("read");
    let end = found.and_then(|found| found.access.end()).expect("an end");
    assert!(end - now() < TimeDelta::hours(2), "{end}");

    let other = paid(&store, &["--reference", "QK7", "--for", "2h"]).await;
    let error = other.expect_err("refused");
    assert_eq!(error.exit_code(), error::USAGE);
    assert!(error.to_string().contains("`QK7`"), "{error}");
}

#[tokio::test]
async fn a_list_goes_through_all_pages() {
    let mut directory = directory();
    directory
        .expect_subscribers()
        .times(3)
        .returning(|_, after, _| {
            let ids = if after.0 < 4 {
                after.0 + 1..after.0 + 3
            } else {
                0..0
            };
            let one = |id| Subscriber {
                id: SubscriberId(id),
                ..subscriber(Access::Forever)
            };
            Ok(ids.map(one).collect())
        });
    let text = output(SubscriberCommand::List { tenant: None }, &directory, true)
        .await
        .expect("done");
    let value: serde_json::Value = serde_json::from_str(&text).expect("one JSON array");
    assert_eq!(value.as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn an_ended_access_is_shown_as_ended() {
    let mut directory = directory();
    let ended = subscriber(Access::Until(now()));
    directory
        .expect_subscriber()
        .return_once(|_, _| Ok(Some(ended)));
    let text = output(SubscriberCommand::Show(who(None)), &directory, false)
        .await
        .expect("done");
    assert_eq!(
        text,
        "255700000001  ended 2027-01-15T08:00:00Z  on any router  1 device: AA:BB:CC:DD:EE:01\n"
    );
}

#[tokio::test]
async fn revoked_access_is_shown_as_ended() {
    let ended = now() + Duration::from_millis(3);
    let mut directory = directory();
    directory
        .expect_subscriber()
        .return_once(|_, _| Ok(Some(subscriber(Access::Forever))));
    directory
        .expect_change_access()
        .withf(|_, change| *change == AccessChange::Revoke)
        .return_once(move |_, _| Ok(subscriber(Access::Until(ended))));
    // The clock is read before the change.
    let mut clock = MockEnforcementStore::new();
    clock.expect_now().times(1).returning(|| Ok(now()));
    let mut bytes = Vec::new();
    let command = SubscriberCommand::Revoke(who(None));
    run(
        command,
        &directory,
        &clock,
        &mut Output::new(&mut bytes, true),
    )
    .await
    .expect("done");
    let shown: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(shown["live"], false);
}

#[tokio::test]
async fn r1_nobody_is_added_anew_whom_a_tenant_knows_unless_that_is_said() {
    let store = MemoryStore::new(Arc::new(TestClock::starting_at(now())));
    store.add_tenant("acme", "Acme").await.expect("added");
    let add = ["add", "255700000001", "--for", "1h"];
    let acme = ["--tenant", "acme"];
    done(&store, &add, &acme).await.expect("added");

    let refused = done(&store, &add, &[]).await.expect_err("which?");
    let told = error::chain(&refused);
    assert!(told.contains("known in tenant `acme`"), "{told}");
    assert!(
        store
            .subscriber(None, &name())
            .await
            .expect("read")
            .is_none()
    );

    let said = done(&store, &add, &["--no-tenant"]).await;
    said.expect("it was said");
    assert!(
        store
            .subscriber(None, &name())
            .await
            .expect("read")
            .is_some()
    );
}
