//! Opening byte streams to routers.

use std::{fmt, io, net::SocketAddr, time::Duration};

use async_trait::async_trait;
use expiry_core::RouterAddress;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// A byte stream to a router.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens streams. [`TcpDialer`] is the one for real routers; tests and the demo have others.
#[async_trait]
pub trait Dialer: fmt::Debug + Send + Sync {
    /// Opens a stream to the API service at `address`, of which only host and port matter. The
    /// caller limits the time by dropping the future.
    ///
    /// # Errors
    /// The name is unknown, or nothing answers there.
    async fn dial(&self, address: &RouterAddress) -> io::Result<Box<dyn Stream>>;
}

/// Opens plain TCP connections.
#[derive(Clone, Copy, Debug)]
pub struct TcpDialer {
    /// How long a connection may be idle before the system asks whether the peer is still there.
    pub keepalive_after: Duration,
    /// How often it asks again.
    pub keepalive_interval: Duration,
}

impl Default for TcpDialer {
    /// After 10 s, every 3 s.
    fn default() -> Self {
        Self {
            keepalive_after: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(3),
        }
    }
}

/// So many unanswered questions end a connection.
const KEEPALIVE_RETRIES: u32 = 3;

/// How long a name may take to be found. It is less than connecting may take, so that the failure
/// is put down to the name.
const LOOKUP: Duration = Duration::from_secs(2);

impl TcpDialer {
    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(look_up(host, port).await?.as_slice()).await?;
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(self.keepalive_after)
            .with_interval(self.keepalive_interval)
            .with_retries(KEEPALIVE_RETRIES);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(stream)
    }
}

/// Finds the addresses of a host. That it failed is told by [`io::ErrorKind::NotFound`].
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let not_found = |why: String| io::Error::new(io::ErrorKind::NotFound, why);
    let found = timeout(LOOKUP, lookup_host((host, port))).await;
    let found = found.map_err(|_| {
        let after = LOOKUP.as_secs();
        not_found(format!("no answer about the name `{host}` for {after} s"))
    })?;
    let found: Vec<_> = found.map_err(|e| not_found(e.to_string()))?.collect();
    if found.is_empty() {
        return Err(not_found(format!("`{host}` has no address")));
    }
    Ok(found)
}

#[async_trait]
impl Dialer for TcpDialer {
    async fn dial(&self, address: &RouterAddress) -> io::Result<Box<dyn Stream>> {
        let stream = self.connect(&address.host, address.port).await?;
        Ok(Box::new(stream))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_sends_at_once_and_notices_a_dead_peer() -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let stream = TcpDialer::default().connect("127.0.0.1", port).await?;
        assert!(stream.nodelay()?);
        assert!(SockRef::from(&stream).keepalive()?);
        Ok(())
    }
}
