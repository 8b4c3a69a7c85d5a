//! The statements of both stores, compiled once against each driver: the parent module says which
//! (`Db`, `Conn`), begins transactions, wakes watchers, and knows in which order events are final.

mod audit;
mod brake;
mod counts;
mod cut;
mod explain;
mod intend;
mod keys;
pub(super) mod outlook;
mod ownership;
mod payments;
pub(super) mod planning;
pub(super) mod prune;
mod put;
mod recheck;
pub(super) mod reconcile;
mod restore;
mod routers;
pub(super) mod schema;
mod scope;
mod secrets;
mod settle;
mod share;
mod state;
mod status;
pub(super) mod store;
mod stray;
mod subscribers;
mod summary;
mod tenants;
mod transaction;
mod undo;
mod watch;
pub(super) mod work;

pub(super) use self::transaction::Tx;
use super::{
    Backend, Conn, Db, EVENTS_AFTER, EVENTS_LATEST, EVENTS_OF, EVENTS_OF_FORMER, LIKE, Lease,
    SHAPE, SHAPES, STEPS, abandon, close, count_anew, refuses_commit, rolls_back, signal,
};
/// So many rows are written, or asked for, by one statement.
const CHUNK: usize = 500;
