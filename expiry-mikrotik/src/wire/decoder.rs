use thiserror::Error;

use super::{Sentence, length::Prefix};

/// How much a peer may make us keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest word, in bytes.
    pub word: usize,
    /// The largest sentence, in bytes by [`Sentence::size`].
    pub sentence: usize,
}

impl Default for Limits {
    /// 1 MiB for a word, 16 MiB for a sentence.
    fn default() -> Self {
        Self {
            word: 1 << 20,
            sentence: 16 << 20,
        }
    }
}

/// Why bytes are no sentence. Nothing that follows can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// A byte that starts no length prefix, `0xF1` or above.
    #[error("byte {0:#04x} starts no word")]
    Reserved(u8),
    /// A word that is too long, by its prefix.
    #[error("a word of {promised} bytes is announced, the limit is {limit}")]
    WordTooLong {
        /// What the prefix says.
        promised: u32,
        /// What is accepted.
        limit: usize,
    },
    /// A sentence that grows too large, by the prefix of its next word.
    #[error("a sentence has more than {limit} bytes")]
    SentenceTooLong {
        /// What is accepted.
        limit: usize,
    },
}

/// Reads sentences from bytes that come in pieces of any size.
///
/// It keeps the sentence that is being read and nothing else, and refuses what is beyond the
/// [`Limits`] as soon as it is announced.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    sentence: Sentence,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Between,
    Prefix(Prefix),
    Word {
        missing: usize,
    },
    Failed(WireError),
}

impl Decoder {
    /// Makes a decoder with limits of its own.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes bytes off `input` until a sentence is complete. `None`: all bytes are taken and more
    /// are needed. A sentence without words is skipped.
    ///
    /// # Errors
    /// The peer does not speak the protocol. The same error comes from every later call.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Sentence>, WireError> {
        loop {
            match &mut self.state {
                State::Between => {
                    let Some(first) = take_byte(input) else {
                        return Ok(None);
                    };
                    match Prefix::start(first) {
                        Some(prefix) => self.state = State::Prefix(prefix),
                        None => return self.fail(WireError::Reserved(first)),
                    }
                }
                State::Prefix(prefix) => {
                    let Some(length) = prefix.length() else {
                        let Some(byte) = take_byte(input) else {
                            return Ok(None);
                        };
                        prefix.push(byte);
                        continue;
                    };
                    if length > 0 {
                        if let Err(error) = self.start_word(length) {
                            return self.fail(error);
                        }
                        continue;
                    }
                    self.state = State::Between;
                    if !self.sentence.is_empty() {
                        return Ok(Some(std::mem::take(&mut self.sentence)));
                    }
                }
                State::Word { missing } => {
                    let (part, rest) = input.split_at((*missing).min(input.len()));
                    *input = rest;
                    *missing -= part.len();
                    self.sentence.extend_word(part);
                    if *missing > 0 {
                        return Ok(None);
                    }
                    self.sentence.end_word();
                    self.state = State::Between;
                }
                State::Failed(error) => return Err(*error),
            }
        }
    }

    /// Tells whether the bytes so far end with a complete sentence.
    pub fn is_between_sentences(&self) -> bool {
        matches!(self.state, State::Between) && self.sentence.is_empty()
    }

    /// Returns how much of an incomplete sentence is kept, by [`Sentence::size`].
    pub fn buffered(&self) -> usize {
        self.sentence.size()
    }

    fn start_word(&mut self, promised: u32) -> Result<(), WireError> {
        let Limits { word, sentence } = self.limits;
        let missing = usize::try_from(promised).unwrap_or(usize::MAX);
        if missing > word {
            return Err(WireError::WordTooLong {
                promised,
                limit: word,
            });
        }
        if self.sentence.size() + missing + size_of::<usize>() > sentence {
            return Err(WireError::SentenceTooLong { limit: sentence });
        }
        self.state = State::Word { missing };
        Ok(())
    }

    fn fail(&mut self, error: WireError) -> Result<Option<Sentence>, WireError> {
        self.state = State::Failed(error);
        self.sentence = Sentence::default();
        Err(error)
    }
}

