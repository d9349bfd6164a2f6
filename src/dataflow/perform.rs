//! One run of a node: the decision whether it runs, and the run itself.
//!
//! The engine and the interpreter share this code, so that they can differ only in order.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use crate::step::{
    Call, Digest, Fault, FaultKind, Outcome, OutcomeReason, Request, ResultIdentity, StepInputs,
    StepOutcomes, StepOutputs,
};
use crate::step::{CallEnvironment, CancelToken, InputTake, Value, WiredInput};

use super::node::{MemberSource, SectionMember, StreamSection};
use super::response::{ADMISSION, files_at};
use super::section_account::{SectionAccount, SectionPlan, missing_streams};
use super::{Dataflow, DataflowNode, InputWire, NodePhase, RunFrequency};
use crate::yaml::duration::shown;

/// The result of one run of a node, for the nodes that need it.
#[derive(Clone, Debug)]
pub enum RunResult {
    /// The outputs.
    Outputs(StepOutputs),
    /// No outputs.
    Nothing(MissingCause),
}

/// The first cause of a missing result, which can be several steps earlier.
#[derive(Clone, Debug)]
pub enum MissingCause {
    /// The step with this name failed.
    Failed(Arc<str>),
    /// The step with this name was skipped.
    Skipped(Arc<str>),
}

/// The decision about a run, once the results of all needed nodes are known.
#[derive(Debug)]
pub enum RunDecision {
    /// The step runs with these inputs.
    Run(StepInputs),
    /// The step does not run.
    Skip(OutcomeReason),
}

/// The results that arrived at an input from another node.
#[derive(Clone, Debug)]
pub enum ArrivedInput<'a> {
    /// One result.
    One(&'a RunResult),
    /// The results of all items, in the order of the items.
    Each(Vec<&'a RunResult>),
}

/// The context of a run.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    /// The request.
    pub request: &'a Arc<Request>,
    /// The index of the item, for a node that runs per item.
    pub item: Option<usize>,
    /// The outcomes of the work, for a node of the failure part.
    pub outcomes: Option<&'a Arc<StepOutcomes>>,
    /// Whether the request could not start, so that no step of the work runs.
    pub refused: bool,
}

impl DataflowNode {
    /// The number of runs of the node for a request. A node that runs per item has one skipped run for a
    /// request without items.
    pub fn runs_of(&self, request: &Request) -> usize {
        match self.runs {
            RunFrequency::Once => 1,
            RunFrequency::PerItem => request.items.len().max(1),
        }
    }

    /// Decides whether the node runs. `arrived` has an entry for each wire: `None`, if the wire does not come
    /// from another node.
    pub fn decide(&self, place: RunContext, arrived: &[Option<ArrivedInput>]) -> RunDecision {
        if let Some(section) = &self.section {
            let mut inputs = self.inputs(place, arrived);
            let plan = self.plan(section, place, arrived);
            inputs.push(SectionAccount::PLAN, WiredInput::One(Value::new(plan)));
            return RunDecision::Run(inputs);
        }
        let missing = || self.missing(arrived).map(MissingCause::reason);
        match self.prevented(place).or_else(missing) {
            Some(because) => RunDecision::Skip(because),
            None => RunDecision::Run(self.inputs(place, arrived)),
        }
    }

    /// The reason for which the node does not run, whatever arrives.
    fn prevented(&self, place: RunContext) -> Option<OutcomeReason> {
        if place.refused && self.phase == NodePhase::Work {
            return Some(OutcomeReason::NeedFailed { step: ADMISSION.to_owned() });
        }
        if !self.enabled {
            return Some(OutcomeReason::SwitchedOff);
        }
        let when = self.when.as_ref().filter(|when| !when.holds(place.request))?;
        Some(OutcomeReason::Condition { condition: when.to_string() })
    }

