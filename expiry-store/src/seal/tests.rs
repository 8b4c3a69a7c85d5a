use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread::ScopedJoinHandle,
};

use chacha20poly1305::Key;
use expiry_core::{Cause, KeyState, NoPasswordCause, StoreError};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::{Sealer, SealingKey, file};
use crate::private;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("a.key");
    (directory, file)
}

fn message(result: Result<SealingKey, StoreError>) -> String {
    result.map(|_| ()).expect_err("no key").to_string()
}

fn fault(file: &Path) -> String {
    match Sealer::new(file.into()).look().state() {
        KeyState::Unusable(fault) => fault,
        state @ (KeyState::Here(_) | KeyState::Missing) => panic!("{state:?}"),
    }
}

fn replace(file: &Path, byte: u8) {
    let _ = fs::remove_file(file);
    private::place(file, &file::text(&Key::from([byte; 32]))).expect("written");
}

#[test]
fn r11_a_sealed_password_opens_for_its_own_router_only() {
    let (_directory, file) = place();
    let key = Sealer::new(file).key_to_begin(&[]).expect("made");
    let sealed = key.seal("north", &"secret".into()).expect("sealed");
    let opened = key.open("north", &sealed.bytes).expect("opened");
    assert_eq!(opened.expose_secret(), "secret");
    assert!(key.open("south", &sealed.bytes).is_err());
    for at in 0..sealed.bytes.len() {
        let mut changed = sealed.bytes.clone();
        changed[at] ^= 1;
        assert!(key.open("north", &changed).is_err(), "byte {at}");
    }
    assert!(key.open("north", &sealed.bytes[..23]).is_err());
}

#[test]
fn r11_the_key_file_is_made_once_and_for_nobody_else() {
    let (directory, _) = place();
    let file = directory.path().join("new/a.key");
    let first = Sealer::new(file.clone()).key_to_begin(&[]).expect("made");
    let mode = fs::metadata(&file).expect("file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let used = [first.id().to_owned()];
    let again = Sealer::new(file.clone()).key_to_begin(&used).expect("read");
    assert_eq!(again.id(), first.id());
    let again = Sealer::new(file).make().expect("the one that is there");
    assert_eq!(again.id(), first.id());
    let files = fs::read_dir(directory.path().join("new")).expect("list");
    assert_eq!(files.count(), 1);
}

#[test]
fn r11_first_uses_at_once_get_the_same_key() {
    let (directory, file) = place();
    let first = || {
        let key = Sealer::new(file.clone()).key_to_begin(&[]).expect("made");
        key.id().to_owned()
    };
    let ids: std::collections::BTreeSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(first)).collect();
        let joined = threads.into_iter().map(ScopedJoinHandle::join);
        joined.map(|id| id.expect("no panic")).collect()
    });
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
}

#[test]
fn r11_a_lost_key_is_not_replaced_while_something_is_sealed() {
    let (_directory, file) = place();
    let sealer = Sealer::new(file.clone());
    for seal in [Sealer::key_to_seal, Sealer::key_to_begin] {
        let error = message(seal(&sealer, &["0011".into()]));
        assert!(error.contains("a.key does not exist: copy it"), "{error}");
        assert!(error.contains("`expiryctl secrets reset`"), "{error}");
        assert!(!file.exists());
    }
}

#[test]
fn r11_another_key_begins_nothing_and_may_seal_a_password_anew() {
    let (_directory, file) = place();
    let sealer = Sealer::new(file);
    let made = sealer.key_to_begin(&[]).expect("made");
    let other = ["0011223344556677".to_owned()];
    let error = message(sealer.key_to_begin(&other));
    assert!(error.contains("0011223344556677"), "{error}");
    assert!(error.contains("copy the right key file"), "{error}");
    assert_eq!(sealer.key_to_seal(&other).expect("it").id(), made.id());
}

#[test]
fn r11_a_replaced_file_is_noticed_and_what_it_held_before_still_opens() {
    let (_directory, file) = place();
    let keeper = Sealer::new(file.clone());
    let key = keeper.key_to_begin(&[]).expect("made");
    let sealed = key.seal("north", &"secret".into()).expect("sealed");
    let open = |keeper: &Sealer| {
        let keys = keeper.look();
        let opened = keys.open("north", &sealed.key_id, &sealed.bytes);
        let by_file = keys.open_by_file("north", &sealed.key_id, &sealed.bytes);
        (opened.map(drop), by_file.map(drop))
    };
    replace(&file, 7);
    let other = keeper.key_to_seal(&[]).expect("read").id().to_owned();
    assert_ne!(other, sealed.key_id);
    let cause = NoPasswordCause::OtherKey {
        sealed_with: sealed.key_id.clone(),
        file: file.display().to_string(),
        found: other.clone(),
    };
    assert_eq!(cause.cause(), Cause::OtherKey);
    assert_eq!(open(&keeper), (Ok(()), Err(cause.clone())));
    assert_eq!(keeper.look().ids(), [&sealed.key_id, &other]);
    let fresh = Sealer::new(file.clone());
    assert_eq!(open(&fresh), (Err(cause.clone()), Err(cause)));

    fs::remove_file(&file).expect("removed");
    let missing = open(&Sealer::new(file)).0.expect_err("no key");
    assert_eq!(missing.cause(), Cause::KeyMissing, "{missing}");
    assert_eq!(open(&keeper).0, Ok(()));
    let forgotten = keeper.look().open("north", "", b"").map(drop);
    assert_eq!(forgotten, Err(NoPasswordCause::Forgotten));
}

#[test]
fn r11_a_key_that_others_can_read_is_refused() {
    let (_directory, file) = place();
    replace(&file, 7);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("chmod");
    assert!(fault(&file).contains("`chmod 600 "), "{}", fault(&file));
    let error = message(Sealer::new(file).key_to_begin(&[]));
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn r11_what_is_no_key_is_refused_and_kept() {
    let (_directory, file) = place();
    for content in ["", "00ff", "not a key\n", &"0".repeat(5_000)] {
        replace(&file, 7);
        fs::write(&file, content).expect("damaged");
        for used in [&[][..], &["0011".to_owned()]] {
            let error = message(Sealer::new(file.clone()).key_to_seal(used));
            assert!(error.contains("does not hold a key"), "{error}");
        }
        assert_eq!(fs::read_to_string(&file).expect("kept"), content);
    }
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("a directory");
    assert!(fault(&file).contains("is no file"), "{}", fault(&file));
}

#[test]
fn a_key_file_that_cannot_be_made_says_why() {
    let (directory, _) = place();
    let in_the_way = directory.path().join("in-the-way");
    fs::write(&in_the_way, "").expect("written");
    let error = message(Sealer::new(in_the_way.join("a.key")).key_to_begin(&[]));
    assert!(error.contains("in-the-way/a.key"), "{error}");
    assert!(error.contains("Not a directory"), "{error}");
}
