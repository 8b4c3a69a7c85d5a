use expiry_core::text::one_line;

use crate::wire::{Sentence, Word};

/// How a command ended: well, perhaps with a value (`=ret=`), or with an error.
pub type Answer = Result<Option<Vec<u8>>, Trap>;

/// A router's error answer to a command. The connection stays good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The kind of error, 0 to 7; often missing.
    pub category: Option<u8>,
    /// What the router said.
    pub message: String,
}

impl Trap {
    /// Tells whether the row of the command does not exist (any more).
    pub fn is_missing_item(&self) -> bool {
        self.message.starts_with("no such item")
    }

    /// Tells whether the menu of the command does not exist on this router.
    pub fn is_missing_menu(&self) -> bool {
        self.message.starts_with("no such command")
    }

    /// Tells whether the account may not do this, however often it asks.
    pub fn is_forbidden(&self) -> bool {
        self.message.starts_with("not enough permissions") || self.message.contains("not allowed")
    }

    /// Tells whether the same question may be answered when it is asked again: a row vanished while
    /// the table was printed, or the router had a trouble of its own.
    pub fn may_pass(&self) -> bool {
        !self.is_missing_menu() && !self.is_forbidden()
    }

    fn read(sentence: &Sentence) -> Self {
        let category = sentence.get("category").and_then(|digit| match digit {
            [digit @ b'0'..=b'7'] => Some(digit - b'0'),
            _ => None,
        });
        let message = sentence.get("message").map_or_else(no_reason, shown);
        Self { category, message }
    }
}

/// A sentence from a router, by its reply word.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `!re`, a row of the answer.
    Row,
    /// `!done`, the end of the answer.
    Done { ret: Option<Vec<u8>> },
    /// `!trap`, an error; `!done` still follows.
    Trap(Trap),
    /// `!fatal`, the end of the connection.
    Fatal { reason: String },
    /// `!empty`, or a word of a later version.
    Other,
}

impl Reply {
    /// Reads a reply. `None`: the first word is no reply word.
    pub(super) fn read(sentence: &Sentence) -> Option<Self> {
        let reply = match sentence.command() {
            b"!re" => Self::Row,
            b"!done" => Self::Done {
                ret: sentence.get("ret").map(<[u8]>::to_vec),
            },
            b"!trap" => Self::Trap(Trap::read(sentence)),
            b"!fatal" => Self::Fatal {
                reason: fatal_reason(sentence),
            },
            [b'!', _, ..] => Self::Other,
            _ => return None,
        };
        Some(reply)
    }
}

fn fatal_reason(sentence: &Sentence) -> String {
    let bare = sentence.parsed().find_map(|word| match word {
        Word::Bare(reason) => Some(reason),
        Word::Attribute { .. } | Word::Api { .. } | Word::Query(_) => None,
    });
    bare.or_else(|| sentence.get("message"))
        .map_or_else(no_reason, shown)
}

fn no_reason() -> String {
    "no reason given".to_owned()
}

/// Returns a text for people to read, shortened and in one line: it goes into logs, databases and
/// onto terminals, which a router must not take over.
pub(super) fn shown(text: &[u8]) -> String {
    const LONGEST: usize = 300;
    one_line(&String::from_utf8_lossy(&text[..text.len().min(LONGEST)])).into_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Sentence::new("!re"), Some(Reply::Row))]
    #[case(Sentence::new("!empty"), Some(Reply::Other))]
    #[case(Sentence::new("!later"), Some(Reply::Other))]
    #[case(Sentence::new("!done"), Some(Reply::Done { ret: None }))]
    #[case(
        Sentence::new("!done").attribute("ret", "*1"),
        Some(Reply::Done { ret: Some(b"*1".to_vec()) })
    )]
    #[case(
        Sentence::new("!fatal").word("session terminated on request"),
        Some(Reply::Fatal { reason: "session terminated on request".into() })
    )]
    #[case(Sentence::new("!"), None)]
    #[case(Sentence::new("SSH-2.0"), None)]
    fn replies_are_told_apart(#[case] sentence: Sentence, #[case] expected: Option<Reply>) {
        assert_eq!(Reply::read(&sentence), expected);
    }

    #[test]
    fn what_is_shown_to_people_is_short() {
        let trap = Trap::read(&Sentence::new("!trap").attribute("message", "x".repeat(1 << 16)));
        assert_eq!(trap.message.len(), 300);
    }

    #[test]
    fn what_a_router_says_is_one_line_without_control_characters() {
        let said = "\u{1b}[2J\u{1b}]0;pwned\u{7}no way\r\nhealth: healthy";
        let expected = r"\u{1b}[2J\u{1b}]0;pwned\u{7}no way\r\nhealth: healthy";
        let trap = Trap::read(&Sentence::new("!trap").attribute("message", said));
        assert_eq!(trap.message, expected);
        let fatal = Reply::read(&Sentence::new("!fatal").word(said));
        let reason = expected.into();
        assert_eq!(fatal, Some(Reply::Fatal { reason }));
    }

    #[rstest]
    #[case("no such item", true, false, true)]
    #[case("no such item (4)", true, false, true)]
    #[case("no such command prefix", false, true, false)]
    #[case("no such command or directory (routerboard)", false, true, false)]
    #[case("not enough permissions (9)", false, false, false)]
    #[case("std failure: not allowed (9)", false, false, false)]
    #[case("failure: not allowed by device-mode", false, false, false)]
    #[case("interrupted", false, false, true)]
    #[case("internal error, please contact MikroTik support", false, false, true)]
    fn traps_are_classified_by_their_text(
        #[case] message: &str,
        #[case] missing_item: bool,
        #[case] missing_menu: bool,
        #[case] may_pass: bool,
    ) {
        let trap = Trap::read(&Sentence::new("!trap").attribute("message", message));
        assert_eq!(trap.category, None);
        assert_eq!(trap.is_missing_item(), missing_item);
        assert_eq!(trap.is_missing_menu(), missing_menu);
        assert_eq!(trap.may_pass(), may_pass);
    }
}
