use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use expiry_core::{RouterChange, StoreError};
use secrecy::ExposeSecret;

use crate::setup::{Home, add_router, postgres, sqlite};

async fn refused_for_the_key(home: &Home) -> String {
    let error = expiry_store::open(&home.config).await.map(drop);
    let error = error.expect_err("refused");
    assert!(matches!(error, StoreError::Key(_)), "{error:?}");
    let text = error.to_string();
    let file = home.config.key_file.display().to_string();
    assert!(text.contains(&file), "{text}");
    text
}

async fn key_is_needed(home: Home) {
    let key = &home.config.key_file;
    let store = home.open().await;
    assert!(!key.exists(), "a store without routers needs no key");
    let router = add_router(&*store, "a").await;
    let kept = fs::read(key).expect("made with the first router");

    fs::remove_file(key).expect("removed");
    let text = refused_for_the_key(&home).await;
    assert!(text.contains("missing"), "{text}");
    assert!(!key.exists(), "a lost key is not replaced");

    fs::write(key, "00".repeat(32)).expect("written");
    fs::set_permissions(key, Permissions::from_mode(0o600)).expect("private");
    let text = refused_for_the_key(&home).await;
    assert!(text.contains("copy the right key file"), "{text}");

    fs::write(key, kept).expect("copied back");
    fs::set_permissions(key, Permissions::from_mode(0o644)).expect("public");
    let text = refused_for_the_key(&home).await;
    assert!(text.contains("chmod 600"), "{text}");

    fs::set_permissions(key, Permissions::from_mode(0o600)).expect("private");
    let store = home.open().await;
    let login = store.router_login(router.id).await.expect("opened");
    assert_eq!(login.password.expose_secret(), "not a secret");
    let change = RouterChange {
        password: Some("another one".into()),
        ..RouterChange::default()
    };
    store.change_router(router.id, &change).await.expect("done");
    let login = store.router_login(router.id).await.expect("opened");
    assert_eq!(login.password.expose_secret(), "another one");
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
