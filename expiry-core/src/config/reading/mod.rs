//! From texts to sections.

mod file;
mod loader;
mod nearest;
mod place;
mod value;

pub use loader::{Loader, Setting, Sources, variable};
pub use place::{Fault, Place};
pub use value::Value;
