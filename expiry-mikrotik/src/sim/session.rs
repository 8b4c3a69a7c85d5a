use super::api::Outbox;
use crate::wire::{Decoder, Sentence};

/// One connection of an API client, as the router keeps it.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one way in which a connection can be half dead"
)]
pub(super) struct Session {
    pub(super) decoder: Decoder,
    pub(super) outbox: Outbox,
    pub(super) logged_in: bool,
    closing: bool,
    silent: bool,
    abandoned: bool,
}

impl Session {
    /// Whether what comes in is read.
    pub(super) fn listens(&self) -> bool {
        !self.closing && !self.silent
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing && self.outbox.is_empty()
    }

    /// Closes once what is on its way is transmitted.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Closes at once.
    pub(super) fn reset(&mut self) {
        self.outbox.clear();
        self.closing = true;
    }

    /// The client is gone. Only what it sent before is still to be done.
    pub(super) fn abandon(&mut self) {
        self.reset();
        self.abandoned = true;
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Nothing is heard any more. What is on its way still arrives.
    pub(super) fn fall_silent(&mut self) {
        self.silent = true;
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Queues an answer, unless nobody will hear it.
    pub(super) fn answer(&mut self, tag: &[u8], sentence: Sentence) {
        if self.listens() {
            self.outbox.push(tag, sentence);
        }
    }
}
