use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use thiserror::Error;

use super::{
    Answer, Deadline, Patience, Trap,
    pace::Pace,
    patience::Watch,
    reply::{Reply, shown},
};
use crate::wire::{Decoder, Limits, Sentence, WireError};

/// How a connection behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// How many commands may be outstanding; more wait inside. At least one may.
    pub window: usize,
    /// Down to how many that is narrowed while answers slow down.
    pub min_window: usize,
    /// The largest answer to one command, in bytes.
    pub answer: usize,
    /// The largest word and sentence.
    pub wire: Limits,
    /// How long to wait.
    pub patience: Patience,
}

impl Default for ConnectionConfig {
    /// 32 commands, at least 4, 64 MiB for an answer.
    fn default() -> Self {
        Self {
            window: 32,
            min_window: 4,
            answer: 64 << 20,
            wire: Limits::default(),
            patience: Patience::default(),
        }
    }
}

/// A command of one connection. Ids count up with every [`Connection::submit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandId(u64);

impl CommandId {
    /// Returns how many commands after `first` this one was submitted; `None` if before.
    pub fn since(self, first: Self) -> Option<usize> {
        usize::try_from(self.0.checked_sub(first.0)?).ok()
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A row of its answer.
    Row {
        /// The command.
        command: CommandId,
        /// The row.
        row: Sentence,
    },
    /// The end of its answer.
    Done {
        /// The command.
        command: CommandId,
        /// How it ended.
        answer: Answer,
    },
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// What came are no sentences.
    #[error("the bytes are no sentences")]
    Wire(#[from] WireError),
    /// A sentence that is no reply.
    #[error("a sentence starts with {0:?}, which is no reply")]
    NotAReply(String),
    /// The first bytes are no reply.
    #[error("{0}")]
    NotTheApi(String),
    /// The answer to one command is too large.
    #[error("the answer to one command exceeds {limit} bytes")]
    AnswerTooLong {
        /// The limit.
        limit: usize,
    },
    /// The router ends the connection.
    #[error("the router ended the connection: {reason}")]
    Fatal {
        /// What it said.
        reason: String,
    },
}

/// The client's side of one API connection.
///
/// Every command gets a tag of its own, never used again on the connection, so that no answer is
/// taken for another's. A sentence with an unknown tag, or none, is ignored unless it is `!fatal`.
#[derive(Debug)]
pub struct Connection {
    config: ConnectionConfig,
    decoder: Decoder,
    watch: Watch,
    pace: Pace,
    next: u64,
    waiting: VecDeque<(CommandId, Sentence)>,
    outstanding: BTreeMap<CommandId, Outstanding>,
}

#[derive(Debug)]
struct Outstanding {
    sent: Instant,
    received: usize,
    rows: bool,
    trap: Option<Trap>,
}

impl Connection {
    /// Starts with nothing outstanding.
    pub fn new(config: ConnectionConfig) -> Self {
        Self {
            config,
            decoder: Decoder::new(config.wire),
            watch: Watch::new(config.patience),
            pace: Pace::new(config.window, config.min_window),
            next: 1,
            waiting: VecDeque::new(),
            outstanding: BTreeMap::new(),
        }
    }

    /// Returns how many commands may be outstanding now.
    pub fn window(&self) -> usize {
        self.pace.window()
    }

    /// Changes how many commands may be outstanding.
    pub fn set_window(&mut self, window: usize) {
        self.pace.set_window(window);
    }

    /// Changes how long to wait.
    pub fn set_patience(&mut self, patience: Patience) {
        self.watch.set_patience(patience);
    }

    /// Takes a command, without a tag. It goes out with the next [`Self::transmit`] that finds
    /// room in the window.
    pub fn submit(&mut self, command: Sentence) -> CommandId {
        let id = CommandId(self.next);
        self.next += 1;
        self.waiting.push_back((id, command));
        id
    }

    /// Appends to `out` what has to be sent.
    pub fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) {
        while self.outstanding.len() < self.pace.window() {
            let Some((id, command)) = self.waiting.pop_front() else {
                return;
            };
            if self.outstanding.is_empty() {
                self.watch.work_began(now);
            }
            command.tag(id.0.to_string()).encode(out);
            let started = Outstanding {
                sent: now,
                received: 0,
                rows: false,
                trap: None,
            };
            self.outstanding.insert(id, started);
        }
    }

    /// Takes received bytes off `input` until there is something to tell. `None`: all are taken.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub fn receive(
        &mut self,
        now: Instant,
        input: &mut &[u8],
    ) -> Result<Option<Event>, ProtocolError> {
        if !input.is_empty() {
            self.watch.bytes_came(now);
        }
        while let Some(sentence) = self.decoder.decode(input)? {
            if let Some(event) = self.take(now, sentence)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Returns when to give up; `None` while nothing is outstanding.
    pub fn deadline(&self) -> Option<Deadline> {
        let (_, oldest) = self.outstanding.first_key_value()?;
        Some(self.watch.deadline(oldest.sent))
    }

    /// Returns how many commands were sent and are not answered to their end.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    fn take(&mut self, now: Instant, sentence: Sentence) -> Result<Option<Event>, ProtocolError> {
        let Some(reply) = Reply::read(&sentence) else {
            return Err(ProtocolError::NotAReply(shown(sentence.command())));
        };
        if let Reply::Fatal { reason } = reply {
            return Err(ProtocolError::Fatal { reason });
        }
        let Some(command) = sentence.get_tag().and_then(read_tag) else {
            return Ok(None);
        };
        let Some(outstanding) = self.outstanding.get_mut(&command) else {
            return Ok(None);
        };
        outstanding.received += sentence.size();
        if outstanding.received > self.config.answer {
            let limit = self.config.answer;
            return Err(ProtocolError::AnswerTooLong { limit });
        }
        match reply {
            Reply::Row => {
                outstanding.rows = true;
                let row = sentence;
                return Ok(Some(Event::Row { command, row }));
            }
            Reply::Trap(trap) => {
                outstanding.trap.get_or_insert(trap);
            }
            Reply::Done { ret } => {
                let trap = outstanding.trap.take();
                if !outstanding.rows {
                    self.pace
                        .answered(now.saturating_duration_since(outstanding.sent));
                }
                self.outstanding.remove(&command);
                self.watch.answered(now);
                let answer = trap.map_or(Ok(ret), Err);
                return Ok(Some(Event::Done { command, answer }));
            }
            Reply::Fatal { .. } | Reply::Other => {}
        }
        Ok(None)
    }
}

/// Reads a tag that we wrote: digits as we print them, nothing else.
fn read_tag(tag: &[u8]) -> Option<CommandId> {
    let text = std::str::from_utf8(tag).ok()?;
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(CommandId(number))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn connection(window: usize) -> Connection {
        Connection::new(ConnectionConfig {
            window,
            ..ConnectionConfig::default()
        })
    }

    fn sent(connection: &mut Connection) -> Vec<Sentence> {
        let mut bytes = Vec::new();
        connection.transmit(now(), &mut bytes);
        let mut decoder = Decoder::default();
        let mut input = &bytes[..];
        std::iter::from_fn(|| decoder.decode(&mut input).expect("well formed")).collect()
    }

    fn receive(
        connection: &mut Connection,
        replies: &[Sentence],
    ) -> Result<Vec<Event>, ProtocolError> {
        let mut bytes = Vec::new();
        for reply in replies {
            reply.encode(&mut bytes);
        }
        let mut input = &bytes[..];
        let mut events = Vec::new();
        while let Some(event) = connection.receive(now(), &mut input)? {
            events.push(event);
        }
        Ok(events)
    }

    fn done(command: CommandId, answer: Answer) -> Event {
        Event::Done { command, answer }
    }

    #[test]
    fn interleaved_answers_reach_their_commands() {
        let mut line = connection(32);
        let a = line.submit(Sentence::new("/a"));
        let b = line.submit(Sentence::new("/b"));
        assert_eq!(sent(&mut line).len(), 2);
        let row_of_b = Sentence::new("!re").attribute("name", "x").tag("2");
        let events = receive(
            &mut line,
            &[
                row_of_b.clone(),
                Sentence::new("!empty").tag("1"),
                Sentence::new("!done").tag("2").attribute("ret", "5"),
                Sentence::new("!later").tag("1"),
                Sentence::new("!done").tag("1"),
            ],
        );
        let expected = vec![
            Event::Row {
                command: b,
                row: row_of_b,
            },
            done(b, Ok(Some(b"5".to_vec()))),
            done(a, Ok(None)),
        ];
        assert_eq!(events, Ok(expected));
        assert_eq!(line.outstanding(), 0);
        assert_eq!(line.deadline(), None);
    }

    #[test]
    fn the_first_of_several_traps_counts_once_done_has_come() {
        let mut line = connection(32);
        let a = line.submit(Sentence::new("/a"));
        sent(&mut line);
        let first = Sentence::new("!trap").attribute("category", "0");
        let first = first.attribute("message", "no such item").tag("1");
        let second = Sentence::new("!trap")
            .attribute("message", "other")
            .tag("1");
        assert_eq!(receive(&mut line, &[first, second]), Ok(vec![]));
        assert_eq!(line.outstanding(), 1);
        let trap = Trap {
            category: Some(0),
            message: "no such item".into(),
        };
        let events = receive(&mut line, &[Sentence::new("!done").tag("1")]);
        assert_eq!(events, Ok(vec![done(a, Err(trap))]));
    }

    #[test]
    fn answers_to_nobody_are_ignored() {
        let mut line = connection(32);
        line.submit(Sentence::new("/a"));
        sent(&mut line);
        let strays = ["", "2", "01", "+1", "x", "18446744073709551616"];
        for tag in strays {
            assert_eq!(
                receive(&mut line, &[Sentence::new("!done").tag(tag)]),
                Ok(vec![])
            );
        }
        assert_eq!(receive(&mut line, &[Sentence::new("!done")]), Ok(vec![]));
        assert_eq!(line.outstanding(), 1);
    }

    #[test]
    fn a_second_done_is_not_taken_for_the_next_command() {
        let mut line = connection(32);
        line.submit(Sentence::new("/a"));
        sent(&mut line);
        let once = Sentence::new("!done").tag("1");
        assert_eq!(
            receive(&mut line, &[once.clone(), once.clone()]).map(|e| e.len()),
            Ok(1)
        );
        let b = line.submit(Sentence::new("/b"));
        assert_eq!(sent(&mut line)[0].get_tag(), Some(&b"2"[..]));
        assert_eq!(receive(&mut line, &[once]), Ok(vec![]));
        let events = receive(&mut line, &[Sentence::new("!done").tag("2")]);
        assert_eq!(events, Ok(vec![done(b, Ok(None))]));
    }

    #[test]
    fn fatal_ends_the_connection_with_or_without_a_tag() {
        for fatal in [Sentence::new("!fatal"), Sentence::new("!fatal").tag("1")] {
            let mut line = connection(32);
            let fatal = fatal.word("not logged in");
            let reason = "not logged in".into();
            assert_eq!(
                receive(&mut line, &[fatal]),
                Err(ProtocolError::Fatal { reason })
            );
        }
    }

    #[test]
    fn what_is_no_reply_ends_the_connection() {
        let mut line = connection(32);
        let refused = receive(&mut line, &[Sentence::new("/login")]);
        assert_eq!(refused, Err(ProtocolError::NotAReply("/login".into())));
    }

    #[test]
    fn an_endless_answer_is_refused() {
        let mut line = Connection::new(ConnectionConfig {
            answer: 1000,
            ..ConnectionConfig::default()
        });
        line.submit(Sentence::new("/a"));
        sent(&mut line);
        let rows = vec![Sentence::new("!re").attribute("x", "y").tag("1"); 100];
        let refused = receive(&mut line, &rows);
        assert_eq!(refused, Err(ProtocolError::AnswerTooLong { limit: 1000 }));
    }

    #[test]
    fn r4_the_silence_of_a_new_command_starts_with_its_sending() {
        let mut line = connection(32);
        let t0 = now();
        line.submit(Sentence::new("/a"));
        line.transmit(t0, &mut Vec::new());
        let mut bytes = Vec::new();
        Sentence::new("!done").tag("1").encode(&mut bytes);
        line.receive(t0, &mut &bytes[..]).expect("well formed");
        let later = t0 + Duration::from_mins(1);
        line.submit(Sentence::new("/b"));
        line.transmit(later, &mut Vec::new());
        let at = line.deadline().map(|deadline| deadline.at);
        assert_eq!(at, Some(later + Duration::from_secs(5)));
    }

    proptest! {
        #[test]
        fn the_window_is_kept_and_every_command_is_sent_once(
            commands in 0_usize..60,
            window in 0_usize..40,
            order in vec(any::<prop::sample::Index>(), 60),
        ) {
            let mut line = connection(window);
            for _ in 0..commands {
                line.submit(Sentence::new("/a"));
            }
            let mut open: Vec<Vec<u8>> = Vec::new();
            let mut tags = Vec::new();
            for pick in &order {
                for command in sent(&mut line) {
                    let tag = command.get_tag().expect("tagged").to_vec();
                    open.push(tag.clone());
                    tags.push(tag);
                }
                prop_assert_eq!(line.outstanding(), open.len());
                prop_assert!(open.len() <= window.max(1));
                if open.is_empty() {
                    break;
                }
                let tag = open.swap_remove(pick.index(open.len()));
                let events = receive(&mut line, &[Sentence::new("!done").tag(tag)]);
                prop_assert_eq!(events.map(|events| events.len()), Ok(1));
            }
            prop_assert_eq!(tags.len(), commands);
            tags.sort();
            tags.dedup();
            prop_assert_eq!(tags.len(), commands);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..500)) {
            let mut line = connection(4);
            line.submit(Sentence::new("/a"));
            line.transmit(now(), &mut Vec::new());
            let mut input = &bytes[..];
            while let Ok(Some(_)) = line.receive(now(), &mut input) {}
        }
    }
}
