//! Telling by the first bytes that a peer does not speak the RouterOS API.

use expiry_core::Speaks;

use super::reply::shown;

/// At most so many of the first bytes are looked at.
pub(crate) const ENOUGH: usize = 16;

/// What the first bytes of a peer say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// There are too few bytes to tell.
    Unclear,
    /// They may be the API.
    Api,
    /// They are something else that is known.
    Known(Speaks),
    /// They are something else: this, in words for people.
    Other(String),
}

/// Every reply of the API is a sentence whose first word begins with `!`, behind its length.
pub(crate) fn recognise(first: &[u8]) -> Opening {
    match first {
        [] | [_] => Opening::Unclear,
        [0x15 | 0x16, 0x03, ..] => Opening::Known(Speaks::Tls),
        [0 | 0x80..=0xFF, ..] | [_, b'!', ..] => Opening::Api,
        _ => known_text(first),
    }
}

fn known_text(first: &[u8]) -> Opening {
    const TEXTS: [(&[u8], Speaks); 6] = [
        (b"ssh-", Speaks::Ssh),
        (b"http/", Speaks::Http),
        (b"<html", Speaks::Http),
        (b"<!doctype", Speaks::Http),
        (b"220 ", Speaks::Greeting),
        (b"220-", Speaks::Greeting),
    ];
    for (text, speaks) in TEXTS {
        let common = text.len().min(first.len());
        if first[..common].eq_ignore_ascii_case(&text[..common]) {
            return if common == text.len() {
                Opening::Known(speaks)
            } else {
                Opening::Unclear
            };
        }
    }
    Opening::Other(format!("it begins with {:?}", shown(first)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::wire::Sentence;

    #[rstest]
    #[case::tls_alert(b"\x15\x03\x01\x00\x02\x02\x46", Speaks::Tls)]
    #[case::tls_handshake(b"\x16\x03\x03\x00\x31", Speaks::Tls)]
    #[case::ssh(b"SSH-2.0-ROSSSH\r\n", Speaks::Ssh)]
    #[case::http(b"HTTP/1.1 400 Bad Request\r\n", Speaks::Http)]
    #[case::page(b"<html><head>", Speaks::Http)]
    #[case::ftp(b"220 hill FTP server (MikroTik 7.18.2) ready\r\n", Speaks::Greeting)]
    #[case::mail(b"220-mail.example ESMTP\r\n", Speaks::Greeting)]
    fn other_servers_are_known_by_how_they_begin(#[case] bytes: &[u8], #[case] speaks: Speaks) {
        assert_eq!(recognise(bytes), Opening::Known(speaks));
        for few in 0..bytes.len() {
            let opening = recognise(&bytes[..few]);
            let is_right = matches!(opening, Opening::Unclear) || opening == Opening::Known(speaks);
            assert!(is_right, "{few} bytes: {opening:?}");
        }
    }

    #[rstest]
    #[case::pop3(b"+OK ready\r\n")]
    #[case::imap(b"* OK IMAP4rev1\r\n")]
    #[case::mysql(b"\x4a\x00\x00\x00\x0a8.0.36\x00")]
    #[case::telnet_login(b"Login: ")]
    fn what_else_is_said_is_no_api(#[case] bytes: &[u8]) {
        assert!(matches!(recognise(bytes), Opening::Other(_)));
    }

    proptest! {
        #[test]
        fn no_reply_of_the_api_is_taken_for_another_server(
            word in "![a-z]{1,12}",
            name in "[a-z]{0,200}",
            empty in 0_usize..3,
        ) {
            let mut bytes = vec![0; empty];
            Sentence::new(word).attribute("message", name).encode(&mut bytes);
            for few in 0..=bytes.len().min(ENOUGH) {
                let opening = recognise(&bytes[..few]);
                prop_assert!(matches!(opening, Opening::Unclear | Opening::Api), "{:?}", opening);
            }
        }
    }
}
