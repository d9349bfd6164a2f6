//! The end of a section's run: the outcome of each step, and the results of those that end a stream.

use crate::step::{
    Call, Fault, ItemTally, Outcome, OutcomeReason, StepOutputs, StepReservation, StepReservations,
    WiredInput,
};

use super::node::{MemberSource, SectionMember, StreamRole, StreamSection};
use super::policy::ItemFailurePolicy;
use super::section_account::{ItemCounts, MemberAccount, SectionAccount};
use super::section_member::MemberRun;

/// The outputs of the section, from what became of the items of each step.
pub(super) fn close(section: &StreamSection, runs: Vec<MemberRun>, call: &Call) -> StepOutputs {
    let mut accounts: Vec<MemberAccount> = Vec::new();
    let mut outputs = StepOutputs::default();
    for run in runs {
        let mut account = settled(section, &run, &accounts);
        if account.outcome == Outcome::Done && run.member.node.stream == StreamRole::Ends {
            let member = run.member;
            match ended(run, call) {
                Ok(results) => {
                    account.reservations.extend(StepReservations::among(&results));
                    let declared = member.node.step.declaration.outputs.iter().zip(&member.outputs);
                    for (output, name) in declared {
                        results
                            .get(output.name)
                            .into_iter()
                            .for_each(|value| outputs.push(name, value.clone()));
                    }
                }
                Err(fault) => account.outcome = Outcome::Failed(fault),
            }
        }
        accounts.push(account);
    }
    outputs.with(SectionAccount::OUTPUT, SectionAccount(accounts))
}

/// The results of a step that ends a stream.
fn ended(run: MemberRun, call: &Call) -> Result<StepOutputs, Fault> {
    let MemberRun { member, mut inputs, identity, sum, gathered, .. } = run;
    let node = &member.node;
    if let (Some(sum), [output]) = (sum, node.step.declaration.outputs.as_slice()) {
        let mut outputs = StepOutputs::default();
        outputs.push(output.name, sum);
        return Ok(outputs);
    }
    let declared = node.step.declaration.inputs.iter().zip(&member.sources).zip(gathered);
    for ((input, source), values) in declared {
        if matches!(source, MemberSource::Stream(_)) {
            inputs = inputs.replaced(input.name, WiredInput::Each(values));
        }
    }
    node.perform(&identity, &inputs, call.token)
}

/// The outcome of a step as far as its items decide it.
fn settled(section: &StreamSection, run: &MemberRun, before: &[MemberAccount]) -> MemberAccount {
    let MemberRun { member, tally, skip, .. } = run;
    let streams = || {
        member.sources.iter().filter_map(|source| match source {
            MemberSource::Stream(index) => Some((&section.members[*index], &before[*index])),
            MemberSource::Absent | MemberSource::Border(_) => None,
        })
    };
    let cause = streams().find_map(|(_, account)| lacking(account));
    let mut account = MemberAccount {
        step: member.node.name.to_string(),
        outcome: Outcome::Done,
        items: ItemCounts::default(),
        faults: Vec::new(),
        reservations: Vec::new(),
    };
    if let Some(because) = skip.clone().or(cause) {
        account.outcome = Outcome::Skipped { because };
        return account;
    }
    if let Some(fault) = &tally.whole {
        account.outcome = Outcome::Failed(fault.clone());
        return account;
    }
    let skipped = streams().map(|(source, account)| lost_behind(source, account)).sum();
    account.items = ItemCounts { done: tally.done, failed: tally.failed, skipped };
    account.faults.clone_from(&tally.faults);
    match judged(section.policy, account.items) {
        ItemJudgement::Sound => {}
        ItemJudgement::Reserved => account.reservations.extend(missing(tally)),
        ItemJudgement::Failed => {
            account.outcome = Outcome::Failed(summary(section.policy, account.items, tally))
        }
    }
    account
}

/// Why what a step would give is not there.
fn lacking(account: &MemberAccount) -> Option<OutcomeReason> {
    match &account.outcome {
        Outcome::Done => None,
        Outcome::Failed(_) => Some(OutcomeReason::NeedFailed { step: account.step.clone() }),
        Outcome::Skipped { because } => Some(because.for_users_of(&account.step)),
    }
}

/// The items of a stream that failed in a step or before it. Behind a step that makes many of one, nobody knows
/// how many those would have been.
fn lost_behind(source: &SectionMember, account: &MemberAccount) -> u64 {
    match source.expands() {
        true => 0,
        false => account.items.failed + account.items.skipped,
    }
}

enum ItemJudgement {
    Sound,
    Reserved,
    Failed,
}

fn judged(policy: ItemFailurePolicy, items: ItemCounts) -> ItemJudgement {
    let lost = items.failed + items.skipped;
    let all = u128::from(items.done + lost);
    match policy {
        _ if lost == 0 => ItemJudgement::Sound,
        ItemFailurePolicy::Fail => ItemJudgement::Failed,
        ItemFailurePolicy::Reservations => ItemJudgement::Reserved,
        ItemFailurePolicy::PartialAbove(share) => {
            let wanted = all * u128::from(share);
            match u128::from(items.done) * u128::from(ItemFailurePolicy::WHOLE) >= wanted {
                true => ItemJudgement::Reserved,
                false => ItemJudgement::Failed,
            }
        }
    }
}

/// The reservation of a step whose items failed; a step that only lacks items says nothing of its own.
fn missing(tally: &ItemTally) -> Option<StepReservation> {
    let text = format!("{}; the results are without them", counted(tally)?);
    Some(StepReservation { code: "items_failed".to_owned(), text })
}

fn summary(policy: ItemFailurePolicy, items: ItemCounts, tally: &ItemTally) -> Fault {
    let first = tally.faults.first().map(|first| &first.fault);
    let all = items.done + items.failed + items.skipped;
    let counted =
        counted(tally).unwrap_or_else(|| format!("{} of {all} items did not arrive", items.skipped));
    let reason = match policy {
        ItemFailurePolicy::PartialAbove(_) => {
            format!("{counted}; {} of {all} items are done, and the dataflow says \"{policy}\"", items.done)
        }
        ItemFailurePolicy::Fail | ItemFailurePolicy::Reservations => counted,
    };
    match first {
        Some(fault) => Fault::of(fault.kind, reason, fault.remedy.clone()),
        None => Fault::new(reason, "See the faults of the steps before."),
    }
}

/// The failed items in words, with the first of them.
fn counted(tally: &ItemTally) -> Option<String> {
    let first = tally.faults.first()?;
    let all = tally.done + tally.failed;
    Some(format!("{} of {all} items failed, the first is item {}: {}", tally.failed, first.item, first.fault))
}