    /// The decision about each member of the section: what single values decide.
    fn plan(
        &self,
        section: &StreamSection,
        place: RunContext,
        arrived: &[Option<ArrivedInput>],
    ) -> SectionPlan {
        let mut skips: Vec<Option<OutcomeReason>> = Vec::new();
        for SectionMember { node, sources, .. } in &section.members {
            let inputs = node.step.declaration.inputs.iter().zip(sources);
            let needed = inputs.filter(|(input, _)| input.take != InputTake::Optional);
            let causes = needed.flat_map(|(_, source)| match source {
                MemberSource::Absent => Vec::new(),
                MemberSource::Border(index) => {
                    let cause = worst(causes(&self.wires[*index], arrived[*index].as_ref()).into_iter());
                    cause.map(MissingCause::reason).into_iter().collect()
                }
                MemberSource::Streams(members) => {
                    let skip = |member: &usize| {
                        let because = skips[*member].as_ref()?;
                        Some(because.for_users_of(&section.members[*member].node.name))
                    };
                    missing_streams(members.iter().map(skip)).into_iter().collect()
                }
            });
            let causes: Vec<OutcomeReason> = causes.collect();
            let failed = causes.iter().find(|because| matches!(because, OutcomeReason::NeedFailed { .. }));
            skips.push(node.prevented(place).or_else(|| failed.or(causes.first()).cloned()));
        }
        SectionPlan { section: section.digest, skips }
    }

    /// The digest of everything that the outputs of a run depend on: the step's name, version and parameters,
    /// the values at its inputs, and, for a step that makes identifiers, request, dataflow and step name.
    pub fn key(&self, identity: &ResultIdentity, inputs: &StepInputs) -> Digest {
        let step = &self.step.declaration;
        let version = step.version.to_le_bytes();
        let parameters = serde_json::to_vec(&self.parameters).expect("parameters are texts and numbers");
        let mut parts = vec![step.name.as_bytes(), &version, &parameters];
        parts.extend(step.code.iter().map(|code| code.as_bytes().as_slice()));
        let edition = identity.edition.to_le_bytes();
        let digests = inputs.digests();
        for (name, digest) in &digests {
            parts.extend([name.as_bytes(), digest.as_bytes().as_slice()]);
        }
        if step.identifies {
            let ResultIdentity { request, dataflow, step, .. } = identity;
            parts.extend([request.as_bytes().as_slice(), dataflow.as_bytes(), step.as_bytes(), &edition]);
        }
        Digest::of_parts(parts)
    }

    /// The source of identifiers for the node's results, for one of the answers to a request: 0 for the final
    /// one, 1 for that of a deadline.
    pub fn identity(&self, dataflow: &Dataflow, request: &Request, edition: u32) -> ResultIdentity {
        let edition = 2 * request.edition + edition;
        ResultIdentity { request: request.id, dataflow: dataflow.digest, step: self.name.clone(), edition }
    }

    /// Runs the step. A panic becomes a fault. Setting the token asks the step to end early.
    ///
    /// # Errors
    /// The fault of the step, or a fault of kind `broken`.
    pub fn perform(
        &self,
        identity: &ResultIdentity,
        inputs: &StepInputs,
        token: &CancelToken,
        environment: &Arc<dyn CallEnvironment>,
    ) -> Result<StepOutputs, Fault> {
        self.perform_by(identity, inputs, token, environment, |call| self.step.call(call))
    }

    /// Runs a function in place of that of the step.
    ///
    /// # Errors
    /// The fault of the function, or a fault of kind `broken`.
    pub(super) fn perform_by(
        &self,
        identity: &ResultIdentity,
        inputs: &StepInputs,
        token: &CancelToken,
        environment: &Arc<dyn CallEnvironment>,
        run: impl FnOnce(&Call) -> Result<StepOutputs, Fault>,
    ) -> Result<StepOutputs, Fault> {
        let call = Call { inputs, parameters: &self.parameters, identity, token, environment };
        let outputs = guarded(|| run(&call)).unwrap_or_else(|panic| Err(broken(&panic)))?;
        // What a section could not give stands in its account.
        let declared = self.step.declaration.outputs.iter().filter(|_| self.section.is_none());
        let lacking = declared
            .into_iter()
            .find(|output| outputs.get(output.name).is_none_or(|value| value.kind() != output.kind));
        if let Some(output) = lacking {
            return Err(broken(&format!("it did not give its output {:?}", output.name)));
        }
        let misnamed =
            outputs.iter().flat_map(|(_, value)| files_at(value)).find(|file| !file.has_fitting_name());
        match misnamed.map(|file| &file.name) {
            Some(name) => Err(broken(&format!("{name:?} cannot be the name of a file"))),
            None => Ok(outputs),
        }
    }

