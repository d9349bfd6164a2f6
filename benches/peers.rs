//! How long the lungs of a chest CT take beside scripts with pydicom and scipy, and with SimpleITK, in one run.
//!
//! `cargo bench --bench peers [-- --slices N] [--rounds N]`, with `python3` that has the libraries first in `PATH`.
//!
//! The scripts read the study, decode it, find the lungs by a threshold and connected components, and print
//! volume and LAA-950. flow does all of `ct-lung`: it tells the lungs apart, judges the scan, and writes pictures,
//! a segmentation, a report and a page of PDF to disk. Each row has the medians of the rounds, whole processes with
//! their start: wall time, processor time and the most memory.
//!
//! Then the same study as JPEG-LS and as JPEG 2000, encoded by `gdcmconv`: flow decodes all of it in one process, this
//! program started again, on all cores; `dcmdjpls` of DCMTK and `gdcmconv`, which decodes JPEG 2000 with OpenJPEG, decode
//! one file in each process, as many at a time as there are cores, and write it. The memory is that of all processes
//! at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flow::imaging::{decode_slice, read_instance};
use rayon::prelude::*;

const FLOW: &str = env!("CARGO_BIN_EXE_flow");
const SCRIPTS: [(&str, &str, &str); 2] =
    [("pydicom and scipy", "pydicom, scipy", "pydicom_scipy.py"), ("SimpleITK", "SimpleITK", "simpleitk.py")];

/// A compression: its name, how `gdcmconv` makes it, and the programs that decode it.
type CompressedSyntax = (&'static str, &'static str, &'static [&'static [&'static str]]);

const COMPRESSED: [CompressedSyntax; 2] = [
    ("JPEG-LS", "--jpegls", &[&["dcmdjpls"], &["gdcmconv", "--raw"]]),
    ("JPEG 2000", "--j2k", &[&["gdcmconv", "--raw"]]),
];

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
            DECODE => return decode(Path::new(&arguments.next().expect("a folder follows"))),
            // Cargo says that this is a benchmark.
            _ => {}
        }
    }
    let folder = memory().join(format!("flow-peers-{}", std::process::id()));
    let study = study(&folder, slices);
    println!("{slices} slices of 512 × 512, {rounds} rounds, medians");
    println!("{:<24}{:>10}{:>14}{:>12}", "", "wall s", "processor s", "peak MiB");
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
    COMPRESSED.iter().for_each(|syntax| compressed(syntax, &folder, &study, rounds));
    fs::remove_dir_all(&folder).expect("the folder goes");
}

/// Decodes the study in a compressed syntax.
fn compressed((name, option, peers): &CompressedSyntax, folder: &Path, study: &Path, rounds: usize) {
    let made = folder.join(option);
    fs::create_dir_all(&made).expect("the folder is made");
    let files: Vec<PathBuf> =
        fs::read_dir(study).expect("the study is there").map(|file| file.expect("a file").path()).collect();
    let encoded: Vec<PathBuf> = files.iter().filter_map(|file| Some(made.join(file.file_name()?))).collect();
    let encode = |(from, to): (&PathBuf, &PathBuf)| {
        let status = Command::new("gdcmconv").arg(option).arg(from).arg(to).status();
        status.is_ok_and(|status| status.success())
    };
    if !files.par_iter().zip(&encoded).all(encode) {
        println!("skipped: {name}, as gdcmconv is not installed");
        return;
    }
    let this = std::env::current_exe().expect("this program has a path");
    let decoded = || cost(Command::new(&this).arg(DECODE).arg(&made));
    row(&format!("flow, {name} alone"), &(0..rounds).map(|_| decoded()).collect::<Vec<_>>());
    for peer in *peers {
        if Command::new(peer[0]).arg("--version").output().is_err() {
            println!("skipped: {} is not installed", peer[0]);
            continue;
        }
        let costs: Vec<ProcessCost> = (0..rounds).map(|_| cost(&mut one_by_one(peer, &made))).collect();
        row(&format!("{}, {name}", peer[0]), &costs);
    }
}

/// A program run once for each file of a folder, as many at a time as there are cores.
fn one_by_one(program: &[&str], folder: &Path) -> Command {
    let cores = rayon::current_num_threads().to_string();
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"folder=$1; shift; find "$folder" -name '*.dcm' | xargs -I{} -P "$@" {} {}.out"#,
        "sh",
    ]);
    command.arg(folder).arg(cores).args(program);
    command
}

/// The argument with which this program decodes the files of a folder, and does nothing else.
const DECODE: &str = "--decode";

fn decode(folder: &Path) {
    let files = fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("a file").path());
    let files: Vec<PathBuf> = files.collect();
    files.par_iter().for_each_init(Vec::new, |voxels, file| {
        let bytes = fs::read(file).expect("the file is there");
        let (header, _) = read_instance("slice", file, &bytes).expect("an instance");
        voxels.resize(usize::from(header.rows) * usize::from(header.columns), 0);
        decode_slice(&header, &bytes, voxels).expect("it can be decoded");
    });
}

fn row(name: &str, costs: &[ProcessCost]) {
    let median = |of: fn(&ProcessCost) -> f64| {
        let mut numbers: Vec<f64> = costs.iter().map(of).collect();
        numbers.sort_by(f64::total_cmp);
        numbers[numbers.len() / 2]
    };
    let peak = costs.iter().map(|cost| cost.peak_mib).max().unwrap_or(0);
    let (wall, processor) = (median(|cost| cost.wall), median(|cost| cost.processor));
    println!("{name:<24}{wall:>10.2}{processor:>14.2}{peak:>12}");
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
    let (processor, began) = (processor_time(), Instant::now());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut peak_mib = 0;
    let status = loop {
        peak_mib = peak_mib.max(peak_kib(child.id()) / 1024);
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let wall = began.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}");
    ProcessCost { wall, processor: processor_time() - processor, peak_mib }
}

/// The most memory that a process and its descendants, as many as there are now, have had each.
fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let own = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    own + children.split_whitespace().filter_map(|child| child.parse().ok()).map(peak_kib).sum::<u64>()
}

/// Seconds that all children of this process that have ended ran on processors (proc(5): cutime and cstime, in
/// hundredths).
fn processor_time() -> f64 {
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
