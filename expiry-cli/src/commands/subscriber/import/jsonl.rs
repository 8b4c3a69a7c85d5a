//! One line of JSON lines, with the columns of its values.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    super::sheet::Column,
    faults::{Fault, Faults},
    record::{Cell, Record, Value},
};
use crate::{args::SheetFormat, words::listed};

pub(super) fn record<'a>(line: &'a str, number: u64, faults: &mut Faults) -> Option<Record<'a>> {
    let object: Object<'_> = match serde_json::from_str(line) {
        Ok(object) => object,
        Err(error) => {
            let column = chars_before(line, error.column().saturating_sub(1)) + 1;
            faults.push(Fault::new(number, column, not_an_object(line, &error)));
            return None;
        }
    };
    let mut record = Record::new(number, SheetFormat::Jsonl);
    let mut is_whole = true;
    for (key, raw) in object.0 {
        let column = column_of(line, raw.get());
        let cell = match Column::named(&key) {
            None => Err((column, unknown(&key))),
            Some(known) if record.has(known) => Err((column, format!("`{key}` is there twice"))),
            Some(known) => match value(line, known, raw) {
                Ok(value) => Ok((known, Cell::new(column, value))),
                Err((column, message)) => Err((column, message)),
            },
        };
        match cell {
            Ok((known, cell)) => record.set(known, cell),
            Err((column, message)) => {
                is_whole = false;
                faults.push(Fault::new(number, column, message));
            }
        }
    }
    is_whole.then_some(record)
}

fn not_an_object(line: &str, error: &serde_json::Error) -> String {
    let text = line.trim_start();
    if text.starts_with('[') {
        return "a JSON array: write one object on each line, as `jq -c '.[]'` does".into();
    }
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!(
        "not one JSON object such as {{\"username\":\"255700000001\",\"expires_at\":\"forever\"}}: \
         {what}"
    )
}

fn unknown(key: &str) -> String {
    let hint = Column::near(key).map_or_else(
        || {
            let keys = Column::ALL.map(|column| format!("`{}`", column.name()));
            format!("there are {}", listed(&keys))
        },
        |near| format!("the nearest is `{}`", near.name()),
    );
    format!("there is no key `{key}`; {hint}")
}

fn value<'a>(line: &str, key: Column, raw: &'a RawValue) -> Result<Value<'a>, (u64, String)> {
    let text = raw.get();
    let at = column_of(line, text);
    if text == "null" && key != Column::Username {
        return Ok(Value::Text(Cow::Borrowed("")));
    }
    if text.starts_with('[') && key == Column::Devices {
        let raws: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| (at, error.to_string()))?;
        let items = raws.into_iter().map(|raw| {
            let at = column_of(line, raw.get());
            let Text(text) = serde_json::from_str(raw.get())
                .map_err(|_| (at, "a device must be text in quotes".to_owned()))?;
            Ok((at, text))
        });
        return Ok(Value::List(items.collect::<Result<_, (u64, String)>>()?));
    }
    let Text(text) = serde_json::from_str(text).map_err(|_| {
        let or_list = if key == Column::Devices {
            ", or a list of texts"
        } else {
            ""
        };
        (
            at,
            format!("`{}` must be text in quotes{or_list}", key.name()),
        )
    })?;
    Ok(Value::Text(text))
}

/// Tells where a part of a line begins, in characters from 1.
fn column_of(line: &str, part: &str) -> u64 {
    let offset = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    chars_before(line, offset) + 1
}

fn chars_before(line: &str, offset: usize) -> u64 {
    let before = line.char_indices().take_while(|(at, _)| *at < offset);
    before.count() as u64
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The pairs of an object as they stand, doubled keys too.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    pairs.push((key, value));
                }
                Ok(Object(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(line: &str) -> Vec<String> {
        let mut faults = Faults::new("f");
        record(line, 7, &mut faults);
        faults.lines().collect()
    }

    #[test]
    fn faults_are_named_where_they_are() {
        for (line, place, says) in [
            (r#"{"é":1}"#, "f:7:6: ", "there are `username`,"),
            (
                r#"{"user_name":1}"#,
                "f:7:14: ",
                "the nearest is `username`",
            ),
            (r#"{"username":255700000001}"#, "f:7:13: ", "text in quotes"),
            (r#"{"devices":["a", 1]}"#, "f:7:18: ", "text in quotes"),
            (r#"{"router":"a","router":"b"}"#, "f:7:24: ", "twice"),
            (r#"{"username":"a" "b"}"#, "f:7:17: ", "expected `,`"),
            (r#"[{"username":"a"}]"#, "f:7:1: ", "jq"),
            (r#""text""#, "f:7:6: ", "an object"),
            (r#"{"username":"a"} x"#, "f:7:18: ", "trailing"),
        ] {
            let faults = faults(line);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(place), "{line}: {faults:?}");
            assert!(faults[0].contains(says), "{line}: {faults:?}");
        }
        assert_eq!(faults(r#"{"expiry":1,"xpires_at":"x"}"#).len(), 2);
    }
}
