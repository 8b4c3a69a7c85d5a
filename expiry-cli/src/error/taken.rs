//! What to do where something is taken already.

use expiry_core::{Conflict, StoreError};

use crate::words::shell_word as word;

/// Ends the message of a refused order with the way out, if there is one to type.
pub(super) fn way_out(error: &StoreError) -> String {
    let StoreError::Conflict(conflict) = error else {
        return String::new();
    };
    if let Conflict::Username(name) = conflict {
        let name = word(name.as_str());
        format!(
            "; `expiryctl subscriber show {name}` shows it, `expiryctl subscriber extend {name} --for \
             1d` gives it more time"
        )
    } else if let Conflict::RouterName(name) = conflict {
        let name = word(name);
        format!("; `expiryctl router set {name}` changes it, `expiryctl router list` shows it")
    } else if let Conflict::RouterAddress { router, .. } = conflict {
        let name = word(router);
        format!(
            "; `expiryctl router set {name}` changes that one, `expiryctl router remove {name}` \
             forgets it"
        )
    } else if let Conflict::Tenant(slug) = conflict {
        format!("; use it with --tenant {slug}, or give another short name")
    } else if matches!(conflict, Conflict::TenantInUse) {
        "; remove them first: `expiryctl router list` and `expiryctl subscriber list --tenant` show \
         them"
            .into()
    } else if let Conflict::Device { mac, owner } = conflict {
        let owner = word(owner.as_str());
        format!("; `expiryctl subscriber device remove {owner} {mac}` takes it from there first")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_with_what_to_type() {
        let mac = "02:00:00:00:00:01".parse().expect("a MAC");
        let owner = "it's joe".parse().expect("a name");
        for (conflict, says) in [
            (
                Conflict::Username("joe".parse().expect("a name")),
                "`expiryctl subscriber extend joe --for 1d`",
            ),
            (
                Conflict::RouterName("the tower".into()),
                "`expiryctl router set 'the tower'`",
            ),
            (
                Conflict::Device { mac, owner },
                r"`expiryctl subscriber device remove 'it'\''s joe' 02:00:00:00:00:01`",
            ),
            (Conflict::Tenant("cafe".into()), "--tenant cafe"),
        ] {
            let said = way_out(&StoreError::Conflict(conflict));
            assert!(said.contains(says), "{said}");
        }
        assert_eq!(way_out(&StoreError::Busy), "");
    }
}
