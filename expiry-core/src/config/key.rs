use std::{path::PathBuf, time::Duration};

/// The longest time that any key can be set to.
pub const LONGEST: Duration = Duration::from_hours(24);

/// A struct that is one section of the configuration. Its default is what holds without any.
pub trait Section: Clone + Default + 'static {
    /// The section's name; empty for keys that stand before all sections.
    const NAME: &'static str;
    /// All its keys.
    const KEYS: &'static [Key<Self>];

    /// Returns what cannot be true together, though each value by itself may be.
    fn contradictions(&self) -> Vec<Contradiction> {
        Vec::new()
    }
}

/// Values that cannot be true together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The keys, the one that is best changed first.
    pub keys: &'static [&'static str],
    /// What must hold.
    pub rule: &'static str,
}

/// One key of a section.
#[derive(Debug)]
pub struct Key<S> {
    /// Its name within the section.
    pub name: &'static str,
    /// What kind of value it has, and where that is kept.
    pub field: Field<S>,
    /// Other variables that are understood, the strongest first; all are weaker than its own.
    pub also: &'static [&'static str],
    /// Whether its value is never shown.
    pub secret: bool,
}

/// The kind of a value, and the way to it in the section `S`.
#[derive(Debug)]
pub enum Field<S> {
    /// A time such as `30s`.
    Duration {
        /// Where it is.
        at: fn(&mut S) -> &mut Duration,
        /// The least that makes sense.
        least: Duration,
        /// The most that makes sense.
        most: Duration,
    },
    /// At least one time, each at most [`LONGEST`].
    Durations {
        /// Where they are.
        at: fn(&mut S) -> &mut Vec<Duration>,
        /// The least that makes sense for each.
        least: Duration,
        /// Whether each must be longer than the one before.
        rising: bool,
    },
    /// A whole number.
    Count {
        /// Where it is.
        at: fn(&mut S) -> &mut u32,
        /// The least that makes sense.
        least: u32,
        /// The most that makes sense.
        most: u32,
    },
    /// A whole number, kept as a size in memory.
    Number {
        /// Where it is.
        at: fn(&mut S) -> &mut usize,
        /// The least that makes sense.
        least: usize,
        /// The most that makes sense.
        most: usize,
    },
    /// An amount of memory such as `64MiB`.
    Bytes {
        /// Where it is.
        at: fn(&mut S) -> &mut usize,
        /// The least that makes sense.
        least: usize,
    },
    /// Yes or no.
    Switch(fn(&mut S) -> &mut bool),
    /// Any text but the empty one.
    Text(fn(&mut S) -> &mut Option<String>),
    /// The path of a file.
    Path(fn(&mut S) -> &mut Option<PathBuf>),
    /// One of some words.
    Word {
        /// Where it is.
        at: fn(&mut S) -> &mut Option<&'static str>,
        /// The words.
        words: &'static [&'static str],
    },
}

impl<S> Key<S> {
    /// A time of at least `least`.
    pub const fn duration(
        name: &'static str,
        least: Duration,
        at: fn(&mut S) -> &mut Duration,
    ) -> Self {
        Self::span(name, (least, LONGEST), at)
    }

    /// A time from `least` to `most`.
    pub const fn span(
        name: &'static str,
        (least, most): (Duration, Duration),
        at: fn(&mut S) -> &mut Duration,
    ) -> Self {
        Self::new(name, Field::Duration { at, least, most })
    }

    /// A list of waits, each at least `least`.
    pub const fn waits(
        name: &'static str,
        least: Duration,
        at: fn(&mut S) -> &mut Vec<Duration>,
    ) -> Self {
        let rising = false;
        Self::new(name, Field::Durations { at, least, rising })
    }

    /// A list of moments, each at least `least` and later than the one before.
    pub const fn moments(
        name: &'static str,
        least: Duration,
        at: fn(&mut S) -> &mut Vec<Duration>,
    ) -> Self {
        let rising = true;
        Self::new(name, Field::Durations { at, least, rising })
    }

    /// A whole number from `least` to `most`.
    pub const fn count(
        name: &'static str,
        (least, most): (u32, u32),
        at: fn(&mut S) -> &mut u32,
    ) -> Self {
        Self::new(name, Field::Count { at, least, most })
    }

    /// The same, kept as a size in memory.
    pub const fn number(
        name: &'static str,
        (least, most): (usize, usize),
        at: fn(&mut S) -> &mut usize,
    ) -> Self {
        Self::new(name, Field::Number { at, least, most })
    }

    /// An amount of memory of at least `least` bytes.
    pub const fn bytes(name: &'static str, least: usize, at: fn(&mut S) -> &mut usize) -> Self {
        Self::new(name, Field::Bytes { at, least })
    }

    /// Yes or no.
    pub const fn switch(name: &'static str, at: fn(&mut S) -> &mut bool) -> Self {
        Self::new(name, Field::Switch(at))
    }

    /// Any of the fields.
    pub const fn new(name: &'static str, field: Field<S>) -> Self {
        Self {
            name,
            field,
            also: &[],
            secret: false,
        }
    }

    /// Understands other variables, too, the strongest first.
    #[must_use]
    pub const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    /// Never shows its value.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self {
            secret: true,
            ..self
        }
    }
}
