//! `flow replay`: a past request run again, compared with what was recorded, or packed into a file.

use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::{NamedTempFile, TempDir};

use crate::dataflow::Dataflow;
use crate::dicom::PseudonymKey;
use crate::monitor::ReplayFunction;
use crate::printable::counted;
use crate::replay::{
    PastRequest, ReplayObserver, ReplayResult, ReplayScope, ReplayedRun, RunVerdict, again, anonymous, pack,
    shadow,
};
use crate::step::StepTable;

use super::differences::{DifferenceForm, DifferencePrinter};
use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::lookup::RequestLookup;
use super::output;
use super::subject::{ProgramStart, ReplaySubject};

/// Run a past request again and compare what it gives with what was recorded
///
/// Nothing is sent, and nothing of the request changes. Works beside a running flow, on the state of a
/// stopped one, and on an exported file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow replay SAMPLE-1                        every step; says which are identical
  flow replay SAMPLE-1 --from densities       this step and what stands behind it
  perf record flow replay SAMPLE-1 --only lungs
                                              one step, with a profiler, a debugger or prints
  flow replay SAMPLE-1 --dataflow new.yaml --diff
                                              what another dataflow would make of it
  flow replay SAMPLE-1 --export case.tar --anonymous
                                              for another machine, without the patient
  flow replay case.tar                        there")]
pub struct ReplayArguments {
    #[command(flatten)]
    lookup: RequestLookup,

    /// Run this step and what stands behind it; what stands before is taken from the record
    #[arg(long, value_name = "STEP", conflicts_with_all = ["only", "dataflow"])]
    from: Option<String>,

    /// Run this step alone, in the foreground
    #[arg(long, value_name = "STEP", conflicts_with = "dataflow")]
    only: Option<String>,

    /// Run it through this dataflow besides, and compare the two
    #[arg(long, value_name = "DATAFLOW")]
    dataflow: Option<String>,

    /// Show what differs: value by value, and picture by picture
    #[arg(long)]
    diff: bool,

    /// Where --diff writes pictures of what differs
    #[arg(short, long, value_name = "DIR", default_value = "flow-replay")]
    output: PathBuf,

    /// Print a line of JSON for each step
    #[arg(long)]
    json: bool,

    /// Run nothing: pack the request with all that is recorded of it into one file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "only", "dataflow", "diff", "json"])]
    export: Option<PathBuf>,

    /// Remove the patient from what is exported (DICOM PS3.15 E.1, basic profile), and run it once for
    /// that; pixels stay as they are
    #[arg(long, requires = "export")]
    anonymous: bool,

    /// Start the programs that the dataflow of an exported file names: trust whoever made it
    #[arg(long)]
    trust: bool,
}

impl ReplayArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let programs = if self.trust { ProgramStart::Allowed } else { ProgramStart::Refused };
        let subject = ReplaySubject::find(&self.lookup, programs)?;
        let gone = "a request from files can be run again as long as its files are where they were";
        subject
            .past
            .check_items()
            .map_err(|error| CommandError::of(CommandErrorKind::InputOutput)(error).hint(gone))?;
        let dataflow = subject.runnable(table)?;
        match &self.export {
            Some(file) if self.anonymous => export_anonymous(&subject.past, &dataflow, file),
            Some(file) => export(&subject.past, file),
            None => self.replay(&subject.past, &dataflow, table),
        }
    }

    fn replay(
        &self,
        past: &PastRequest,
        dataflow: &Dataflow,
        table: &StepTable,
    ) -> Result<CommandExit, CommandError> {
        let other = self.dataflow.as_ref().map(|other| Dataflow::load(other, table)).transpose()?;
        let form = if self.json { DifferenceForm::Json } else { DifferenceForm::Text };
        let mut differences = DifferencePrinter::new(past, Some(&self.output), form);
        let mut tell = |ran: &ReplayedRun| differences.take(ran);
        let listed = if self.diff { CHANGES_LISTED } else { 0 };
        let watch = ReplayObserver { listed, tell: Some(&mut tell), ..ReplayObserver::default() };
        let ran = match other {
            None => again(past, dataflow, self.scope(), watch),
            Some(other) => {
                again(past, dataflow, ReplayScope::Whole, ReplayObserver::default()).map(|first| {
                    warn(&first);
                    shadow(past, &other, &first, watch)
                })
            }
        };
        let ran = ran.map_err(|error| no_such_step(&error.0, dataflow))?;
        differences.conclude(self.scope(), &ran)
    }

    fn scope(&self) -> ReplayScope<'_> {
        match (&self.from, &self.only) {
            (Some(step), _) => ReplayScope::From(step),
            (None, Some(step)) => ReplayScope::Only(step),
            (None, None) => ReplayScope::Whole,
        }
    }
}

