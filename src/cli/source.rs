//! The sources of `flow run`, as the options say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::admission::{DataflowSelector, Service, Source};
use crate::dicom::folder::{InputError, SkippedPath};
use crate::dicom::{DeliveredObjects, StudyFiles};
use crate::files::{FilesError, PlainFiles, SkippedFile};
use crate::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};
use crate::outbox::Outbox;
use crate::printable::counted;
use crate::step::Request;

use super::exit::{CommandError, CommandErrorKind};
use super::progress::ProgressDisplay;
use super::truth;
use crate::tally::{SampleJobs, TallyTruth};

/// The sources of one run.
#[derive(Default)]
pub struct Input {
    /// Empty in a process of a cluster that takes nothing in.
    pub sources: Vec<Arc<dyn Source>>,
    /// A sample: afterwards the results are compared with what is true.
    sample: Option<(Request, SampleTruth)>,
    /// The reason for having no input: told again when all that was left is answered.
    pub missing: Option<CommandError>,
}

/// What is true of a sample.
enum SampleTruth {
    Chest(Box<PhantomChest>),
    Tally(TallyTruth),
}

/// More skipped files than this are counted, not named.
const SKIPPED_NAMED_MAX: usize = 20;

/// The error of a path that was to be looked into.
pub fn unopened(error: InputError) -> CommandError {
    CommandError::of(kind(error.is_missing()))(error)
}

/// There is no input only where nothing is there.
fn kind(is_missing: bool) -> CommandErrorKind {
    if is_missing { CommandErrorKind::NoInput } else { CommandErrorKind::InputOutput }
}

impl Input {
    /// The studies found in files, without what was given away as results.
    pub fn studies(
        paths: &[PathBuf],
        results: &DeliveredObjects,
        progress: &ProgressDisplay,
    ) -> Result<Input, CommandError> {
        let found = StudyFiles::find_without(paths, results).map_err(unopened)?;
        let skipped = found.skipped.iter();
        tell_skipped(skipped.map(|SkippedPath { path, reason, .. }| (path, reason)), progress);
        if found.studies.is_empty() {
            let failure =
                CommandError::new(CommandErrorKind::NoInput, format!("no DICOM study in {}", joined(paths)));
            return Err(failure.hint("`flow sample DIR` writes studies to try"));
        }
        Ok(Input::of(found))
    }

    /// Files of any kind.
    pub fn files(paths: &[PathBuf], progress: &ProgressDisplay) -> Result<Input, CommandError> {
        let unopened = |error: FilesError| CommandError::of(kind(error.is_missing()))(error);
        let found = PlainFiles::find(paths).map_err(unopened)?;
        tell_skipped(found.skipped().iter().map(|SkippedFile { path, reason }| (path, reason)), progress);
        Ok(Input::of(found))
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
        let truth = SampleTruth::Chest(Box::new(chest));
        Ok(Input { sample: Some((request, truth)), ..Input::of(found) })
    }

    /// Writes sample jobs for the dataflow `tally` below a folder and takes them in from there.
    pub fn sample_jobs(folder: &Path) -> Result<Input, CommandError> {
        let jobs = SampleJobs::new(SampleJobs::USUAL);
        let path = folder.join("jobs.jsonl");
        let written = std::fs::create_dir_all(folder).and_then(|()| jobs.write(&path));
        let truth = written.and_then(|()| jobs.truth());
        let truth = truth.map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let found = PlainFiles::find(&[path]).map_err(CommandError::of(CommandErrorKind::NoInput))?;
        let request = found.requests().first().expect("the file is a request").clone();
        Ok(Input { sample: Some((request, SampleTruth::Tally(truth))), ..Input::of(found) })
    }

    fn of(source: impl Source + 'static) -> Input {
        Input::default().and(source)
    }

    /// Prints what is left to say when all is answered.
    pub fn conclude(&self, outbox: &Outbox, dataflows: &DataflowSelector) {
        if let Some((request, truth)) = &self.sample
            && let Some(place) = outbox.place(request, dataflows.of(request).name())
        {
            match truth {
                SampleTruth::Chest(chest) => truth::compare(&chest.truth(), &place),
                SampleTruth::Tally(truth) => truth::compare_totals(truth, &place),
            }
        }
    }

    /// An input that is missing ends the command only when the requests that an earlier process left are answered.
    pub fn after_left(
        found: Result<Input, CommandError>,
        service: &Service,
        progress: &ProgressDisplay,
    ) -> Result<Input, CommandError> {
        let missing = match found {
            Ok(input) => return Ok(input),
            Err(missing) => missing,
        };
        match service.journal.open_requests()?.len() {
            0 => Err(missing),
            left => {
                let then =
                    format_args!("  first, the requests that are not answered yet go on: {left}").to_string();
                progress.say(&missing.lines().line(then));
                Ok(Input::missing(missing))
            }
        }
    }
}

fn tell_skipped<'a>(
    skipped: impl ExactSizeIterator<Item = (&'a PathBuf, &'a String)>,
    progress: &ProgressDisplay,
) {
    let count = skipped.len();
    for (path, reason) in skipped.take(SKIPPED_NAMED_MAX) {
        progress.say_line(format_args!("skipped   {}: {reason}", path.display()));
    }
    if let Some(more @ 1..) = count.checked_sub(SKIPPED_NAMED_MAX) {
        progress.say_line(format_args!("skipped   {}", counted(more, "more file")));
    }
}

fn joined(paths: &[PathBuf]) -> String {
    let texts: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    texts.join(", ")
}
