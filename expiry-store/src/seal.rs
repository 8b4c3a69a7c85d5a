//! Router passwords at rest: sealed by a key in a file, never by anything in the database.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};
use expiry_core::{NoPasswordCause, StoreError};
use secrecy::{ExposeSecret, SecretString};

const NONCE: usize = 24;

/// Seals and opens router passwords. Reads the key file when it is first needed.
pub(crate) struct Sealer {
    file: PathBuf,
    key: OnceLock<SealingKey>,
}

/// A key and its id, which is safe to show.
#[derive(Clone)]
pub(crate) struct SealingKey {
    cipher: XChaCha20Poly1305,
    id: String,
}

/// A sealed password, and which key opens it.
pub(crate) struct Sealed {
    /// The nonce, then the ciphertext.
    pub(crate) bytes: Vec<u8>,
    pub(crate) key_id: String,
}

impl Sealer {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self {
            file,
            key: OnceLock::new(),
        }
    }

    /// Returns the key, unless rows are sealed and none of them with it: `used` are the ids of the
    /// keys that sealed them. Some rows of another key concern nobody but their routers. Makes a
    /// key only if there is no sealed row yet; two processes that do so at once get the same.
    pub(crate) fn key(&self, used: &[String]) -> Result<&SealingKey, StoreError> {
        let key = if let Some(key) = self.key.get() {
            key
        } else {
            let key = self.read_or_make(used.is_empty())?;
            self.key.get_or_init(|| key)
        };
        match used.first() {
            Some(other) if !used.contains(&key.id) => Err(StoreError::Key(format!(
                "router passwords are sealed with key {other}, but {} holds key {}: copy the right \
                 key file there",
                self.file.display(),
                key.id
            ))),
            _ => Ok(key),
        }
    }

    fn read_or_make(&self, may_make: bool) -> Result<SealingKey, StoreError> {
        match fs::metadata(&self.file) {
            Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
                let file = self.file.display();
                Err(StoreError::Key(format!(
                    "key file {file} can be read by others: run `chmod 600 {file}`"
                )))
            }
            Ok(_) => self.read(),
            Err(e) if e.kind() == io::ErrorKind::NotFound && may_make => {
                make(&self.file).map_err(|e| self.unusable("make", &e))?;
                self.read()
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoreError::Key(format!(
                "key file {} is missing, and router passwords are sealed with it: copy it there \
                 from the machine or backup that has it",
                self.file.display()
            ))),
            Err(e) => Err(self.unusable("read", &e)),
        }
    }

    fn read(&self) -> Result<SealingKey, StoreError> {
        let text = fs::read_to_string(&self.file).map_err(|e| self.unusable("read", &e))?;
        from_hex(text.trim())
            .and_then(|key| SealingKey::new(&key.into()))
            .ok_or_else(|| {
                StoreError::Key(format!(
                    "key file {} does not hold a key: 64 hexadecimal digits",
                    self.file.display()
                ))
            })
    }

    fn unusable(&self, verb: &str, error: &io::Error) -> StoreError {
        StoreError::Key(format!(
            "cannot {verb} key file {}: {error}",
            self.file.display()
        ))
    }
}

impl SealingKey {
    /// The id is the tag of a fixed text under a nonce that no password gets.
    fn new(key: &Key) -> Option<Self> {
        let cipher = XChaCha20Poly1305::new(key);
        let tagged = cipher
            .encrypt(&XNonce::default(), b"expiry key id".as_slice())
            .ok()?;
        let id = tagged.iter().rev().take(8).copied().map(hex_pair).collect();
        Some(Self { cipher, id })
    }

    /// Seals the password of the router called `name`; under another name it does not open.
    pub(crate) fn seal(&self, name: &str, password: &SecretString) -> Result<Sealed, StoreError> {
        let failed = || StoreError::Key(format!("cannot seal the password of router `{name}`"));
        let nonce = XNonce::try_generate().map_err(|_| failed())?;
        let payload = Payload {
            msg: password.expose_secret().as_bytes(),
            aad: name.as_bytes(),
        };
        let sealed = self.cipher.encrypt(&nonce, payload).map_err(|_| failed())?;
        Ok(Sealed {
            bytes: [nonce.as_slice(), &sealed].concat(),
            key_id: self.id.clone(),
        })
    }

