//! `flow run` of a dataflow that is a row of directories: all stages in this process, or some of them.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admission::StopSignal;
use crate::books::{
    BookChooser, BookInventory, BookStage, RowEnd, RowReport, RowRun, RowRunError, RowSizes, RowUpkeep,
    StageRow, UpkeepOptions,
};
use crate::dataflow::Dataflow;
use crate::printable::PrintableLines;
use crate::step::StepTable;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::listen;
use super::output;
use super::pointless::refuse_given;
use super::progress::ProgressDisplay;
use super::row_display::{RowDisplay, summary, table};
use super::signals;

/// Options for a row of directories.
#[derive(Debug, clap::Args)]
pub struct RowArguments {
    /// Run only this stage of a row of directories, as a process of its own; may be given more than once
    #[arg(long, value_name = "STAGE", help_heading = "Rows of directories")]
    only: Vec<String>,

    /// Run these books, and choose none from the inventory
    #[arg(long, value_name = "BARCODE", num_args = 1.., help_heading = "Rows of directories")]
    books: Vec<String>,

    /// Show the stages that other processes work on, and work on none
    #[arg(long, conflicts_with_all = ["only", "books"], help_heading = "Rows of directories")]
    watch: bool,

    /// Fetch the inventory again, however old it is
    #[arg(long, help_heading = "Rows of directories")]
    refresh: bool,

    /// When the run ends [default: empty, and signal with --only]
    #[arg(long, value_name = "WHEN", help_heading = "Rows of directories")]
    end: Option<EndCondition>,

    /// A worker is lost when it has not renewed its lease for this long
    #[arg(long, value_name = "TIME", default_value = "30", value_parser = listen::time, help_heading = "Rows of directories")]
    lease: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum EndCondition {
    /// When nothing is under way and no book is left
    Empty,
    /// When it gets SIGINT or SIGTERM
    Signal,
}

/// The settings of a run that are not for rows alone.
pub struct RowSettings {
    pub workers: Option<NonZero<usize>>,
    pub lanes: Option<NonZero<usize>>,
    pub free_min: Option<u64>,
}

/// The folder of a row unless another is given.
const ROOT: &str = "flow-output";

const FREE_BYTES_MIN: u64 = 1 << 30;

/// Tokens in work at once, unless said otherwise.
const LANES: NonZero<usize> = NonZero::new(8).expect("eight is not zero");

/// The time between two looks at the directories.
const LOOK: Duration = Duration::from_millis(500);

/// The time between two pictures where standard error is no terminal.
const LOG_LOOK: Duration = Duration::from_secs(10);

/// The row of a dataflow, if it is one.
pub fn row_of(
    name: Option<&str>,
    root: Option<&Path>,
    table: &StepTable,
) -> Result<Option<StageRow>, CommandError> {
    let Some(Ok(dataflow)) = name.map(|name| Dataflow::load(name, table)) else { return Ok(None) };
    if !StageRow::is_row(&dataflow) {
        return Ok(None);
    }
    let root = std::path::absolute(root.unwrap_or(Path::new(ROOT)))?;
    let row = StageRow::of(&dataflow, &root, table);
    row.map(Some).map_err(CommandError::of(CommandErrorKind::Problems))
}

impl RowArguments {
    pub fn run(self, row: StageRow, settings: RowSettings) -> Result<CommandExit, CommandError> {
        if self.watch {
            return watch(&row);
        }
        let stages = self.stages(&row)?;
        if self.refresh
            && let Some(inventory) = BookInventory::of(&row)
        {
            inventory.refresh()?;
        }
        let sizes = RowSizes {
            workers: settings.workers,
            lanes: settings.lanes.unwrap_or(LANES),
            free_bytes_min: settings.free_min.unwrap_or(FREE_BYTES_MIN),
        };
        let progress = Arc::new(ProgressDisplay::new());
        progress.say_line(format_args!("row       {}", row.root.display()));
        let run = RowRun::new(&row, &stages, sizes, Arc::clone(&progress) as _)?;
        signals::handle(run.stop(), || {})?;
        let upkeep = self.upkeep(&run, &progress);
        let began = Instant::now();
        run.run(upkeep, |over| display(&row, over))?;
        conclude(&run, began)
    }

