use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use expiry_core::RouterAddress;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use crate::{
    Dialer, Stream,
    wire::{Decoder, Sentence},
};

pub(super) const IDENTITY: &str = "hill-1";
pub(super) const SERIAL: &str = "HFA0001";

/// What has not happened by then never will; a test that waits for it fails instead of hanging.
const NEVER: Duration = Duration::from_hours(1);

/// Makes a dialer, and the place where its calls arrive.
pub(super) fn exchange() -> (Arc<dyn Dialer>, Office) {
    let (calls, arrivals) = unbounded_channel();
    (Arc::new(MemoryDialer(calls)), Office(arrivals))
}

#[derive(Debug)]
struct MemoryDialer(UnboundedSender<DuplexStream>);

#[async_trait]
impl Dialer for MemoryDialer {
    async fn dial(&self, _: &RouterAddress) -> io::Result<Box<dyn Stream>> {
        let (ours, theirs) = duplex(1 << 16);
        self.0
            .send(theirs)
            .map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(ours))
    }
}

pub(super) struct Office(UnboundedReceiver<DuplexStream>);

impl Office {
    pub(super) async fn accept(&mut self) -> Peer {
        let call = timeout(NEVER, self.0.recv()).await;
        let stream = call.expect("a call").expect("the dialer lives");
        Peer {
            stream,
            decoder: Decoder::default(),
            unread: Vec::new(),
        }
    }

    /// Tells whether nobody has called since the last [`Self::accept`].
    pub(super) fn is_quiet(&self) -> bool {
        self.0.is_empty()
    }
}

/// A router as the test plays it.
pub(super) struct Peer {
    stream: DuplexStream,
    decoder: Decoder,
    unread: Vec<u8>,
}

impl Peer {
    /// Waits for the next command; `None` if the connection was closed.
    pub(super) async fn next(&mut self) -> Option<Sentence> {
        loop {
            let mut input = &self.unread[..];
            let decoded = self.decoder.decode(&mut input).expect("well formed");
            let rest = input.len();
            self.unread.drain(..self.unread.len() - rest);
            if decoded.is_some() {
                return decoded;
            }
            let mut buffer = vec![0; 4096];
            let read = timeout(NEVER, self.stream.read(&mut buffer)).await;
            let received = read.expect("something to be sent").expect("memory");
            if received == 0 {
                return None;
            }
            self.unread.extend_from_slice(&buffer[..received]);
        }
    }

    /// Waits for `count` commands.
    pub(super) async fn take(&mut self, count: usize) -> Vec<Sentence> {
        let mut commands = Vec::new();
        while commands.len() < count {
            commands.push(self.next().await.expect("another command"));
        }
        commands
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("memory");
    }

    pub(super) async fn say(&mut self, sentence: Sentence) {
        let mut bytes = Vec::new();
        sentence.encode(&mut bytes);
        self.send(&bytes).await;
    }

    /// Answers a command with a reply word and attributes.
    pub(super) async fn reply(&mut self, to: &Sentence, word: &str, fields: &[(&str, &str)]) {
        let reply = Sentence::new(word).tag(to.get_tag().expect("a tag"));
        let reply = fields
            .iter()
            .fold(reply, |reply, (name, value)| reply.attribute(name, value));
        self.say(reply).await;
    }

    pub(super) async fn row(&mut self, to: &Sentence, fields: &[(&str, &str)]) {
        self.reply(to, "!re", fields).await;
    }

    pub(super) async fn done(&mut self, to: &Sentence) {
        self.reply(to, "!done", &[]).await;
    }

    pub(super) async fn trap(&mut self, to: &Sentence, message: &str) {
        self.reply(to, "!trap", &[("message", message)]).await;
        self.done(to).await;
    }

    /// Accepts the login.
    pub(super) async fn login(&mut self) {
        let login = self.next().await.expect("a login");
        assert_eq!(login.command(), b"/login");
        self.done(&login).await;
    }

    /// Accepts the login and says who it is.
    pub(super) async fn welcome(&mut self) {
        self.welcome_as(IDENTITY, Some(SERIAL)).await;
    }

    /// Accepts the login and says that it is this box; without a serial number, that it has no
    /// such menu.
    pub(super) async fn welcome_as(&mut self, identity: &str, serial: Option<&str>) {
        self.login().await;
        self.introduce(identity, serial).await;
    }

    pub(super) async fn introduce(&mut self, identity: &str, serial: Option<&str>) {
        for command in self.take(4).await {
            match (command.command(), serial) {
                (b"/system/identity/print", _) => {
                    self.row(&command, &[("name", identity)]).await;
                    self.done(&command).await;
                }
                (b"/system/routerboard/print", Some(serial)) => {
                    self.row(&command, &[("serial-number", serial)]).await;
                    self.done(&command).await;
                }
                (b"/system/routerboard/print", None) => {
                    self.trap(&command, "no such command prefix").await;
                }
                (b"/system/resource/print", _) => {
                    let fields = [("version", "7.18.2 (stable)"), ("uptime", "1d02:03:04")];
                    self.row(&command, &fields).await;
                    self.done(&command).await;
                }
                (b"/system/clock/print", _) => {
                    self.trap(&command, "no such command prefix").await;
                }
                _ => panic!("unexpected {command:?}"),
            }
        }
    }

    /// Answers the next `count` commands with nothing, each as it comes.
    pub(super) async fn finish(&mut self, count: usize) {
        for _ in 0..count {
            let command = self.next().await.expect("another command");
            self.done(&command).await;
        }
    }
}