    /// Opens the password of the router called `name`.
    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> Result<SecretString, NoPasswordCause> {
        self.opened(name, sealed).ok_or(NoPasswordCause::Damaged)
    }

    fn opened(&self, name: &str, sealed: &[u8]) -> Option<SecretString> {
        let (nonce, msg) = sealed.split_at_checked(NONCE)?;
        let nonce = XNonce::try_from(nonce).ok()?;
        let aad = name.as_bytes();
        let password = self.cipher.decrypt(&nonce, Payload { msg, aad }).ok()?;
        String::from_utf8(password).ok().map(SecretString::from)
    }
}

/// Writes a fresh key aside and links it into place, so that the file is never seen half written,
/// and a key that somebody else made meanwhile stays.
fn make(file: &Path) -> io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let key = Key::try_generate().map_err(io::Error::other)?;
    let nonce = XNonce::try_generate().map_err(io::Error::other)?;
    let mut aside = file.as_os_str().to_owned();
    aside.push(".");
    aside.push(nonce.iter().copied().map(hex_pair).collect::<String>());
    let written = write_private(aside.as_ref(), &key).and_then(|()| fs::hard_link(&aside, file));
    fs::remove_file(&aside)?;
    match written {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => fs::File::open(directory)?.sync_all(),
    }
}

fn write_private(file: &Path, key: &Key) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    let text: String = key.iter().copied().map(hex_pair).collect();
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn hex_pair(byte: u8) -> String {
    format!("{byte:02x}")
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut key = [0; 32];
    for (byte, at) in key.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(directory: &tempfile::TempDir, name: &str) -> Sealer {
        Sealer::new(directory.path().join(name))
    }

    fn message(result: Result<&SealingKey, StoreError>) -> String {
        result.map(|_| ()).expect_err("no key").to_string()
    }

    #[test]
    fn r11_a_sealed_password_opens_for_its_own_router_only() {
        let directory = tempfile::tempdir().expect("directory");
        let keeper = keeper(&directory, "a.key");
        let key = keeper.key(&[]).expect("made");
        let sealed = key.seal("north", &"secret".into()).expect("sealed");
        let opened = key.open("north", &sealed.bytes).expect("opened");
        assert_eq!(opened.expose_secret(), "secret");
        assert!(key.open("south", &sealed.bytes).is_err());
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.bytes.clone();
            changed[at] ^= 1;
            assert!(key.open("north", &changed).is_err(), "byte {at}");
        }
        assert!(key.open("north", &sealed.bytes[..NONCE - 1]).is_err());
    }

    #[test]
    fn r11_the_key_file_is_made_once_and_for_nobody_else() {
        let directory = tempfile::tempdir().expect("directory");
        let first = keeper(&directory, "new/a.key");
        let id = first.key(&[]).expect("made").id.clone();
        let mode = fs::metadata(&first.file).expect("file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let again = keeper(&directory, "new/a.key");
        assert_eq!(again.key(std::slice::from_ref(&id)).expect("read").id, id);
        let files = fs::read_dir(directory.path().join("new")).expect("list");
        assert_eq!(files.count(), 1);
    }

    #[test]
    fn r11_a_lost_key_is_not_replaced_while_something_is_sealed() {
        let directory = tempfile::tempdir().expect("directory");
        let keeper = keeper(&directory, "a.key");
        let error = message(keeper.key(&["0011".into()]));
        assert!(error.contains("a.key is missing"), "{error}");
        assert!(!keeper.file.exists());
    }

    #[test]
    fn r11_another_key_is_named_with_the_file_to_copy() {
        let directory = tempfile::tempdir().expect("directory");
        let keeper = keeper(&directory, "a.key");
        keeper.key(&[]).expect("made");
        let error = message(keeper.key(&["0011223344556677".into()]));
        assert!(error.contains("0011223344556677"), "{error}");
        assert!(error.contains("copy the right key file"), "{error}");
    }

    #[test]
    fn r11_a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("a.key");
        make(&file).expect("made");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("chmod");
        let error = message(keeper(&directory, "a.key").key(&[]));
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_kept() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("a.key");
        write_private(&file, &Key::default()).expect("written");
        fs::write(&file, "00ff").expect("damaged");
        let error = message(keeper(&directory, "a.key").key(&[]));
        assert!(error.contains("does not hold a key"), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("kept"), "00ff");
    }
}
