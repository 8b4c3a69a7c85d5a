//! `/api/v1`: one file for each part, with the handlers and the shapes of their answers.

pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod lag;
pub(crate) mod lists;
pub(crate) mod overview;
pub(crate) mod payments;
pub(crate) mod routers;
pub(crate) mod stream;
pub(crate) mod subscribers;
mod times;
pub(crate) mod unknown;

use axum::{
    Json,
    http::{HeaderName, StatusCode, header},
};

use crate::problem::Problem;

/// What was made, and where it is.
type Created<T> = (StatusCode, [(HeaderName, String); 1], Json<T>);

fn created<T>(at: String, made: T) -> Created<T> {
    (StatusCode::CREATED, [(header::LOCATION, at)], Json(made))
}

/// Most items of a page.
const LONGEST: u32 = 500;

/// Reads how long a list may be: 1 to 500, by default 100.
fn limit(given: Option<u32>) -> Result<u32, Problem> {
    match given.unwrap_or(100) {
        limit @ 1..=LONGEST => Ok(limit),
        _ => Err(Problem::parameter("limit: from 1 to 500")),
    }
}
