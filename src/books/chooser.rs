//! The choice of books: tokens into the first directory, so that so many are under way. One process at a time does
//! it; another takes its turn when that one has ended.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::FlockOperation;

use crate::admission::StopSignal;
use crate::tokens::{StageCount, StageFolder, StageToken, TokenError, WorkPlace, list_tokens};

use super::backlog::BacklogError;
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
    /// The time of the list.
    list_time: Option<SystemTime>,
    /// When it is next looked whether the list has changed.
    renewal: Instant,
    backlog: BacklogWatch,
    known: HashSet<u64>,
}

/// The time between two looks whether the list has changed, or is old.
const RENEWAL: Duration = Duration::from_secs(60);

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
    #[error(transparent)]
    Backlog(#[from] BacklogError),
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
        stop: &StopSignal,
    ) -> Result<ChooserLook, ChooserError> {
        if turn.is_none() {
            *turn = self.begin(tell, stop)?;
        }
        let Some(turn) = turn else { return Ok(ChooserLook::NotItsTurn) };
        self.renew(turn, tell, stop)?;
        turn.backlog.look()?;
        // The list and the store may have taken longer than the lease of the place.
        if turn.place.beat().is_err() {
            turn.place = WorkPlace::new(&self.first())?;
        }
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
        tokens.iter().for_each(|token| turn.backlog.note_chosen(&token.barcode));
        Ok(ChooserLook::Chose(turn.place.make_tokens(tokens)?))
    }

    fn first(&self) -> StageFolder {
        StageFolder::new(&self.row.root, &self.row.choice.to)
    }

    /// Loads the list again if it is due. What has a token is not chosen again.
    fn renew(
        &self,
        turn: &mut ChooserTurn,
        tell: &dyn Fn(&str),
        stop: &StopSignal,
    ) -> Result<(), ChooserError> {
        if Instant::now() < turn.renewal {
            return Ok(());
        }
        turn.renewal = Instant::now() + RENEWAL;
        let inventory = BookInventory::of(&self.row).filter(|_| self.given.is_none());
        let Some(inventory) = inventory.filter(|inventory| inventory.is_due(turn.list_time)) else {
            return Ok(());
        };
        let list = inventory.load(tell, stop).map_err(ChooserError::Inventory)?;
        turn.list_time = inventory.time();
        turn.backlog.put_available(&list);
        turn.left = list.into_iter();
        Ok(())
    }

    /// The turn of this process, if no other has it. What has a token anywhere is not chosen again.
    fn begin(&self, tell: &dyn Fn(&str), stop: &StopSignal) -> Result<Option<ChooserTurn>, ChooserError> {
        fs::create_dir_all(&self.row.root).map_err(ChooserError::Lock)?;
        let path = choosing(&self.row);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let lock = lock.map_err(ChooserError::Lock)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(None);
        }
        let inventory = BookInventory::of(&self.row);
        let left = match (&self.given, &inventory) {
            (Some(given), _) => given.clone(),
            (None, Some(inventory)) => inventory.load(tell, stop).map_err(ChooserError::Inventory)?,
            (None, None) => Vec::new(),
        };
        let list_time = inventory.as_ref().and_then(BookInventory::time);
        let available = match (&self.given, &inventory) {
            (Some(_), Some(inventory)) => inventory.known(tell).map_err(ChooserError::Inventory)?,
            (Some(_) | None, _) => left.clone(),
        };
        let backlog = BacklogWatch::new(&self.row, &available, stop)?;
        let known = self.known()?;
        let place = WorkPlace::new(&self.first())?;
        let (left, renewal) = (left.into_iter(), Instant::now() + RENEWAL);
        Ok(Some(ChooserTurn { _lock: lock, place, left, list_time, renewal, backlog, known }))
    }

    /// The books that have a token. Tokens move while the directories are listed: on, in the order of the list, and from a
    /// lost worker or after a fault back to where they waited, where the second round finds them.
    fn known(&self) -> Result<HashSet<u64>, TokenError> {
        let mut known = HashSet::new();
        let folders = self.row.folders();
        let (last, moving) = folders.split_last().unwrap_or((&folders[0], &[]));
        for folder in moving.iter().chain(moving).chain([last]) {
            list_tokens(folder, |barcode, _| _ = known.insert(barcode_key(barcode)))?;
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::books::{BacklogClass, numbers};
    use crate::dataflow::Dataflow;
    use crate::step::StepTable;

    use super::*;

    fn row(root: &Path, inventory: &Path) -> StageRow {
        let text = Dataflow::built_in("books").unwrap();
        let text = text.replace("sample:/all_books", &inventory.display().to_string());
        let table = StepTable::built_in();
        StageRow::of(&Dataflow::parse("row.yaml", &text, &table).unwrap(), root, &table).unwrap()
    }

    /// Moves a token as the stages do it, all the way.
    fn finish(row: &StageRow, barcode: &str) {
        let file = format!("{barcode}.json");
        let first = StageFolder::new(&row.root, &row.choice.to);
        row.last().prepare_last().unwrap();
        fs::rename(first.waiting().join(&file), row.last().waiting().join(&file)).unwrap();
    }

    fn count(turn: &mut Option<ChooserTurn>, class: BacklogClass) -> u64 {
        let backlog = &mut turn.as_mut().unwrap().backlog;
        backlog.look().unwrap();
        numbers(backlog.books())[class.name()].as_u64().unwrap()
    }

    #[test]
    fn a_book_that_is_done_between_two_looks_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let inventory = folder.path().join("all_books");
        fs::write(&inventory, "ark.1\nark.2\n").unwrap();
        let row = row(folder.path(), &inventory);
        let (chooser, stop, mut turn) = (BookChooser::new(&row, None), StopSignal::default(), None);
        assert_eq!(chooser.look(&mut turn, &|_| {}, &stop).unwrap(), ChooserLook::Chose(2));
        finish(&row, "ark.1");
        finish(&row, "ark.2");
        assert_eq!(count(&mut turn, BacklogClass::Converted), 2);
        assert_eq!(count(&mut turn, BacklogClass::Backlog), 0);
        // Somebody has put this one in, and nobody has looked before it was done.
        fs::write(row.last().waiting().join("ark.3.json"), StageToken::of("ark.3").to_bytes()).unwrap();
        assert_eq!(count(&mut turn, BacklogClass::Converted), 3);
        fs::remove_file(row.last().waiting().join("ark.1.json")).unwrap();
        assert_eq!(count(&mut turn, BacklogClass::Converted), 2);
        assert_eq!(count(&mut turn, BacklogClass::Backlog), 1);
    }

    #[test]
    fn a_chooser_whose_place_was_taken_over_makes_another() {
        let folder = tempfile::tempdir().unwrap();
        let inventory = folder.path().join("all_books");
        fs::write(&inventory, "ark.1\nark.2\n").unwrap();
        let mut row = row(folder.path(), &inventory);
        row.choice.in_flight = 1;
        let (chooser, stop, mut turn) = (BookChooser::new(&row, None), StopSignal::default(), None);
        assert_eq!(chooser.look(&mut turn, &|_| {}, &stop).unwrap(), ChooserLook::Chose(1));
        finish(&row, "ark.1");
        let work = StageFolder::new(&row.root, &row.choice.to).work();
        fs::read_dir(&work).unwrap().for_each(|place| fs::remove_dir_all(place.unwrap().path()).unwrap());
        assert_eq!(chooser.look(&mut turn, &|_| {}, &stop).unwrap(), ChooserLook::Chose(1));
    }

    #[test]
    fn a_list_that_changes_is_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let inventory = folder.path().join("all_books");
        fs::write(&inventory, "ark.1\nark.2\n").unwrap();
        let row = row(folder.path(), &inventory);
        let (chooser, stop, mut turn) = (BookChooser::new(&row, None), StopSignal::default(), None);
        let look = |turn: &mut Option<ChooserTurn>| {
            turn.iter_mut().for_each(|turn| turn.renewal = Instant::now());
            chooser.look(turn, &|_| {}, &stop).unwrap()
        };
        assert_eq!(look(&mut turn), ChooserLook::Chose(2));
        assert_eq!(look(&mut turn), ChooserLook::Exhausted);
        fs::write(&inventory, "ark.2\nark.3\n").unwrap();
        let later = SystemTime::now() + Duration::from_secs(10);
        File::options().write(true).open(&inventory).unwrap().set_modified(later).unwrap();
        assert_eq!(look(&mut turn), ChooserLook::Chose(1));
        assert_eq!(count(&mut turn, BacklogClass::Available), 2);
        assert_eq!(count(&mut turn, BacklogClass::InFlight), 3);
    }
}
