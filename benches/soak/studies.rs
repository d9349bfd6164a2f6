//! CT studies to `ct-lung`, sent by `storescu` until it succeeds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use flow::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};
use serde_json::Value;

use super::ports::free_port;
use super::program::{FLOW, KilledProgram};
use super::{PATIENCE, STUDIES_AN_HOUR, SoakAccount, SoakPlan};

pub const NAME: &str = "studies";
/// The state folder.
pub const STATE: &str = "studies-state";
const OUTPUT: &str = "studies-output";
/// What is remembered of answered requests: a tenth of what an hour leaves, so that the bound is seen.
const KEEP: &str = "48MiB";

/// The process, and the port at which it receives.
pub fn program(folder: &Path) -> (Arc<KilledProgram>, u16) {
    let port = free_port();
    let listen = port.to_string();
    let arguments = [
        "run",
        "--listen",
        &listen,
        "--quiet-time",
        "2",
        "--state",
        STATE,
        "--output",
        OUTPUT,
        "--keep-bytes",
        KEEP,
    ];
    (Arc::new(KilledProgram::new(NAME, folder.to_owned(), &arguments)), port)
}

pub fn run(plan: &SoakPlan, port: u16) -> SoakAccount {
    let count = plan.share(STUDIES_AN_HOUR);
    let mut faults = Vec::new();
    for number in 0..count {
        thread::sleep(plan.due(number, count).saturating_duration_since(Instant::now()));
        if !sent(plan, port, number) {
            faults.push(format!("study {number} was not taken in {PATIENCE:?}"));
        }
        plan.studies.store(answers(&plan.folder).len(), Ordering::Relaxed);
    }
    let end = Instant::now() + PATIENCE;
    let mut answered = answers(&plan.folder);
    while (answered.len() as u64) < count && Instant::now() < end {
        thread::sleep(Duration::from_secs(1));
        answered = answers(&plan.folder);
        plan.studies.store(answered.len(), Ordering::Relaxed);
    }
    let names: BTreeSet<String> = answered.iter().filter_map(|answer| said(answer, "name")).collect();
    if names.len() != answered.len() {
        faults.push(format!("{} responses to {} studies", answered.len(), names.len()));
    }
    let failed = answered
        .iter()
        .filter(|answer| !said(answer, "verdict").is_some_and(|verdict| verdict.starts_with("complete")));
    faults.extend(failed.map(|answer| format!("a response is not complete: {answer}")));
    if answered.len() as u64 != count {
        faults.push(format!("{} responses to {count} studies", answered.len()));
    }
    SoakAccount { part: NAME, asked: count, answered: answered.len() as u64, faults }
}

/// What is damaged in the state folder that is left: a backup of it is verified whole.
pub fn damage(folder: &Path) -> Option<String> {
    let commands: [&[&str]; 2] = [&["backup", "backup", "--state", STATE], &["restore", "backup", "--check"]];
    commands.into_iter().find_map(|arguments| {
        let ended = Command::new(FLOW).args(arguments).current_dir(folder).output().expect("flow starts");
        let said = String::from_utf8_lossy(&ended.stderr);
        (!ended.status.success()).then(|| format!("flow {}: {said}", arguments.join(" ")))
    })
}

/// Makes a study and sends it, again where flow was killed on the way.
fn sent(plan: &SoakPlan, port: u16, number: u64) -> bool {
    let folder = plan.folder.join("study");
    let options = PhantomOptions { size: [48, 48, 16], seed: number + 1, ..PhantomOptions::default() };
    PhantomChest::new(&options).write(&folder, PhantomSyntax::Explicit).expect("a study can be written");
    let end = Instant::now() + PATIENCE;
    let send = || {
        let mut command = Command::new("storescu");
        command.args(["-aec", "FLOW", "127.0.0.1", &port.to_string(), "+sd", "+r"]).arg(&folder);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("storescu of DCMTK is installed")
            .success()
    };
    let mut is_sent = send();
    while !is_sent && Instant::now() < end {
        thread::sleep(Duration::from_millis(200));
        is_sent = send();
    }
    fs::remove_dir_all(&folder).expect("the study can be removed");
    is_sent
}

/// The responses so far.
fn answers(folder: &Path) -> Vec<Value> {
    let folders = fs::read_dir(folder.join(OUTPUT)).into_iter().flatten().flatten();
    let texts = folders.filter_map(|folder| fs::read_to_string(folder.path().join("response.json")).ok());
    texts.filter_map(|text| serde_json::from_str(&text).ok()).collect()
}

fn said(answer: &Value, key: &str) -> Option<String> {
    answer[key].as_str().map(str::to_owned)
}
