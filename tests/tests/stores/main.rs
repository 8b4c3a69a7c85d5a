//! What the stores promise, where a real PostgreSQL server is needed or both are held to the same.

mod audit;
mod conformance;
mod connections;
mod contention;
mod cost;
mod lost_answers;
mod opening;
mod restarts;
mod seals;
mod servers;
mod setup;