    /// The result of a run, from its outcome and outputs.
    pub fn left(&self, outcome: &Outcome, outputs: Option<StepOutputs>) -> RunResult {
        let itself = || self.name.clone();
        match (outcome, outputs) {
            (Outcome::Done, Some(outputs)) => RunResult::Outputs(outputs),
            (Outcome::Done, None) | (Outcome::Failed(_), _) => {
                RunResult::Nothing(MissingCause::Failed(itself()))
            }
            (Outcome::Skipped { because }, _) => RunResult::Nothing(MissingCause::of(because, &self.name)),
        }
    }

    /// The cause for which the node cannot run: a failed need takes precedence over a skipped one.
    fn missing(&self, arrived: &[Option<ArrivedInput>]) -> Option<MissingCause> {
        let needs = self.step.declaration.inputs.iter().zip(self.wires.iter().zip(arrived));
        let needs = needs.filter(|(input, _)| input.take != InputTake::Optional);
        worst(needs.flat_map(|(_, (wire, arrived))| causes(wire, arrived.as_ref())))
    }

    fn inputs(&self, place: RunContext, arrived: &[Option<ArrivedInput>]) -> StepInputs {
        let mut inputs = StepInputs::default();
        let wires = self.wires.iter().zip(arrived);
        for (input, (wire, arrived)) in self.step.declaration.inputs.iter().zip(wires) {
            inputs.push(input.name, wired(input.take, wire, arrived.as_ref(), place));
        }
        inputs
    }
}

impl MissingCause {
    /// The cause for those that need the step `name`, which was skipped.
    fn of(because: &OutcomeReason, name: &str) -> MissingCause {
        match because {
            OutcomeReason::NeedFailed { step } | OutcomeReason::Stopped { step } => {
                MissingCause::Failed(Arc::from(step.as_str()))
            }
            OutcomeReason::NeedSkipped { step } => MissingCause::Skipped(Arc::from(step.as_str())),
            OutcomeReason::SwitchedOff | OutcomeReason::Condition { .. } | OutcomeReason::NotFinished => {
                MissingCause::Skipped(Arc::from(name))
            }
        }
    }

    /// The cause as the reason of a step that does not run.
    fn reason(self) -> OutcomeReason {
        match self {
            MissingCause::Failed(step) => OutcomeReason::NeedFailed { step: step.to_string() },
            MissingCause::Skipped(step) => OutcomeReason::NeedSkipped { step: step.to_string() },
        }
    }
}

/// The cause that counts: the first of a failed step, otherwise the first of a skipped one.
fn worst(causes: impl Iterator<Item = MissingCause>) -> Option<MissingCause> {
    let mut skipped = None;
    for cause in causes {
        match cause {
            MissingCause::Failed(_) => return Some(cause),
            MissingCause::Skipped(_) => skipped = skipped.or(Some(cause)),
        }
    }
    skipped
}

/// The cause for which a section has no value at this output.
fn lacking_at(outputs: &StepOutputs, output: &str) -> Option<MissingCause> {
    if outputs.get(output).is_some() {
        return None;
    }
    let member = SectionAccount::among(outputs)?.member_at(output)?;
    match &member.outcome {
        Outcome::Skipped { because } => Some(MissingCause::of(because, &member.step)),
        Outcome::Done | Outcome::Failed(_) => Some(MissingCause::Failed(Arc::from(member.step.as_str()))),
    }
}

