/// A word by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// `=name=value`, or `=name` for an empty value. The value may itself hold `=`.
    Attribute {
        /// The name, such as `mac-address` or `.id`.
        name: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// `.name=value`: about the sentence itself. The only one known is `.tag`.
    Api {
        /// The name with its dot.
        name: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// `?…`, without the question mark.
    Query(&'a [u8]),
    /// A command, a reply word, or the bare reason of a `!fatal`.
    Bare(&'a [u8]),
}

impl<'a> Word<'a> {
    /// Reads a word. Every word is one or another.
    pub fn parse(word: &'a [u8]) -> Self {
        match word {
            [b'=', rest @ ..] => {
                let (name, value) = split(rest);
                Self::Attribute { name, value }
            }
            [b'.', ..] => {
                let (name, value) = split(word);
                Self::Api { name, value }
            }
            [b'?', rest @ ..] => Self::Query(rest),
            _ => Self::Bare(word),
        }
    }
}

fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &[]),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn attribute<'a>(name: &'a str, value: &'a str) -> Word<'a> {
        Word::Attribute {
            name: name.as_bytes(),
            value: value.as_bytes(),
        }
    }

    #[rstest]
    #[case("=name=value", attribute("name", "value"))]
    #[case("=.id=*1", attribute(".id", "*1"))]
    #[case("=comment=a=b", attribute("comment", "a=b"))]
    #[case("=comment==", attribute("comment", "="))]
    #[case("=comment=", attribute("comment", ""))]
    #[case("=comment", attribute("comment", ""))]
    #[case("=", attribute("", ""))]
    #[case(".tag=7", Word::Api { name: b".tag", value: b"7" })]
    #[case(".tag", Word::Api { name: b".tag", value: b"" })]
    #[case("?=name=x", Word::Query(b"=name=x"))]
    #[case("?#|", Word::Query(b"#|"))]
    #[case("!done", Word::Bare(b"!done"))]
    #[case(
        "session terminated on request",
        Word::Bare(b"session terminated on request")
    )]
    #[case("", Word::Bare(b""))]
    fn words_are_told_apart_by_their_first_byte(#[case] word: &str, #[case] expected: Word<'_>) {
        assert_eq!(Word::parse(word.as_bytes()), expected);
    }
}
