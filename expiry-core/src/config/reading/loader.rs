use std::{ffi::OsString, path::PathBuf};

use serde::Serialize;

use super::{
    Fault, Place, Value,
    file::{self, Content},
    nearest::{suggest, suggest_as},
};
use crate::config::{Contradiction, Section};

/// Variables with this beginning are ours, and must be known.
const PREFIX: &str = "EXPIRY_";

/// Everything that can set something.
#[derive(Debug, Default)]
pub struct Sources {
    /// The configuration file and its content.
    pub file: Option<(PathBuf, Vec<u8>)>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// Texts handed over as files by the service manager: the key, the name, the text.
    pub credentials: Vec<(&'static str, &'static str, String)>,
    /// The command line: the key, such as `watcher.interval`, the flag, the value.
    pub flags: Vec<(&'static str, &'static str, OsString)>,
}

/// A value that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The key with its section, such as `watcher.interval`.
    pub key: String,
    /// The value as it would stand in the file; `None` if there is none, or it is secret.
    pub value: Option<String>,
    /// Where it comes from.
    pub from: Place,
    /// Whether its value must not be shown.
    #[serde(skip)]
    pub secret: bool,
}

/// Reads sections one by one. What no section has asked for by the end is unknown.
#[derive(Debug)]
pub struct Loader {
    sources: Sources,
    file: Content,
    settings: Vec<Setting>,
    /// Keys of other programs.
    left: Vec<String>,
    sections: Vec<String>,
    variables: Vec<String>,
    faults: Vec<Fault>,
}

/// Names the variable that sets a key of a section.
pub fn variable(section: &str, key: &str) -> String {
    let separator = if section.is_empty() { "" } else { "_" };
    format!("{PREFIX}{section}{separator}{key}").to_uppercase()
}

