use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};
use expiry_core::{NoPasswordCause, StoreError};
use secrecy::{ExposeSecret, SecretString};

use crate::hex;

const NONCE: usize = 24;

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

impl SealingKey {
    /// The id is the tag of a fixed text under a nonce that no password gets.
    pub(super) fn new(key: &Key) -> Option<Self> {
        let cipher = XChaCha20Poly1305::new(key);
        let tagged = cipher
            .encrypt(&XNonce::default(), b"expiry key id".as_slice())
            .ok()?;
        let id: Vec<u8> = tagged.iter().rev().take(8).copied().collect();
        let id = hex::written(&id);
        Some(Self { cipher, id })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
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
