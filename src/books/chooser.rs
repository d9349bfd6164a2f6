//! The choice of books: tokens into the first directory, so that so many are under way. One process at a time does
//! it; another takes its turn when that one has ended.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;

use rustix::fs::FlockOperation;

use crate::tokens::{StageCount, StageFolder, StageToken, TokenError, WorkPlace, list_tokens};

use super::backlog_watch::{BacklogWatch, choosing};
use super::inventory::BookInventory;
use super::stages::{StageRow, barcode_key};

/// The chooser of a row.
pub struct BookChooser {
    row: StageRow,
    /// Barcodes of the command line; `None`: those of the inventory.
    given: Option<Vec<String>>,
}

/// What the chooser knows while it is its turn. It stays on one thread.
pub struct ChooserTurn {
    _lock: File,
    place: WorkPlace,
    left: std::vec::IntoIter<String>,
    backlog: BacklogWatch,
    known: HashSet<u64>,
}

/// What one look of the chooser has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChooserLook {
    /// Another process chooses.
    NotItsTurn,
    /// So many tokens were made.
    Chose(usize),
    /// There is no book left that no token is of.
    Exhausted,
}

/// The error of a choice.
#[derive(Debug, thiserror::Error)]
pub enum ChooserError {
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error("could not use the list of all books")]
    Inventory(#[source] io::Error),
    #[error("could not lock the choice")]
    Lock(#[source] io::Error),
}

impl BookChooser {
    /// A chooser of the inventory's books, or of these.
    pub fn new(row: &StageRow, given: Option<Vec<String>>) -> BookChooser {
        BookChooser { row: row.clone(), given }
    }

    /// Makes as many tokens as there is room for, in the turn of this process, which is taken if no other has it.
    ///
    /// # Errors
    /// If there is no list, or the directories cannot be used.
    pub(super) fn look(
        &self,
        turn: &mut Option<ChooserTurn>,
        tell: &dyn Fn(&str),
    ) -> Result<ChooserLook, ChooserError> {
        if turn.is_none() {
            *turn = self.begin(tell)?;
        }
        let Some(turn) = turn else { return Ok(ChooserLook::NotItsTurn) };
        turn.place.beat()?;
        turn.backlog.look()?;
        let under_way: usize = {
            let folders = self.row.folders();
            let (_, moving) = folders.split_last().unwrap_or((&folders[0], &[]));
            moving.iter().map(StageCount::moving_of).sum::<Result<usize, TokenError>>()?
        };
        let room = self.row.choice.in_flight.saturating_sub(under_way);
        let known = &mut turn.known;
        let new = turn.left.by_ref().filter(|barcode| known.insert(barcode_key(barcode)));
        let tokens: Vec<StageToken> = new.take(room).map(StageToken::of).collect();
        if tokens.is_empty() && room > 0 {
            return Ok(ChooserLook::Exhausted);
        }
        Ok(ChooserLook::Chose(turn.place.make_tokens(tokens)?))
    }

    /// The turn of this process, if no other has it. What has a token anywhere is not chosen again.
    fn begin(&self, tell: &dyn Fn(&str)) -> Result<Option<ChooserTurn>, ChooserError> {
        fs::create_dir_all(&self.row.root).map_err(ChooserError::Lock)?;
        let path = choosing(&self.row);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let lock = lock.map_err(ChooserError::Lock)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(None);
        }
        let place = WorkPlace::new(&StageFolder::new(&self.row.root, &self.row.choice.to))?;
        let left = match (&self.given, BookInventory::of(&self.row)) {
            (Some(given), _) => given.clone(),
            (None, Some(inventory)) => inventory.load(tell).map_err(ChooserError::Inventory)?,
            (None, None) => Vec::new(),
        };
        let available = match (&self.given, BookInventory::of(&self.row)) {
            (Some(_), Some(inventory)) => inventory.known(tell).map_err(ChooserError::Inventory)?,
            (Some(_) | None, _) => left.clone(),
        };
        let backlog = BacklogWatch::new(&self.row, &available)?;
        let mut known = HashSet::new();
        for folder in self.row.folders() {
            list_tokens(&folder, |barcode, _| _ = known.insert(barcode_key(barcode)))?;
        }
        Ok(Some(ChooserTurn { _lock: lock, place, left: left.into_iter(), backlog, known }))
    }
}
