//! Makes sure that the router which the environment names is registered as it says.

use expiry_core::{
    Conflict, Directory, NewRouter, PasswordStore, Router, RouterChange, RouterLogin, StoreError,
};

use crate::{error::CliError, settings::OneRouter};

/// Its name.
const NAME: &str = "mikrotik";

/// Registers the router, or brings it up to date. One that is as it should be is not touched. Without
/// the key to seal its password it stays as it is: the others are served.
pub(crate) async fn register(
    router: &OneRouter,
    directory: &dyn Directory,
    passwords: &dyn PasswordStore,
) -> Result<(), CliError> {
    match put(router, directory, passwords).await {
        Err(CliError::OneRouter(StoreError::Key(why))) => {
            tracing::error!(
                router = NAME,
                error = why,
                "the password of MIKROTIK_PASSWORD cannot be kept"
            );
            Ok(())
        }
        done => done,
    }
}

async fn put(
    router: &OneRouter,
    directory: &dyn Directory,
    passwords: &dyn PasswordStore,
) -> Result<(), CliError> {
    let known = find(directory).await?;
    if let Some(known) = known {
        return bring_up(router, known, directory, passwords).await;
    }
    let new = NewRouter {
        name: NAME.into(),
        tenant: None,
        address: router.address.clone(),
        password: router.password.clone(),
    };
    match directory.add_router(&new).await {
        Ok(_) => {
            tracing::info!(router = NAME, "router registered");
            Ok(())
        }
        // Another process did it meanwhile.
        Err(error @ StoreError::Conflict(Conflict::RouterName(_))) => {
            match find(directory).await? {
                Some(known) => bring_up(router, known, directory, passwords).await,
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
    known: Router,
    directory: &dyn Directory,
    passwords: &dyn PasswordStore,
) -> Result<(), CliError> {
    let wanted = &router.address;
    let login = RouterLogin {
        router: Router {
            address: wanted.clone(),
            ..known.clone()
        },
        password: router.password.clone(),
    };
    match passwords.router_login(known.id).await {
        Ok(stored) if stored.is_same(&login) => return Ok(()),
        Ok(_) | Err(StoreError::NoPassword(_)) => {}
        Err(error) => return Err(CliError::OneRouter(error)),
    }
    // A new host or port forgets which box was seen, so what is right already is not said again.
    let change = RouterChange {
        host: (known.address.host != wanted.host).then(|| wanted.host.clone()),
        port: (known.address.port != wanted.port).then_some(wanted.port),
        username: Some(wanted.username.clone()),
        password: Some(router.password.clone()),
        enabled: None,
    };
    let changed = directory.change_router(known.id, &change).await;
    changed.map_err(CliError::OneRouter)?;
    tracing::info!(router = NAME, "router brought up to date");
    Ok(())
}

#[cfg(test)]
mod tests {
    use expiry_core::{
        MockDirectory, MockPasswordStore, NoPassword, NoPasswordCause, RouterAddress, RouterId,
    };
    use secrecy::{ExposeSecret, SecretString};

    use super::*;

    fn wanted() -> OneRouter {
        OneRouter {
            address: RouterAddress {
                host: "10.8.0.2".into(),
                port: 8728,
                username: "expiry".into(),
            },
            password: "hunter2".into(),
        }
    }

    fn known() -> Router {
        Router {
            id: RouterId(7),
            name: NAME.into(),
            tenant: None,
            address: wanted().address,
            enabled: true,
            seen: None,
        }
    }

    fn knowing() -> MockDirectory {
        let mut directory = MockDirectory::new();
        directory.expect_routers().returning(|| Ok(vec![known()]));
        directory
    }

    fn passwords(password: Result<&'static str, NoPasswordCause>) -> MockPasswordStore {
        let mut passwords = MockPasswordStore::new();
        passwords.expect_router_login().returning(move |_| {
            let router = known();
            let password = password.clone().map_err(|cause| NoPassword {
                router: router.name.clone(),
                cause,
            });
            let password = SecretString::from(password?);
            Ok(RouterLogin { router, password })
        });
        passwords
    }

    #[tokio::test]
    async fn an_unknown_router_is_made() {
        let mut directory = MockDirectory::new();
        directory.expect_routers().returning(|| Ok(Vec::new()));
        directory
            .expect_add_router()
            .withf(|new| new.name == NAME && new.address == wanted().address)
            .once()
            .returning(|_| Ok(known()));
        register(&wanted(), &directory, &MockPasswordStore::new())
            .await
            .expect("made");
    }

    #[tokio::test]
    async fn one_that_is_as_it_should_be_is_not_touched() {
        register(&wanted(), &knowing(), &passwords(Ok("hunter2")))
            .await
            .expect("nothing to do");
    }

    #[tokio::test]
    async fn a_new_password_keeps_the_box_that_was_seen() {
        for stored in [Ok("old"), Err(NoPasswordCause::Damaged)] {
            let mut directory = knowing();
            directory
                .expect_change_router()
                .withf(|id, change| {
                    let moved = change.host.is_some() || change.port.is_some();
                    let password = change.password.as_ref();
                    let is_new = password.is_some_and(|text| text.expose_secret() == "hunter2");
                    *id == RouterId(7) && !moved && is_new
                })
                .once()
                .returning(|_, _| Ok(known()));
            register(&wanted(), &directory, &passwords(stored))
                .await
                .expect("changed");
        }
    }

    #[tokio::test]
    async fn r4_without_the_key_the_others_are_served() {
        let key = || Err(StoreError::Key("key file /a.key does not exist".into()));
        let mut unknowing = MockDirectory::new();
        unknowing.expect_routers().returning(|| Ok(Vec::new()));
        unknowing.expect_add_router().returning(move |_| key());
        register(&wanted(), &unknowing, &MockPasswordStore::new())
            .await
            .expect("left as it is");
        let mut knowing = knowing();
        knowing.expect_change_router().returning(move |_, _| key());
        register(
            &wanted(),
            &knowing,
            &passwords(Err(NoPasswordCause::Forgotten)),
        )
        .await
        .expect("left as it is");
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
                vec![known()]
            })
        });
        directory
            .expect_add_router()
            .returning(|_| Err(StoreError::Conflict(Conflict::RouterName(NAME.into()))));
        register(&wanted(), &directory, &passwords(Ok("hunter2")))
            .await
            .expect("there");
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
        let error = register(&wanted(), &directory, &MockPasswordStore::new())
            .await
            .expect_err("refused");
        assert_eq!(error.exit_code(), crate::error::USAGE);
        assert!(crate::error::chain(&error).contains("`tower`"));
    }
}
