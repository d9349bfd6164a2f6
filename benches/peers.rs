//! How long the lungs of a chest CT take beside scripts with pydicom and scipy, and with SimpleITK, in one run.
//!
//! `cargo bench --bench peers [-- --slices N] [--rounds N]`, with `python3` that has the libraries first in `PATH`.
//!
//! The scripts read the study, decode it, find the lungs by a threshold and connected components, and print
//! volume and LAA-950. flow does all of `ct-lung`: it tells the lungs apart, judges the scan, and writes pictures,
//! a segmentation, a report and a page of PDF to disk. Each row has the medians of the rounds, whole processes with
//! their start: wall time, processor time and the most memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const FLOW: &str = env!("CARGO_BIN_EXE_flow");
const SCRIPTS: [(&str, &str, &str); 2] =
    [("pydicom and scipy", "pydicom, scipy", "pydicom_scipy.py"), ("SimpleITK", "SimpleITK", "simpleitk.py")];

/// What one process took.
#[derive(Clone, Copy)]
struct ProcessCost {
    wall: f64,
    processor: f64,
    peak_mib: u64,
}

fn main() {
    let (mut slices, mut rounds) = (275, 3);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number follows");
        match name.as_str() {
            "--slices" => slices = number(),
            "--rounds" => rounds = number(),
            // Cargo says that this is a benchmark.
            _ => {}
        }
    }
    let folder = memory().join(format!("flow-peers-{}", std::process::id()));
    let study = study(&folder, slices);
    println!("{slices} slices of 512 × 512, {rounds} rounds, medians");
    println!("{:<20}{:>10}{:>14}{:>12}", "", "wall s", "processor s", "peak MiB");
    let scripts: Vec<_> = SCRIPTS.into_iter().filter(|(name, modules, _)| has(name, modules)).collect();
    let mut costs = vec![Vec::new(); 1 + scripts.len()];
    for round in 0..rounds {
        costs[0].push(cost(&mut flow(&folder.join(round.to_string()), &study)));
        for ((_, _, file), costs) in scripts.iter().zip(&mut costs[1..]) {
            costs.push(cost(&mut script(file, &study)));
        }
    }
    let names = ["flow, all of ct-lung"].into_iter().chain(scripts.iter().map(|(name, ..)| *name));
    names.zip(&costs).for_each(|(name, costs)| row(name, costs));
    fs::remove_dir_all(&folder).expect("the folder goes");
}

fn row(name: &str, costs: &[ProcessCost]) {
    let median = |of: fn(&ProcessCost) -> f64| {
        let mut numbers: Vec<f64> = costs.iter().map(of).collect();
        numbers.sort_by(f64::total_cmp);
        numbers[numbers.len() / 2]
    };
    let peak = costs.iter().map(|cost| cost.peak_mib).max().unwrap_or(0);
    let (wall, processor) = (median(|cost| cost.wall), median(|cost| cost.processor));
    println!("{name:<20}{wall:>10.2}{processor:>14.2}{peak:>12}");
}

fn flow(folder: &Path, study: &Path) -> Command {
    let mut command = Command::new(FLOW);
    command.args(["run", "ct-lung", "--input"]).arg(study);
    command.arg("--state").arg(folder.join("state")).arg("--output").arg(folder.join("output"));
    command
}

fn script(file: &str, study: &Path) -> Command {
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(file)).arg(study);
    command
}

fn has(name: &str, modules: &str) -> bool {
    let tried = Command::new("python3").args(["-c", &format!("import {modules}")]).output();
    let found = tried.is_ok_and(|tried| tried.status.success());
    if !found {
        println!("skipped: python3 with {name} is not installed");
    }
    found
}

/// Runs a program, and looks at its memory meanwhile.
fn cost(command: &mut Command) -> ProcessCost {
    let (processor, began) = (processor_of_children(), Instant::now());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut peak_mib = 0;
    let status = loop {
        peak_mib = peak_mib.max(peak(&child));
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let wall = began.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}");
    ProcessCost { wall, processor: processor_of_children() - processor, peak_mib }
}

fn peak(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Seconds that all children which have ended ran on processors (proc(5): cutime and cstime, in hundredths).
fn processor_of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let numbers = fields.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok());
    numbers.sum::<f64>() / 100.0
}

fn study(folder: &Path, slices: usize) -> PathBuf {
    let mut command = Command::new(FLOW);
    let size = ["--matrix", "512", "--slices", &slices.to_string()];
    command.arg("sample").arg(folder.join("study")).args(size).stdout(Stdio::null());
    assert!(command.status().expect("flow starts").success());
    folder.join("study/chest-1")
}

fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}
