use std::{collections::BTreeSet, net::IpAddr};

use expiry_core::{GatewayError, Refusal, Sighting};

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

impl Flight<'_> {
    pub(super) fn len(&self) -> usize {
        self.writes.len() + self.reads.len()
    }

    /// Flies it. An error answer to a read leaves the connection good.
    pub(super) async fn fly<S: Stream>(
        &self,
        client: Client<S>,
    ) -> Result<(Client<S>, Landed), ClientError> {
        let writes = self.writes.iter().map(|write| &write.command);
        let reads = self.reads.iter().map(|read| &read.command);
        let commands = writes.chain(reads).cloned().collect();
        let mut collector = Collector::default();
        let on_row = |at: usize, row| {
            let read = at.checked_sub(self.writes.len());
            if let Some(read) = read.and_then(|at| self.reads.get(at)) {
                collector.take(read.table, &row);
            }
        };
        let (client, mut answers) = client.flight(commands, on_row).await?;
        let read_answers = answers.split_off(self.writes.len());
        let landed = self.check_reads(&read_answers).map(|()| {
            let seen = collector.finish(self.addresses);
            (seen, self.refusals(answers))
        });
        Ok((client, landed))
    }

    fn check_reads(&self, answers: &[Answer]) -> Result<(), GatewayError> {
        for (read, answer) in self.reads.iter().zip(answers) {
            // Without the menu nothing is tracked, and nothing can skip the hotspot. Leases only say
            // more of what other rows say.
            let is_dispensable = |trap: &Trap| match read.table {
                Table::Connections => trap.is_missing_menu(),
                Table::Leases => true,
                Table::Users | Table::Actives | Table::Hosts | Table::Cookies | Table::Bindings => {
                    false
                }
            };
            if let Err(trap) = answer
                && !is_dispensable(trap)
            {
                return Err(GatewayError::Refused {
                    command: read.table.command().into(),
                    message: trap.message.clone(),
                });
            }
        }
        Ok(())
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