fn take_byte(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn decode_all(decoder: &mut Decoder, mut input: &[u8]) -> Result<Vec<Sentence>, WireError> {
        let mut sentences = Vec::new();
        while let Some(sentence) = decoder.decode(&mut input)? {
            sentences.push(sentence);
        }
        assert!(input.is_empty());
        Ok(sentences)
    }

    fn sentence(words: &[Vec<u8>]) -> Sentence {
        words.iter().fold(Sentence::default(), Sentence::word)
    }

    fn any_sentences() -> impl Strategy<Value = Vec<Sentence>> {
        let word = prop_oneof![vec(any::<u8>(), 1..20), vec(any::<u8>(), 120..300)];
        let words = vec(word, 1..6).prop_map(|words| sentence(&words));
        vec(words, 0..5)
    }

    proptest! {
        #[test]
        fn what_was_encoded_reads_back_under_any_split(
            sent in any_sentences(),
            cuts in vec(1_usize..40, 1..50),
        ) {
            let mut bytes = Vec::new();
            for sentence in &sent {
                sentence.encode(&mut bytes);
            }
            let mut decoder = Decoder::default();
            let mut received = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                received.extend(decode_all(&mut decoder, piece).expect("well formed"));
                rest = later;
            }
            prop_assert_eq!(received, sent);
            prop_assert!(decoder.is_between_sentences());
        }

        #[test]
        fn arbitrary_bytes_neither_panic_nor_pile_up(bytes in vec(any::<u8>(), 0..2000)) {
            let limits = Limits { word: 50, sentence: 200 };
            let mut decoder = Decoder::new(limits);
            for byte in bytes {
                if decode_all(&mut decoder, &[byte]).is_err() {
                    break;
                }
                prop_assert!(decoder.buffered() <= limits.sentence);
            }
        }
    }

    #[test]
    fn one_byte_at_a_time_is_enough() {
        let sent = sentence(&[b"!re".to_vec(), vec![b'x'; 70_000]]);
        let mut bytes = Vec::new();
        sent.encode(&mut bytes);
        let mut decoder = Decoder::default();
        let (last, all_but_last) = bytes.split_last().expect("not empty");
        for byte in all_but_last {
            assert_eq!(decode_all(&mut decoder, &[*byte]), Ok(vec![]));
        }
        assert!(!decoder.is_between_sentences());
        assert_eq!(decode_all(&mut decoder, &[*last]), Ok(vec![sent]));
    }

    #[test]
    fn prefixes_longer_than_needed_are_read() {
        let bytes = b"\xF0\x00\x00\x00\x03!re\x80\x05=a=bc\x00";
        let expected = sentence(&[b"!re".to_vec(), b"=a=bc".to_vec()]);
        assert_eq!(
            decode_all(&mut Decoder::default(), bytes),
            Ok(vec![expected])
        );
    }

    #[test]
    fn sentences_without_words_are_skipped() {
        let received = decode_all(&mut Decoder::default(), b"\x00\x00\x05!done\x00\x00");
        assert_eq!(received, Ok(vec![Sentence::new("!done")]));
    }

    #[test]
    fn a_word_beyond_the_limit_is_refused_by_its_prefix() {
        let mut decoder = Decoder::default();
        let refused = WireError::WordTooLong {
            promised: u32::MAX,
            limit: 1 << 20,
        };
        let prefix = b"\xF0\xFF\xFF\xFF\xFF";
        assert_eq!(decode_all(&mut decoder, &prefix[..4]), Ok(vec![]));
        assert_eq!(decode_all(&mut decoder, &prefix[4..]), Err(refused));
        assert_eq!(decoder.buffered(), 0);
        assert_eq!(decode_all(&mut decoder, b"\x05!done\x00"), Err(refused));
    }

    #[test]
    fn a_word_at_the_limit_passes() {
        let limits = Limits {
            word: 5,
            sentence: 100,
        };
        assert!(decode_all(&mut Decoder::new(limits), b"\x05!done\x00").is_ok());
        assert!(decode_all(&mut Decoder::new(limits), b"\x06!empty\x00").is_err());
    }

    #[test]
    fn a_sentence_of_tiny_words_is_limited_too() {
        let limits = Limits {
            word: 5,
            sentence: 100,
        };
        let tiny = b"\x01x".repeat(12);
        assert_eq!(
            decode_all(&mut Decoder::new(limits), &tiny),
            Err(WireError::SentenceTooLong { limit: 100 })
        );
    }

    #[test]
    fn reserved_bytes_are_refused() {
        for byte in 0xF1..=0xFF {
            let refused = Err(WireError::Reserved(byte));
            assert_eq!(decode_all(&mut Decoder::default(), &[byte]), refused);
        }
    }
}
