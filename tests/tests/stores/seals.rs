use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use expiry_core::{
    AuditKind, Cause, Conflict, Heartbeat, KeyState, NoPasswordCause, RouterChange, RouterId,
    StoreError, WatcherId, WatcherKind,
};
use expiry_store::StoreConfig;
use secrecy::ExposeSecret;

use crate::setup::{Home, add_router, add_subscriber, new_router, postgres, sqlite};

/// Opens the store, which works, and dials a router, which does not: why?
async fn shut(home: &Home, router: RouterId) -> (Cause, String) {
    let store = home.open().await;
    assert_eq!(store.routers().await.expect("listed").len(), 1);
    let error = store.router_login(router).await.expect_err("no password");
    let StoreError::NoPassword(error) = error else {
        panic!("{error:?}")
    };
    let text = error.to_string();
    let file = home.config.key_file.display().to_string();
    assert!(text.contains(&file) && text.contains("`a`"), "{text}");
    (error.cause.cause(), text)
}

fn write_key(home: &Home, byte: &str, mode: u32) {
    let key = &home.config.key_file;
    let _ = fs::remove_file(key);
    fs::write(key, byte.repeat(32)).expect("written");
    fs::set_permissions(key, Permissions::from_mode(mode)).expect("chmod");
}

fn password() -> RouterChange {
    RouterChange {
        password: Some("another one".into()),
        ..RouterChange::default()
    }
}

async fn key_is_needed(home: Home) {
    let key = &home.config.key_file;
    let store = home.open().await;
    assert!(!key.exists(), "a store without routers needs no key");
    let router = add_router(&*store, "a").await;
    let kept = fs::read(key).expect("made with the first router");

    fs::remove_file(key).expect("removed");
    let (cause, text) = shut(&home, router.id).await;
    assert_eq!(cause, Cause::KeyMissing, "{text}");
    assert!(text.contains("does not exist"), "{text}");
    let fresh = home.open().await;
    let refused = fresh.change_router(router.id, &password()).await;
    let refused = refused.expect_err("no key to seal with");
    assert!(matches!(refused, StoreError::Key(_)), "{refused:?}");
    assert!(!key.exists(), "a lost key is not replaced");

    write_key(&home, "00", 0o600);
    let (cause, text) = shut(&home, router.id).await;
    assert_eq!(cause, Cause::OtherKey, "{text}");
    let refused = try_to_add(&home, "b").await.expect_err("another key");
    assert!(matches!(refused, StoreError::Key(_)), "{refused:?}");

    fs::write(key, &kept).expect("copied back");
    fs::set_permissions(key, Permissions::from_mode(0o644)).expect("public");
    let (cause, text) = shut(&home, router.id).await;
    assert_eq!(cause, Cause::KeyUnusable, "{text}");
    assert!(text.contains("chmod 600"), "{text}");

    fs::set_permissions(key, Permissions::from_mode(0o600)).expect("private");
    let fresh = home.open().await;
    for store in [store, fresh] {
        let login = store.router_login(router.id).await.expect("opened");
        assert_eq!(login.password.expose_secret(), "not a secret");
    }
    write_key(&home, "00", 0o600);
    let store = home.open().await;
    let changed = store.change_router(router.id, &password()).await;
    changed.expect("sealed with the key that is there");
    let login = store.router_login(router.id).await.expect("opened");
    assert_eq!(login.password.expose_secret(), "another one");
    try_to_add(&home, "b").await.expect("it is in use");
}

async fn try_to_add(home: &Home, name: &str) -> Result<(), StoreError> {
    let store = home.open().await;
    store.add_router(&new_router(name)).await.map(drop)
}

async fn a_reset_forgets(home: Home) {
    let store = home.open().await;
    let (a, b) = (
        add_router(&*store, "a").await,
        add_router(&*store, "b").await,
    );
    let off = RouterChange {
        enabled: Some(false),
        ..RouterChange::default()
    };
    store.change_router(b.id, &off).await.expect("disabled");
    let joe = add_subscriber(&*store, "joe", store.now().await.expect("now")).await;
    let all = store.secrets().await.expect("told");
    let unchanged = store.reset_secrets(&all).await.expect("nothing to do");
    assert_eq!(unchanged, all);
    let KeyState::Here(lost) = all.key.clone() else {
        panic!("{all:?}")
    };

    fs::remove_file(&home.config.key_file).expect("removed");
    let fresh = home.open().await;
    let seen = fresh.secrets().await.expect("told");
    assert_eq!(seen.key, KeyState::Missing);
    assert_eq!(seen.shut().count(), 2);
    let refused = fresh
        .reset_secrets(&all)
        .await
        .expect_err("not what was seen");
    assert!(matches!(refused, StoreError::Conflict(Conflict::Secrets)));
    assert!(!home.config.key_file.exists());

    let after = fresh.reset_secrets(&seen).await.expect("forgotten");
    let KeyState::Here(made) = &after.key else {
        panic!("{after:?}")
    };
    assert_ne!(*made, lost);
    assert_eq!((after.shut().count(), after.wanting().count()), (0, 2));
    for store in [&store, &fresh] {
        let error = store.router_login(a.id).await.expect_err("forgotten");
        let StoreError::NoPassword(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.cause, NoPasswordCause::Forgotten);
    }
    let status = fresh.status(10).await.expect("status");
    assert_eq!(status.owed.len(), 1, "what is owed stays owed");
    assert_eq!(status.owed[0].subscriber, joe.id);
    let error = status.routers[0].last_error.as_deref().unwrap_or_default();
    assert_eq!(Cause::in_line(error), Some(Cause::NoPassword), "{error}");
    assert!(status.routers[0].down_since.is_some());
    assert_eq!(status.routers[1].last_error, None, "it is disabled");
    let told = fresh.latest_events(20).await.expect("events");
    let told = told.into_iter().map(|event| event.entry);
    let told = told.filter(|entry| {
        entry.kind
            == AuditKind::PasswordForgotten {
                sealed_with: lost.clone(),
            }
    });
    let of: BTreeSet<_> = told.filter_map(|entry| entry.router_name).collect();
    assert_eq!(of, ["a", "b"].map(String::from).into());

    // An open store takes the new key.
    let changed = store.change_router(a.id, &password()).await;
    changed.expect("sealed");
    let login = fresh.router_login(a.id).await.expect("opened");
    assert_eq!(login.password.expose_secret(), "another one");
    assert_eq!(store.secrets().await.expect("told").wanting().count(), 1);
}

