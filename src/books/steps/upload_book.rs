//! `upload-book`: puts a book into the store, a directory, exactly once under its key.
//!
//! The file is written beside under a name of its own, synced, and gets its key by a rename that replaces nothing.
//! Who comes second, for example after a crash, finds the key, compares the digests, and stores nothing.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::books::place::{BookPlace, digest_of, storage};
use crate::books::stages::STORE_ENDING;
use crate::step::{BuiltIn, Call, Digest, Fault, FaultKind, Parameter, Step};
use crate::tokens::{LocatedFile, StageToken, rename_new};

use super::modify_book::BAG;

/// The name of what it makes.
pub const STORED: &str = "stored";

fn step() -> Step {
    BookPlace::step("upload-book", 1, "Stores a book exactly once under its key, and reads it back.")
        .parameter(Parameter::text("store", "", &[]).required().about("The folder that is the store."))
        .calls(|tokens, call, _| Ok(tokens.into_iter().map(|token| upload(token, call)).collect()))
}

inventory::submit! { BuiltIn(step) }

fn upload(token: StageToken, call: &Call) -> Result<StageToken, Fault> {
    let place = BookPlace::of(&token, call)?;
    let key = key(&token.barcode);
    let path = Path::new(call.text("store")).join(&key);
    let bag = place.existing(&token, BAG)?;
    let expected = token.locations[BAG].clone();
    let stored = store(&bag, &path).map_err(|error| storage(&error))?;
    if stored != expected.digest {
        let reason =
            format!("other content: the store has {stored} as {}, not {}", key.display(), expected.digest);
        return Err(Fault::new(reason, "See which of the two is right, and remove the other."));
    }
    let located = LocatedFile { path: key, ..expected };
    Ok(token.at(STORED, located))
}

/// The key of a book in the store.
pub fn key(barcode: &str) -> PathBuf {
    PathBuf::from(format!("{barcode}{STORE_ENDING}"))
}

/// Stores a file under a key that is free; gives the digest of what the key has then.
fn store(from: &Path, to: &Path) -> io::Result<Digest> {
    if !to.exists() {
        let folder = to.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let draft = BookPlace::draft_of(to);
        let written = write(from, &draft, to, folder);
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written?;
    }
    Ok(digest_of(to)?.0)
}

fn write(from: &Path, draft: &Path, to: &Path, folder: &Path) -> io::Result<()> {
    fs::copy(from, draft)?;
    File::open(draft)?.sync_all()?;
    match rename_new(draft, to) {
        // Another process was faster: it has stored the same book.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::remove_file(draft)?,
        renamed => renamed?,
    }
    File::open(folder)?.sync_all()
}

/// Whether the store has the book with this digest.
///
/// # Errors
/// If it has not.
pub fn check_stored(token: &StageToken, store: &Path) -> Result<(), Fault> {
    let remedy = "Put the token back into the stage that stores it.";
    let Some(stored) = token.locations.get(STORED) else {
        return Err(Fault::new("not stored: the token does not say where", remedy));
    };
    if stored.path != key(&token.barcode) {
        return Err(Fault::new(format!("other key: the token says {}", stored.path.display()), remedy));
    }
    match digest_of(&store.join(&stored.path)) {
        Ok((digest, _)) if digest == stored.digest => Ok(()),
        Ok((digest, _)) => {
            Err(Fault::new(format!("wrong digest: the store has {digest}, not {}", stored.digest), remedy))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Fault::new(format!("not stored: {} is not there", stored.path.display()), remedy))
        }
        Err(error) => Err(Fault::of(FaultKind::Storage, format!("disk: {error}"), remedy)),
    }
}
