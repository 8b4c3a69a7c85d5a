use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use crate::StoreError;

/// How a call fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// [`StoreError::Unavailable`], and nothing happened.
    Before,
    /// [`StoreError::OutcomeUnknown`], and the transaction happened: only its answer is lost.
    After,
}

type Hook = Box<dyn FnMut(&'static str) -> Fault + Send>;

#[derive(Default)]
pub(super) struct Faults(Mutex<Option<Hook>>);

impl Faults {
    pub(super) fn set(&self, hook: Option<Hook>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    pub(super) fn next(&self, call: &'static str) -> Fault {
        let mut hook = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hook.as_mut().map_or(Fault::None, |hook| hook(call))
    }
}

#[derive(Debug, Error)]
#[error("`{0}` was made to fail")]
struct MadeToFail(&'static str);

pub(super) fn fault_error(call: &'static str) -> StoreError {
    StoreError::Unavailable(Box::new(MadeToFail(call)))
}

pub(super) fn answer_lost(call: &'static str) -> StoreError {
    StoreError::OutcomeUnknown(Box::new(MadeToFail(call)))
}
