//! Passwords and the key that seals them. What does not open is of each store's own making.

use std::sync::Arc;

use super::world::World;
use crate::{Conflict, NoPasswordCause, Store, StoreError};

pub async fn r11_a_reset_forgets_no_password_that_opens(store: Arc<dyn Store>) {
    let world = World::new(store);
    let store = world.store();
    let (b, a) = (world.router("b").await, world.router("a").await);
    let secrets = store.secrets().await.expect("told");
    let told = secrets.routers.iter();
    let told: Vec<_> = told.map(|one| (one.router, one.name.as_str())).collect();
    assert_eq!(told, [(a, "a"), (b, "b")]);
    assert_eq!(secrets.wanting().count(), 0, "{secrets:?}");
    assert!(secrets.routers.iter().all(|one| one.sealed_with.is_some()));

    let after = store.reset_secrets(&secrets).await;

    assert_eq!(after.expect("nothing to do"), secrets);
    for router in [a, b] {
        store.router_login(router).await.expect("opens");
    }
}

pub async fn r11_a_reset_is_of_what_was_seen(store: Arc<dyn Store>) {
    let world = World::new(store);
    let store = world.store();
    let router = world.router("a").await;
    let mut seen = store.secrets().await.expect("told");
    seen.routers[0].cause = Some(NoPasswordCause::Damaged);
    let refused = store.reset_secrets(&seen).await.expect_err("it opens");
    assert!(
        matches!(refused, StoreError::Conflict(Conflict::Secrets)),
        "{refused:?}"
    );
    store.router_login(router).await.expect("opens");
}
