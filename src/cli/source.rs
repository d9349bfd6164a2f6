//! The sources of `flow run`, as the options say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::admission::Source;
use crate::dicom::folder::SkippedPath;
use crate::dicom::{DeliveredObjects, StudyFiles};
use crate::files::PlainFiles;
use crate::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};
use crate::outbox::Outbox;
use crate::step::Request;

use super::exit::{CommandError, CommandErrorKind};
use super::progress::ProgressDisplay;
use super::truth;

/// The sources of one run.
#[derive(Default)]
pub struct Input {
    /// Empty in a process of a cluster that takes nothing in.
    pub sources: Vec<Arc<dyn Source>>,
    /// A synthetic study: afterwards the results are compared with what is true.
    sample: Option<(Request, Box<PhantomChest>)>,
    /// The reason for having no input: told again when all that was left is answered.
    pub missing: Option<CommandError>,
}

/// More skipped files than this are counted, not named.
const SKIPPED_NAMED_MAX: usize = 20;

impl Input {
    /// The studies found in files, without what was given away as results.
    pub fn studies(
        paths: &[PathBuf],
        results: &DeliveredObjects,
        progress: &ProgressDisplay,
    ) -> Result<Input, CommandError> {
        let found = StudyFiles::find_without(paths, results);
        let found = found.map_err(CommandError::of(CommandErrorKind::NoInput))?;
        for SkippedPath { path, reason, .. } in found.skipped.iter().take(SKIPPED_NAMED_MAX) {
            progress.say_line(format_args!("skipped   {}: {reason}", path.display()));
        }
        if let Some(more @ 1..) = found.skipped.len().checked_sub(SKIPPED_NAMED_MAX) {
            progress.say_line(format_args!("skipped   {more} more files"));
        }
        if found.studies.is_empty() {
            let failure =
                CommandError::new(CommandErrorKind::NoInput, format!("no DICOM study in {}", joined(paths)));
            return Err(failure.hint("`flow sample DIR` writes studies to try"));
        }
        Ok(Input::of(found))
    }

    /// Files of any kind.
    pub fn files(paths: &[PathBuf]) -> Result<Input, CommandError> {
        PlainFiles::find(paths).map(Input::of).map_err(CommandError::of(CommandErrorKind::NoInput))
    }

    /// Sources that the site's file has made.
    pub fn made(sources: Vec<Arc<dyn Source>>) -> Input {
        Input { sources, ..Input::default() }
    }

    /// An input that is not there.
    pub fn missing(missing: CommandError) -> Input {
        Input { missing: Some(missing), ..Input::default() }
    }

    /// Adds a source.
    pub fn and(mut self, source: impl Source + 'static) -> Input {
        self.sources.push(Arc::new(source));
        self
    }

    /// Writes the default sample below a folder and takes it in from there.
    pub fn sample(folder: &Path) -> Result<Input, CommandError> {
        let chest = PhantomChest::new(&PhantomOptions::default());
        // One of an earlier run may be another version's.
        let _ = std::fs::remove_dir_all(folder);
        chest
            .write(folder, PhantomSyntax::default())
            .map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let found =
            StudyFiles::find(&[folder.to_owned()]).map_err(CommandError::of(CommandErrorKind::NoInput))?;
        let request = found.studies.first().expect("the sample is a study").clone();
        Ok(Input { sample: Some((request, Box::new(chest))), ..Input::of(found) })
    }

    fn of(source: impl Source + 'static) -> Input {
        Input::default().and(source)
    }

    /// Prints what is left to say when all is answered.
    pub fn conclude(&self, outbox: &Outbox) {
        if let Some((request, chest)) = &self.sample
            && let Some(place) = outbox.place(request)
        {
            truth::compare(&chest.truth(), &place);
        }
    }
}

fn joined(paths: &[PathBuf]) -> String {
    let texts: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    texts.join(", ")
}
