//! The codec of the RouterOS API: length-prefixed words, gathered into sentences that end with an
//! empty word. No I/O; both ends of a connection can use it.
//!
//! ```
//! use expiry_mikrotik::wire::{Decoder, Sentence};
//!
//! let sent = Sentence::new("/ip/hotspot/user/set")
//!     .attribute(".id", "*A")
//!     .attribute("disabled", "yes")
//!     .tag("7");
//! let mut bytes = Vec::new();
//! sent.encode(&mut bytes);
//!
//! let mut decoder = Decoder::default();
//! let mut input = &bytes[..];
//! let received = decoder.decode(&mut input)?.expect("all of it was there");
//! assert_eq!(received.command(), b"/ip/hotspot/user/set");
//! assert_eq!(received.get("disabled"), Some(&b"yes"[..]));
//! assert_eq!(received.get_tag(), Some(&b"7"[..]));
//! # Ok::<(), expiry_mikrotik::wire::WireError>(())
//! ```

mod decoder;
mod length;
mod sentence;
mod word;

pub use decoder::{Decoder, Limits, WireError};
pub use length::encode_length;
pub use sentence::Sentence;
pub use word::Word;
