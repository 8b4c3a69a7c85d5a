//! Single values: from what was written to what it means, and back.

use std::{
    ffi::OsString,
    fmt::{Display, Write as _},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use super::nearest::nearest;
use crate::config::{Field, Key, LONGEST};

/// What was written for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A variable or a flag: it may mean any kind of value. Commas separate the parts of a list.
    Word(OsString),
    /// A text of the file.
    Text(String),
    /// A whole number of the file.
    Integer(i64),
    /// `true` or `false` of the file.
    Boolean(bool),
    /// A list of the file.
    List(Vec<Self>),
    /// Something else of the file, such as a date, that no key takes.
    Other(&'static str),
}

impl<S> Key<S> {
    /// Reads a value into the section.
    ///
    /// # Errors
    /// Says what would be right.
    pub(super) fn read(&self, section: &mut S, value: &Value) -> Result<(), String> {
        match &self.field {
            Field::Duration { at, least, most } => {
                *at(section) = duration(value, *least, *most)?;
            }
            Field::Durations { at, least, rising } => {
                let durations = parts(value)?
                    .iter()
                    .map(|part| duration(part, *least, LONGEST))
                    .collect::<Result<Vec<_>, _>>()?;
                if durations.is_empty() {
                    return Err("an empty list: at least one time is needed".into());
                }
                if *rising && !durations.is_sorted_by(|a, b| a < b) {
                    return Err("each time must be longer than the one before".into());
                }
                *at(section) = durations;
            }
            Field::Count { at, least, most } => *at(section) = number(value, *least, *most)?,
            Field::Number { at, least, most } => *at(section) = number(value, *least, *most)?,
            Field::Bytes { at, least } => *at(section) = bytes(value, *least)?,
            Field::Switch(at) => *at(section) = switch(value)?,
            Field::Text(at) => *at(section) = Some(text(value, "text")?.into()),
            Field::Path(at) => *at(section) = Some(path(value)?),
            Field::Word { at, words } => *at(section) = Some(word(value, words)?),
        }
        Ok(())
    }

    /// Writes the value as it would stand in the file; `None` if there is none.
    pub(super) fn shown(&self, section: &mut S) -> Option<String> {
        Some(match &self.field {
            Field::Duration { at, .. } => quoted(&time(*at(section))),
            Field::Durations { at, .. } => {
                let times: Vec<_> = at(section).iter().map(|t| quoted(&time(*t))).collect();
                format!("[{}]", times.join(", "))
            }
            Field::Count { at, .. } => at(section).to_string(),
            Field::Number { at, .. } => at(section).to_string(),
            Field::Bytes { at, .. } => quoted(&size(*at(section))),
            Field::Switch(at) => at(section).to_string(),
            Field::Text(at) => quoted(at(section).as_deref()?),
            Field::Path(at) => quoted(&at(section).as_ref()?.to_string_lossy()),
            Field::Word { at, .. } => quoted((*at(section))?),
        })
    }
}

fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, String> {
    let text = match value {
        Value::Word(word) => word.to_str().ok_or("it is not UTF-8 text")?,
        Value::Text(text) => text,
        Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => {
            return Err(format!("it must be {what} in quotes, not {}", kind(value)));
        }
    };
    if text.is_empty() {
        return Err(format!("it is empty: it must be {what}"));
    }
    Ok(text)
}

fn duration(value: &Value, least: Duration, most: Duration) -> Result<Duration, String> {
    const EXAMPLE: &str = "a time such as \"30s\", \"5m\" or \"500ms\"";
    if let Value::Integer(number) = value {
        return Err(format!("{number} has no unit: did you mean \"{number}s\"?"));
    }
    let text = text(value, EXAMPLE)?;
    let Ok(duration) = humantime::parse_duration(text) else {
        return Err(if text.bytes().all(|b| b.is_ascii_digit()) {
            format!("`{text}` has no unit: did you mean `{text}s`?")
        } else {
            format!("`{text}` is not {EXAMPLE}")
        });
    };
    if duration < least {
        return Err(format!("`{text}` is too short: at least {}", time(least)));
    }
    if duration > most {
        return Err(format!("`{text}` is too long: at most {}", time(most)));
    }
    Ok(duration)
}

fn number<N>(value: &Value, least: N, most: N) -> Result<N, String>
where
    N: TryFrom<i64> + FromStr + PartialOrd + Display + Copy,
{
    let number = match value {
        Value::Integer(number) => N::try_from(*number).ok(),
        Value::Word(word) => word.to_str().and_then(|word| word.parse().ok()),
        Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => None,
    };
    match number {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!(
            "it must be a whole number from {least} to {most}, not {}",
            written(value)
        )),
    }
}

const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn bytes(value: &Value, least: usize) -> Result<usize, String> {
    const EXAMPLE: &str = "an amount such as \"64MiB\" or \"512KiB\"";
    let text = text(value, EXAMPLE)?;
    let bytes = UNITS.iter().find_map(|(unit, size)| {
        let number = text.strip_suffix(unit)?.trim_end();
        number.parse::<usize>().ok()?.checked_mul(*size)
    });
    match bytes {
        Some(bytes) if bytes >= least => Ok(bytes),
        Some(_) => Err(format!("`{text}` is too little: at least {}", size(least))),
        None => Err(format!("`{text}` is not {EXAMPLE}")),
    }
}

