//! Dataflows: a dataflow file becomes a checked [`Dataflow`], or a list of all
//! [`Problem`](crate::yaml::Problem)s in it.
//!
//! ```
//! use flow::dataflow::Dataflow;
//! use flow::step::{ResponseFile, ResponseFiles, StepOutputs, Request, Step, StepTable};
//!
//! let greet = Step::new("greet", 1, "Greets the sender.")
//!     .takes::<Request>("request")
//!     .gives::<ResponseFiles>("files")
//!     .runs(|_| Ok(StepOutputs::one("files", ResponseFiles(vec![ResponseFile::new("hello.txt", "text/plain", vec![])]))));
//! let table = StepTable::default().with(greet);
//!
//! let text = "
//! dataflow: greeting
//! steps:
//!   hello: {step: greet, needs: {request: request}}
//! response: [hello]
//! ";
//! let dataflow = Dataflow::parse("greeting.yaml", text, &table)?;
//! assert_eq!(dataflow.name(), "greeting");
//! assert_eq!(dataflow.step_count(), 1);
//! # Ok::<(), flow::yaml::Problems>(())
//! ```

mod check;
// Its attributes move to the sources of requests; its documentation comes with that.
#[allow(missing_docs)]
mod condition;
mod draft;
mod given;
mod graph;
pub mod interpret;
mod library;
mod limits;
mod meaning;
mod order;
pub mod perform;
mod plan;
mod port;
pub mod response;
mod response_ports;
mod retry;
mod runs;
mod settings;
mod wiring;

pub use condition::StepCondition;
pub use library::{LoadError, built_in_names};
pub use response::{Response, ResponseVerdict};
pub use retry::RetryRule;

use std::time::Duration;

use crate::step::{Digest, Fault, Payload, ResponseFiles, Step, StepParameters, StepTable};
use crate::yaml::{ProblemCollector, Problems};

/// A checked dataflow: every need names an earlier node of the right type, and every parameter is in range.
#[derive(Clone, Debug)]
pub struct Dataflow {
    pub(crate) name: String,
    /// The text of the file.
    pub(crate) text: String,
    pub(crate) about: String,
    /// The version: the digest of everything in the file that can change a response. Comments and layout
    /// do not count.
    pub(crate) digest: Digest,
    /// The nodes, each one after those that it needs.
    pub(crate) nodes: Vec<DataflowNode>,
    /// The outputs of type `files` that make the response, in the order of delivery.
    pub(crate) response: Vec<OutputPort>,
    pub(crate) on_failure: FailurePolicy,
    pub(crate) revisions: RevisionPolicy,
    pub(crate) memory: MemoryEstimate,
    /// The time from the acceptance of a request to its first answer, at most.
    pub(crate) deadline: Option<Duration>,
}

impl Dataflow {
    /// Reads and checks the text of a dataflow file. `file` is its name in messages.
    ///
    /// ```
    /// use flow::dataflow::Dataflow;
    /// use flow::step::StepTable;
    ///
    /// let text = Dataflow::built_in("ct-lung").expect("it is built in").replace("find-lungs", "find-lugns");
    /// let problems = Dataflow::parse("my.yaml", &text, &StepTable::built_in()).expect_err("a step is misspelt");
    /// let problem = problems.iter().next().expect("there is a problem");
    /// assert_eq!(problem.message, "the step \"find-lugns\" is not known");
    /// assert_eq!(problem.hint.as_deref(), Some("did you mean \"find-lungs\"?"));
    /// ```
    ///
    /// # Errors
    /// All problems of the file.
    pub fn parse(file: &str, text: &str, table: &StepTable) -> Result<Dataflow, Problems> {
        let mut collector = ProblemCollector::new(file, text);
        let draft = draft::DataflowDraft::read(text, table, &mut collector);
        let dataflow = draft.and_then(|draft| check::check(&draft, table, &mut collector));
        collector.finish(dataflow.map(|dataflow| Dataflow { text: text.to_owned(), ..dataflow }))
    }

    /// The name of the dataflow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time from the acceptance of a request to its first answer, at most.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The description in the file; empty if there is none.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The version: the digest of everything in the file that can change a response.
    ///
    /// ```
    /// use flow::dataflow::Dataflow;
    /// use flow::step::StepTable;
    ///
    /// let text = Dataflow::built_in("ct-lung").expect("it is built in");
    /// let version = |text: &str| Dataflow::parse("x", text, &StepTable::built_in()).map(|it| it.digest());
    /// assert_eq!(version(text)?, version(&format!("# a comment\n{text}"))?);
    /// # Ok::<(), flow::yaml::Problems>(())
    /// ```
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The treatment of items that arrive after the answer.
    pub fn revisions(&self) -> RevisionPolicy {
        self.revisions
    }

    /// The number of steps, those of the failure part included.
    pub fn step_count(&self) -> usize {
        self.nodes.len()
    }

