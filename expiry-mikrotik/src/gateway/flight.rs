use std::{collections::BTreeSet, net::IpAddr};

use expiry_core::{BrokenOff, GatewayError, Refusal, Sighting};

use crate::{
    client::{Client, ClientError},
    dial::Stream,
    hotspot::{Collector, Read, Table, Write},
    proto::{Answer, Trap},
};

/// Commands that go out together, writes first.
#[derive(Debug)]
pub(super) struct Flight<'a> {
    pub(super) writes: Vec<Write>,
    pub(super) reads: Vec<Read>,
    pub(super) addresses: &'a BTreeSet<IpAddr>,
}

pub(super) type Landed = Result<(Sighting, Vec<Refusal>), GatewayError>;

/// How often a print that broke off is asked again in one flight.
const REPEATS: usize = 3;

/// What one read has come to.
struct Reading {
    rows: Collector,
    answer: Answer,
    /// In which round it was last asked.
    round: usize,
}

impl Reading {
    /// Takes in that the same was asked again. An answer that came to its end stands for itself:
    /// what it does not show is gone. The rows of one that broke off are added to those before.
    fn repeat(&mut self, rows: Collector, answer: Answer, round: usize) {
        if answer.is_ok() {
            self.rows = rows;
        } else {
            self.rows.absorb(rows);
        }
        self.answer = answer;
        self.round = round;
    }

    fn may_pass(&self) -> bool {
        self.answer.as_ref().is_err_and(Trap::may_pass)
    }
}

impl Flight<'_> {
    pub(super) fn len(&self) -> usize {
        self.writes.len() + self.reads.len()
    }

    /// Flies it, and asks again at once what the router broke off. An error answer leaves the
    /// connection good.
    pub(super) async fn fly<S: Stream>(
        &self,
        client: Client<S>,
    ) -> Result<(Client<S>, Landed), ClientError> {
        let writes = self.writes.iter().map(|write| &write.command);
        let reads = self.reads.iter().map(|read| &read.command);
        let commands = writes.chain(reads).cloned().collect();
        let mut collectors: Vec<_> = self.reads.iter().map(|_| Collector::default()).collect();
        let on_row = |at: usize, row| {
            let read = at.checked_sub(self.writes.len());
            if let Some((read, rows)) = read.and_then(|at| self.place(at, &mut collectors)) {
                rows.take(read.table, &row);
            }
        };
        let (mut client, mut answers) = client.flight(commands, on_row).await?;
        let answered = collectors
            .into_iter()
            .zip(answers.split_off(self.writes.len()));
        let mut readings: Vec<_> = answered
            .map(|(rows, answer)| Reading {
                rows,
                answer,
                round: 0,
            })
            .collect();
        for round in 1..=REPEATS {
            if !readings.iter().any(Reading::may_pass) {
                break;
            }
            client = self.ask_again(client, &mut readings, round).await?;
        }
        let landed = self
            .seen(readings)
            .map(|seen| (seen, self.refusals(answers)));
        Ok((client, landed))
    }

    fn place<'t, T>(&self, at: usize, each: &'t mut [T]) -> Option<(&Read, &'t mut T)> {
        self.reads.get(at).zip(each.get_mut(at))
    }

    /// Asks once more what broke off.
    async fn ask_again<S: Stream>(
        &self,
        client: Client<S>,
        readings: &mut [Reading],
        round: usize,
    ) -> Result<Client<S>, ClientError> {
        let open = self.reads.iter().zip(readings);
        let open: Vec<_> = open.filter(|(_, reading)| reading.may_pass()).collect();
        let commands = open.iter().map(|(read, _)| read.command.clone()).collect();
        let mut collectors: Vec<_> = open.iter().map(|_| Collector::default()).collect();
        let on_row = |at: usize, row| {
            if let Some(((read, _), rows)) = open.get(at).zip(collectors.get_mut(at)) {
                rows.take(read.table, &row);
            }
        };
        let (client, answers) = client.flight(commands, on_row).await?;
        for (((_, reading), rows), answer) in open.into_iter().zip(collectors).zip(answers) {
            reading.repeat(rows, answer, round);
        }
        Ok(client)
    }

    /// Puts the rows together, the last asked last.
    fn seen(&self, readings: Vec<Reading>) -> Result<Sighting, GatewayError> {
        let mut all: Vec<_> = self.reads.iter().zip(readings).collect();
        all.sort_by_key(|(_, reading)| reading.round);
        let mut rows = Collector::default();
        let mut broken_off = Vec::new();
        for (read, reading) in all {
            rows.absorb(reading.rows);
            let Err(trap) = reading.answer else {
                continue;
            };
            let command = read.table.command().into();
            if trap.may_pass() {
                broken_off.push(BrokenOff {
                    kind: read.table.kind(),
                    command,
                    message: trap.message,
                });
            } else if !is_dispensable(read.table, &trap) {
                return Err(GatewayError::Refused {
                    command,
                    message: trap.message,
                });
            }
        }
        let mut seen = rows.finish(self.addresses);
        seen.break_off(broken_off);
        Ok(seen)
    }

    fn refusals(&self, answers: Vec<Answer>) -> Vec<Refusal> {
        let answered = self.writes.iter().zip(answers);
        let refused = answered.filter_map(|(write, answer)| {
            let trap = answer.err().filter(|trap| !trap.is_missing_item())?;
            Some(Refusal {
                kind: write.kind,
                row: write.row.clone(),
                message: trap.message,
            })
        });
        refused.collect()
    }
}

/// Without the menu nothing is tracked, and nothing can skip the hotspot. Leases and ARP entries only
/// say more of what other rows say.
fn is_dispensable(table: Table, trap: &Trap) -> bool {
    match table {
        Table::Connections => trap.is_missing_menu(),
        Table::Leases | Table::Arp => true,
        Table::Users | Table::Actives | Table::Hosts | Table::Cookies | Table::Bindings => false,
    }
}