    /// Refuses what has a meaning for a row of directories only.
    pub fn refuse_elsewhere(&self) -> Result<(), CommandError> {
        let given = [
            ("--only or --books", !self.only.is_empty() || !self.books.is_empty()),
            ("--watch, --refresh or --end", self.watch || self.refresh || self.end.is_some()),
        ];
        refuse_given(given, "it is for a row of directories, as the dataflow books")
    }

    fn stages(&self, row: &StageRow) -> Result<Vec<Arc<BookStage>>, CommandError> {
        if self.only.is_empty() {
            return Ok(row.stages.clone());
        }
        let find = |name: &String| match row.stage(name) {
            Some((_, stage)) => Ok(Arc::clone(stage)),
            None => {
                let names: Vec<&str> = row.stages.iter().map(|stage| stage.name.as_str()).collect();
                let text = format!("{name:?} is no stage of {}", row.name);
                let failure = CommandError::new(CommandErrorKind::Usage, text);
                Err(failure.hint(&format!("the stages are {}", names.join(", "))))
            }
        };
        self.only.iter().map(find).collect()
    }

    fn upkeep(&self, run: &RowRun, progress: &Arc<ProgressDisplay>) -> RowUpkeep {
        let is_whole = self.only.is_empty();
        let end = match self.end {
            Some(EndCondition::Empty) => RowEnd::Empty,
            Some(EndCondition::Signal) => RowEnd::Signal,
            None if is_whole => RowEnd::Empty,
            None => RowEnd::Signal,
        };
        let given = (!self.books.is_empty()).then(|| self.books.clone());
        let progress = Arc::clone(progress);
        RowUpkeep {
            row: run.row.clone(),
            works: run.works.clone(),
            chooser: (is_whole || given.is_some()).then(|| BookChooser::new(&run.row, given)),
            options: UpkeepOptions { end, lapse: self.lease },
            stop: Arc::clone(run.stop()),
            tell: Arc::new(move |text| progress.say_line(text)),
        }
    }
}

/// Shows the stages until the end.
fn display(row: &StageRow, over: &StopSignal) {
    let mut report = RowReport::new(row);
    let mut display = RowDisplay::new();
    let look = if output::shows_progress() { LOOK } else { LOG_LOOK };
    while !over.wait(look) {
        if let Ok((lines, done)) = report.look() {
            display.show(&lines, done);
        }
    }
    display.clear();
}

/// Says how many, how fast and where.
fn conclude(run: &RowRun, began: Instant) -> Result<CommandExit, CommandError> {
    let took = began.elapsed();
    let (row, works) = (&run.row, &run.works);
    let mut report = RowReport::new(row);
    let (lines, done) = report.look().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
    let counts: Vec<_> = works.iter().map(|work| (work.stage.name.clone(), work.counts())).collect();
    output::print(&summary(row, &lines, done, &counts, took))?;
    let failed = lines.iter().any(|line| line.count.failed > 0);
    Ok(if failed { CommandExit::WithErrors } else { CommandExit::Done })
}

/// Shows the stages that other processes work on: again and again on a terminal, once elsewhere.
fn watch(row: &StageRow) -> Result<CommandExit, CommandError> {
    let mut report = RowReport::new(row);
    let failed = CommandError::of(CommandErrorKind::InputOutput);
    if !output::shows_progress() {
        report.look().map_err(&failed)?;
        std::thread::sleep(2 * LOOK);
        let (lines, done) = report.look().map_err(&failed)?;
        output::print(&PrintableLines::default().lines_of(table(&lines, done)))?;
        return Ok(CommandExit::Done);
    }
    let stop = Arc::new(StopSignal::default());
    signals::handle(&stop, || {})?;
    display(row, &stop);
    Ok(CommandExit::Done)
}

impl From<RowRunError> for CommandError {
    fn from(error: RowRunError) -> CommandError {
        match error {
            RowRunError::Service(error) => error.into(),
            error @ (RowRunError::Tokens(_) | RowRunError::Threads(_)) => {
                CommandError::of(CommandErrorKind::InputOutput)(error)
            }
        }
    }
}
