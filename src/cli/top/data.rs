//! The data of one drawing, read from the journal, and the actions on requests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::admission::{SourceTable, StateFolder, find_requests, note_wish};
use crate::journal::{JournalError, JournalReader, OperatorRequest, RequestRow, StandingCounts};
use crate::ledger::{LedgerSnapshot, NameTable, WiringLookup, plain_rows};
use crate::step::StepTable;
use crate::store::free_bytes;

use super::super::attention::{pause_lines, pauses, troubles};
use super::super::exit::CommandError;
use super::super::lookup;
use super::super::monitor::wirings;
use super::super::operator::who;

/// The journal of a state folder.
pub struct TopReader {
    state: PathBuf,
    reader: JournalReader,
    wirings: WiringLookup,
}

/// The state of a flow at one commit.
pub struct TopData {
    pub state: PathBuf,
    /// The process that runs on the state folder.
    pub process: Option<u32>,
    pub free_bytes: u64,
    /// What is wrong beside single requests, as `flow status --check` has it.
    pub troubles: Vec<String>,
    /// What is paused.
    pub paused: Vec<String>,
    pub standing: StandingCounts,
    pub snapshot: LedgerSnapshot,
    /// Unanswered requests, those that wait longest first, and the last of the others; or those that were
    /// searched for.
    pub requests: Vec<RequestRow>,
    /// Those of them that an operator has ended.
    pub cancelled: BTreeSet<i64>,
    /// The reason for which each one waits, in words.
    pub waits: BTreeMap<i64, String>,
}

/// The most requests that are listed.
const REQUESTS_MAX: usize = 500;

/// Answered requests that are listed behind the others.
const ENDED_MAX: usize = 50;

impl TopReader {
    pub fn open(state: &Path, table: &StepTable) -> Result<TopReader, CommandError> {
        let reader = lookup::open(state)?;
        Ok(TopReader { state: state.to_owned(), reader, wirings: wirings(state, table.clone()) })
    }

    /// The number of commits so far.
    pub fn commits(&self) -> Result<i64, JournalError> {
        self.reader.commits()
    }

    pub fn read(&self, search: &str) -> Result<TopData, JournalError> {
        let cut = self.reader.cut()?;
        let mut names = NameTable::default();
        let rows = plain_rows(&cut, &*self.wirings, &mut names);
        let snapshot = LedgerSnapshot::of(cut.number, &rows, &names);
        let overview = self.reader.overview(ENDED_MAX)?;
        let requests: Vec<RequestRow> = match search.trim() {
            "" => overview.open.into_iter().chain(overview.ended.into_iter().rev()).collect(),
            text => find_requests(&self.reader, &SourceTable::built_in(), text)?,
        };
        let requests: Vec<RequestRow> = requests.into_iter().take(REQUESTS_MAX).collect();
        let mut cancelled = BTreeSet::new();
        for row in &requests {
            if self.reader.is_ended_by_operator(row)? {
                cancelled.insert(row.number);
            }
        }
        let mut waits = BTreeMap::new();
        for one in &snapshot.waiting {
            waits.entry(one.request).or_insert_with(|| words(one.reason, &one.name, &one.because));
        }
        Ok(TopData {
            state: self.state.clone(),
            process: StateFolder::holder(&self.state),
            free_bytes: free_bytes(&self.state),
            troubles: troubles(&self.state),
            paused: pause_lines(&pauses(&self.state)).collect(),
            standing: overview.standing,
            snapshot,
            requests,
            cancelled,
            waits,
        })
    }

    /// Records what is asked of a request, and says so.
    pub fn act(&self, number: i64, action: OperatorRequest) -> String {
        let row = match self.reader.row(number) {
            Ok(Some(row)) => row,
            Ok(None) => return "the request is not remembered any more".to_owned(),
            Err(error) => return error.to_string(),
        };
        match note_wish(&self.reader, &row, action, &format!("{}, flow top", who())) {
            Ok(()) => format!("{}: {} is noted", row.name, action.name()),
            Err(error) => format!("{} {error}", row.name),
        }
    }
}

/// A reason to wait, in words.
pub fn words(reason: &str, name: &str, because: &str) -> String {
    let text = match reason {
        "lane" => "its turn: others are in work".to_owned(),
        "step" => format!("the step {name}"),
        "response" => "its response".to_owned(),
        "cancellation" => "its error response".to_owned(),
        "delivery" => "its delivery".to_owned(),
        "destination" => format!("the next try at {name}"),
        "down" => format!("{name}, which takes nothing: {because}"),
        _ => "an operator: retry it".to_owned(),
    };
    crate::printable::escaped(&text).into_owned()
}
