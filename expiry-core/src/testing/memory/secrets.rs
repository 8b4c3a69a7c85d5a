use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::tables::{RouterRow, Tables};
use crate::{
    AuditKind, Conflict, GatewayError, KeyState, NoPasswordCause, RouterSecret, Secrets,
    StoreError, Trouble,
};

/// The key of a store that seals nothing.
const KEY: &str = "in-memory";

impl Tables {
    pub(super) fn secrets(&self) -> Secrets {
        let secret = |row: &RouterRow| {
            let cause = row.password.as_ref().err().cloned();
            let is_forgotten = cause == Some(NoPasswordCause::Forgotten);
            RouterSecret {
                router: row.router.id,
                name: row.router.name.clone(),
                sealed_with: (!is_forgotten).then(|| KEY.into()),
                cause,
                opened_by: Vec::new(),
                remembered_by: Vec::new(),
            }
        };
        let mut routers: Vec<_> = self.routers.values().map(secret).collect();
        routers.sort_by(|a, b| a.name.cmp(&b.name));
        Secrets {
            key_file: PathBuf::new(),
            key: KeyState::Here(KEY.into()),
            routers,
        }
    }

    pub(super) fn reset_secrets(
        &mut self,
        seen: &Secrets,
        now: DateTime<Utc>,
    ) -> Result<Secrets, StoreError> {
        let before = self.secrets();
        if !before.shuts_same(seen) {
            return Err(StoreError::Conflict(Conflict::Secrets));
        }
        let cause = NoPasswordCause::Forgotten;
        let error = Trouble::from(GatewayError::NoPassword { cause }).line();
        for secret in before.shut() {
            let sealed_with = secret.sealed_with.clone().unwrap_or_default();
            let kind = AuditKind::PasswordForgotten { sealed_with };
            self.note_on(secret.router, kind, now);
            let Some(row) = self.routers.get_mut(&secret.router) else {
                continue;
            };
            row.password = Err(NoPasswordCause::Forgotten);
            if row.router.enabled {
                row.last_error = Some(error.clone());
                if row
                    .down_since
                    .replace(row.down_since.unwrap_or(now))
                    .is_none()
                {
                    let error = error.clone();
                    self.note_on(secret.router, AuditKind::RouterDown { error }, now);
                }
            }
            self.wake();
        }
        Ok(self.secrets())
    }
}
