use std::{fmt, path::PathBuf};

use serde::{Serialize, Serializer};

/// Where a value comes from. A greater place is stronger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nobody said anything else.
    Default,
    /// The configuration file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
        /// The column, in characters from 1.
        column: usize,
    },
    /// A file that the service manager handed over, by name.
    Credential(&'static str),
    /// A variable with a name that other programs know, too.
    Shared(&'static str),
    /// A variable of this program.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Credential(name) => write!(f, "credential {name}"),
            Self::Shared(name) | Self::Flag(name) => f.write_str(name),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is wrong with a setting, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What, and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