    /// The number of steps that run for every request: all but those of the failure part.
    pub fn work_count(&self) -> usize {
        self.nodes.iter().filter(|node| node.phase == NodePhase::Work).count()
    }

    /// The outputs that make an error response: all outputs of type `files` in the failure part.
    pub fn error_response(&self) -> Vec<OutputPort> {
        let failure = self.nodes.iter().enumerate().filter(|(_, node)| node.phase == NodePhase::Failure);
        let ports = |(index, node): (usize, &DataflowNode)| {
            let files =
                node.step.declaration.outputs.iter().filter(|output| output.kind == ResponseFiles::TYPE);
            files.map(|output| OutputPort { node: index, output: output.name }).collect::<Vec<OutputPort>>()
        };
        failure.flat_map(ports).collect()
    }
}

/// The treatment of items that arrive after the answer, for example late images of a study.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevisionPolicy {
    /// All items together become a new request, and its answer supersedes the earlier one.
    #[default]
    Supersede,
    /// The answer stays as it is. Late items are noted and not kept.
    Ignore,
}

impl RevisionPolicy {
    const ALL: [RevisionPolicy; 2] = [RevisionPolicy::Supersede, RevisionPolicy::Ignore];

    fn name(self) -> &'static str {
        match self {
            RevisionPolicy::Supersede => "supersede",
            RevisionPolicy::Ignore => "ignore",
        }
    }
}

/// A step at its place in a dataflow.
#[derive(Clone, Debug)]
pub struct DataflowNode {
    pub(crate) name: String,
    pub(crate) step: Step,
    /// The wires, one for each declared input of the step, in that order.
    pub(crate) wires: Vec<InputWire>,
    pub(crate) parameters: StepParameters,
    pub(crate) enabled: bool,
    pub(crate) when: Option<StepCondition>,
    /// The number of runs of this node that may be in progress at the same time in a process. `None`: the
    /// number of cores for a node that runs per item, and no limit for a node that runs once.
    pub(crate) max: Option<usize>,
    /// The longest time of a run.
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<RetryRule>,
    pub(crate) runs: RunFrequency,
    pub(crate) phase: NodePhase,
}

impl DataflowNode {
    /// The upper bound of `limits: {max: …}`.
    pub const RUNS_MAX: usize = 1024;

    /// Whether the step runs on the worker thread: it is cheap, and has neither time-out nor retry.
    pub fn runs_in_line(&self) -> bool {
        self.step.declaration.cheap && self.timeout.is_none() && self.retry.is_none()
    }

    /// The wait before the next run, after a fault and `runs` runs in all; `None` if there is no next run.
    pub fn retry_delay(&self, fault: &Fault, runs: u32) -> Option<Duration> {
        self.retry.as_ref().and_then(|retry| retry.delay(fault, runs))
    }
}

/// The number of runs of a node for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunFrequency {
    /// One run.
    Once,
    /// One run for each item.
    PerItem,
}

/// The part of the file in which a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePhase {
    /// The part `steps`: its nodes run for every request.
    Work,
    /// The part `failure`: its nodes run only if a node of the work failed.
    Failure,
}

/// The treatment of the other steps when a step has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Steps that do not need the failed one run. The response has results and faults.
    #[default]
    Continue,
    /// Steps after the failed one, in the order of the nodes, do not run. If one has run already, its result
    /// does not count.
    Stop,
}

impl FailurePolicy {
    /// All values.
    pub const ALL: [FailurePolicy; 2] = [FailurePolicy::Continue, FailurePolicy::Stop];

    /// The name in a dataflow file.
    pub fn name(self) -> &'static str {
        match self {
            FailurePolicy::Continue => "continue",
            FailurePolicy::Stop => "stop",
        }
    }
}

/// The source of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputWire {
    /// No source: an optional input that the file does not mention.
    Absent,
    /// The request, without the bytes of its items.
    Request,
    /// The items of the request, one value for each.
    Items,
    /// The outcomes of all nodes of the work; only in `failure`.
    Outcomes,
    /// The output of another node.
    Port(OutputPort),
}

/// An output of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPort {
    /// The index in [`Dataflow::nodes`].
    pub(crate) node: usize,
    pub(crate) output: &'static str,
}

/// An estimate of the memory that one request takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryEstimate {
    /// Bytes for every request.
    pub(crate) fixed: u64,
    /// Bytes for each byte of the request's decoded items.
    pub(crate) per_decoded_byte: f64,
}

impl MemoryEstimate {
    /// The default: one decoded copy of the items, and 64 MiB.
    const ONE_COPY: MemoryEstimate = MemoryEstimate { fixed: 64 << 20, per_decoded_byte: 1.0 };

    /// The estimate for a request, in bytes.
    pub fn estimate(&self, request: &crate::step::Request) -> u64 {
        // A float holds sizes up to 2^53 exactly, and saturates when it becomes an integer.
        let decoded = (request.decoded() as f64 * self.per_decoded_byte).ceil() as u64;
        self.fixed.saturating_add(decoded)
    }
}
