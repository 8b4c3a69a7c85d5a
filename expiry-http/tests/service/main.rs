//! The whole service on a store in memory and simulated routers, as a client meets it.

mod admin;
mod answers;
mod description;
mod payments;
mod probes;
mod queries;
mod same_box;
mod security;
mod streams;
mod v1;
mod watching;
mod world;
