use std::collections::VecDeque;

use crate::{sim::random::Random, wire::Sentence};

/// Answers on their way to a client: in order under each tag, in any order across tags.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: Vec<Queue>,
    /// Bytes after all answers, for what is no sentence.
    tail: Vec<u8>,
}

#[derive(Debug)]
struct Queue {
    tag: Vec<u8>,
    sentences: VecDeque<Sentence>,
}

impl Outbox {
    pub(crate) fn push(&mut self, tag: &[u8], sentence: Sentence) {
        let sentence = if tag.is_empty() {
            sentence
        } else {
            sentence.tag(tag)
        };
        self.push_under(tag, sentence);
    }

    /// Queues a sentence as it is, after those of `queue`.
    pub(crate) fn push_under(&mut self, queue: &[u8], sentence: Sentence) {
        match self.queues.iter_mut().find(|found| found.tag == queue) {
            Some(found) => found.sentences.push_back(sentence),
            None => self.queues.push(Queue {
                tag: queue.to_vec(),
                sentences: [sentence].into(),
            }),
        }
    }

    pub(crate) fn push_tail(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.tail.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes all that is there, the answers to different tags mixed.
    pub(crate) fn drain(&mut self, random: &mut Random) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !self.queues.is_empty() {
            let at = random.below(self.queues.len());
            if let Some(sentence) = self.queues[at].sentences.pop_front() {
                sentence.encode(&mut bytes);
            }
            if self.queues[at].sentences.is_empty() {
                self.queues.swap_remove(at);
            }
        }
        bytes.append(&mut self.tail);
        bytes
    }
}
