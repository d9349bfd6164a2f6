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
mod checked;
mod compose;
mod condition;
mod draft;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod given;
mod graph;
mod input_source;
pub mod interpret;
mod library;
mod limits;
mod meaning;
mod memory_estimate;
mod node;
mod order;
mod overlay;
mod overlay_origin;
mod owned_section;
pub mod perform;
mod placed_batches;
mod plan;
mod policy;
mod port;
mod priority;
mod process_label;
mod programs;
pub mod response;
mod response_ports;
mod response_streams;
mod retry;
mod runs;
mod section_account;
mod section_calls;
mod section_chain;
mod section_end;
mod section_expansion;
mod section_lane;
mod section_member;
mod section_parts;
mod section_pool;
mod section_run;
mod section_ways;
mod service_patience;
mod settings;
mod stream_loops;
mod stream_roles;
mod switched_off;
mod unroll;
mod wiring;

pub use checked::Dataflow;
pub use condition::StepCondition;
pub use input_source::InputSource;
pub use library::{LoadError, built_in_names};
pub use memory_estimate::MemoryEstimate;
pub use node::{DataflowNode, InputWire, NodePhase, OutputPort, RunFrequency, StreamRole};
pub use overlay_origin::OverlayOrigin;
#[cfg(feature = "chat")]
pub(crate) use owned_section::OwnedSection;
pub use policy::{FailurePolicy, ItemFailurePolicy, RevisionPolicy};
pub use priority::RequestPriority;
pub use process_label::{ProcessLabel, ProcessLabelError};
pub use programs::{ProgramLoader, ProgramSource, names_programs};
pub use response::{Response, ResponseReservation, ResponseVerdict};
pub use response_streams::StreamReport;
pub use retry::RetryRule;
pub use section_account::{MemberLog, failed_kind, member_logs};

use crate::step::StepTable;
use crate::yaml::{ProblemCollector, Problems, rendered};

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
        let Some(read) = overlay::read(file, text, &mut collector) else { return collector.finish(None) };
        // An earlier version is read from its text alone: it has to say all.
        let text = if read.is_composed { rendered(&read.tree) } else { text.to_owned() };
        let (draft, table) = draft::DataflowDraft::read(read.tree, table, &mut collector);
        let dataflow = check::check(&draft, &table, &mut collector);
        let overlay = read.overlay;
        collector.finish(dataflow.map(|dataflow| Dataflow { text, overlay, ..dataflow }))
    }
}
