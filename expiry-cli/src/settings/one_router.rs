//! The one router that the environment names, by variables that other programs know, too.

use std::{ffi::OsString, fmt, path::Path};

use expiry_core::{
    RouterAddress,
    config::{Fault, Loader, Place, Setting},
};
use secrecy::SecretString;

use super::{Environment, sources::unreadable_credential};
use crate::{args, error, secret};

const HOST: &str = "MIKROTIK_HOST";
const PORT: &str = "MIKROTIK_PORT";
const USER: &str = "MIKROTIK_USER";
const PASSWORD: &str = "MIKROTIK_PASSWORD";
const PASSWORD_FILE: &str = "MIKROTIK_PASSWORD_FILE";
const CREDENTIAL: &str = "mikrotik-password";
const USE_SSL: &str = "MIKROTIK_USE_SSL";

/// Variables with this beginning are about the one router.
const PREFIX: &str = "MIKROTIK_";
const KNOWN: [&str; 6] = [HOST, PORT, USER, PASSWORD, PASSWORD_FILE, USE_SSL];

/// Where the router is reached, and as whom.
#[derive(Clone)]
pub(crate) struct OneRouter {
    pub(crate) address: RouterAddress,
    pub(crate) password: SecretString,
}

/// Shows no password.
impl fmt::Debug for OneRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RouterAddress { host, port, .. } = &self.address;
        write!(f, "OneRouter({host}:{port})")
    }
}

/// Reads the variables, and lists what is in force. Without a host there is no router, and whoever
/// says how to log in to it has made a slip.
pub(super) fn read(
    loader: &mut Loader,
    environment: &Environment,
) -> (Option<OneRouter>, Vec<Setting>) {
    loader.refuse_unknown(PREFIX, &KNOWN);
    let Some(host) = text(loader, HOST) else {
        let login = [USER, PASSWORD, PASSWORD_FILE];
        let given = login
            .into_iter()
            .find(|name| loader.variable(name).is_some());
        if let Some(given) = given {
            let message = format!("missing: {given} is set, so the router's address is needed");
            loader.fault(Place::Shared(HOST), message);
        }
        return (None, Vec::new());
    };
    let host = args::host(&host);
    if let Err(error) = &host {
        loader.fault(
            Place::Shared(HOST),
            error.to_string().replace("--port", PORT),
        );
    }
    refuse_tls(loader);
    let port = port(loader);
    let username = text(loader, USER);
    if username.is_none() {
        let message = format!("missing: {HOST} is set, so the account on the router is needed");
        loader.fault(Place::Shared(USER), message);
    }
    let password = password(loader, environment);
    let mut listed = vec![
        setting(HOST, host.as_deref().ok(), Place::Shared(HOST)),
        setting(
            PORT,
            port.as_ref().map(|(p, _)| p),
            port_place(port.as_ref()),
        ),
        setting(USER, username.as_deref(), Place::Shared(USER)),
    ];
    if let Some((_, from)) = &password {
        listed.push(setting::<&str>(PASSWORD, None, from.clone()));
    }
    let router = || {
        Some(OneRouter {
            address: RouterAddress {
                host: host.ok()?,
                port: port?.0,
                username: username?,
            },
            password: password?.0,
        })
    };
    (router(), listed)
}

fn setting<T: fmt::Debug>(key: &str, value: Option<T>, from: Place) -> Setting {
    Setting {
        key: key.into(),
        value: value.map(|value| format!("{value:?}")),
        from,
        secret: key == PASSWORD,
    }
}

fn port_place(port: Option<&(u16, bool)>) -> Place {
    match port {
        Some((_, true)) => Place::Default,
        _ => Place::Shared(PORT),
    }
}

/// Returns the port, and whether it is the default.
fn port(loader: &mut Loader) -> Option<(u16, bool)> {
    let Some(text) = text(loader, PORT) else {
        return Some((8728, true));
    };
    if let Ok(port @ 1..) = text.parse() {
        return Some((port, false));
    }
    let message = format!("`{text}` is no port: it must be from 1 to 65535, as 8728");
    loader.fault(Place::Shared(PORT), message);
    None
}

fn refuse_tls(loader: &mut Loader) {
    let Some(given) = text(loader, USE_SSL) else {
        return;
    };
    let message = match given.to_lowercase().as_str() {
        "false" | "no" | "off" | "0" => return,
        "true" | "yes" | "on" | "1" => {
            "the API over TLS is not supported yet: reach the router through a VPN, by its service \
             `api`, and set this to false"
                .into()
        }
        _ => format!("it must be true or false, not `{given}`"),
    };
    loader.fault(Place::Shared(USE_SSL), message);
}

fn password(loader: &mut Loader, environment: &Environment) -> Option<(SecretString, Place)> {
    let plain = loader.variable(PASSWORD);
    let file = loader.variable(PASSWORD_FILE);
    match (plain, file) {
        (Some(_), Some(_)) => {
            let message = format!("{PASSWORD} is set, too: leave one out");
            loader.fault(Place::Shared(PASSWORD_FILE), message);
            None
        }
        (Some(plain), None) => {
            let text = utf8(loader, PASSWORD, plain)?;
            Some((text.into(), Place::Shared(PASSWORD)))
        }
        (None, Some(file)) => match secret::from_file(Path::new(&file)) {
            Ok(password) => Some((password, Place::Shared(PASSWORD_FILE))),
            Err(wrong) => {
                loader.fault(Place::Shared(PASSWORD_FILE), error::chain(&wrong));
                None
            }
        },
        (None, None) => match environment.credential(CREDENTIAL) {
            Some(Ok(text)) if !text.is_empty() => {
                Some((text.into(), Place::Credential(CREDENTIAL)))
            }
            Some(Ok(_)) => {
                loader.fault(Place::Credential(CREDENTIAL), "it is empty");
                None
            }
            Some(Err(error)) => {
                let Fault { place, message } = unreadable_credential(CREDENTIAL, &error);
                loader.fault(place, message);
                None
            }
            None => {
                let message = format!(
                    "missing: {HOST} is set, so the password is needed, here, in the file that \
                     {PASSWORD_FILE} names, or as credential {CREDENTIAL}"
                );
                loader.fault(Place::Shared(PASSWORD), message);
                None
            }
        },
    }
}

fn text(loader: &mut Loader, name: &'static str) -> Option<String> {
    let value = loader.variable(name)?;
    utf8(loader, name, value)
}

fn utf8(loader: &mut Loader, name: &'static str, value: OsString) -> Option<String> {
    let text = value.into_string();
    if text.is_err() {
        loader.fault(Place::Shared(name), "it is not UTF-8 text");
    }
    text.ok()
}
