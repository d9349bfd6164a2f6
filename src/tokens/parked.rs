//! Parked and postponed tokens, and their way back.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;

use super::name::{TokenName, mark_of};
use super::rename::rename_new;
use super::stage_folder::{StageFolder, TokenError, names};

/// A parked token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedToken {
    /// The name of its file.
    pub file: OsString,
    /// The reason, as the name has it.
    pub reason: String,
}

impl ParkedToken {
    /// The token's own name; `None` if it cannot be a token.
    pub fn name(&self) -> Option<TokenName> {
        TokenName::read(&self.file).ok()
    }
}

/// The parked tokens of a stage.
///
/// # Errors
/// If they cannot be listed.
pub fn list_parked(stage: &StageFolder) -> Result<Vec<ParkedToken>, TokenError> {
    let parked = names(&stage.failed())?.map(|file| {
        let reason = mark_of(&file).unwrap_or_default().to_owned();
        ParkedToken { file, reason }
    });
    Ok(parked.collect())
}

/// Puts a parked token back into its stage. `false` if it has no token's name, is gone, or another has its name
/// there.
///
/// # Errors
/// If it cannot be moved.
pub fn retry_parked(stage: &StageFolder, parked: &ParkedToken) -> Result<bool, TokenError> {
    let Some(name) = parked.name() else { return Ok(false) };
    let from = stage.failed().join(&parked.file);
    match rename_new(&from, &stage.waiting().join(name.as_str())) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => Ok(false),
        moved => {
            moved.map_err(TokenError::of("put back", &from))?;
            let mut reason = OsString::from(".");
            reason.push(&parked.file);
            reason.push(".reason");
            // Only what was no token has one.
            let _ = fs::remove_file(stage.failed().join(reason));
            // The directory goes with its last token: `ls` shows that nothing has failed.
            let _ = fs::remove_dir(stage.failed());
            Ok(true)
        }
    }
}

/// Puts those postponed tokens back into their stage whose time has come. Gives how many.
///
/// # Errors
/// If they cannot be listed or moved.
pub fn release_due(stage: &StageFolder, now: u64) -> Result<usize, TokenError> {
    let mut released = 0;
    for file in names(&stage.later())?.collect::<Vec<OsString>>() {
        let time = mark_of(&file).and_then(|mark| mark.strip_prefix("at-")?.parse::<u64>().ok());
        let Ok(name) = TokenName::read(&file) else { continue };
        if time.is_some_and(|time| time > now) {
            continue;
        }
        let from = stage.later().join(&file);
        match rename_new(&from, &stage.waiting().join(name.as_str())) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {}
            moved => {
                moved.map_err(TokenError::of("put back", &from))?;
                released += 1;
            }
        }
    }
    Ok(released)
}
