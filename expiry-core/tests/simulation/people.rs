//! Who there is: names that are easily taken for each other, devices, and accounts.

use expiry_core::{MacAddr, Username};

use crate::plan::Cast;

const NAMES: [&str; 6] = ["255700000001", "255700000002", "joe", "joe1", "jo", "JOE"];

/// Devices that are nobody's who is known: one logs in by an account of the operator's, the other is
/// let through by a binding.
pub(crate) const STAFF: MacAddr = MacAddr::new([2, 0, 0, 0, 9, 1]);
pub(crate) const PRINTER: MacAddr = MacAddr::new([2, 0, 0, 0, 9, 2]);
pub(crate) const STAFF_ACCOUNT: &str = "staff";

impl Cast {
    /// Namesakes are like the subscriber of the first tenant whose name and device they have.
    pub(crate) fn like(&self, who: usize) -> usize {
        who.checked_sub(self.subscribers).unwrap_or(who)
    }

    /// Tells whether somebody is of the second tenant.
    pub(crate) fn is_twin(&self, who: usize) -> bool {
        who >= self.subscribers
    }

    pub(crate) fn name(&self, who: usize) -> Username {
        let name = NAMES[self.like(who)];
        name.parse().expect("a name")
    }

    /// The account of a subscriber, as the operator spelled it.
    pub(crate) fn account(&self, who: usize) -> String {
        let name = self.name(who);
        if self.like(who) == 1 {
            format!("+{name}")
        } else {
            name.to_string()
        }
    }

    pub(crate) fn mac(&self, who: usize) -> MacAddr {
        let number = self.like(who).try_into().expect("few");
        MacAddr::new([2, 0, 0, 0, 0, number])
    }

    /// Tells whether a login is the name of anybody.
    pub(crate) fn is_name(&self, login: &str) -> bool {
        let mut all = (0..self.subscribers).map(|who| self.name(who));
        all.any(|name| name.matches(login))
    }
}