fn size(bytes: usize) -> String {
    let unit = UNITS.iter().find(|(_, size)| bytes.is_multiple_of(*size));
    match unit {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes} bytes"),
    }
}

fn switch(value: &Value) -> Result<bool, String> {
    let word = match value {
        Value::Boolean(switch) => return Ok(*switch),
        Value::Word(word) => word.to_string_lossy().to_lowercase(),
        Value::Text(_) | Value::Integer(_) | Value::List(_) | Value::Other(_) => String::new(),
    };
    match word.as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("it must be true or false, not {}", written(value))),
    }
}

fn path(value: &Value) -> Result<PathBuf, String> {
    if let Value::Word(word) = value
        && !word.is_empty()
    {
        return Ok(word.into());
    }
    Ok(text(value, "the path of a file")?.into())
}

fn word(value: &Value, words: &'static [&'static str]) -> Result<&'static str, String> {
    let given = text(value, "one of some words")?;
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(given));
    found.copied().ok_or_else(|| {
        let all = words.join(", ");
        match nearest(given, words.iter().copied()) {
            Some(near) => format!("`{given}` is none of {all}: did you mean `{near}`?"),
            None => format!("`{given}` is none of {all}"),
        }
    })
}

fn parts(value: &Value) -> Result<Vec<Value>, String> {
    match value {
        Value::List(values) => Ok(values.clone()),
        Value::Word(word) => {
            let text = word.to_str().ok_or("it is not UTF-8 text")?;
            let part = |part: &str| Value::Word(part.trim().into());
            Ok(text.split(',').map(part).collect())
        }
        Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Other(_) => Err(format!(
            "it must be a list such as [\"1s\", \"3s\"], not {}",
            kind(value)
        )),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Word(_) | Value::Text(_) => "text",
        Value::Integer(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::List(_) => "a list",
        Value::Other(kind) => kind,
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::Word(word) => format!("`{}`", word.to_string_lossy()),
        Value::Text(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(switch) => switch.to_string(),
        Value::List(_) | Value::Other(_) => kind(value).into(),
    }
}

fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// Writes a text as TOML does.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn word_of(text: &str) -> Value {
        Value::Word(text.into())
    }

    #[test]
    fn a_time_without_unit_is_refused_with_the_one_that_was_meant() {
        let error = duration(&Value::Integer(30), SECOND, LONGEST).expect_err("refused");
        assert_eq!(error, "30 has no unit: did you mean \"30s\"?");
        let error = duration(&word_of("30"), SECOND, LONGEST).expect_err("refused");
        assert_eq!(error, "`30` has no unit: did you mean `30s`?");
    }

    #[test]
    fn times_that_make_no_sense_are_refused() {
        for (text, says) in [
            ("0s", "too short: at least 1s"),
            ("999ms", "too short"),
            ("25h", "too long: at most 1day"),
            ("900000000000y", "is not a time"),
            ("soon", "is not a time such as"),
            ("", "it is empty"),
        ] {
            let error = duration(&word_of(text), SECOND, LONGEST).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(
            duration(&word_of("1m 30s"), SECOND, LONGEST),
            Ok(90 * SECOND)
        );
    }

    #[test]
    fn numbers_and_switches_are_taken_from_both_kinds_of_source() {
        assert_eq!(number(&Value::Integer(7), 1, 9), Ok(7));
        assert_eq!(number(&word_of("7"), 1, 9), Ok(7));
        for wrong in [
            Value::Integer(0),
            Value::Integer(10),
            Value::Integer(i64::MAX),
            word_of("-1"),
            Value::Text("7".into()),
        ] {
            let error = number(&wrong, 1, 9).expect_err("refused");
            assert!(error.contains("from 1 to 9"), "{error}");
        }
        assert_eq!(switch(&word_of("True")), Ok(true));
        assert_eq!(switch(&Value::Boolean(false)), Ok(false));
        assert!(switch(&word_of("maybe")).is_err());
        assert!(switch(&Value::Text("true".into())).is_err());
    }

    #[test]
    fn an_amount_of_memory_has_a_unit() {
        assert_eq!(bytes(&word_of("64MiB"), 1), Ok(64 << 20));
        assert_eq!(size(64 << 20), "64MiB");
        for (text, says) in [
            ("64", "`64` is not an amount such as \"64MiB\""),
            ("99999999999999999999GiB", "is not an amount"),
            ("1KiB", "too little: at least 1MiB"),
        ] {
            let error = bytes(&word_of(text), 1 << 20).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_wrong_word_names_the_nearest() {
        let error = word(&word_of("wran"), &["error", "warn", "info"]).expect_err("refused");
        assert!(error.ends_with("did you mean `warn`?"), "{error}");
    }
}
