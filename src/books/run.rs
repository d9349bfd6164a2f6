//! A row, or some of its stages, run by the engine of this process.

use std::io;
use std::num::NonZero;
use std::sync::Arc;

use crate::admission::{
    AdmissionObserver, DataflowSelector, Service, ServiceError, ServiceSettings, Source, StopSignal,
};
use crate::dataflow::Dataflow;
use crate::engine::{EngineSettings, NullObserver};
use crate::journal::Journal;
use crate::step::Request;
use crate::store::Store;
use crate::tokens::TokenError;

use super::sink::StageSink;
use super::source::{STAGE, StageSource};
use super::stages::{BookStage, StageRow};
use super::upkeep::RowUpkeep;
use super::work::StageWork;

/// How large the engine is, and when nothing new is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSizes {
    /// Worker threads; one for each core, unless said.
    pub workers: Option<NonZero<usize>>,
    /// Tokens of a stage in work at once.
    pub lanes: NonZero<usize>,
    /// The first stage begins nothing with less free bytes on the disk.
    pub free_bytes_min: u64,
}

/// Stages of a row in this process.
pub struct RowRun {
    pub row: StageRow,
    pub works: Vec<Arc<StageWork>>,
    service: Service,
    sizes: RowSizes,
}

/// Why a row could not be run. Tokens stay where they are.
#[derive(Debug, thiserror::Error)]
pub enum RowRunError {
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("could not start the threads of the row")]
    Threads(#[from] io::Error),
}

/// Tokens that a stage may have claimed for each lane: they share the syncs of the disk.
const CLAIMED_PER_LANE: usize = 32;

impl RowRun {
    /// The stages, each with a place of its own. The engine records nothing: the directories do.
    ///
    /// # Errors
    /// If the directories cannot be made.
    pub fn new(
        row: &StageRow,
        stages: &[Arc<BookStage>],
        sizes: RowSizes,
        observer: Arc<dyn AdmissionObserver>,
    ) -> Result<RowRun, RowRunError> {
        let claimed = sizes.lanes.get() * CLAIMED_PER_LANE;
        let works = stages.iter().map(|stage| StageWork::new(stage, claimed).map(Arc::new));
        let works = works.collect::<Result<Vec<_>, _>>()?;
        let names: Vec<String> = stages.iter().map(|stage| stage.name.clone()).collect();
        let choose = move |request: &Request| {
            let stage = request.attribute(STAGE);
            names.iter().position(|name| name == stage).unwrap_or_default()
        };
        let dataflows: Vec<Arc<Dataflow>> = stages.iter().map(|stage| Arc::clone(&stage.dataflow)).collect();
        let state = row.root.join(".engine");
        let store = Store::at(&state).map_err(ServiceError::from)?;
        let dataflows = DataflowSelector::by(dataflows, choose);
        let journal = Journal::none(Arc::new(store));
        let mut service = Service::with_journal(ServiceSettings::at(state), journal, dataflows);
        service.observer = observer;
        Ok(RowRun { row: row.clone(), works, service, sizes })
    }

    /// The signal that ends the run: what has been claimed is still worked on.
    pub fn stop(&self) -> &Arc<StopSignal> {
        &self.service.stop
    }

    /// Runs until the end that the upkeep has found, or until it is stopped. `beside` runs meanwhile, and ends when
    /// its signal says so.
    ///
    /// # Errors
    /// If a thread or the engine cannot be started.
    pub fn run(&self, upkeep: RowUpkeep, beside: impl FnOnce(&StopSignal) + Send) -> Result<(), RowRunError> {
        let sources = self.works.iter().map(|work| {
            // A full disk holds up what begins: what has begun may make room.
            let is_first = work.stage.from.name() == self.row.choice.to;
            let free_bytes_min = if is_first { self.sizes.free_bytes_min } else { 0 };
            Arc::new(StageSource::new(work, free_bytes_min)) as Arc<dyn Source>
        });
        let sources: Vec<Arc<dyn Source>> = sources.collect();
        let sink = StageSink::start(&self.works, self.stop())?;
        let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let workers = self.sizes.workers.unwrap_or(cores);
        // Tokens that wait for a slow service leave the other stages their lanes.
        let lanes = self.sizes.lanes;
        let in_work_max = lanes.checked_mul(NonZero::new(self.works.len()).unwrap_or(NonZero::<usize>::MIN));
        let settings = EngineSettings { workers, lanes, in_work_max, ..EngineSettings::default() };
        let over = StopSignal::default();
        std::thread::scope(|scope| {
            scope.spawn(|| upkeep.run(&over));
            scope.spawn(|| beside(&over));
            let ran = self.service.run_all(sources, &sink, settings, Arc::new(NullObserver));
            over.request();
            ran.map(drop)
        })?;
        Ok(())
    }
}
