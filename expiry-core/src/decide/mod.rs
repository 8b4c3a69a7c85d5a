//! Pure decisions: what on a router belongs to whom, what to write, and what is left.
//!
//! Nothing here reads a clock, a store or a router.

mod addresses;
mod attribution;
mod cut;
mod presence;
mod restore;
#[cfg(test)]
mod tests;
mod way_in;

pub use addresses::addresses_to_ask_for;
pub use attribution::{Claim, logins_and_devices, with_lent_devices};
pub use cut::{Leftovers, block_order, drop_order, passes_by, undo_of};
pub use presence::{Attribution, attribute, keys_of, sort_out};
pub use restore::{RestorePlan, hosts_to_renew, plan_restore};
pub use way_in::suspected_way_in;
