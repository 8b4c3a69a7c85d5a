//! What may stand after the question mark: a name that an endpoint does not know is refused, since
//! who sent it takes the answer for something else than it is.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{MatchedPath, Query, Request, State},
    http::{Method, Uri},
    middleware::Next,
    response::Response,
};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn},
};

use crate::problem::Problem;

/// The parameters of every endpoint, by path and method, as the description names them.
pub(crate) struct Known(HashMap<(String, Method), Vec<String>>);

impl Known {
    pub(crate) fn of(api: &OpenApi) -> Self {
        let mut known = HashMap::new();
        for (path, item) in &api.paths.paths {
            let operations = [(Method::GET, &item.get), (Method::POST, &item.post)];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    known.insert((place(path).to_owned(), method), names(operation));
                }
            }
        }
        Self(known)
    }

    /// # Errors
    /// Names the first parameter that the endpoint does not know, and those that it does.
    fn check(&self, path: &str, method: &Method, uri: &Uri) -> Result<(), Problem> {
        let method = match *method {
            Method::HEAD => &Method::GET,
            _ => method,
        };
        let Some(known) = self.0.get(&(place(path).to_owned(), method.clone())) else {
            return Ok(());
        };
        let Query(given): Query<Vec<(String, String)>> = Query::try_from_uri(uri)?;
        let mut given = given.into_iter().map(|(name, _)| name);
        match given.find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(unknown(&name, known)),
        }
    }
}

/// Refuses parameters that the endpoint does not know.
pub(crate) async fn only_known(
    State(known): State<Arc<Known>>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(path) = request.extensions().get::<MatchedPath>()
        && let Err(problem) = known.check(path.as_str(), request.method(), request.uri())
    {
        return problem.in_form(path.as_str().starts_with("/api/admin/"));
    }
    next.run(request).await
}

/// The old endpoints are the same without their last slash.
fn place(path: &str) -> &str {
    path.trim_end_matches('/')
}

fn names(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let of_query = parameters.filter_map(|one| match one {
        RefOr::T(one) if one.parameter_in == ParameterIn::Query => Some(one.name.clone()),
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    of_query.collect()
}

/// The longest that is repeated of a name.
const REPEATED: usize = 60;

fn unknown(name: &str, known: &[String]) -> Problem {
    let name: String = name.chars().take(REPEATED).collect();
    let rest = if known.is_empty() {
        "this takes none".to_owned()
    } else {
        format!("those there are: {}", known.join(", "))
    };
    Problem::parameter(format!("there is no parameter `{name}`; {rest}"))
}
