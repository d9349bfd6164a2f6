//! Panics in the handling of what a peer sent, for example in a library on damaged input.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The reason that a peer and the log are given.
pub(in crate::dicom) const MISTAKE: &str = "a mistake in flow, please report it";

/// Has work done. A panic ends this work and no other: it is an error, made from [`MISTAKE`].
pub(in crate::dicom) fn guarded<T, E>(
    mistake: impl FnOnce(&'static str) -> E,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(mistake(MISTAKE)))
}
