//! Tokens on their way out of a worker's place: the result is recorded in the token before it moves.
//!
//! Many tokens share the syncs. For each: the new text under a temporary name; then all texts to disk; then each changes
//! names with the claimed file, which is still in the worker's place; then the place to disk; then each to where it goes;
//! then the directories to disk.
//! A crash leaves a token in exactly one place: its own, with or without the record of its work, or the next one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::audit::timestamp;
use crate::printable::with_causes;
use crate::step::Digest;
use crate::store::begin_writing;

use super::claim::ClaimedToken;
use super::draft_files::remove;
use super::entry::TOKEN_BYTES_MAX;
use super::name::TokenName;
use super::rename::{exchange_or_replace, rename_new};
use super::stage_folder::{TokenError, TokenPlace, sync_folder};
use super::token::{StageToken, TokenEntry, TokenEvent};
use super::work_place::WorkPlace;

/// The end of the work on a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenEnd {
    /// It waits in the directory of this name.
    Next(String),
    /// It is parked, with a reason for its name.
    Park(String),
    /// The stage looks at it again at this time, in Unix seconds.
    Postpone(u64),
    /// It waits again where it was.
    Back,
}

/// A token whose work has ended.
#[derive(Clone, Debug)]
pub struct FinishedToken {
    pub claimed: ClaimedToken,
    /// The entry of its log about this end.
    pub entry: TokenEntry,
    pub end: TokenEnd,
}

/// A token that has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedToken {
    pub name: TokenName,
    pub place: TokenPlace,
}

/// From so many tokens on, one sync of their file system takes less time than one of each: 512 texts of 600 bytes took 90
/// to 430 ms one by one, on 16 threads, and 1 to 210 ms together.
const TOGETHER_MIN: usize = 32;

/// Up to so many tokens are synced one after the other.
const SINGLE_MAX: usize = 2;

/// Threads that wait for the disk at the same time: its journal takes what they wait for together.
const SYNC_THREADS: usize = 16;

impl TokenEntry {
    /// An entry of this moment. Worker and place are added when the token moves.
    pub fn new(stage: &str, event: TokenEvent, version: &str, text: &str) -> TokenEntry {
        TokenEntry {
            at: timestamp(SystemTime::now()),
            stage: stage.to_owned(),
            event,
            by: String::new(),
            version: version.to_owned(),
            digest: None,
            to: None,
            text: text.to_owned(),
        }
    }

    /// The entry with the digest of what was made.
    #[must_use]
    pub fn made(self, digest: Option<Digest>) -> TokenEntry {
        TokenEntry { digest, ..self }
    }
}

/// Records the ends of tokens and moves them, with as few syncs as that takes. `data` are folders on whose file
/// systems the work has written: they are synced first.
///
/// # Errors
/// If the disk does not take them. Tokens that have not moved stay claimed. A token that somebody has taken over is
/// an error of that token alone.
pub fn finish_tokens(
    place: &WorkPlace,
    finished: Vec<FinishedToken>,
    data: &[PathBuf],
) -> Result<Vec<Result<PlacedToken, TokenError>>, TokenError> {
    place_tokens(place, finished, data, exchange_or_replace)
}

/// Gives a draft the name of its token, and says whether the file of the old text has the draft's name now.
type DraftNaming = fn(&Path, &Path) -> io::Result<bool>;

fn place_tokens(
    place: &WorkPlace,
    finished: Vec<FinishedToken>,
    data: &[PathBuf],
    give_name: DraftNaming,
) -> Result<Vec<Result<PlacedToken, TokenError>>, TokenError> {
    if finished.is_empty() {
        return Ok(Vec::new());
    }
    // A sync of the file system tells of what went wrong since the folder was opened.
    let own = File::open(place.folder()).map_err(TokenError::of("open", place.folder()))?;
    let mut drafts = Vec::with_capacity(finished.len());
    let written = finished.into_iter().try_for_each(|token| {
        drafts.push(write_draft(place, token)?);
        Ok(())
    });
    if let Err(error) = written.and_then(|()| sync_drafts(place, &own, &drafts, data)) {
        remove(drafts.into_iter().map(|draft| draft.path));
        return Err(error);
    }
    let mut old = Vec::with_capacity(drafts.len());
    let record = |DraftedToken { name, to, path, .. }| {
        let own = place.folder().join(name.as_str());
        match give_name(&path, &own) {
            Ok(true) => old.push(path),
            Ok(false) => {}
            Err(error) => {
                remove([path]);
                return Err(TokenError::of("record", &own)(error));
            }
        }
        Ok((own, name, to))
    };
    let recorded: Vec<Result<_, TokenError>> = drafts.into_iter().map(record).collect();
    // Not every file system keeps the order of renames in two directories.
    if let Err(error) = sync_folder(place.folder()) {
        place.drafts().put_unsynced(old);
        return Err(error);
    }
    place.drafts().put_synced(old);
    let moved = recorded.into_iter().map(|recorded| {
        let (own, name, to) = recorded?;
        move_token(place, &own, name, to)
    });
    let moved: Vec<Result<PlacedToken, TokenError>> = moved.collect();
    let folders = moved.iter().flatten().map(|placed| {
        let path = place.stage().path(&placed.place, &placed.name);
        path.parent().map(Path::to_owned).unwrap_or_default()
    });
    let folders: BTreeSet<PathBuf> = folders.collect();
    for error in folders.iter().filter_map(|folder| sync_folder(folder).err()) {
        // The tokens have moved, and must not be moved once more. Until the disk has synced by itself, a power failure
        // may put them back into this place, where the record of their work is found.
        let error = with_causes(&error);
        tracing::error!("tokens have moved, but the disk does not confirm it: {error}");
    }
    Ok(moved)
}

