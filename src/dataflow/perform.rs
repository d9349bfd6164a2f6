//! One run of a node: whether it is to run, and the run itself.
//!
//! Both the engine and `interpret` go through here, so that they can differ in nothing but order.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use crate::step::{
    Call, Digest, Fault, FaultKind, Identity, Inputs, Outcome, Outcomes, Outputs, Reason, Request,
};
use crate::step::{Take, Token, Value, Wired};

use super::response::{ADMISSION, files_at};
use super::{Dataflow, Node, Phase, Runs, Wire};
use crate::yaml::duration::shown;

/// What one run of a node left behind for those that need it.
#[derive(Clone, Debug)]
pub enum Left {
    Outputs(Outputs),
    Nothing(Cause),
}

/// Why a run left nothing, however many steps ago it began.
#[derive(Clone, Debug)]
pub enum Cause {
    /// The step that failed.
    Failed(Arc<str>),
    /// The step that was not to run.
    Skipped(Arc<str>),
}

/// What a node is to do once its needs are known.
#[derive(Debug)]
pub enum Decision {
    Run(Inputs),
    Skip(Reason),
}

/// What arrived for a wire that leads to another node.
#[derive(Clone, Debug)]
pub enum Arrived<'a> {
    One(&'a Left),
    /// In the order of the items.
    Each(Vec<&'a Left>),
}

/// Where a run stands: the request, the item where there is one, the outcomes where they are known.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub request: &'a Arc<Request>,
    pub item: Option<usize>,
    pub outcomes: Option<&'a Arc<Outcomes>>,
    /// The request could not be begun: no step of the work is to run.
    pub refused: bool,
}

impl Node {
    /// How many times the node runs for a request. A request without items has one run that is skipped.
    pub fn runs_of(&self, request: &Request) -> usize {
        match self.runs {
            Runs::Once => 1,
            Runs::PerItem => request.items.len().max(1),
        }
    }

    /// Decides whether a run is to happen. `arrived` has an entry for each wire, `None` for those
    /// that do not lead to another node.
    pub fn decide(&self, place: Place, arrived: &[Option<Arrived>]) -> Decision {
        if place.refused && self.phase == Phase::Work {
            return Decision::Skip(Reason::NeedFailed { step: ADMISSION.to_owned() });
        }
        if !self.enabled {
            return Decision::Skip(Reason::SwitchedOff);
        }
        if let Some(when) = self.when.as_ref().filter(|when| !when.holds(place.request)) {
            return Decision::Skip(Reason::Condition { condition: when.to_string() });
        }
        match self.missing(arrived) {
            Some(Cause::Failed(step)) => Decision::Skip(Reason::NeedFailed { step: step.to_string() }),
            Some(Cause::Skipped(step)) => Decision::Skip(Reason::NeedSkipped { step: step.to_string() }),
            None => Decision::Run(self.inputs(place, arrived)),
        }
    }

    /// The digest of all that the outputs of a run depend on: the step with its version and
    /// parameters, what is at its inputs, and, for a step that makes identifiers, whose they are.
    pub fn key(&self, identity: &Identity, inputs: &Inputs) -> Digest {
        let step = &self.step.declaration;
        let version = step.version.to_le_bytes();
        let parameters = serde_json::to_vec(&self.parameters).expect("parameters are texts and numbers");
        let mut parts = vec![step.name.as_bytes(), &version, &parameters];
        let edition = identity.edition.to_le_bytes();
        let digests = inputs.digests();
        for (name, digest) in &digests {
            parts.extend([name.as_bytes(), digest.as_bytes().as_slice()]);
        }
        if step.identifies {
            let Identity { request, dataflow, step, .. } = identity;
            parts.extend([request.as_bytes().as_slice(), dataflow.as_bytes(), step.as_bytes(), &edition]);
        }
        Digest::of_parts(parts)
    }

    /// What the identifiers of the node's results are made of, for one of the answers to a request: the
    /// final one, 0, or that of a deadline, 1.
    pub fn identity(&self, dataflow: &Dataflow, request: &Request, edition: u32) -> Identity {
        let edition = 2 * request.edition + edition;
        Identity { request: request.id, dataflow: dataflow.digest, step: self.name.clone(), edition }
    }

