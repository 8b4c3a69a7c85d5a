//! The engine, its in-memory store and the gateway on simulated routers: everything but the
//! database and the socket is real. Time is paused; what counts is which bytes pass, and when.

mod by_address;
mod crowds;
mod cuts;
mod events;
mod faults;
mod mixtures;
mod names;
mod outages;
mod payments;
mod reconcile;
mod restarts;
mod returns;
mod slowness;
mod unregistered;
mod world;