#[tokio::test]
async fn r11_sqlite_forgets_what_a_lost_key_sealed_and_says_so() {
    a_reset_forgets(sqlite()).await;
}

#[tokio::test]
async fn r11_postgres_forgets_what_a_lost_key_sealed_and_says_so() {
    a_reset_forgets(postgres().await).await;
}

/// The same database on another machine, with another key.
fn elsewhere(home: &Home) -> StoreConfig {
    let mut config = home.config.clone();
    config.key_file = home.path("elsewhere.key");
    fs::write(&config.key_file, "11".repeat(32)).expect("written");
    fs::set_permissions(&config.key_file, Permissions::from_mode(0o600)).expect("private");
    config
}

async fn whoever_has_the_key_serves(home: Home) {
    let here = home.open().await;
    let router = add_router(&*here, "a").await;
    let there = expiry_store::open(&elsewhere(&home)).await.expect("opened");
    let (with_key, without) = (heartbeat(), heartbeat());

    // Nobody else is there: it is told why the router is not served.
    let owned = there.own(&without).await.expect("owned");
    assert_eq!(owned.len(), 1);
    assert!(owned[0].password.is_err());
    assert_eq!(here.own(&with_key).await.expect("beaten").len(), 0);
    // Somebody who has the key is alive.
    assert_eq!(there.own(&without).await.expect("beaten").len(), 0);
    let owned = here.own(&with_key).await.expect("owned");
    assert_eq!(owned.len(), 1);
    assert!(owned[0].password.is_ok() && owned[0].taken_over);
    assert_eq!(there.own(&without).await.expect("beaten").len(), 0);
    let secrets = there.secrets().await.expect("told");
    assert_eq!(secrets.routers[0].opened_by.len(), 1, "{secrets:?}");
    assert_eq!(secrets.routers[0].remembered_by.len(), 0, "{secrets:?}");

    // The file is lost, and who has read it goes on.
    let aside = home.path("aside.key");
    fs::rename(&home.config.key_file, &aside).expect("moved");
    assert_eq!(here.own(&with_key).await.expect("owned").len(), 1);
    assert_eq!(there.own(&without).await.expect("beaten").len(), 0);
    let secrets = there.secrets().await.expect("told");
    assert_eq!(secrets.routers[0].opened_by.len(), 0, "{secrets:?}");
    assert_eq!(secrets.routers[0].remembered_by.len(), 1, "{secrets:?}");
    fs::rename(&aside, &home.config.key_file).expect("put back");
    assert_eq!(here.own(&with_key).await.expect("owned").len(), 1);
    let secrets = there.secrets().await.expect("told");
    assert_eq!(secrets.routers[0].opened_by.len(), 1, "{secrets:?}");

    // The password is given anew, there.
    there
        .change_router(router.id, &password())
        .await
        .expect("sealed");
    assert_eq!(here.own(&with_key).await.expect("beaten").len(), 0);
    let owned = there.own(&without).await.expect("owned");
    assert!(owned[0].password.is_ok(), "{owned:?}");

    // Who has the key is braked, and then gone.
    there.stand_by(&without).await.expect("braked");
    let owned = here.own(&with_key).await.expect("owned");
    assert!(owned[0].password.is_err(), "{owned:?}");
    assert_eq!(there.own(&without).await.expect("beaten").len(), 0);
    assert_eq!(here.own(&with_key).await.expect("beaten").len(), 0);
    assert_eq!(there.own(&without).await.expect("owned").len(), 1);
    there.release(without.watcher).await.expect("gone");
    assert_eq!(here.own(&with_key).await.expect("owned").len(), 1);
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        watcher: WatcherId::fresh(),
        kind: WatcherKind::Watcher,
        ttl: Duration::from_mins(1),
        place: None,
        share_limit: None,
        interval: None,
    }
}

#[tokio::test]
async fn r8_sqlite_has_routers_served_by_who_has_the_key() {
    whoever_has_the_key_serves(sqlite()).await;
}

#[tokio::test]
async fn r8_postgres_has_routers_served_by_who_has_the_key() {
    whoever_has_the_key_serves(postgres().await).await;
}

#[tokio::test]
async fn r11_sqlite_opens_sealed_passwords_with_their_key_alone() {
    key_is_needed(sqlite()).await;
}

#[tokio::test]
async fn r11_postgres_opens_sealed_passwords_with_their_key_alone() {
    key_is_needed(postgres().await).await;
}

#[tokio::test]
async fn r11_no_password_lies_in_the_file() {
    let home = sqlite();
    let store = home.open().await;
    add_router(&*store, "a").await;
    let found = ["expiry.db", "expiry.db-wal"].iter().any(|name| {
        let bytes = fs::read(home.path(name)).unwrap_or_default();
        let secret = b"not a secret";
        bytes.windows(secret.len()).any(|window| window == secret)
    });
    assert!(!found);
}
