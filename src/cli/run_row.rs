//! `flow run` of a dataflow that is a row of directories: all stages in this process, or some of them.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admission::{DataflowSelector, Service, ServiceSettings, Source, StopSignal};
use crate::books::{
    BookChooser, BookInventory, BookStage, RowEnd, RowReport, RowUpkeep, StageRow, StageSink, StageSource,
    StageWork, UpkeepOptions,
};
use crate::dataflow::Dataflow;
use crate::engine::{EngineSettings, NullObserver};
use crate::journal::Journal;
use crate::printable::PrintableLines;
use crate::step::{Request, StepTable};
use crate::store::Store;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::listen;
use super::output;
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
pub const ROOT: &str = "flow-output";

const FREE_BYTES_MIN: u64 = 1 << 30;

/// Tokens in work at once, unless said otherwise.
const LANES: NonZero<usize> = NonZero::new(8).expect("eight is not zero");

/// Tokens that a stage may have claimed for each lane: they share the syncs of the disk.
const CLAIMED_PER_LANE: usize = 8;

/// The time between two looks at the directories.
const LOOK: Duration = Duration::from_millis(500);

/// The time between two pictures where standard error is no terminal.
const LOG_LOOK: Duration = Duration::from_secs(10);

/// The row of a dataflow, if it is one.
pub fn row_of(name: &str, root: &Path, table: &StepTable) -> Result<Option<StageRow>, CommandError> {
    let Ok(dataflow) = Dataflow::load(name, table) else { return Ok(None) };
    if !StageRow::is_row(&dataflow) {
        return Ok(None);
    }
    let root = std::path::absolute(root)?;
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
        let lanes = settings.lanes.unwrap_or(LANES);
        let progress = Arc::new(ProgressDisplay::new());
        progress.say_line(format_args!("row       {}", row.root.display()));
        let claimed = lanes.get() * CLAIMED_PER_LANE;
        let works = stages.iter().map(|stage| StageWork::new(stage, claimed));
        let works: Vec<Arc<StageWork>> = works
            .map(|work| work.map(Arc::new))
            .collect::<Result<_, _>>()
            .map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let service = service(&row, &stages, &progress)?;
        signals::handle(&service.stop, || {})?;
        let upkeep = self.upkeep(&row, &works, &service, &progress);
        let began = Instant::now();
        let free_min = settings.free_min.unwrap_or(FREE_BYTES_MIN);
        run_row(&service, &works, upkeep, &EngineSizes { workers: settings.workers, lanes, free_min })?;
        conclude(&row, &works, began)
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

    fn upkeep(
        &self,
        row: &StageRow,
        works: &[Arc<StageWork>],
        service: &Service,
        progress: &Arc<ProgressDisplay>,
    ) -> RowUpkeep {
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
            row: row.clone(),
            works: works.to_vec(),
            chooser: (is_whole || given.is_some()).then(|| BookChooser::new(row, given)),
            options: UpkeepOptions { end, lapse: self.lease },
            stop: Arc::clone(&service.stop),
            tell: Arc::new(move |text| progress.say_line(text)),
        }
    }
}

fn service(
    row: &StageRow,
    stages: &[Arc<BookStage>],
    progress: &Arc<ProgressDisplay>,
) -> Result<Service, CommandError> {
    let names: Vec<String> = stages.iter().map(|stage| stage.name.clone()).collect();
    let choose = move |request: &Request| {
        let stage = request.attribute("stage");
        names.iter().position(|name| name == stage).unwrap_or_default()
    };
    let dataflows: Vec<Arc<Dataflow>> = stages.iter().map(|stage| Arc::clone(&stage.dataflow)).collect();
    let state = row.root.join(".engine");
    let store = Store::at(&state).map_err(CommandError::of(CommandErrorKind::InputOutput))?;
    let dataflows = DataflowSelector::by(dataflows, choose);
    let journal = Journal::none(Arc::new(store));
    let mut service = Service::with_journal(ServiceSettings::at(state), journal, dataflows);
    service.observer = Arc::clone(progress) as _;
    Ok(service)
}

/// How large the engine is, and when it begins nothing new.
struct EngineSizes {
    workers: Option<NonZero<usize>>,
    lanes: NonZero<usize>,
    free_min: u64,
}

fn run_row(
    service: &Service,
    works: &[Arc<StageWork>],
    mut upkeep: RowUpkeep,
    sizes: &EngineSizes,
) -> Result<(), CommandError> {
    let first = upkeep.row.choice.to.clone();
    let sources = works.iter().map(|work| {
        // A full disk holds up what begins: what has begun may make room.
        let free_min = if work.stage.from.name() == first { sizes.free_min } else { 0 };
        Arc::new(StageSource::new(work, free_min)) as Arc<dyn Source>
    });
    let sources: Vec<Arc<dyn Source>> = sources.collect();
    let sink = StageSink::start(works)?;
    let workers =
        sizes.workers.or(std::thread::available_parallelism().ok()).unwrap_or(NonZero::<usize>::MIN);
    let settings = EngineSettings { workers, lanes: sizes.lanes, ..EngineSettings::default() };
    let over = StopSignal::default();
    let row = upkeep.row.clone();
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| upkeep.run(&over));
        scope.spawn(|| display(&row, &over));
        let ran = service.run_all(sources, &sink, settings, Arc::new(NullObserver));
        over.request();
        ran
    });
    ran?;
    Ok(())
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
fn conclude(row: &StageRow, works: &[Arc<StageWork>], began: Instant) -> Result<CommandExit, CommandError> {
    let took = began.elapsed();
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
        output::print(&PrintableLines::of(table(&lines, done)))?;
        return Ok(CommandExit::Done);
    }
    let stop = Arc::new(StopSignal::default());
    signals::handle(&stop, || {})?;
    display(row, &stop);
    Ok(CommandExit::Done)
}
