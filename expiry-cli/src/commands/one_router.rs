//! Makes sure that the router which the environment names is registered as it says.

use expiry_core::{Conflict, Directory, NewRouter, Router, RouterChange, StoreError};

use crate::{error::CliError, settings::OneRouter};

/// Its name.
const NAME: &str = "mikrotik";

/// Registers the router, or brings it up to date. One that is as it should be is not touched.
pub(crate) async fn register(
    router: &OneRouter,
    directory: &dyn Directory,
) -> Result<(), CliError> {
    let known = find(directory).await?;
    if let Some(known) = known {
        return bring_up(router, &known, directory).await;
    }
    let new = NewRouter {
        name: NAME.into(),
        tenant: None,
        address: router.0.clone(),
    };
    match directory.add_router(&new).await {
        Ok(_) => {
            tracing::info!(router = NAME, "router registered");
            Ok(())
        }
        // Another process did it meanwhile.
        Err(error @ StoreError::Conflict(Conflict::RouterName(_))) => {
            match find(directory).await? {
                Some(known) => bring_up(router, &known, directory).await,
                None => Err(CliError::OneRouter(error)),
            }
        }
        Err(error) => Err(CliError::OneRouter(error)),
    }
}

async fn find(directory: &dyn Directory) -> Result<Option<Router>, CliError> {
    let routers = directory.routers().await.map_err(CliError::OneRouter)?;
    Ok(routers.into_iter().find(|router| router.name == NAME))
}

async fn bring_up(
    router: &OneRouter,
    known: &Router,
    directory: &dyn Directory,
) -> Result<(), CliError> {
    let wanted = &router.0;
    if known.address.is_same(wanted) {
        return Ok(());
    }
    // A new host or port forgets which box was seen, so what is right already is not said again.
    let change = RouterChange {
        host: (known.address.host != wanted.host).then(|| wanted.host.clone()),
        port: (known.address.port != wanted.port).then_some(wanted.port),
        username: Some(wanted.username.clone()),
        password: Some(wanted.password.clone()),
        enabled: None,
    };
    let changed = directory.change_router(known.id, &change).await;
    changed.map_err(CliError::OneRouter)?;
    tracing::info!(router = NAME, "router brought up to date");
    Ok(())
}

#[cfg(test)]
mod tests {
    use expiry_core::{MockDirectory, RouterAddress, RouterId};

    use super::*;

    fn wanted() -> OneRouter {
        OneRouter(RouterAddress {
            host: "10.8.0.2".into(),
            port: 8728,
            username: "expiry".into(),
            password: "hunter2".into(),
        })
    }

    fn known(address: RouterAddress) -> Router {
        Router {
            id: RouterId(7),
            name: NAME.into(),
            tenant: None,
            address,
            enabled: true,
            seen: None,
        }
    }

    fn knowing(address: RouterAddress) -> MockDirectory {
        let mut directory = MockDirectory::new();
        let router = known(address);
        directory
            .expect_routers()
            .returning(move || Ok(vec![router.clone()]));
        directory
    }

    #[tokio::test]
    async fn an_unknown_router_is_made() {
        let mut directory = MockDirectory::new();
        directory.expect_routers().returning(|| Ok(Vec::new()));
        directory
            .expect_add_router()
            .withf(|new| new.name == NAME && new.address.is_same(&wanted().0))
            .once()
            .returning(|new| Ok(known(new.address.clone())));
        register(&wanted(), &directory).await.expect("made");
    }

    #[tokio::test]
    async fn one_that_is_as_it_should_be_is_not_touched() {
        let directory = knowing(wanted().0);
        register(&wanted(), &directory)
            .await
            .expect("nothing to do");
    }

    #[tokio::test]
    async fn a_new_password_keeps_the_box_that_was_seen() {
        let address = RouterAddress {
            password: "old".into(),
            ..wanted().0
        };
        let mut directory = knowing(address);
        directory
            .expect_change_router()
            .withf(|id, change| {
                let moved = change.host.is_some() || change.port.is_some();
                *id == RouterId(7) && !moved && change.password.is_some()
            })
            .once()
            .returning(|_, _| Ok(known(wanted().0)));
        register(&wanted(), &directory).await.expect("changed");
    }

    #[tokio::test]
    async fn one_that_another_process_makes_meanwhile_is_taken() {
        let mut directory = MockDirectory::new();
        let mut asked = 0;
        directory.expect_routers().returning(move || {
            asked += 1;
            Ok(if asked == 1 {
                Vec::new()
            } else {
                vec![known(wanted().0)]
            })
        });
        directory
            .expect_add_router()
            .returning(|_| Err(StoreError::Conflict(Conflict::RouterName(NAME.into()))));
        register(&wanted(), &directory).await.expect("there");
    }

    #[tokio::test]
    async fn a_router_that_is_known_by_another_name_is_a_wrong_configuration() {
        let mut directory = MockDirectory::new();
        directory.expect_routers().returning(|| Ok(Vec::new()));
        directory.expect_add_router().returning(|_| {
            Err(StoreError::Conflict(Conflict::RouterAddress {
                address: "10.8.0.2:8728".into(),
                router: "tower".into(),
            }))
        });
        let error = register(&wanted(), &directory).await.expect_err("refused");
        assert_eq!(error.exit_code(), crate::error::USAGE);
        assert!(crate::error::chain(&error).contains("`tower`"));
    }
}