impl Loader {
    /// Begins with what there is. Empty variables count as none.
    pub fn new(mut sources: Sources) -> Self {
        sources.variables.retain(|(_, value)| !value.is_empty());
        let mut file = sources
            .file
            .as_ref()
            .map(|(path, bytes)| file::read(path, bytes))
            .unwrap_or_default();
        Self {
            faults: std::mem::take(&mut file.faults),
            sources,
            file,
            settings: Vec::new(),
            left: Vec::new(),
            sections: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Reads a section. What is wrong is left as it was without it, and becomes a fault.
    pub fn section<S: Section>(&mut self) -> S {
        let mut section = S::default();
        let first = self.settings.len();
        for key in S::KEYS {
            let name = match S::NAME {
                "" => key.name.into(),
                section => format!("{section}.{}", key.name),
            };
            let variable = variable(S::NAME, key.name);
            let mut from = Place::Default;
            for (value, place) in self.given(&name, &variable, key.also) {
                match key.read(&mut section, &value) {
                    Ok(()) => from = place,
                    Err(message) => self.fault(place, format!("{name}: {message}")),
                }
            }
            self.settings.push(Setting {
                value: key.shown(&mut section).filter(|_| !key.secret),
                key: name,
                from,
                secret: key.secret,
            });
            self.variables.push(variable);
            let also = key.also.iter().filter(|name| name.starts_with(PREFIX));
            self.variables.extend(also.map(ToString::to_string));
        }
        self.sections.push(S::NAME.into());
        for contradiction in section.contradictions() {
            self.contradict::<S>(first, &contradiction);
        }
        section
    }

    /// Leaves a section to another program that shares file and environment: what its keys and
    /// variables are set to is not read, but they must be its own.
    pub fn leave(&mut self, section: &str, keys: &[&str], variables: &[&str]) {
        for key in keys {
            self.left.push(format!("{section}.{key}"));
            self.variables.push(variable(section, key));
        }
        self.sections.push(section.into());
        self.variables
            .extend(variables.iter().map(ToString::to_string));
    }

    /// Knows a variable that is no key, and returns its value.
    pub fn variable(&mut self, name: &str) -> Option<OsString> {
        if name.starts_with(PREFIX) {
            self.variables.push(name.into());
        }
        let given = self.sources.variables.iter();
        let mut given = given.filter(|(given, _)| given == name);
        given.next().map(|(_, value)| value.clone())
    }

    /// Refuses variables with a beginning that other programs use, too, unless they are known.
    pub fn refuse_unknown(&mut self, prefix: &str, known: &[&str]) {
        for name in self.unknown(prefix, known) {
            let hint = suggest(&name, known.iter().copied());
            self.unknown_variable(name, &hint);
        }
    }

    /// Adds a fault that was found elsewhere.
    pub fn fault(&mut self, place: Place, message: impl Into<String>) {
        let message = message.into();
        self.faults.push(Fault { place, message });
    }

    /// Says where the value of a key that was read comes from.
    pub fn place(&self, key: &str) -> &Place {
        let found = self.settings.iter().find(|setting| setting.key == key);
        found.map_or(&Place::Default, |setting| &setting.from)
    }

    /// Ends with the values in force and all faults, by place: also whatever was set that no
    /// section knows.
    pub fn finish(mut self) -> (Vec<Setting>, Vec<Fault>) {
        self.refuse_unknown_keys();
        self.refuse_unknown_variables();
        self.faults.sort();
        self.faults.dedup();
        (self.settings, self.faults)
    }

    /// All values given for a key, the weakest first.
    fn given(&self, key: &str, variable: &str, also: &[&'static str]) -> Vec<(Value, Place)> {
        let mut given = Vec::new();
        let values = self.file.values.iter().filter(|(name, ..)| name == key);
        given.extend(values.map(|(_, value, place)| (value.clone(), place.clone())));
        let credentials = self.sources.credentials.iter();
        given.extend(
            credentials
                .filter(|(of, ..)| *of == key)
                .map(|(_, name, text)| (Value::Word(text.into()), Place::Credential(name))),
        );
        let of = |name: &str| {
            let mut variables = self.sources.variables.iter();
            let found = variables.find(|(given, _)| given == name);
            found.map(|(_, value)| Value::Word(value.clone()))
        };
        let shared = also.iter().rev();
        given.extend(shared.filter_map(|name| Some((of(name)?, Place::Shared(name)))));
        given.extend(of(variable).map(|value| (value, Place::Variable(variable.into()))));
        let flags = self.sources.flags.iter().filter(|(of, ..)| *of == key);
        given.extend(flags.map(|(_, flag, value)| (Value::Word(value.clone()), Place::Flag(flag))));
        given
    }

    /// Blames the strongest place of the values that cannot be true together.
    fn contradict<S: Section>(&mut self, first: usize, contradiction: &Contradiction) {
        let settings: Vec<_> = contradiction
            .keys
            .iter()
            .filter_map(|key| {
                let position = S::KEYS.iter().position(|known| known.name == *key)?;
                self.settings.get(first + position)
            })
            .collect();
        let values: Vec<_> = settings
            .iter()
            .filter_map(|setting| Some(format!("{} is {}", setting.key, setting.value.as_ref()?)))
            .collect();
        let place = settings.iter().map(|setting| &setting.from).max();
        let place = place.unwrap_or(&Place::Default).clone();
        self.fault(
            place,
            format!("{}, but {}", values.join(" and "), contradiction.rule),
        );
    }

    fn refuse_unknown_keys(&mut self) {
        let read = self.settings.iter().map(|s| s.key.as_str());
        let keys: Vec<_> = read.chain(self.left.iter().map(String::as_str)).collect();
        let sections = self.sections.iter().map(String::as_str);
        let sections: Vec<_> = sections.filter(|name| !name.is_empty()).collect();
        let mut faults = Vec::new();
        let mut unknown: Vec<&str> = Vec::new();
        for (name, place) in &self.file.tables {
            let is_known = sections.contains(&name.as_str());
            if is_known || unknown.iter().any(|outer| is_inside(name, outer)) {
                continue;
            }
            unknown.push(name);
            let message = if keys.contains(&name.as_str()) {
                format!("`{name}` is a key with a value, not a section")
            } else {
                let hint = suggest(name, sections.iter().copied());
                format!("there is no section `{name}`: {hint}")
            };
            faults.push((place.clone(), message));
        }
        for (name, _, place) in &self.file.values {
            if keys.contains(&name.as_str()) || unknown.iter().any(|table| is_inside(name, table)) {
                continue;
            }
            let message = if sections.contains(&name.as_str()) {
                format!("`{name}` is a section: write `[{name}]`, and its keys below")
            } else if let Some(elsewhere) = elsewhere(name, &keys) {
                elsewhere
            } else {
                format!(
                    "there is no key `{name}`: {}",
                    suggest(name, keys.iter().copied())
                )
            };
            faults.push((place.clone(), message));
        }
        for (place, message) in faults {
            self.fault(place, message);
        }
    }

    fn refuse_unknown_variables(&mut self) {
        let known = std::mem::take(&mut self.variables);
        let sections: Vec<_> = self.sections.iter().map(|s| format!("{s}_")).collect();
        // Compared as keys, so that neither the beginning nor the section makes them alike.
        let as_key = |name: &str| {
            let name = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
            let mut sections = sections.iter();
            match sections.find(|section| section.len() > 1 && name.starts_with(*section)) {
                Some(section) => name.replacen(section, &section.replace('_', "."), 1),
                None => name,
            }
        };
        for name in self.unknown(PREFIX, &known) {
            let hint = suggest_as(&name, known.iter().map(String::as_str), as_key);
            self.unknown_variable(name, &hint);
        }
        self.variables = known;
    }

    fn unknown(&self, prefix: &str, known: &[impl AsRef<str>]) -> Vec<String> {
        let names = self.sources.variables.iter();
        let names = names.map(|(name, _)| name.to_string_lossy());
        let is_known = |name: &str| known.iter().any(|known| known.as_ref() == name);
        names
            .filter(|name| name.starts_with(prefix) && !is_known(name))
            .map(std::borrow::Cow::into_owned)
            .collect()
    }

    fn unknown_variable(&mut self, name: String, hint: &str) {
        let message = format!("there is no such setting: {hint}");
        self.fault(Place::Variable(name), message);
    }
}

/// Says where a key belongs that stands in the wrong section: what is appended to a file is under its
/// last one.
fn elsewhere(name: &str, keys: &[&str]) -> Option<String> {
    let (section, key) = split(name);
    let places: Vec<_> = keys
        .iter()
        .map(|known| split(known))
        .filter(|(_, known)| *known == key)
        .map(|(section, _)| place_of(section))
        .collect();
    let places = (!places.is_empty()).then(|| places.join(" or "))?;
    Some(format!(
        "`{key}` belongs {places}, not {}",
        place_of(section)
    ))
}

fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

fn place_of(section: &str) -> String {
    match section {
        "" => "before all sections".into(),
        section => format!("under [{section}]"),
    }
}

fn is_inside(name: &str, table: &str) -> bool {
    name.strip_prefix(table)
        .is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
