//! The real engine on the in-memory store and simulated routers, under paused time.

mod brake;
mod crowds;
mod dry_run;
mod failures;
mod flights;
mod measured;
mod ownership;
mod payments;
mod progress;
mod pruning;
mod reading;
mod reconcile;
mod world;