    /// Runs the step; a panic in it is a fault. Setting the token asks the step to end early.
    ///
    /// # Errors
    /// The step's own fault, or one that says that its code is wrong.
    pub fn perform(&self, identity: &Identity, inputs: &Inputs, token: &Token) -> Result<Outputs, Fault> {
        let call = Call { inputs, parameters: &self.parameters, identity, token };
        let outputs = guarded(|| self.step.call(&call)).unwrap_or_else(|panic| Err(broken(&panic)))?;
        let declared = &self.step.declaration.outputs;
        let lacking = declared
            .iter()
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

    /// What this node's runs leave behind, from how they ended.
    pub fn left(&self, outcome: &Outcome, outputs: Option<Outputs>) -> Left {
        let itself = || Arc::from(self.name.as_str());
        match (outcome, outputs) {
            (Outcome::Done, Some(outputs)) => Left::Outputs(outputs),
            (Outcome::Done, None) | (Outcome::Failed(_), _) => Left::Nothing(Cause::Failed(itself())),
            (Outcome::Skipped { because }, _) => Left::Nothing(match because {
                Reason::NeedFailed { step } => Cause::Failed(Arc::from(step.as_str())),
                Reason::NeedSkipped { step } => Cause::Skipped(Arc::from(step.as_str())),
                Reason::Stopped { step } => Cause::Failed(Arc::from(step.as_str())),
                Reason::SwitchedOff | Reason::Condition { .. } | Reason::NotFinished => {
                    Cause::Skipped(itself())
                }
            }),
        }
    }

    /// The cause that weighs most among the needs that are not met: a failure before a skip.
    fn missing(&self, arrived: &[Option<Arrived>]) -> Option<Cause> {
        let needs = self.step.declaration.inputs.iter().zip(arrived);
        let needs = needs.filter(|(input, _)| input.take != Take::Optional);
        let causes = needs.flat_map(|(_, arrived)| causes(arrived.as_ref()));
        let mut skipped = None;
        for cause in causes {
            match cause {
                Cause::Failed(_) => return Some(cause.clone()),
                Cause::Skipped(_) => skipped = skipped.or(Some(cause.clone())),
            }
        }
        skipped
    }

    fn inputs(&self, place: Place, arrived: &[Option<Arrived>]) -> Inputs {
        let mut inputs = Inputs::default();
        let wires = self.wires.iter().zip(arrived);
        for (input, (wire, arrived)) in self.step.declaration.inputs.iter().zip(wires) {
            inputs.push(input.name, wired(input.take, wire, arrived.as_ref(), place));
        }
        inputs
    }
}

fn causes<'a>(arrived: Option<&Arrived<'a>>) -> Vec<&'a Cause> {
    let cause = |left: &'a Left| match left {
        Left::Outputs(_) => None,
        Left::Nothing(cause) => Some(cause),
    };
    match arrived {
        None => Vec::new(),
        Some(Arrived::One(left)) => cause(left).into_iter().collect(),
        Some(Arrived::Each(lefts)) => lefts.iter().filter_map(|left| cause(left)).collect(),
    }
}

fn wired(take: Take, wire: &Wire, arrived: Option<&Arrived>, place: Place) -> Wired {
    let items = &place.request.items;
    match (wire, arrived) {
        (Wire::Request, _) => Wired::One(Value::shared(Arc::clone(place.request))),
        (Wire::Outcomes, _) => {
            place.outcomes.map_or(Wired::Absent, |all| Wired::One(Value::shared(Arc::clone(all))))
        }
        (Wire::Items, _) if take == Take::Each => {
            Wired::Each(items.iter().cloned().map(Value::new).collect())
        }
        (Wire::Items, _) => match place.item.and_then(|index| items.get(index)) {
            Some(item) => Wired::One(Value::new(item.clone())),
            None => Wired::Absent,
        },
        (Wire::Port(port), Some(Arrived::One(left))) => {
            output(left, port.output).map_or(Wired::Absent, Wired::One)
        }
        (Wire::Port(port), Some(Arrived::Each(lefts))) => {
            Wired::Each(lefts.iter().filter_map(|left| output(left, port.output)).collect())
        }
        (Wire::Absent, _) | (Wire::Port(_), None) => Wired::Absent,
    }
}

fn output(left: &Left, name: &str) -> Option<Value> {
    match left {
        Left::Outputs(outputs) => outputs.get(name).cloned(),
        Left::Nothing(_) => None,
    }
}

/// The fault of a step that has not ended in the time it has.
pub fn timed_out(timeout: Duration) -> Fault {
    Fault::of(
        FaultKind::TimedOut,
        format!("not finished after {}", shown(timeout)),
        "Send the request again. If it happens again, give the step a longer `timeout` in the dataflow \
         file, or report it to the authors of the step, with the request's name.",
    )
}

/// The fault of a step whose own code is wrong.
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

/// Calls `work`; a panic becomes its message and place, and is not printed.
///
/// # Errors
/// The panic's message.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(keep_guarded_panics);
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|payload| PANIC.take().unwrap_or_else(|| message(payload.as_ref())))
}

/// A panic on this thread inside [`guarded`] is kept instead of printed. (One on a thread that the
/// step uses, as rayon's, is printed as well, and comes back without its place.)
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
