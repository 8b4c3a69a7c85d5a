//! Bodies are taken in whole before anything is done, and what is refused is read away: who still
//! sends when the connection closes never sees the answer.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
    http::{StatusCode, header},
};
use bytes::BytesMut;
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;

/// The longest body that is read.
const LONGEST: usize = 64 * 1024;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much is read away of what is refused, and for how long.
const REFUSED: usize = 4 * 1024 * 1024;
const REFUSED_FOR: Duration = Duration::from_secs(2);

/// Takes the body in.
///
/// # Errors
/// If it is too long, too slow, or breaks off.
pub(crate) async fn take_in(request: Request) -> Result<Request, Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > LONGEST as u64) {
        read_away(request).await;
        return Err(too_long());
    }
    let (parts, body) = request.into_parts();
    let until = Instant::now() + PATIENCE;
    let mut came = BytesMut::new();
    let mut rest = body.into_data_stream();
    loop {
        match timeout_at(until, rest.next()).await {
            Ok(None) => break,
            Ok(Some(Ok(bytes))) if came.len() + bytes.len() <= LONGEST => came.extend(bytes),
            Ok(Some(Ok(_))) => {
                drain(rest).await;
                return Err(too_long());
            }
            Ok(Some(Err(error))) => {
                return Err(Problem::body(format!("the body broke off: {error}")));
            }
            Err(_) => {
                let detail = format!("the body took longer than {} s", PATIENCE.as_secs());
                let status = StatusCode::REQUEST_TIMEOUT;
                return Err(Problem::new(status, "body_too_slow", detail));
            }
        }
    }
    Ok(Request::from_parts(parts, Body::from(came.freeze())))
}

/// Reads the body of a request that is refused. Who waits to be told to send it is not told so.
pub(crate) async fn read_away(request: Request) {
    if !request.headers().contains_key(header::EXPECT) {
        drain(request.into_body().into_data_stream()).await;
    }
}

async fn drain(mut rest: BodyDataStream) {
    let until = Instant::now() + REFUSED_FOR;
    let mut left = REFUSED;
    while let Ok(Some(Ok(bytes))) = timeout_at(until, rest.next()).await {
        let Some(less) = left.checked_sub(bytes.len()) else {
            return;
        };
        left = less;
    }
}

fn too_long() -> Problem {
    let detail = format!("the body is longer than {} KiB", LONGEST / 1024);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use bytes::Bytes;
    use futures::{Stream, stream};
    use http_body_util::BodyExt;

    use super::*;

    type Chunk = Result<Bytes, std::io::Error>;

    async fn taken(chunks: impl Stream<Item = Chunk> + Send + 'static) -> Result<usize, u16> {
        let request = Request::new(Body::from_stream(chunks));
        match take_in(request).await {
            Ok(request) => {
                let body = request.into_body().collect().await.expect("all there");
                Ok(body.to_bytes().len())
            }
            Err(problem) => Err(problem.into_response().status().as_u16()),
        }
    }

    fn chunks(sizes: &[usize]) -> impl Stream<Item = Chunk> + use<> {
        let chunks: Vec<_> = sizes
            .iter()
            .map(|size| Ok(vec![b'a'; *size].into()))
            .collect();
        stream::iter(chunks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_there_whole_or_the_request_is_refused() {
        assert_eq!(taken(chunks(&[])).await, Ok(0));
        assert_eq!(taken(chunks(&[LONGEST - 1, 1])).await, Ok(LONGEST));
        assert_eq!(taken(chunks(&[LONGEST, 1])).await, Err(413));
        assert_eq!(taken(chunks(&[LONGEST * 1_000])).await, Err(413));
        let broken = chunks(&[1]).chain(stream::iter([Err(std::io::Error::other("gone"))]));
        assert_eq!(taken(broken).await, Err(400));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_waited_for_10_s() {
        let began = Instant::now();
        assert_eq!(taken(chunks(&[1]).chain(stream::pending())).await, Err(408));
        assert_eq!(began.elapsed(), PATIENCE);
        let began = Instant::now();
        let endless = chunks(&[LONGEST, 1]).chain(stream::pending());
        assert_eq!(taken(endless).await, Err(413));
        assert_eq!(began.elapsed(), REFUSED_FOR);
    }
}
