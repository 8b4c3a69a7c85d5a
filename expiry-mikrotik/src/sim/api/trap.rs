use std::borrow::Cow;

use thiserror::Error;

/// Why the router refuses a command, as it says it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Trap {
    /// The text.
    pub message: Cow<'static, str>,
    /// The category, which routers often leave out.
    pub category: Option<u8>,
}

impl Trap {
    /// A refusal with this text.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            category: None,
        }
    }

    pub(in crate::sim) fn with_category(self, category: u8) -> Self {
        Self {
            category: Some(category),
            ..self
        }
    }

    pub(super) fn no_such_command() -> Self {
        Self::new("no such command prefix").with_category(0)
    }

    pub(super) fn unknown_parameter(name: &[u8]) -> Self {
        Self::new(format!(
            "unknown parameter {}",
            String::from_utf8_lossy(name)
        ))
    }

    pub(super) fn invalid_value(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        Self::new(format!("invalid value for argument {name}")).with_category(1)
    }

    pub(super) fn missing(name: &str) -> Self {
        Self::new(format!("missing ={name}="))
    }

    pub(super) fn not_permitted() -> Self {
        Self::new("not enough permissions (9)")
    }
}
