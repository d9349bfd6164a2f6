//! The request that a person means by a text, among those of a journal.

use std::path::{Path, PathBuf};

use crate::admission::{SourceTable, find_requests};
use crate::journal::{AnswerKind, Journal, JournalReader, RequestRow, RequestState};

use super::exit::{CommandError, CommandErrorKind};
use super::state_arguments::StateArguments;

/// A request and where it is remembered.
#[derive(Debug, clap::Args)]
pub struct RequestLookup {
    /// The request: its name or a part of it, its number, the first digits of its id, or the patient's ID, accession number or study
    #[arg(value_name = "REQUEST")]
    request: String,

    #[command(flatten)]
    state: StateArguments,
}

/// A request that was found.
pub struct FoundRequest {
    /// The state folder that has the request.
    pub state: PathBuf,
    pub reader: JournalReader,
    pub row: RequestRow,
}

/// The number of matching requests that are listed when there are several.
const NAMED_MAX: usize = 8;

impl RequestLookup {
    /// The text of the command line.
    pub fn request(&self) -> &str {
        &self.request
    }

    /// Finds the one request that is meant.
    pub fn find(&self) -> Result<FoundRequest, CommandError> {
        let state = self.state.find()?;
        let reader = open(&state)?;
        let found = find_requests(&reader, &SourceTable::built_in(), &self.request);
        let found = found.map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let place = format!("request {:?} in {}", self.request, state.display());
        let row = the_one(&self.request, &place, found, || reader.requests().unwrap_or_default(), told)?;
        Ok(FoundRequest { state, reader, row })
    }
}

/// The one match of a text. A command never guesses: if the text is empty, or matches none or several, the
/// candidates are listed.
pub fn the_one<T>(
    text: &str,
    place: &str,
    mut found: Vec<T>,
    all: impl FnOnce() -> Vec<T>,
    told: impl Fn(&T) -> String,
) -> Result<T, CommandError> {
    let (head, could_be) = match (text.trim().is_empty(), found.len()) {
        (true, _) => (format!("an empty text means none: no {place}"), all()),
        (false, 0) => (format!("no {place}"), all()),
        (false, 1) => return Ok(found.remove(0)),
        (false, count) => (format!("{count} could be meant: {place}"), found),
    };
    // The last ones are listed: new requests are meant more often than old ones.
    let names = could_be.iter().rev().take(NAMED_MAX).map(|one| format!("  {}\n", told(one)));
    let named: String = names.collect();
    let more = could_be.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    let error = CommandError::new(CommandErrorKind::Usage, head);
    Err(match could_be.is_empty() {
        true => error.hint("there is none"),
        false => error.details(named + &more).hint("nothing was changed; give one of these"),
    })
}

fn told(row: &RequestRow) -> String {
    let state = match (row.state, row.answer) {
        (RequestState::Answered, AnswerKind::Failed) => "error response",
        (RequestState::Answered, AnswerKind::Reserved) => "answered, with reservations",
        (state, _) => state.name(),
    };
    crate::printable::escaped(&format!("{}  {}  {}  {state}", row.number, row.name, row.dataflow))
        .into_owned()
}

/// Opens the journal of a state folder to look into it.
pub fn open(state: &Path) -> Result<JournalReader, CommandError> {
    if !state.join(Journal::FILE).exists() {
        let failure = CommandError::new(
            CommandErrorKind::InputOutput,
            format!("there is no journal in {}", state.display()),
        );
        return Err(failure.hint("give the --state of the flow that has the requests"));
    }
    JournalReader::open(state).map_err(CommandError::of(CommandErrorKind::InputOutput))
}
