//! `upload-book`: puts a book into the store, a directory or a bucket, exactly once under its key.
//!
//! What has the key already, for example after a crash, is not replaced: its content is read and compared.

use std::path::Path;

use crate::books::book_store::BookStore;
use crate::books::place::BookPlace;
use crate::books::stages::STORE_ENDING;
use crate::calls::{BucketFile, BucketLimits};
use crate::step::{BuiltIn, Call, CallAttempt, CallFault, Fault, FaultKind, Parameter, Step};
use crate::tokens::{LocatedFile, StageToken};

use super::modify_book::BAG;

/// The name of what it makes.
pub const STORED: &str = "stored";

fn step() -> Step {
    let step =
        BookPlace::step("upload-book", 1, "Stores a book exactly once under its key, and reads it back.");
    BookStore::declare(step)
        .parameter(
            Parameter::number("part_mib", 16.0, 5.0, 5_120.0, "MiB")
                .about("The size of the parts in which a larger book is put into a bucket."),
        )
        .calls(|tokens, call, attempt| {
            tokens.into_iter().map(|token| each(upload(token, call, attempt))).collect()
        })
}

inventory::submit! { BuiltIn(step) }

/// The result of one token. A service that is busy is busy for all of them.
pub fn each(one: Result<StageToken, CallFault>) -> Result<Result<StageToken, Fault>, CallFault> {
    match one {
        Ok(token) => Ok(Ok(token)),
        Err(fault) if matches!(fault.fault.kind, FaultKind::Transient | FaultKind::TimedOut) => Err(fault),
        Err(fault) => Ok(Err(fault.fault)),
    }
}

fn upload(token: StageToken, call: &Call, attempt: &CallAttempt) -> Result<StageToken, CallFault> {
    let place = BookPlace::of(&token, call)?;
    let key = key(&token.barcode);
    let bag = place.existing(&token, BAG)?;
    let expected = token.locations[BAG].clone();
    let store = BookStore::of(call)?;
    let limits = BucketLimits::new(attempt.timeout, call.token);
    let part_bytes = (call.number("part_mib") * f64::from(1 << 20)) as u64;
    store.put(&key, BucketFile { path: &bag, digest: expected.digest, part_bytes }, limits)?;
    let Some((stored, _)) = store.digest_of(&key, limits)? else {
        let reason = format!("not there yet: {key} was stored, and the store does not have it");
        return Err(Fault::transient(reason, "See to the store; the token waits and is tried again.").into());
    };
    if stored != expected.digest {
        let reason = format!("other content: the store has {stored} as {key}, not {}", expected.digest);
        return Err(Fault::new(reason, "See which of the two is right, and remove the other.").into());
    }
    let located = LocatedFile { path: key.into(), ..expected };
    Ok(token.at(STORED, located))
}

/// The key of a book in the store.
pub fn key(barcode: &str) -> String {
    format!("{barcode}{STORE_ENDING}")
}

/// Whether the store has the book with this digest.
///
/// # Errors
/// If it has not.
pub fn check_stored(token: &StageToken, store: &BookStore, limits: BucketLimits) -> Result<(), CallFault> {
    let fault =
        |reason: String| Err(Fault::new(reason, "Put the token back into the stage that stores it.").into());
    let Some(stored) = token.locations.get(STORED) else {
        return fault("not stored: the token does not say where".to_owned());
    };
    let key = key(&token.barcode);
    if stored.path != Path::new(&key) {
        return fault(format!("other key: the token says {}", stored.path.display()));
    }
    match store.digest_of(&key, limits)? {
        Some((digest, _)) if digest == stored.digest => Ok(()),
        Some((digest, _)) => fault(format!("wrong digest: the store has {digest}, not {}", stored.digest)),
        None => fault(format!("not stored: {key} is not there")),
    }
}
