//! Where the requests of `flow run` come from.

use std::path::{Path, PathBuf};

use crate::dicom::folder::{self, Found, Skipped};
use crate::imaging::phantom::{Chest, Options, Syntax};
use crate::outbox::Outbox;
use crate::step::Request;

use super::exit::{Failure, Kind};
use super::intake::Intake;
use super::listen::Receiver;
use super::progress::Progress;
use super::truth;

pub enum Source {
    /// Studies found in files, and whether there were files that could not be read.
    Files {
        studies: Vec<Request>,
        unread: bool,
    },
    Listen(Box<Receiver>),
    /// A synthetic study; afterwards the results are compared with what is true.
    Sample {
        request: Box<Request>,
        chest: Box<Chest>,
    },
    /// Another process takes requests in.
    Elsewhere,
}

/// More skipped files than this are counted, not named.
const SKIPPED_NAMED_MAX: usize = 20;

impl Source {
    pub fn files(paths: &[PathBuf], progress: &Progress) -> Result<Source, Failure> {
        let Found { studies, skipped } = folder::find(paths).map_err(Failure::of(Kind::NoInput))?;
        for Skipped { path, reason } in skipped.iter().take(SKIPPED_NAMED_MAX) {
            let path = path.to_string_lossy().replace('\n', "\u{fffd}");
            progress.say(&format!("skipped   {path}: {reason}"));
        }
        if let Some(more @ 1..) = skipped.len().checked_sub(SKIPPED_NAMED_MAX) {
            progress.say(&format!("skipped   {more} more files"));
        }
        if studies.is_empty() {
            let failure = Failure::new(Kind::NoInput, format!("no DICOM study in {}", joined(paths)));
            return Err(failure.hint("`flow sample DIR` writes studies to try"));
        }
        let unread = skipped.iter().any(Skipped::is_unread);
        Ok(Source::Files { studies, unread })
    }

    /// Writes the default sample below a folder and takes it in from there.
    pub fn sample(folder: &Path) -> Result<Source, Failure> {
        let chest = Chest::new(&Options::default());
        // One of an earlier run may be another version's.
        let _ = std::fs::remove_dir_all(folder);
        chest.write(folder, Syntax::default()).map_err(Failure::of(Kind::InputOutput))?;
        let found = folder::find(&[folder.to_owned()]).map_err(Failure::of(Kind::NoInput))?;
        let request = found.studies.into_iter().next().expect("the sample is a study");
        Ok(Source::Sample { request: Box::new(request), chest: Box::new(chest) })
    }

    /// Hands over all requests; returns when no more come. Gives whether all could be accepted.
    pub fn feed(&self, intake: &Intake) -> bool {
        match self {
            Source::Files { studies, .. } => studies.iter().all(|request| accepted(intake, request)),
            Source::Sample { request, .. } => accepted(intake, request),
            Source::Listen(receiver) => {
                receiver.serve(intake);
                true
            }
            Source::Elsewhere => true,
        }
    }

    /// Whether something that was given was not taken in, though it may be part of a study.
    pub fn is_incomplete(&self) -> bool {
        match self {
            Source::Files { unread, .. } => *unread,
            Source::Listen(receiver) => receiver.is_incomplete(),
            Source::Sample { .. } | Source::Elsewhere => false,
        }
    }

    /// What is left to say when all is answered.
    pub fn conclude(&self, outbox: &Outbox) {
        if let Source::Sample { request, chest } = self
            && let Some(place) = outbox.place(request)
        {
            truth::compare(&chest.truth(), &place);
        }
    }
}

/// What cannot be recorded is not begun: the files are where they were, and can be given again.
fn accepted(intake: &Intake, request: &Request) -> bool {
    let taken = intake.take(request.clone());
    if let Err(error) = &taken {
        let text = format!("NOT ACCEPTED {} and what comes after it: {error}", request.name);
        intake.progress.say(&format!("{text}\n  hint: mend it, and run the same command again"));
    }
    taken.is_ok()
}

fn joined(paths: &[PathBuf]) -> String {
    let texts: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    texts.join(", ")
}
