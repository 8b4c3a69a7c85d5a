//! A client of the admin service, as plain as can be.

use std::{io, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::process::{Expiry, Service};

/// The token of every service here.
pub const TOKEN: &str = "a-token-that-nobody-guesses";

/// The longest that an answer is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The admin service, running.
#[derive(Debug)]
pub struct Admin {
    /// The process.
    pub service: Service,
    /// Where it listens.
    pub address: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Admin {
    /// Starts the service on a free port and waits until it listens.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start(expiry: &Expiry, arguments: &[&str]) -> Self {
        let expiry = expiry
            .clone()
            .with("EXPIRY_HTTP_TOKEN", TOKEN)
            .with("EXPIRY_LISTEN", "127.0.0.1:0");
        let mut service = expiry.http(arguments);
        let line = service.line("listening").await;
        let address = line.split("address=").nth(1).expect("an address");
        let address = address
            .split_whitespace()
            .next()
            .expect("an address")
            .into();
        Self { service, address }
    }

    /// Sends a request with the token and without a body.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn call(&self, method: &str, path: &str) -> Answer {
        call(&self.address, method, path).await
    }
}

/// Sends a request with the token and without a body.
///
/// # Panics
/// If there is no answer.
pub async fn call(address: &str, method: &str, path: &str) -> Answer {
    ask(address, method, path, &[("x-admin-token", TOKEN)]).await
}

/// Sends a request with these headers and without a body.
///
/// # Panics
/// If there is no answer.
pub async fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let sent = send(address, method, path, headers, "").await;
    sent.expect("it answers")
}

/// Sends a request with the token and a body.
///
/// # Errors
/// If there is no whole answer.
pub async fn post(address: &str, path: &str, body: &Value) -> io::Result<Answer> {
    let headers = [
        ("x-admin-token", TOKEN),
        ("content-type", "application/json"),
    ];
    send(address, "POST", path, &headers, &body.to_string()).await
}

async fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    let headers = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers: String = headers.collect();
    let length = match body.len() {
        0 => String::new(),
        length => format!("content-length: {length}\r\n"),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}{length}connection: close\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await??;
    let parts = text.split_once("\r\n\r\n");
    let (head, body) = parts.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or(io::ErrorKind::InvalidData)?,
        body: body.into(),
    })
}
