use expiry_core::{MockPasswordStore, NoPasswordCause, RouterId};

use super::*;

fn secret(name: &str, cause: Option<NoPasswordCause>) -> RouterSecret {
    let is_forgotten = cause == Some(NoPasswordCause::Forgotten);
    RouterSecret {
        router: RouterId(1),
        name: name.into(),
        sealed_with: (!is_forgotten).then(|| "abcd".into()),
        cause,
        opened_by: Vec::new(),
        remembered_by: Vec::new(),
    }
}

fn missing() -> NoPasswordCause {
    NoPasswordCause::KeyMissing {
        sealed_with: "abcd".into(),
        file: "/a.key".into(),
    }
}

fn secrets(key: KeyState, routers: Vec<RouterSecret>) -> Secrets {
    Secrets {
        key_file: "/a.key".into(),
        key,
        routers,
    }
}

async fn reset(before: Secrets, after: Option<Secrets>, yes: bool) -> (String, Option<u8>) {
    let mut passwords = MockPasswordStore::new();
    passwords.expect_secrets().return_once(move || Ok(before));
    if let Some(after) = after {
        passwords
            .expect_reset_secrets()
            .return_once(move |_| Ok(after));
    }
    let mut bytes = Vec::new();
    let mut out = Output::new(&mut bytes, false);
    let command = SecretsCommand::Reset { yes };
    let done = run(Some(&command), &passwords, &mut out).await;
    let code = done.err().map(|error| error.exit_code());
    (String::from_utf8(bytes).expect("text"), code)
}

#[tokio::test]
async fn r11_a_reset_tells_what_is_to_be_typed_for_each_router() {
    let before = secrets(
        KeyState::Missing,
        vec![
            secret("r1", Some(missing())),
            secret("it's far", Some(missing())),
        ],
    );
    let forgotten = Some(NoPasswordCause::Forgotten);
    let after = secrets(
        KeyState::Here("ef01".into()),
        vec![
            secret("r1", forgotten.clone()),
            secret("it's far", forgotten),
        ],
    );
    let (text, code) = reset(before, Some(after), true).await;
    assert_eq!(code, None);
    assert_eq!(
        text,
        "2 router passwords forgotten; what is owed stays owed\n\
         key file /a.key made, with key ef01: put a copy in the backup\n\
         these routers want their password again:\n  \
         expiryctl router set r1 --password-file FILE\n  \
         expiryctl router set 'it'\\''s far' --password-file FILE\n"
    );
}

#[tokio::test]
async fn r11_nobody_is_asked_when_nothing_is_to_be_forgotten() {
    let here = KeyState::Here("abcd".into());
    let routers = vec![
        secret("r1", None),
        secret("r2", Some(NoPasswordCause::Forgotten)),
    ];
    let (text, code) = reset(secrets(here, routers), None, false).await;
    assert_eq!(code, None);
    assert!(text.starts_with("nothing to forget"), "{text}");
    assert!(
        text.contains("expiryctl router set r2 --password-file FILE"),
        "{text}"
    );
    assert!(!text.contains("set r1"), "{text}");
}

#[tokio::test]
async fn r11_a_key_file_that_is_there_is_never_made_anew() {
    let cause = NoPasswordCause::KeyUnusable {
        sealed_with: "abcd".into(),
        fault: "key file /a.key is no file".into(),
    };
    let unusable = KeyState::Unusable("key file /a.key is no file".into());
    let before = secrets(unusable, vec![secret("r1", Some(cause))]);
    let (text, code) = reset(before, None, true).await;
    assert_eq!((text.as_str(), code), ("", Some(crate::error::USAGE)));
}

#[test]
fn r11_who_has_the_key_elsewhere_is_named_before_anything_is_forgotten() {
    let mut shut = secret("r1", Some(missing()));
    shut.opened_by = vec!["vps1".into()];
    let before = secrets(KeyState::Missing, vec![shut]);
    let asked = Reset::of(&before, &before, false).to_string();
    assert!(asked.starts_with("1 router password would be forgotten, on every machine:\n  r1: it is sealed with key abcd"), "{asked}");
    assert!(
        asked.contains("NOT LOST: a watcher that runs on vps1 has key abcd"),
        "{asked}"
    );
    assert!(asked.contains("copy it to /a.key instead"), "{asked}");
}

#[test]
fn r11_a_key_that_is_in_memory_alone_is_not_said_to_be_in_a_file() {
    let mut shut = secret("r1", Some(missing()));
    shut.remembered_by = vec!["vps1".into()];
    let before = secrets(KeyState::Missing, vec![shut]);
    let asked = Reset::of(&before, &before, false).to_string();
    assert!(!asked.contains("NOT LOST"), "{asked}");
    assert!(
        asked.contains("vps1 still serves these routers from memory until its watcher ends"),
        "{asked}"
    );
    assert!(asked.contains("have the passwords ready first"), "{asked}");
}
