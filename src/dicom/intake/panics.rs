//! Panics while data of a peer are processed, for example in a library on damaged input.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The reason that a peer and the log are given.
pub(in crate::dicom) const MISTAKE: &str = "a bug in flow, please report it";

/// Calls `work`. A panic in it becomes an error, made from [`MISTAKE`], and affects no other work.
pub(in crate::dicom) fn guarded<T, E>(
    mistake: impl FnOnce(&'static str) -> E,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(mistake(MISTAKE)))
}
