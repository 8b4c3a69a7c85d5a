//! The real engine on the in-memory store and simulated routers, under paused time.

mod crowds;
mod failures;
mod flights;
mod ownership;
mod payments;
mod progress;
mod pruning;
mod world;
