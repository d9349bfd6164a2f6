//! The past request that a command is about: one that a journal remembers, or one in an exported file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use tempfile::TempDir;

use crate::dataflow::Dataflow;
use crate::journal::History;
use crate::replay::{Past, unpack};
use crate::step::Table;
use crate::store::{Store, free_bytes};

use super::exit::{Failure, Kind};
use super::lookup::Lookup;

pub struct Subject {
    pub past: Past,
    /// What else the journal knows of it.
    pub history: Option<History>,
    /// Where its files are as long as this lives, if they came in an exported file.
    _folder: Option<TempDir>,
}

impl Subject {
    pub fn find(lookup: &Lookup) -> Result<Subject, Failure> {
        let file = Path::new(lookup.request());
        if file.is_file() { Subject::exported(file) } else { Subject::remembered(lookup) }
    }

    /// The dataflow that it went through, with the steps that there are now.
    pub fn dataflow(&self, table: &Table) -> Result<Dataflow, Failure> {
        self.past.dataflow(table).map_err(|problems| {
            let text = format!("the dataflow of the request does not fit the steps of this flow\n{problems}");
            Failure::new(Kind::Problems, text)
                .hint("run it with the flow that recorded it, or give --dataflow")
        })
    }

    fn remembered(lookup: &Lookup) -> Result<Subject, Failure> {
        let failed = Failure::of(Kind::InputOutput);
        let (reader, row) = lookup.find()?;
        let store = Store::at(lookup.state().join("store")).map_err(Failure::of(Kind::InputOutput))?;
        let history = reader.history(row.number).map_err(failed)?;
        let past = Past::of_journal(&reader, &row, store).map_err(Failure::of(Kind::InputOutput))?;
        Ok(Subject { past, history: Some(history), _folder: None })
    }

    fn exported(file: &Path) -> Result<Subject, Failure> {
        let folder = TempDir::new()?;
        let opened = File::open(file).map_err(Failure::of(Kind::InputOutput))?;
        let unpacked = unpack(BufReader::new(opened), folder.path(), free_bytes(folder.path()));
        let unpacked = unpacked.map_err(|error| {
            let why = super::exit::with_causes(&error);
            let text = format!("could not use {}: {why}", file.display());
            Failure::new(Kind::InputOutput, text)
                .hint("`flow replay REQUEST --export FILE` writes such files")
        })?;
        Ok(Subject { past: Past::of_archive(unpacked), history: None, _folder: Some(folder) })
    }
}
