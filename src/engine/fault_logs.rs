//! The logs of faults, kept in the store as long as the request is remembered.

use crate::dataflow::{MemberLog, member_logs};
use crate::journal::{ItemLogRecord, OutputRecord, ValuePlace};
use crate::step::{Digest, Fault, Request, StepOutputs};
use crate::store::{Store, StoreError};

/// The name of the output that holds the log of a failed run, for example a program's error output.
const LOG: &str = "stderr";

/// Keeps the whole log of the fault of a run.
///
/// # Errors
/// If the store cannot be written.
pub fn keep(store: &Store, request: &Request, fault: &Fault) -> Result<Vec<OutputRecord>, StoreError> {
    let Some(log) = &fault.log.0 else { return Ok(Vec::new()) };
    let digest = Digest::of(log);
    store.put(request.id, digest, log)?;
    Ok(vec![OutputRecord { name: LOG.to_owned(), digest, kept: ValuePlace::Stored { form: digest } }])
}

/// Keeps the logs of faults of steps that a stream connects, and of their items.
///
/// # Errors
/// If the store cannot be written.
pub fn keep_of_members(
    store: &Store,
    request: &Request,
    outputs: &StepOutputs,
) -> Result<Vec<ItemLogRecord>, StoreError> {
    let keep = |MemberLog { step, item, log }: MemberLog| {
        let digest = Digest::of(log);
        store.put(request.id, digest, log)?;
        Ok(ItemLogRecord { step: step.to_owned(), item: item.map(str::to_owned), digest })
    };
    member_logs(outputs).into_iter().map(keep).collect()
}
