//! Doing commands: login, faults, answers.

use secrecy::ExposeSecret;

use super::{
    ConnId, Fault, Simulator, Trap,
    api::{self, Answer},
    session::Session,
    simulator::Job,
    stats::CONNECTION_PRINT,
};
use crate::wire::Sentence;

/// What becomes of an answer.
enum Delivery {
    Whole,
    /// The first half of its bytes, then this.
    Half(Afterwards),
    /// Other bytes instead.
    Instead(Vec<u8>),
    Lost,
    /// So many rows of it, then so many of this instead of the others.
    BrokenOff(usize, Option<(Trap, usize)>),
}

enum Afterwards {
    Close,
    Silence,
}

impl Simulator {
    pub(super) fn run(&mut self, job: Job) {
        let path = String::from_utf8_lossy(job.command.command()).into_owned();
        let delivery = match self.rules.iter_mut().find_map(|rule| rule.strike(&path)) {
            Some(Fault::Stall(_)) if job.stalled => Delivery::Whole,
            None => Delivery::Whole,
            Some(Fault::LoseAnswer) => Delivery::Lost,
            Some(Fault::BreakOff { rows, trap, traps }) => {
                Delivery::BrokenOff(rows, Some((trap, traps)))
            }
            Some(Fault::LoseRows(rows)) => Delivery::BrokenOff(rows, None),
            Some(Fault::CutAnswer) => Delivery::Half(Afterwards::Close),
            Some(Fault::HalfOpen) => Delivery::Half(Afterwards::Silence),
            Some(Fault::HugeWord) => Delivery::Instead(b"\xF0\xFF\xFF\xFF\xFF!re".to_vec()),
            Some(Fault::Garbage) => {
                let bytes = (0..64).map(|_| self.random.next().to_le_bytes()[0]);
                Delivery::Instead(bytes.collect())
            }
            Some(Fault::Stall(time)) => {
                self.stalled_until = self.hotspot.now + time;
                self.retry_later(Job {
                    stalled: true,
                    ..job
                });
                return;
            }
            Some(Fault::Close) => return self.with_session(job.conn, Session::reset),
            Some(Fault::Silence) => {
                return self.with_session(job.conn, Session::fall_silent);
            }
            Some(Fault::Ignore) => {
                let answer = sentences(Answer::default(), false);
                return self.reply(&job, answer, &path);
            }
            Some(Fault::Fatal) => return self.fatal(&job, "out of memory"),
            Some(Fault::Refuse(trap)) => return self.reply(&job, refusal(&trap, 1), &path),
            Some(Fault::RefuseTwice(trap)) => return self.reply(&job, refusal(&trap, 2), &path),
        };
        let answer = match path.as_str() {
            "/login" => self.log_in(&job),
            _ if !self.is_logged_in(job.conn) => return self.fatal(&job, "not logged in"),
            "/quit" => return self.fatal(&job, "session terminated on request"),
            _ => {
                *self.stats.commands.entry(path.clone()).or_default() += 1;
                let outcome = api::execute(&mut self.hotspot, self.booted_at, &job.command);
                match outcome {
                    Ok(answer) => sentences(answer, self.hotspot.config.empty_reply),
                    Err(trap) => refusal(&trap, 1),
                }
            }
        };
        self.deliver(&job, answer, &path, delivery);
    }

    fn deliver(&mut self, job: &Job, answer: Vec<Sentence>, path: &str, delivery: Delivery) {
        match delivery {
            Delivery::Whole => self.reply(job, answer, path),
            Delivery::BrokenOff(rows, trap) => {
                let rows = answer.into_iter().take(rows);
                let mut sentences: Vec<_> = rows.filter(|row| row.command() == b"!re").collect();
                sentences.extend(match trap {
                    Some((trap, traps)) => refusal(&trap, traps),
                    None => vec![Sentence::new("!done")],
                });
                self.reply(job, sentences, path);
            }
            Delivery::Lost => self.with_session(job.conn, Session::reset),
            Delivery::Instead(bytes) => self.with_session(job.conn, |session| {
                session.outbox.push_tail(&bytes);
                session.fall_silent();
            }),
            Delivery::Half(afterwards) => {
                let mut bytes = Vec::new();
                for sentence in answer {
                    tagged(sentence, &job.command).encode(&mut bytes);
                }
                bytes.truncate(bytes.len() / 2);
                self.with_session(job.conn, |session| {
                    session.outbox.push_tail(&bytes);
                    match afterwards {
                        Afterwards::Close => session.close(),
                        Afterwards::Silence => session.fall_silent(),
                    }
                });
            }
        }
    }

