use std::fmt;

use super::{Word, encode_length};

/// A sentence: words of raw bytes, in order.
///
/// RouterOS keeps text as bytes without a charset, so nothing here assumes UTF-8.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sentence {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Sentence {
    /// Starts a sentence with its command or reply word.
    pub fn new(first: impl AsRef<[u8]>) -> Self {
        Self::default().word(first)
    }

    /// Adds a word as it is. An empty word would end the sentence and is left out.
    #[must_use]
    pub fn word(mut self, word: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(word.as_ref());
        self.end_word();
        self
    }

    /// Adds `=name=value`.
    #[must_use]
    pub fn attribute(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.parts(&[b"=", name.as_ref(), b"=", value.as_ref()])
    }

    /// Adds `?query`.
    #[must_use]
    pub fn query(self, query: impl AsRef<[u8]>) -> Self {
        self.parts(&[b"?", query.as_ref()])
    }

    /// Adds `.tag=tag`.
    #[must_use]
    pub fn tag(self, tag: impl AsRef<[u8]>) -> Self {
        self.parts(&[b".tag=", tag.as_ref()])
    }

    /// Appends the sentence as it goes over the wire, its empty last word included.
    ///
    /// # Panics
    /// If a word is 4 GiB or longer, which the protocol cannot express.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for word in self.words() {
            let length = u32::try_from(word.len()).expect("no word of 4 GiB is ever built");
            encode_length(length, out);
            out.extend_from_slice(word);
        }
        out.push(0);
    }

    /// Returns the words in order.
    pub fn words(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[start..*end])
    }

    /// Returns the first word, the command or reply; empty if there is none.
    pub fn command(&self) -> &[u8] {
        self.words().next().unwrap_or_default()
    }

    /// Returns the words after the first, told apart.
    pub fn parsed(&self) -> impl Iterator<Item = Word<'_>> {
        self.words().skip(1).map(Word::parse)
    }

    /// Returns all attributes as name and value, in order.
    pub fn attributes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.parsed().filter_map(|word| match word {
            Word::Attribute { name, value } => Some((name, value)),
            Word::Api { .. } | Word::Query(_) | Word::Bare(_) => None,
        })
    }

    /// Returns the query words without their question marks, in order.
    pub fn queries(&self) -> impl Iterator<Item = &[u8]> {
        self.parsed().filter_map(|word| match word {
            Word::Query(query) => Some(query),
            Word::Attribute { .. } | Word::Api { .. } | Word::Bare(_) => None,
        })
    }

    /// Returns the value of an attribute, the first if it stands there twice.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut attributes = self.attributes();
        let (_, value) = attributes.find(|(found, _)| *found == name.as_bytes())?;
        Some(value)
    }

    /// Returns the value of an attribute for display, unreadable bytes replaced.
    pub fn get_text(&self, name: &str) -> Option<String> {
        self.get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Returns the tag. An empty one counts as none, as it does for a router.
    pub fn get_tag(&self) -> Option<&[u8]> {
        self.parsed().find_map(|word| match word {
            Word::Api {
                name: b".tag",
                value,
            } if !value.is_empty() => Some(value),
            Word::Api { .. } | Word::Attribute { .. } | Word::Query(_) | Word::Bare(_) => None,
        })
    }

    /// Tells whether there is no word in it.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the bytes of all words and what it costs to keep them apart.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<usize>()
    }

    /// Appends bytes of a word that is not complete yet.
    pub(super) fn extend_word(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// Ends the word that was built.
    pub(super) fn end_word(&mut self) {
        let start = self.ends.last().copied().unwrap_or_default();
        if self.bytes.len() > start {
            self.ends.push(self.bytes.len());
        }
    }

    fn parts(mut self, parts: &[&[u8]]) -> Self {
        for part in parts {
            self.extend_word(part);
        }
        self.end_word();
        self
    }
}

/// Shows the words, with the values of passwords hidden.
impl fmt::Debug for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.words().map(|word| match Word::parse(word) {
            Word::Attribute {
                name: name @ (b"password" | b"response" | b"ret"),
                ..
            } => format!("={}=…", String::from_utf8_lossy(name)),
            Word::Attribute { .. } | Word::Api { .. } | Word::Query(_) | Word::Bare(_) => {
                String::from_utf8_lossy(word).into_owned()
            }
        });
        f.debug_list().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_gives_back_what_was_put_in() {
        let sentence = Sentence::new("/ip/hotspot/user/print")
            .attribute(".proplist", ".id,name")
            .query("name=a")
            .query("name=b")
            .query("#|")
            .tag("1f");
        assert_eq!(sentence.command(), b"/ip/hotspot/user/print");
        assert_eq!(sentence.get(".proplist"), Some(&b".id,name"[..]));
        assert_eq!(sentence.get("name"), None);
        assert_eq!(sentence.get_tag(), Some(&b"1f"[..]));
        let queries: Vec<_> = sentence.queries().collect();
        assert_eq!(queries, [&b"name=a"[..], b"name=b", b"#|"]);
    }

    #[test]
    fn an_empty_tag_is_none() {
        assert_eq!(Sentence::new("!done").tag("").get_tag(), None);
    }

    #[test]
    fn an_empty_word_cannot_cut_a_sentence_short() {
        let sentence = Sentence::new("!fatal").word("").word("bye");
        assert_eq!(sentence.words().count(), 2);
        let mut bytes = Vec::new();
        sentence.encode(&mut bytes);
        assert_eq!(bytes, b"\x06!fatal\x03bye\x00");
    }

    #[test]
    fn r11_debug_output_hides_passwords() {
        let login = Sentence::new("/login")
            .attribute("name", "api")
            .attribute("password", "hunter2");
        let shown = format!("{login:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("=name=api"), "{shown}");
    }
}
