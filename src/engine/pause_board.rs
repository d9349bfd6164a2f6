//! What is paused: dataflows, steps and destinations, as long as an operator wants it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of the work that can be paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausablePart {
    /// Requests that go through this dataflow are not begun. Those in work go on.
    Dataflow(String),
    /// Runs of a step are not begun, and neither are its calls.
    Step {
        /// The name of the dataflow.
        dataflow: String,
        /// The name of the step in it.
        step: String,
    },
    /// Nothing is sent to this destination.
    Destination(String),
}

impl fmt::Display for PausablePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PausablePart::Dataflow(name) => write!(f, "dataflow {name}"),
            PausablePart::Step { dataflow, step } => write!(f, "step {dataflow}/{step}"),
            PausablePart::Destination(name) => write!(f, "destination {name}"),
        }
    }
}

/// The parts that are paused now. One thread writes it, many read.
///
/// ```
/// use flow::engine::{PausablePart, PauseBoard};
///
/// let board = PauseBoard::default();
/// assert!(board.set([PausablePart::Destination("archive".to_owned())].into()));
/// assert!(board.is_destination_paused("archive") && !board.is_dataflow_paused("archive"));
/// ```
#[derive(Default)]
pub struct PauseBoard {
    /// Whether anything is paused: cheap to ask.
    any: AtomicBool,
    /// The number of changes so far.
    changes: AtomicU64,
    parts: RwLock<BTreeSet<PausablePart>>,
}

impl PauseBoard {
    /// Pauses these parts and no others. Gives whether that is a change.
    pub fn set(&self, parts: BTreeSet<PausablePart>) -> bool {
        let mut now = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!parts.is_empty(), Ordering::Release);
        let is_change = *now != parts;
        *now = parts;
        drop(now);
        self.changes.fetch_add(u64::from(is_change), Ordering::AcqRel);
        is_change
    }

    /// Whether requests that go through the dataflow wait.
    pub fn is_dataflow_paused(&self, name: &str) -> bool {
        self.has(&|part| matches!(part, PausablePart::Dataflow(paused) if paused == name))
    }

    /// Whether runs of a step of the dataflow wait.
    pub fn is_step_paused(&self, dataflow: &str, step: &str) -> bool {
        let is_it = |part: &PausablePart| match part {
            PausablePart::Step { dataflow: of, step: paused } => of == dataflow && paused == step,
            PausablePart::Dataflow(_) | PausablePart::Destination(_) => false,
        };
        self.has(&is_it)
    }

    /// Whether responses to the destination wait.
    pub fn is_destination_paused(&self, name: &str) -> bool {
        self.has(&|part| matches!(part, PausablePart::Destination(paused) if paused == name))
    }

    /// The number of changes so far.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether anything is paused.
    pub fn has_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn has(&self, is_it: &dyn Fn(&PausablePart) -> bool) -> bool {
        self.has_any() && self.read().iter().any(is_it)
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeSet<PausablePart>> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner)
    }
}