fn where_to(place: &WorkPlace, token: &FinishedToken) -> TokenPlace {
    let stage = || place.stage().name().to_owned();
    match &token.end {
        TokenEnd::Next(next) => TokenPlace::Waiting(next.clone()),
        TokenEnd::Park(reason) => TokenPlace::Parked(stage(), reason.clone()),
        TokenEnd::Postpone(time) => TokenPlace::Postponed(stage(), *time),
        TokenEnd::Back => TokenPlace::Waiting(stage()),
    }
}

/// A token whose new text is written, and not its own yet.
struct DraftedToken {
    name: TokenName,
    to: TokenPlace,
    path: PathBuf,
    file: File,
}

fn write_draft(place: &WorkPlace, token: FinishedToken) -> Result<DraftedToken, TokenError> {
    let to = where_to(place, &token);
    let FinishedToken { claimed: ClaimedToken { name, mut token }, mut entry, .. } = token;
    place.owner().clone_into(&mut entry.by);
    entry.to = Some(place.stage().relative(&to, &name));
    token.log.push(entry);
    let written = place.drafts().write(&token.to_bytes());
    let (path, file) = written.map_err(TokenError::of("write", &place.folder().join(name.as_str())))?;
    Ok(DraftedToken { name, to, path, file })
}

fn sync_drafts(
    place: &WorkPlace,
    own: &File,
    drafts: &[DraftedToken],
    data: &[PathBuf],
) -> Result<(), TokenError> {
    let failed = TokenError::of("sync", place.folder());
    let mut synced = BTreeSet::new();
    for folder in data {
        let failed = TokenError::of("sync", folder);
        let Ok(file) = File::open(folder) else { continue };
        if synced.insert(device(&file).map_err(&failed)?) {
            rustix::fs::syncfs(&file).map_err(|error| failed(error.into()))?;
        }
    }
    if synced.contains(&device(own).map_err(&failed)?) {
        return Ok(());
    }
    if drafts.len() >= TOGETHER_MIN {
        return rustix::fs::syncfs(own).map_err(|error| failed(error.into()));
    }
    // All are on their way to the disk before the first is waited for; those that are waited for at the same time
    // share its commits.
    drafts.iter().for_each(|draft| begin_writing(&draft.file, 0, TOKEN_BYTES_MAX));
    let share = drafts.len().div_ceil(SYNC_THREADS).max(SINGLE_MAX);
    let sync = |part: &[DraftedToken]| part.iter().try_for_each(|draft| draft.file.sync_data());
    let ends = std::thread::scope(|scope| {
        let (first, rest) = drafts.split_at(share.min(drafts.len()));
        let threads: Vec<_> = rest.chunks(share).map(|part| scope.spawn(move || sync(part))).collect();
        let first = sync(first);
        let rest = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(broken())));
        rest.fold(first, |before, end| before.and(end))
    });
    ends.map_err(&failed)
}

fn broken() -> std::io::Error {
    std::io::Error::other("a thread that syncs has panicked")
}

fn device(file: &File) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map(|metadata| metadata.dev())
}

/// Moves a token whose end is recorded. If another has its name there, it is parked as a duplicate.
fn move_token(
    place: &WorkPlace,
    own: &Path,
    name: TokenName,
    to: TokenPlace,
) -> Result<PlacedToken, TokenError> {
    let stage = place.stage();
    let mut target = to;
    for number in 1.. {
        let path = stage.path(&target, &name);
        let failed = TokenError::of("move", own);
        let mut moved = rename_new(own, &path);
        let is_lost = moved.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if is_lost && own.exists() {
            // The directory is not there yet, or was removed.
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(&failed)?;
            sync_folder(stage.root())?;
            moved = rename_new(own, &path);
        }
        match moved {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let number = if number == 1 { String::new() } else { format!("-{number}") };
                target = match target {
                    TokenPlace::Parked(stage, reason) if !reason.starts_with("duplicate") => {
                        TokenPlace::Parked(stage, format!("{reason}{number}-again"))
                    }
                    _ => TokenPlace::Parked(stage.name().to_owned(), format!("duplicate{number}")),
                };
            }
            moved => {
                moved.map_err(&failed)?;
                break;
            }
        }
    }
    Ok(PlacedToken { name, place: target })
}

impl WorkPlace {
    /// Makes tokens in the directory of the stage, durably. Gives how many are new there.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn make_tokens(&self, tokens: impl IntoIterator<Item = StageToken>) -> Result<usize, TokenError> {
        let made = tokens.into_iter().filter_map(|token| {
            let name = TokenName::of(&token.barcode).ok()?;
            let entry = TokenEntry::new("choose", TokenEvent::Chosen, "", "");
            Some(FinishedToken { claimed: ClaimedToken { name, token }, entry, end: TokenEnd::Back })
        });
        // They have no file yet.
        let give_name: DraftNaming = |draft, own| fs::rename(draft, own).map(|()| false);
        let placed = place_tokens(self, made.collect(), &[], give_name)?;
        let stage = TokenPlace::Waiting(self.stage().name().to_owned());
        let is_new = |placed: &&PlacedToken| placed.place == stage;
        Ok(placed.iter().flatten().filter(is_new).count())
    }
}
