//! SIGKILL in the middle of a delivery: the real binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use flow::journal::{JournalEntry, JournalReader, RequestState};

use super::provider::{Answer, Provider};
use crate::support::peers::until;
use crate::support::slices::Slice;

const OBJECTS: u32 = 50;
const HELD: u32 = 26;

/// The response are the instances that came.
const DATAFLOW: &str = r#"
dataflow: copies
steps:
  copy:
    step: run-program
    needs: {request: request}
    with: {program: sh, arguments: ["-c", "for item in items/*; do cp $item out/${item##*/}.dcm; done"]}
response: [copy]
"#;

fn start(folder: &Path, provider: &Provider) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
    command.current_dir(folder).args(["run", "copies.yaml", "--input", "in", "--to"]);
    command.arg(provider.destination().to_string()).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("flow starts")
}

/// How many answers are recorded of the only request, and where it stands.
fn recorded(folder: &Path) -> Option<(usize, RequestState)> {
    let reader = JournalReader::open(&folder.join("flow-state")).ok()?;
    let row = reader.requests().ok()?.pop()?;
    let entries = reader.history(row.number).ok()?.entries;
    let sent = entries.iter().filter(|dated| matches!(dated.entry, JournalEntry::Sent { .. }));
    Some((sent.count(), row.state))
}

#[test]
fn killed_in_the_middle_of_a_delivery_it_sends_nothing_twice_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("copies.yaml"), DATAFLOW).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    for number in 1..=OBJECTS {
        fs::write(folder.path().join(format!("in/{number:02}.dcm")), Slice::new("1.2.3", number).file())
            .unwrap();
    }
    let (holding, seen) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(0)));
    let (held, arrivals) = (Arc::clone(&holding), Arc::clone(&seen));
    let answered = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let log = Arc::clone(&answered);
    let provider = Provider::start(move |uid, _| {
        let mut arrivals = arrivals.lock().unwrap();
        *arrivals += 1;
        if *arrivals >= HELD && held.load(Ordering::Relaxed) {
            return Answer::Silence;
        }
        *log.lock().unwrap().entry(uid.to_owned()).or_default() += 1;
        Answer::Status(0)
    });

    let mut flow = start(folder.path(), &provider);
    until("one object is not answered", || (*seen.lock().unwrap() == HELD).then_some(()));
    // An answer is recorded while the next object is on its way.
    let answers = HELD as usize - 1;
    until("what was answered is recorded", || recorded(folder.path()).filter(|(sent, _)| *sent == answers));
    flow.kill().unwrap();
    flow.wait().unwrap();
    assert_eq!(answered.lock().unwrap().len(), answers);

    holding.store(false, Ordering::Relaxed);
    let mut flow = start(folder.path(), &provider);
    assert!(flow.wait().unwrap().success());
    assert_eq!(recorded(folder.path()).unwrap().1, RequestState::Answered);
    let answered = answered.lock().unwrap();
    assert_eq!(answered.len(), OBJECTS as usize, "all have arrived");
    assert!(answered.values().all(|times| *times == 1), "{answered:?}");
    let arrived: usize = provider.arrived().values().sum();
    assert_eq!(arrived, OBJECTS as usize + 1, "only the one that was not answered came twice");
}
