//! Dataflows: a dataflow file becomes a checked [`Dataflow`], or a list of all
//! [`Problem`](crate::yaml::Problem)s in it.
//!
//! ```
//! use flow::dataflow::Dataflow;
//! use flow::step::{File, Files, Outputs, Request, Step, Table};
//!
//! let greet = Step::new("greet", 1, "Greets the sender.")
//!     .takes::<Request>("request")
//!     .gives::<Files>("files")
//!     .runs(|_| Ok(Outputs::one("files", Files(vec![File::new("hello.txt", "text/plain", vec![])]))));
//! let table = Table::default().with(greet);
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

pub use condition::{ATTRIBUTES, Condition};
pub use library::{LoadError, built_in_names};
pub use response::{Response, Verdict};
pub use retry::Retry;

use std::time::Duration;

use crate::step::{Digest, Fault, Files, Parameters, Payload, Step, Table};
use crate::yaml::{Collector, Problems};

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
    pub(crate) nodes: Vec<Node>,
    /// The outputs of type `files` that make the response, in the order of delivery.
    pub(crate) response: Vec<Port>,
    pub(crate) on_failure: OnFailure,
    pub(crate) revisions: Revisions,
    pub(crate) memory: Memory,
    /// The time from the acceptance of a request to its first answer, at most.
    pub(crate) deadline: Option<Duration>,
}

impl Dataflow {
    /// Reads and checks the text of a dataflow file. `file` is its name in messages.
    ///
    /// ```
    /// use flow::dataflow::Dataflow;
    /// use flow::step::Table;
    ///
    /// let text = Dataflow::built_in("ct-lung").expect("it is built in").replace("find-lungs", "find-lugns");
    /// let problems = Dataflow::parse("my.yaml", &text, &Table::built_in()).expect_err("a step is misspelt");
    /// let problem = problems.iter().next().expect("there is a problem");
    /// assert_eq!(problem.message, "the step \"find-lugns\" is not known");
    /// assert_eq!(problem.hint.as_deref(), Some("did you mean \"find-lungs\"?"));
    /// ```
    ///
    /// # Errors
    /// All problems of the file.
    pub fn parse(file: &str, text: &str, table: &Table) -> Result<Dataflow, Problems> {
        let mut collector = Collector::new(file, text);
        let draft = draft::Draft::read(text, &mut collector);
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
    /// use flow::step::Table;
    ///
    /// let text = Dataflow::built_in("ct-lung").expect("it is built in");
    /// let version = |text: &str| Dataflow::parse("x", text, &Table::built_in()).map(|it| it.digest());
    /// assert_eq!(version(text)?, version(&format!("# a comment\n{text}"))?);
    /// # Ok::<(), flow::yaml::Problems>(())
    /// ```
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The treatment of items that arrive after the answer.
    pub fn revisions(&self) -> Revisions {
        self.revisions
    }

    /// The number of steps, those of the failure part included.
    pub fn step_count(&self) -> usize {
        self.nodes.len()
    }

    /// The number of steps that run for every request: all but those of the failure part.
    pub fn work_count(&self) -> usize {
        self.nodes.iter().filter(|node| node.phase == Phase::Work).count()
    }

    /// The outputs that make an error response: all outputs of type `files` in the failure part.
    pub fn error_response(&self) -> Vec<Port> {
        let failure = self.nodes.iter().enumerate().filter(|(_, node)| node.phase == Phase::Failure);
        let ports = |(index, node): (usize, &Node)| {
            let files = node.step.declaration.outputs.iter().filter(|output| output.kind == Files::TYPE);
            files.map(|output| Port { node: index, output: output.name }).collect::<Vec<Port>>()
        };
        failure.flat_map(ports).collect()
    }
}

/// The treatment of items that arrive after the answer, for example late images of a study.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revisions {
    /// All items together become a new request, and its answer supersedes the earlier one.
    #[default]
    Supersede,
    /// The answer stays as it is. Late items are noted and not kept.
    Ignore,
}

impl Revisions {
    const ALL: [Revisions; 2] = [Revisions::Supersede, Revisions::Ignore];

    fn name(self) -> &'static str {
        match self {
            Revisions::Supersede => "supersede",
            Revisions::Ignore => "ignore",
        }
    }
}

/// A step at its place in a dataflow.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) name: String,
    pub(crate) step: Step,
    /// The wires, one for each declared input of the step, in that order.
    pub(crate) wires: Vec<Wire>,
    pub(crate) parameters: Parameters,
    pub(crate) enabled: bool,
    pub(crate) when: Option<Condition>,
    /// The number of runs of this node that may be in progress at the same time in a process. `None`: the
    /// number of cores for a node that runs per item, and no limit for a node that runs once.
    pub(crate) max: Option<usize>,
    /// The longest time of a run.
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<Retry>,
    pub(crate) runs: Runs,
    pub(crate) phase: Phase,
}

impl Node {
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
pub enum Runs {
    /// One run.
    Once,
    /// One run for each item.
    PerItem,
}

/// The part of the file in which a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The part `steps`: its nodes run for every request.
    Work,
    /// The part `failure`: its nodes run only if a node of the work failed.
    Failure,
}

/// The treatment of the other steps when a step has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Steps that do not need the failed one run. The response has results and faults.
    #[default]
    Continue,
    /// Steps after the failed one, in the order of the nodes, do not run. If one has run already, its result
    /// does not count.
    Stop,
}

impl OnFailure {
    /// All values.
    pub const ALL: [OnFailure; 2] = [OnFailure::Continue, OnFailure::Stop];

    /// The name in a dataflow file.
    pub fn name(self) -> &'static str {
        match self {
            OnFailure::Continue => "continue",
            OnFailure::Stop => "stop",
        }
    }
}

/// The source of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// No source: an optional input that the file does not mention.
    Absent,
    /// The request, without the bytes of its items.
    Request,
    /// The items of the request, one value for each.
    Items,
    /// The outcomes of all nodes of the work; only in `failure`.
    Outcomes,
    /// The output of another node.
    Port(Port),
}

/// An output of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The index in [`Dataflow::nodes`].
    pub(crate) node: usize,
    pub(crate) output: &'static str,
}

/// An estimate of the memory that one request takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Bytes for every request.
    pub(crate) fixed: u64,
    /// Bytes for each byte of the request's decoded items.
    pub(crate) per_decoded_byte: f64,
}

impl Memory {
    /// The default: one decoded copy of the items, and 64 MiB.
    const ONE_COPY: Memory = Memory { fixed: 64 << 20, per_decoded_byte: 1.0 };

    /// The estimate for a request, in bytes.
    pub fn estimate(&self, request: &crate::step::Request) -> u64 {
        // A float holds sizes up to 2^53 exactly, and saturates when it becomes an integer.
        let decoded = (request.decoded() as f64 * self.per_decoded_byte).ceil() as u64;
        self.fixed.saturating_add(decoded)
    }
}
