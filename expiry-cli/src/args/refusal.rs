//! What clap refuses, in one line.

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, error::ErrorKind};

use super::Cli;
use crate::{error, output};

/// Prints what clap has to say: help and version as they are, anything else as one line on stderr.
pub(crate) fn refuse(refused: &clap::Error, args: impl Iterator<Item = OsString>) -> ExitCode {
    let kind = refused.kind();
    if matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        output::plain(&refused.render().to_string());
        return ExitCode::SUCCESS;
    }
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody is left to tell when stderr is closed.
        let _ = write!(io::stderr(), "{}", refused.render());
        return ExitCode::from(error::USAGE);
    }
    let line = one_line(&refused.render().to_string());
    let words: Vec<_> = args.skip(1).collect();
    error::print(&format!("{line}; try `{}`", help_of(&words)));
    ExitCode::from(error::USAGE)
}

/// Takes the message without clap's usage and help paragraphs.
fn one_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let end = ["\n\nUsage:", "\n\nFor more information"]
        .iter()
        .filter_map(|tail| text.find(tail))
        .min()
        .unwrap_or(text.len());
    let paragraphs = text[..end].split("\n\n").map(|paragraph| {
        let words: Vec<_> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    paragraphs.collect::<Vec<_>>().join("; ")
}

/// Names the help of the deepest command that the words reach.
fn help_of(words: &[OsString]) -> String {
    let mut path = String::from("expiryctl");
    let mut command = Cli::command();
    for word in words.iter().filter_map(|word| word.to_str()) {
        if let Some(next) = command.find_subcommand(word) {
            path.push(' ');
            path.push_str(next.get_name());
            command = next.clone();
        }
    }
    path + " --help"
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn refusal(words: &[&str]) -> String {
        let words = std::iter::once("expiryctl").chain(words.iter().copied());
        let refused = Cli::try_parse_from(words).expect_err("refused");
        one_line(&refused.render().to_string())
    }

    #[test]
    fn a_refusal_is_one_line_and_says_what_is_wrong_and_where() {
        let line = refusal(&["subscriber", "add", "joe", "--for", "0s"]);
        assert_eq!(
            line,
            "invalid value '0s' for '--for <DURATION>': it must be longer than 0 s"
        );
        let line = refusal(&["subscriber", "add", "joe"]);
        assert!(
            !line.contains('\n') && line.contains("--expires-at"),
            "{line}"
        );
    }

    #[test]
    fn a_service_that_cannot_be_enforced_is_refused() {
        let line = refusal(&["subscriber", "add", "joe", "--forever", "--service", "ppp"]);
        assert!(line.contains("service `ppp` cannot be enforced"), "{line}");
    }

    #[test]
    fn r11_a_password_on_the_command_line_is_refused_and_not_repeated() {
        let words = ["router", "add", "r1", "--host", "h", "--username", "u"];
        for password in [&["--password", "hunter2"][..], &["--password=hunter2"]] {
            let line = refusal(&[&words, password].concat());
            assert!(!line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn a_minus_is_refused_in_one_line_with_the_way_out() {
        for words in [
            &["subscriber", "extend", "joe"][..],
            &["subscriber", "add", "joe"],
            &["subscriber", "pay", "joe", "--reference", "r"],
        ] {
            let line = refusal(&[words, &["--for", "-2h"]].concat());
            assert!(
                line.contains("--shorten") && line.contains("'-2h'"),
                "{line}"
            );
        }
        let line = refusal(&["run", "--interval", "-5"]);
        assert!(line.ends_with("not a time such as 30s or 5m"), "{line}");
    }

    #[test]
    fn only_one_end_can_be_given() {
        let line = refusal(&["subscriber", "add", "joe", "--forever", "--for", "1h"]);
        assert!(line.contains("cannot be used with"), "{line}");
    }

    #[test]
    fn help_is_named_for_the_command_that_was_meant() {
        let words = ["--json", "subscriber", "add", "joe"].map(OsString::from);
        assert_eq!(help_of(&words), "expiryctl subscriber add --help");
    }
}