/// Replays of requests in a journal, for the status page.
pub fn replay_function(state: &Path, table: StepTable) -> Arc<ReplayFunction> {
    let state = state.to_owned();
    Arc::new(move |number, cancel, note| {
        let failed = |error: CommandError| error.message().to_owned();
        let subject = ReplaySubject::numbered(&state, number).map_err(failed)?;
        subject.past.check_items().map_err(|error| error.to_string())?;
        let dataflow = subject.dataflow(&table).map_err(failed)?;
        let mut differences = DifferencePrinter::new(&subject.past, None, DifferenceForm::Handed(note));
        let mut tell = |ran: &ReplayedRun| differences.take(ran);
        let watch = ReplayObserver { listed: CHANGES_LISTED, tell: Some(&mut tell), cancel: cancel.clone() };
        let ran = again(&subject.past, &dataflow, ReplayScope::Whole, watch).map_err(|error| error.0)?;
        cancel.check().map_err(|fault| fault.to_string())?;
        differences.end(ReplayScope::Whole, &ran).map_err(|error| error.to_string())
    })
}

/// The number of changes of each value or file that are listed.
const CHANGES_LISTED: usize = 20;

/// Warns if the recorded dataflow gives other results now: then the two dataflows are not the only cause of
/// differences.
fn warn(first: &ReplayResult) {
    let others = first.runs.iter().filter(|ran| ran.verdict != RunVerdict::Identical).count();
    if others > 0 {
        output::tell_line(format_args!(
            "warning: even through the recorded dataflow other results than recorded come of {}; compared is what both \
             dataflows give now",
            counted(others, "run")
        ));
    }
}

fn no_such_step(step: &str, dataflow: &Dataflow) -> CommandError {
    let names: Vec<&str> = dataflow.nodes.iter().map(|node| &*node.name).collect();
    let text = format!("the dataflow of the request has no step {step:?}");
    CommandError::new(CommandErrorKind::Usage, text).hint(&format!("it has {}", names.join(", ")))
}

fn export_anonymous(
    past: &PastRequest,
    dataflow: &Dataflow,
    file: &Path,
) -> Result<CommandExit, CommandError> {
    let folder = TempDir::new()?;
    let hint = "what cannot be read to its end cannot be judged, and nothing was written";
    let without = anonymous(past, dataflow, folder.path(), &key()?)
        .map_err(|error| CommandError::of(CommandErrorKind::InputOutput)(error).hint(hint))?;
    if without.burned_in > 0 {
        let files = counted(without.burned_in, "file");
        output::tell_line(format_args!(
            "warning: the pixels of {files} show who the patient is, as the header says; pixels stay as they are"
        ));
    }
    if without.unsaid > 0 {
        let files = counted(without.unsaid, "file");
        output::tell_line(format_args!(
            "note: look at the pixels of {files}: the header does not say whether they show who the patient is"
        ));
    }
    export(&without.past, file)
}

/// A secret for the replacements. It is not stored, so that nobody can find out by trying which identifier a
/// replacement stands for.
fn key() -> Result<PseudonymKey, CommandError> {
    let mut secret = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(PseudonymKey::new(secret))
}

/// The file appears whole or not at all.
fn export(past: &PastRequest, file: &Path) -> Result<CommandExit, CommandError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritten = |error: std::io::Error| {
        CommandError::new(
            CommandErrorKind::InputOutput,
            format!("could not write {}: {error}", file.display()),
        )
    };
    let mut part = NamedTempFile::new_in(folder).map_err(unwritten)?;
    pack(&past.recording, |digest| past.open(digest), BufWriter::new(part.as_file_mut()))
        .map_err(CommandError::of(CommandErrorKind::InputOutput))?;
    part.as_file().sync_all().map_err(unwritten)?;
    part.persist(file).map_err(|error| unwritten(error.error))?;
    output::print_line(file.display())?;
    Ok(CommandExit::Done)
}