fn causes(wire: &InputWire, arrived: Option<&ArrivedInput>) -> Vec<MissingCause> {
    let cause = |left: &RunResult| match (left, wire) {
        (RunResult::Outputs(outputs), InputWire::Port(port)) => lacking_at(outputs, port.output),
        (RunResult::Outputs(_), _) => None,
        (RunResult::Nothing(cause), _) => Some(cause.clone()),
    };
    match arrived {
        None => Vec::new(),
        Some(ArrivedInput::One(left)) => cause(left).into_iter().collect(),
        Some(ArrivedInput::Each(lefts)) => lefts.iter().filter_map(|left| cause(left)).collect(),
    }
}

fn wired(take: InputTake, wire: &InputWire, arrived: Option<&ArrivedInput>, place: RunContext) -> WiredInput {
    let items = &place.request.items;
    match (wire, arrived) {
        (InputWire::Request, _) => WiredInput::One(Value::shared(Arc::clone(place.request))),
        (InputWire::Outcomes, _) => {
            place.outcomes.map_or(WiredInput::Absent, |all| WiredInput::One(Value::shared(Arc::clone(all))))
        }
        (InputWire::Items, _) if take == InputTake::Each => {
            WiredInput::Each(items.iter().cloned().map(Value::new).collect())
        }
        (InputWire::Items, _) => match place.item.and_then(|index| items.get(index)) {
            Some(item) => WiredInput::One(Value::new(item.clone())),
            None => WiredInput::Absent,
        },
        (InputWire::Port(port), Some(ArrivedInput::One(left))) => {
            output(left, port.output).map_or(WiredInput::Absent, WiredInput::One)
        }
        (InputWire::Port(port), Some(ArrivedInput::Each(lefts))) => {
            WiredInput::Each(lefts.iter().filter_map(|left| output(left, port.output)).collect())
        }
        (InputWire::Absent | InputWire::Merge(_), _) | (InputWire::Port(_), None) => WiredInput::Absent,
    }
}

fn output(left: &RunResult, name: &str) -> Option<Value> {
    match left {
        RunResult::Outputs(outputs) => outputs.get(name).cloned(),
        RunResult::Nothing(_) => None,
    }
}

/// The fault of a run that took longer than its time-out.
///
/// ```
/// use std::time::Duration;
/// use flow::dataflow::perform::timed_out;
///
/// assert_eq!(timed_out(Duration::from_secs(90)).reason, "not finished after 90 s");
/// ```
pub fn timed_out(timeout: Duration) -> Fault {
    Fault::of(
        FaultKind::TimedOut,
        format!("not finished after {}", shown(timeout)),
        "Run the request again with `flow retry`. If it happens again, give the step a longer `timeout` in the \
         dataflow file, or report it to the authors of the step, with the request's name.",
    )
}

/// The fault of a step with a mistake in its code.
pub fn broken(what: &str) -> Fault {
    Fault::of(
        FaultKind::Broken,
        format!("the step's own code is at fault: {what}"),
        "Please report this to the authors of the step, with the request's name. \
         Until it is mended, the step can be switched off in the dataflow file with `enabled: false`.",
    )
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls `work`. A panic is not printed, but returned with its message and place.
///
/// ```
/// use flow::dataflow::perform::guarded;
///
/// let divide = |by: usize| guarded(move || 10 / by);
/// assert_eq!(divide(5), Ok(2));
/// assert!(divide(0).is_err_and(|panic| panic.starts_with("attempt to divide by zero")));
/// ```
///
/// # Errors
/// The message of the panic.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(keep_guarded_panics);
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|payload| PANIC.take().unwrap_or_else(|| message(payload.as_ref())))
}

/// Installs a panic hook that keeps a panic inside [`guarded`] instead of printing it. A panic on another
/// thread, for example of rayon, is printed as well, and comes back without its place.
fn keep_guarded_panics() {
    let printed = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !GUARDED.get() {
            return printed(info);
        }
        let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
        PANIC.set(Some(format!("{}{}", message(info.payload()), place.unwrap_or_default())));
    }));
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it panicked".to_owned())
}
