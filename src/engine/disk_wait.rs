//! Waiting while the disk is full or read-only.

use std::error::Error;
use std::iter;
use std::thread;
use std::time::Duration;

use crate::step::{Fault, FaultKind, Request};
use crate::store::StoreError;

/// The delays between tries; the last one is repeated.
const WAITS: [Duration; 3] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];

/// Repeats `attempt` until it succeeds, or fails with an error that will not pass. A full disk delays a
/// response and never changes it.
///
/// # Errors
/// The first error that will not pass.
pub fn retry_while_full<T, E: Error + 'static>(
    request: &Request,
    may_pass: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let [.., last] = WAITS;
    let mut waits = WAITS.into_iter().chain(iter::repeat(last));
    let mut told = false;
    loop {
        match attempt() {
            Err(error) if may_pass(&error) => {
                if !std::mem::replace(&mut told, true) {
                    let error: &dyn Error = &error;
                    tracing::error!(
                        error,
                        request = request.name,
                        "the disk is full or cannot be written; waiting until it can"
                    );
                }
                waits.next().into_iter().for_each(thread::sleep);
            }
            done => return done,
        }
    }
}

/// The fault of a result that could not be stored.
pub fn not_kept(error: StoreError) -> Fault {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Fault::of(
        FaultKind::Storage,
        format!("its result could not be kept: {error}{cause}"),
        "Make room on the disk of --state or give another folder, and run the request again with `flow retry`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
    #[error("{0}")]
    struct FailedWrites(u32);

    #[test]
    fn what_passes_is_waited_for_and_what_does_not_is_not() {
        let request = Request::new("study", Default::default(), Vec::new());
        let try_with = |results: [Result<u32, FailedWrites>; 3]| {
            let mut results = results.into_iter();
            let done =
                retry_while_full(&request, |error| *error == FailedWrites(1), || results.next().unwrap());
            (done, results.count())
        };
        assert_eq!(try_with([Err(FailedWrites(1)), Ok(7), Ok(8)]), (Ok(7), 1));
        assert_eq!(try_with([Err(FailedWrites(1)), Err(FailedWrites(2)), Ok(8)]), (Err(FailedWrites(2)), 1));
        assert_eq!(try_with([Ok(7), Err(FailedWrites(2)), Ok(8)]), (Ok(7), 2));
    }
}
