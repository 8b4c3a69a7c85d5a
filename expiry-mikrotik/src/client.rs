//! A logged-in conversation with a router over any byte stream.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use expiry_core::{GatewayError, Speaks};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, timeout_at},
};

use crate::{
    gauge::Gauge,
    proto::{
        Answer, CommandId, Connection, ConnectionConfig, Event, Patience, ProtocolError,
        stranger::{self, Opening},
    },
    wire::Sentence,
};

const READ_BUFFER: usize = 16 << 10;

/// A connection to a router.
///
/// Whatever fails, and whoever drops a future half way, ends it: methods that talk take the client
/// and give it back only when every command was answered. So no answer ever comes late.
pub struct Client<S> {
    stream: S,
    connection: Connection,
    buffer: Box<[u8]>,
    outbound: Vec<u8>,
    written: usize,
    heard: bool,
    /// The first bytes, until they are known to be the API.
    opening: Option<Vec<u8>>,
    gauge: Option<Arc<Gauge>>,
}

/// Why a connection ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Reading or writing failed.
    #[error("reading or writing failed")]
    Io(#[from] io::Error),
    /// The router closed the connection.
    #[error("the router closed the connection")]
    Closed {
        /// Whether it had said anything before.
        heard: bool,
    },
    /// Something outstanding was not answered in time.
    #[error("no answer for {} s", after.as_secs_f32())]
    TimedOut {
        /// What was waited for it.
        after: Duration,
    },
    /// The router said something that is not to be understood, or its last word.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Something else than a router's API answers.
    #[error("{speaks} answers there")]
    Stranger {
        /// What it speaks.
        speaks: Speaks,
    },
    /// The login was not answered in time.
    #[error("no answer to the login for {} s", after.as_secs_f32())]
    LoginTimedOut {
        /// What was waited for it.
        after: Duration,
    },
    /// The router refused the account.
    #[error("login refused: {message}")]
    Login {
        /// Why.
        message: String,
    },
    /// The router knows only the login of RouterOS before 6.43.
    #[error("the router asks for the login of RouterOS before 6.43")]
    TooOld,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Starts on a stream on which nothing was said yet.
    pub fn new(stream: S, config: ConnectionConfig) -> Self {
        Self {
            stream,
            connection: Connection::new(config),
            buffer: vec![0; READ_BUFFER].into(),
            outbound: Vec::new(),
            written: 0,
            heard: false,
            opening: Some(Vec::new()),
            gauge: None,
        }
    }

    /// Logs in, in the way of RouterOS 6.43 and later.
    ///
    /// # Errors
    /// [`ClientError::Login`] if the account is refused, [`ClientError::TooOld`] if the router is,
    /// [`ClientError::LoginTimedOut`] if it says nothing; the others as for [`Self::flight`].
    pub async fn login(self, name: &str, password: &SecretString) -> Result<Self, ClientError> {
        let command = Sentence::new("/login")
            .attribute("name", name)
            .attribute("password", password.expose_secret());
        let flown = self.flight(vec![command], |_, _| ()).await;
        let (client, answers) = flown.map_err(|error| {
            if let ClientError::TimedOut { after } = error {
                return ClientError::LoginTimedOut { after };
            }
            error
        })?;
        match answers.into_iter().next() {
            Some(Ok(None)) => Ok(client),
            Some(Ok(Some(_))) => Err(ClientError::TooOld),
            Some(Err(trap)) => Err(ClientError::Login {
                message: trap.message,
            }),
            None => Err(ClientError::Closed { heard: true }),
        }
    }

    /// Sends all `commands` without waiting in between, as far as the window allows, and returns
    /// their answers in the same order once each has ended. `on_row` gets every row with the
    /// index of its command. A trap is an answer.
    ///
    /// # Errors
    /// The connection is closed, and whatever was sent may have been done.
    pub async fn flight(
        mut self,
        commands: Vec<Sentence>,
        mut on_row: impl FnMut(usize, Sentence),
    ) -> Result<(Self, Vec<Answer>), ClientError> {
        let ids: Vec<_> = commands
            .into_iter()
            .map(|command| self.connection.submit(command))
            .collect();
        let mut answers: Vec<Option<Answer>> = ids.iter().map(|_| None).collect();
        let mut open = ids.len();
        let place = |id: CommandId| ids.first().and_then(|first| id.since(*first));
        while open > 0 {
            let now = Instant::now().into_std();
            self.connection.transmit(now, &mut self.outbound);
            let received = self.exchange().await?;
            self.recognise(received)?;
            let now = Instant::now().into_std();
            let mut input = &self.buffer[..received];
            while let Some(event) = self.connection.receive(now, &mut input)? {
                match event {
                    Event::Row { command, row } => {
                        if let Some(at) = place(command) {
                            on_row(at, row);
                        }
                    }
                    Event::Done { command, answer } => {
                        if let Some(slot) = place(command).and_then(|at| answers.get_mut(at)) {
                            *slot = Some(answer);
                            open -= 1;
                        }
                    }
                }
            }
        }
        Ok((self, answers.into_iter().flatten().collect()))
    }

    /// Waits until the router ends the connection, or says what nobody asked for and cannot be
    /// understood. Nothing may be outstanding. Cancel safe.
    pub async fn closed(&mut self) {
        loop {
            let read = poll_fn(|cx| self.poll_read(cx)).await;
            let Ok(received @ 1..) = read else {
                return;
            };
            let now = Instant::now().into_std();
            let mut input = &self.buffer[..received];
            loop {
                match self.connection.receive(now, &mut input) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    }

    /// Returns how many commands may be outstanding now.
    pub fn window(&self) -> usize {
        self.connection.window()
    }

    /// Changes how many commands may be outstanding.
    pub fn set_window(&mut self, window: usize) {
        self.connection.set_window(window);
    }

    /// Changes how long to wait.
    pub fn set_patience(&mut self, patience: Patience) {
        self.connection.set_patience(patience);
    }

    /// Tells a gauge whenever something is heard.
    pub(crate) fn show_on(&mut self, gauge: Option<Arc<Gauge>>) {
        self.gauge = gauge;
    }

    /// Writes what there is to write until something was read.
    async fn exchange(&mut self) -> Result<usize, ClientError> {
        let deadline = self.connection.deadline();
        let received = match deadline {
            None => poll_fn(|cx| self.poll_exchange(cx)).await,
            Some(deadline) => {
                let exchanged = poll_fn(|cx| self.poll_exchange(cx));
                timeout_at(Instant::from_std(deadline.at), exchanged)
                    .await
                    .map_err(|_| ClientError::TimedOut {
                        after: deadline.after,
                    })?
            }
        };
        match received {
            Ok(0) => Err(ClientError::Closed { heard: self.heard }),
            Ok(received) => {
                self.heard = true;
                if let Some(gauge) = &self.gauge {
                    gauge.heard();
                }
                Ok(received)
            }
            Err(error) if is_hang_up(&error) => Err(ClientError::Closed { heard: self.heard }),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks whether the first bytes can be the API. Without it, a greeting would be taken for the
    /// beginning of a long word, whose rest never comes.
    fn recognise(&mut self, received: usize) -> Result<(), ClientError> {
        let Some(first) = &mut self.opening else {
            return Ok(());
        };
        let wanted = stranger::ENOUGH - first.len();
        first.extend(&self.buffer[..received.min(wanted)]);
        match stranger::recognise(first) {
            Opening::Unclear => Ok(()),
            Opening::Api => {
                self.opening = None;
                Ok(())
            }
            Opening::Known(speaks) => Err(ClientError::Stranger { speaks }),
            Opening::Other(said) => Err(ProtocolError::NotTheApi(said).into()),
        }
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // A router that hangs up may have said why: read before giving up on a failed write.
        let written = self.poll_write(cx);
        match self.poll_read(cx) {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => match ready!(written) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.stream);
        while self.written < self.outbound.len() {
            let rest = &self.outbound[self.written..];
            let written = ready!(stream.as_mut().poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.outbound.clear();
        self.written = 0;
        stream.poll_flush(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

/// Shows nothing of what is on its way, which may be a password.
impl<S> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl From<ClientError> for GatewayError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::TimedOut { after } => Self::TimedOut { after },
            ClientError::LoginTimedOut { after } => Self::LoginTimedOut { after },
            ClientError::Stranger { speaks } => Self::Stranger { speaks },
            ClientError::Login { message } => Self::Login { message },
            ClientError::TooOld => Self::TooOld,
            ClientError::Closed { heard: false } => Self::Closed { spoken: false },
            ClientError::Io(error) => Self::Disconnected {
                reason: error.to_string(),
            },
            ClientError::Closed { heard: true } => Self::Disconnected {
                reason: error.to_string(),
            },
            ClientError::Protocol(ProtocolError::Fatal { reason }) => Self::Disconnected { reason },
            ClientError::Protocol(ProtocolError::Wire(error)) => Self::Protocol {
                reason: error.to_string(),
            },
            ClientError::Protocol(error) => Self::Protocol {
                reason: error.to_string(),
            },
        }
    }
}

/// Tells whether the other side ended the connection.
pub(crate) fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn any_piece() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            Just("!re"),
            Just("!trap"),
            Just("!empty"),
            Just("!done"),
            Just("!fatal")
        ];
        let reply = (word, 0_u8..5).prop_map(|(word, tag)| {
            let mut bytes = Vec::new();
            let reply = Sentence::new(word).attribute("name", "x");
            reply.tag(tag.to_string()).encode(&mut bytes);
            bytes
        });
        prop_oneof![8 => reply, 1 => vec(any::<u8>(), 1..8)]
    }

    /// Says `pieces` with a second between them, then nothing, or hangs up.
    async fn speak(
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        pieces: &[Vec<u8>],
        hang_up: bool,
    ) {
        for piece in pieces {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if stream.write_all(piece).await.is_err() {
                return;
            }
        }
        let mut ignored = Vec::new();
        while !hang_up && matches!(stream.read_buf(&mut ignored).await, Ok(1..)) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_ends_a_flight_at_once() {
        let (silent, _open) = duplex(64);
        let (broken, _) = duplex(64);
        let client = Client::new(tokio::io::join(silent, broken), ConnectionConfig::default());
        let start = Instant::now();
        let ended = client.flight(vec![Sentence::new("/a")], |_, _| ()).await;
        assert!(matches!(ended, Err(ClientError::Closed { heard: false })));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn r4_a_flight_ends_in_time_whatever_the_peer_says(
            pieces in vec(any_piece(), 0..40),
            hang_up: bool,
        ) {
            let paused = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            paused.block_on(async {
                let (ours, theirs) = duplex(64);
                let client = Client::new(ours, ConnectionConfig::default());
                let start = Instant::now();
                let flight = async move {
                    let commands = vec![Sentence::new("/a"), Sentence::new("/b")];
                    let ended = client.flight(commands, |_, _| ()).await;
                    (ended.map(|(_, answers)| answers.len()), start.elapsed())
                };
                let ((ended, took), ()) = tokio::join!(flight, speak(theirs, &pieces, hang_up));
                if let Ok(answers) = ended {
                    prop_assert_eq!(answers, 2);
                }
                prop_assert!(took <= Duration::from_secs(30), "{:?}", took);
                Ok(())
            })?;
        }
    }
}