    fn reply(&mut self, job: &Job, answer: Vec<Sentence>, path: &str) {
        if path == CONNECTION_PRINT {
            let bytes: usize = answer.iter().map(Sentence::size).sum();
            self.stats.connection_table_bytes += u64::try_from(bytes).unwrap_or_default();
        }
        let tag = job.command.get_tag().unwrap_or_default();
        self.with_session(job.conn, |session| {
            for sentence in answer {
                session.answer(tag, sentence);
            }
        });
    }

    /// The last word to a client: a reason without a name.
    fn fatal(&mut self, job: &Job, reason: &str) {
        let mut bytes = Vec::new();
        Sentence::new("!fatal").word(reason).encode(&mut bytes);
        self.with_session(job.conn, |session| {
            session.outbox.push_tail(&bytes);
            session.close();
        });
    }

    fn log_in(&mut self, job: &Job) -> Vec<Sentence> {
        let config = &self.hotspot.config;
        let name = job.command.get("name").unwrap_or_default();
        let password = job.command.get("password").unwrap_or_default();
        let is_right = name == config.username.as_bytes()
            && password == config.password.expose_secret().as_bytes();
        let trap = if is_right && self.logins_to_refuse > 0 {
            self.logins_to_refuse -= 1;
            Some(Trap::new("invalid user name or password (6)"))
        } else if !is_right {
            Some(Trap::new("invalid user name or password (6)"))
        } else if !config.api_policy {
            Some(Trap::new("std failure: not allowed (9)"))
        } else {
            None
        };
        if let Some(trap) = trap {
            self.stats.refused_logins += 1;
            return refusal(&trap, 1);
        }
        self.stats.logins += 1;
        self.with_session(job.conn, |session| session.logged_in = true);
        vec![Sentence::new("!done")]
    }

    fn is_logged_in(&self, conn: ConnId) -> bool {
        self.sessions
            .get(&conn)
            .is_some_and(|session| session.logged_in)
    }

    /// Cancels one waiting command, or all.
    pub(super) fn cancel(&mut self, conn: ConnId, cancel: &Sentence) {
        let own_tag = cancel.get_tag().unwrap_or_default().to_vec();
        let wanted = cancel.get("tag").map(<[u8]>::to_vec);
        let mut taken = Vec::new();
        while let Some(job) = self.take_job(conn, wanted.as_deref()) {
            taken.push(job);
        }
        let interrupted = Trap::new("interrupted").with_category(2);
        self.with_session(conn, |session| {
            // These three kinds of answers come in this order, so they share a queue.
            let mut queue = |sentence| session.outbox.push_under(&own_tag, sentence);
            for job in &taken {
                queue(tagged(trap_sentence(&interrupted), &job.command));
            }
            queue(tagged(Sentence::new("!done"), cancel));
            for job in &taken {
                queue(tagged(Sentence::new("!done"), &job.command));
            }
        });
        self.work();
    }

    pub(super) fn with_session(&mut self, conn: ConnId, act: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            act(session);
            self.set_ready(conn);
        }
    }
}

fn sentences(answer: Answer, empty_reply: bool) -> Vec<Sentence> {
    let mut sentences = answer.rows;
    if answer.is_list && sentences.is_empty() && empty_reply {
        sentences.push(Sentence::new("!empty"));
    }
    let done = Sentence::new("!done");
    sentences.push(match answer.ret {
        Some(ret) => done.attribute("ret", ret),
        None => done,
    });
    sentences
}

fn refusal(trap: &Trap, times: usize) -> Vec<Sentence> {
    let mut sentences = vec![trap_sentence(trap); times];
    sentences.push(Sentence::new("!done"));
    sentences
}

fn trap_sentence(trap: &Trap) -> Sentence {
    let sentence = Sentence::new("!trap");
    let sentence = match trap.category {
        Some(category) => sentence.attribute("category", category.to_string()),
        None => sentence,
    };
    sentence.attribute("message", trap.message.as_bytes())
}

fn tagged(sentence: Sentence, command: &Sentence) -> Sentence {
    match command.get_tag() {
        Some(tag) => sentence.tag(tag),
        None => sentence,
    }
}
