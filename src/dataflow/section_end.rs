//! The end of a section's run: the outcome of each step, and the results of those that end a stream.

use crate::step::{
    Call, Fault, FaultLog, ItemTally, Outcome, OutcomeReason, StepOutputs, StepReservation, StepReservations,
    WiredInput,
};

use super::node::{MemberSource, StreamRole, StreamSection};
use super::policy::ItemFailurePolicy;
use super::section_account::{ItemCounts, MemberAccount, SectionAccount, missing_streams};
use super::section_member::MemberRun;
use super::section_ways::OffWay;

/// The outputs of the section, from what became of the items of each step.
pub(super) fn close(section: &StreamSection, runs: Vec<MemberRun>, call: &Call) -> StepOutputs {
    let losses = losses(&runs);
    let mut rounds: Vec<Vec<usize>> = vec![Vec::new(); section.names.len()];
    runs.iter().enumerate().for_each(|(index, run)| rounds[run.member.written].push(index));
    let mut runs: Vec<Option<MemberRun>> = runs.into_iter().map(Some).collect();
    let mut accounts: Vec<MemberAccount> = Vec::new();
    let mut outputs = StepOutputs::default();
    for rounds in rounds {
        let its: Vec<&MemberRun> = rounds.iter().filter_map(|index| runs[*index].as_ref()).collect();
        let skipped = rounds.iter().map(|index| losses[*index].before).sum();
        let mut account = settled(section, &its, skipped, &accounts);
        if account.outcome == Outcome::Done
            && its[0].member.node.stream == StreamRole::Ends
            && let Some(run) = runs[rounds[0]].take()
        {
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

/// Items that a step lost, and those that were lost before it.
#[derive(Clone, Copy, Default)]
struct ItemLosses {
    before: u64,
    all: u64,
}

/// The losses of each step in each round. Behind a step that makes many of one, or a route, nobody knows how many the
/// lost items would have been there; and an item that did not come back is counted where it was lost.
fn losses(runs: &[MemberRun]) -> Vec<ItemLosses> {
    let mut losses: Vec<ItemLosses> = Vec::new();
    for MemberRun { member, tally, .. } in runs {
        let streams = member.sources.iter().flat_map(|source| match source {
            MemberSource::Streams(members) => members.as_slice(),
            MemberSource::Absent | MemberSource::Border(_) => &[],
        });
        let lost = |source: &usize| {
            let before = runs[*source].member;
            let came_back = before.round < member.round;
            if before.hides_losses() || came_back { 0 } else { losses[*source].all }
        };
        let before = streams.map(lost).sum();
        losses.push(ItemLosses { before, all: before + tally.failed });
    }
    losses
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
        if matches!(source, MemberSource::Streams(_)) {
            inputs = inputs.replaced(input.name, WiredInput::Each(values));
        }
    }
    node.perform(&identity, &inputs, call.token, call.environment)
}

/// The outcome of a step as far as its items decide it, those of all its rounds together.
fn settled(
    section: &StreamSection,
    rounds: &[&MemberRun],
    skipped: u64,
    before: &[MemberAccount],
) -> MemberAccount {
    let first = rounds[0];
    let (member, skip) = (first.member, &first.skip);
    let mut tally = ItemTally::default();
    rounds.iter().for_each(|run| tally.add(&run.tally));
    let tally = &tally;
    let cause = member.sources.iter().find_map(|source| match source {
        MemberSource::Streams(members) => {
            missing_streams(members.iter().map(|index| lacking(&before[section.members[*index].written])))
        }
        MemberSource::Absent | MemberSource::Border(_) => None,
    });
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
    let ItemTally { done, failed, retried, .. } = *tally;
    account.items = ItemCounts { done, failed, skipped, retried };
    account.faults = tally.item_faults();
    let shared = shared(account.items, rounds);
    match judged(section.policy, shared) {
        ItemJudgement::Sound => {}
        ItemJudgement::Reserved => account.reservations.extend(missing(tally)),
        ItemJudgement::Failed => account.outcome = Outcome::Failed(summary(section.policy, shared, tally)),
    }
    account.reservations.extend(OffWay::reservations(rounds.iter().flat_map(|run| &run.ways_off)));
    account
}

/// The items of which a share is to be done: in a loop each once, however often it went round. Those that came in one
/// round are different items; a route in the loop may bring none in the first.
fn shared(items: ItemCounts, rounds: &[&MemberRun]) -> ItemCounts {
    if rounds.len() == 1 {
        return items;
    }
    let came = rounds.iter().map(|run| run.tally.done + run.tally.failed).max();
    ItemCounts { done: came.unwrap_or(0).saturating_sub(items.failed), ..items }
}

/// Why what a step would give is not there.
fn lacking(account: &MemberAccount) -> Option<OutcomeReason> {
    match &account.outcome {
        Outcome::Done => None,
        Outcome::Failed(_) => Some(OutcomeReason::NeedFailed { step: account.step.clone() }),
        Outcome::Skipped { because } => Some(because.for_users_of(&account.step)),
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
    let first = tally.faults.first().map(|(_, fault)| fault);
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
        Some(fault) => Fault { reason, log: FaultLog::default(), ..fault.clone() },
        None => Fault::new(reason, "See the faults of the steps before."),
    }
}

/// The failed items in words, with the first of them.
fn counted(tally: &ItemTally) -> Option<String> {
    let (place, fault) = tally.faults.first()?;
    let all = tally.done + tally.failed;
    Some(format!("{} of {all} items failed, the first is item {place}: {fault}", tally.failed))
}
