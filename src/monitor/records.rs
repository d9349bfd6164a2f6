//! The records of a request in words, for its page.

use serde_json::{Value, json};

use crate::journal::{JournalEntry, general, general_fault};
use crate::ledger::reason_code;
use crate::step::{Fault, FaultOrigin, Outcome};

use super::site::NameDisplay;

/// A record in words. Where names are hidden, texts that may have one are general.
pub fn told(entry: &JournalEntry, names: NameDisplay) -> Value {
    match entry {
        JournalEntry::Run(run) => {
            let (outcome, fault, (reason, remedy)) = match &run.outcome {
                Outcome::Done => ("done", None, Default::default()),
                Outcome::Failed(fault) => ("failed", Some(fault.kind.name()), shown_fault(fault, names)),
                Outcome::Skipped { .. } => ("skipped", None, Default::default()),
            };
            let outputs: Vec<&str> = run.outputs.iter().map(|output| output.name.as_str()).collect();
            let inputs: Vec<&String> = run.inputs.keys().collect();
            json!({"step": run.step, "item": run.item, "outcome": outcome, "fault": fault, "reason": reason,
                "remedy": remedy, "took_us": run.took_us, "inputs": inputs, "outputs": outputs})
        }
        JournalEntry::Accepted { dataflow, request, .. } => {
            let completed_by = request.attribute("completed_by");
            json!({"dataflow": dataflow, "items": request.items.len(), "completed_by": completed_by})
        }
        JournalEntry::Responded { response } | JournalEntry::Interim { response } => {
            let files: Vec<String> = match names {
                NameDisplay::Shown => response.files.iter().map(|file| file.name.clone()).collect(),
                NameDisplay::Hidden => vec![format!("{} files", response.files.len())],
            };
            json!({"verdict": response.verdict.name(), "files": files})
        }
        JournalEntry::Delivered { destination, complete, detail, .. } => {
            let trouble = detail["trouble"].as_str().map(general);
            let code = trouble.and_then(|trouble| reason_code(&trouble));
            json!({"destination": destination, "complete": complete, "code": code,
                "detail": shown_detail(detail, names)})
        }
        JournalEntry::Sent { destination, detail, .. } => {
            json!({"destination": destination, "detail": shown_detail(detail, names)})
        }
        JournalEntry::Asked { what, who } => json!({"asked": what, "who": who}),
        JournalEntry::Late { items } => json!({"items": items.len()}),
        JournalEntry::TakenUp | JournalEntry::Began | JournalEntry::Undelivered | JournalEntry::Answered => {
            Value::Null
        }
    }
}

/// Reason and remedy of a fault. Where names are hidden, nothing that a program or a peer has worded.
fn shown_fault(fault: &Fault, names: NameDisplay) -> (String, String) {
    match (names, fault.origin) {
        (NameDisplay::Shown, _) => (fault.reason.clone(), fault.remedy.clone()),
        (NameDisplay::Hidden, FaultOrigin::Flow) => (general_fault(fault), fault.remedy.clone()),
        (NameDisplay::Hidden, FaultOrigin::Program) => (general_fault(fault), String::new()),
    }
}

/// What became of a delivery. Names of files and answers of a peer may have a name in them.
fn shown_detail(detail: &Value, names: NameDisplay) -> Value {
    match names {
        NameDisplay::Shown => detail.clone(),
        NameDisplay::Hidden => Value::Null,
    }
}
