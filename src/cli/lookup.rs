//! The request that a person means, out of those that a journal remembers.

use std::path::{Path, PathBuf};

use crate::admission::{SourceTable, find_requests};
use crate::journal::{Journal, JournalReader, RequestRow};

use super::exit::{CommandError, CommandErrorKind};

/// A request and where it is remembered.
#[derive(Debug, clap::Args)]
pub struct RequestLookup {
    /// The request: its name or a part of it, its number, the first digits of its id, or the patient's ID, accession number or study
    #[arg(value_name = "REQUEST")]
    request: String,

    /// The state folder of the flow that has it
    #[arg(long, value_name = "DIR", default_value = "flow-state")]
    state: PathBuf,
}

/// More requests than this are not named when several fit.
const NAMED_MAX: usize = 8;

impl RequestLookup {
    /// As it was given.
    pub fn request(&self) -> &str {
        &self.request
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Finds the one request that is meant.
    pub fn find(&self) -> Result<(JournalReader, RequestRow), CommandError> {
        let reader = open(&self.state)?;
        let found = find_requests(&reader, &SourceTable::built_in(), &self.request);
        let mut found = found.map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        match (found.len(), found.pop()) {
            (1, Some(row)) => Ok((reader, row)),
            (_, None) => {
                let text = format!("no request {:?} in {}", self.request, self.state.display());
                Err(CommandError::new(CommandErrorKind::NoInput, text)
                    .hint("`flow status` lists the requests"))
            }
            (count, Some(last)) => {
                let names = found.iter().rev().take(NAMED_MAX).map(|row| row.name.as_str());
                let names: Vec<&str> = std::iter::once(last.name.as_str()).chain(names).collect();
                let text = format!("{count} requests fit {:?}", self.request);
                Err(CommandError::new(CommandErrorKind::Usage, text)
                    .hint(&format!("give one of {}", names.join(", "))))
            }
        }
    }
}

/// Opens the journal of a state folder to look into it.
pub fn open(state: &Path) -> Result<JournalReader, CommandError> {
    if !state.join(Journal::FILE).exists() {
        let failure = CommandError::new(
            CommandErrorKind::NoInput,
            format!("there is no journal in {}", state.display()),
        );
        return Err(failure.hint("give the --state of the flow that has the requests"));
    }
    JournalReader::open(state).map_err(CommandError::of(CommandErrorKind::InputOutput))
}
