//! The past request that a command is about: one that a journal remembers, or one in an exported file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use tempfile::TempDir;

use crate::dataflow::{Dataflow, names_programs};
use crate::journal::{JournalReader, RequestHistory, RequestRow};
use crate::printable::with_causes;
use crate::replay::{PastRequest, unpack};
use crate::step::StepTable;
use crate::store::{Store, free_bytes};

use super::exit::{CommandError, CommandErrorKind};
use super::lookup::{self, FoundRequest, RequestLookup};

pub struct ReplaySubject {
    pub past: PastRequest,
    /// The journal's history of the request, if there is one.
    pub history: Option<RequestHistory>,
    /// Where its files are as long as this lives, if they came in an exported file.
    _folder: Option<TempDir>,
    may_start: ProgramStart,
}

/// Whether programs may be started that the dataflow of a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramStart {
    /// The request was run here, or its file is trusted.
    Allowed,
    /// It came in a file, whose dataflow says which programs run and what they may see.
    Refused,
}

/// The step that runs any program.
const RUN_PROGRAM: &str = "run-program";

impl ReplaySubject {
    /// `exported` says whether programs may be started if the request is an exported file.
    pub fn find(lookup: &RequestLookup, exported: ProgramStart) -> Result<ReplaySubject, CommandError> {
        let file = Path::new(lookup.request());
        if file.is_file() {
            ReplaySubject::exported(file, exported)
        } else {
            ReplaySubject::remembered(lookup)
        }
    }

    /// The dataflow that it went through, to be run.
    pub fn runnable(&self, table: &StepTable) -> Result<Dataflow, CommandError> {
        let dataflow = self.dataflow(table)?;
        let is_program =
            |name: &str| dataflow.step(name).is_some_and(|step| step.declaration.name == RUN_PROGRAM);
        let runs_programs = dataflow.step_names().any(is_program);
        match runs_programs && self.may_start == ProgramStart::Refused {
            true => Err(untrusted()),
            false => Ok(dataflow),
        }
    }

    /// The dataflow that it went through, with the steps that there are now.
    pub fn dataflow(&self, table: &StepTable) -> Result<Dataflow, CommandError> {
        if self.may_start == ProgramStart::Refused && names_programs(&self.past.recording.dataflow.text) {
            return Err(untrusted());
        }
        self.past.dataflow(table).map_err(|problems| {
            let text = "the dataflow of the request does not fit the steps of this flow";
            CommandError::new(CommandErrorKind::Problems, text)
                .details(problems)
                .hint("run it with the flow that recorded it, or give --dataflow")
        })
    }

    fn remembered(lookup: &RequestLookup) -> Result<ReplaySubject, CommandError> {
        let FoundRequest { state, reader, row } = lookup.find()?;
        ReplaySubject::of_row(&state, &reader, &row)
    }

    /// The request with a number in the journal of a state folder.
    pub fn numbered(state: &Path, number: i64) -> Result<ReplaySubject, CommandError> {
        let reader = lookup::open(state)?;
        let row = reader.row(number).map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let missing = || CommandError::new(CommandErrorKind::Usage, "the request is not remembered any more");
        ReplaySubject::of_row(state, &reader, &row.ok_or_else(missing)?)
    }

    fn of_row(state: &Path, reader: &JournalReader, row: &RequestRow) -> Result<ReplaySubject, CommandError> {
        let failed = CommandError::of(CommandErrorKind::InputOutput);
        let store =
            Store::at(state.join("store")).map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let history = reader.history(row.number).map_err(failed)?;
        let past = PastRequest::of_journal(reader, row, store)
            .map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        Ok(ReplaySubject { past, history: Some(history), _folder: None, may_start: ProgramStart::Allowed })
    }

    fn exported(file: &Path, may_start: ProgramStart) -> Result<ReplaySubject, CommandError> {
        let folder = TempDir::new()?;
        let opened = File::open(file).map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let unpacked = unpack(BufReader::new(opened), folder.path(), free_bytes(folder.path()));
        let unpacked = unpacked.map_err(|error| {
            let why = with_causes(&error);
            let text = format!("could not use {}: {why}", file.display());
            CommandError::new(CommandErrorKind::InputOutput, text)
                .hint("`flow replay REQUEST --export FILE` writes such files")
        })?;
        let past = PastRequest::of_archive(unpacked);
        Ok(ReplaySubject { past, history: None, _folder: Some(folder), may_start })
    }
}

fn untrusted() -> CommandError {
    let text = "the dataflow in the file starts programs on this machine";
    CommandError::new(CommandErrorKind::Usage, text)
        .hint("look at it (tar -xOf FILE manifest.json), and give --trust if you trust whoever made the file")
}
