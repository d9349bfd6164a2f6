//! The account of a section: what became of each of its steps, and of the items in them.

use serde::{Deserialize, Serialize};

use crate::step::{
    Digest, FaultKind, ItemFault, Outcome, OutcomeReason, Payload, StepOutputs, StepReservation, Value,
};

use super::response_streams::StreamReport;

/// The decision about each member of a section, made before its run. It is an input of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionPlan {
    /// The digest of the section.
    pub section: Digest,
    /// Why a member does not run; `None` if its needs are met.
    pub skips: Vec<Option<OutcomeReason>>,
}

impl Payload for SectionPlan {
    const TYPE: &'static str = "section-plan";
}

/// The account of a section: an output of its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionAccount(pub Vec<MemberAccount>);

/// What became of one step of a section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberAccount {
    /// The name of the step in the dataflow.
    pub step: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The counts of its items; all zero if it was skipped.
    pub items: ItemCounts,
    /// The first faults by item.
    pub faults: Vec<ItemFault>,
    /// The reservations that it said, and that of its missing items.
    pub reservations: Vec<StepReservation>,
}

/// The log of a fault of a step in a section.
pub struct MemberLog<'a> {
    /// The name of the step in the dataflow.
    pub step: &'a str,
    /// The place of the item in its stream; `None` for the fault of the step as a whole.
    pub item: Option<&'a str>,
    /// What was said.
    pub log: &'a [u8],
}

/// Counts of items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemCounts {
    /// Items with which the step did its work.
    pub done: u64,
    /// Items with which it could not.
    pub failed: u64,
    /// Items that did not reach it, because they had failed before.
    pub skipped: u64,
    /// Further attempts of calls, one for each item in them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retried: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Payload for SectionAccount {
    const TYPE: &'static str = "section-account";
}

/// The logs that are kept of each step, at most.
const LOGS_MAX: usize = 5;

impl MemberAccount {
    fn logs(&self) -> impl Iterator<Item = MemberLog<'_>> {
        let whole = match &self.outcome {
            Outcome::Failed(fault) => Some((None, fault)),
            Outcome::Done | Outcome::Skipped { .. } => None,
        };
        let items = self.faults.iter().map(|lost| (Some(lost.item.as_str()), &lost.fault));
        let said = whole.into_iter().chain(items).filter_map(|(item, fault)| {
            Some(MemberLog { step: &self.step, item, log: fault.log.0.as_deref()? })
        });
        said.take(LOGS_MAX)
    }
}

impl SectionAccount {
    /// The name of the output of a section that carries its account.
    pub const OUTPUT: &'static str = "account";

    /// The name of the input of a section that carries its plan.
    pub const PLAN: &'static str = "plan";

    /// The account in the outputs of a run; `None` if the run is not that of a section.
    pub fn among(outputs: &StepOutputs) -> Option<&SectionAccount> {
        outputs.get(SectionAccount::OUTPUT).and_then(Value::get)
    }

    /// The member at whose output, by its name at the border, a value is missing.
    pub fn member_at(&self, output: &str) -> Option<&MemberAccount> {
        let (step, _) = output.split_once('.')?;
        self.0.iter().find(|member| member.step == step)
    }

    /// Whether a step failed.
    pub fn has_failed(&self) -> bool {
        self.0.iter().any(|member| matches!(member.outcome, Outcome::Failed(_)))
    }

    /// The first step that failed.
    pub fn first_failed(&self) -> Option<&str> {
        let failed = self.0.iter().find(|member| matches!(member.outcome, Outcome::Failed(_)));
        failed.map(|member| member.step.as_str())
    }

    /// The reservations, with the steps that have them.
    pub fn reservations(&self) -> impl Iterator<Item = (&str, &StepReservation)> {
        self.0.iter().flat_map(|member| {
            member.reservations.iter().map(|reservation| (member.step.as_str(), reservation))
        })
    }

    /// The reports of the steps that ran.
    pub fn reports(&self) -> impl Iterator<Item = StreamReport> + '_ {
        let ran = self.0.iter().filter(|member| !matches!(member.outcome, Outcome::Skipped { .. }));
        ran.map(|MemberAccount { step, items, faults, .. }| StreamReport {
            step: step.clone(),
            done: items.done,
            failed: items.failed,
            skipped: items.skipped,
            retried: items.retried,
            faults: faults.clone(),
        })
    }
}

/// The logs of the first faults of each step that a stream connects, from the outputs of their run.
pub fn member_logs(outputs: &StepOutputs) -> Vec<MemberLog<'_>> {
    let members = SectionAccount::among(outputs).into_iter().flat_map(|account| &account.0);
    members.flat_map(MemberAccount::logs).collect()
}

/// Why a step has no stream at an input: a step that gives one of those which meet there has failed, or none of them
/// runs. `reasons` has an entry for each; `None` if the stream is there.
pub(super) fn missing_streams(reasons: impl Iterator<Item = Option<OutcomeReason>>) -> Option<OutcomeReason> {
    let reasons: Vec<Option<OutcomeReason>> = reasons.collect();
    let is_failed = |reason: &&OutcomeReason| matches!(reason, OutcomeReason::NeedFailed { .. });
    let none_runs = reasons.iter().all(Option::is_some);
    let failed = reasons.iter().flatten().find(is_failed);
    failed.or_else(|| reasons.iter().flatten().next().filter(|_| none_runs)).cloned()
}

/// The kind of the first fault among steps that a stream connects, from the outputs of their run; of one that is not of the
/// data, if there is one. `None` if none has failed, or it is not such a run.
pub fn failed_kind(outputs: &StepOutputs) -> Option<FaultKind> {
    let members = SectionAccount::among(outputs)?.0.iter();
    let kinds = members.filter_map(|member| match &member.outcome {
        Outcome::Failed(fault) => Some(fault.kind),
        Outcome::Done | Outcome::Skipped { .. } => None,
    });
    kinds.clone().find(|kind| *kind != FaultKind::Data).or_else(|| kinds.clone().next())
}
