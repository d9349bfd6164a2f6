//! The page left open under load: the memory of its tab, and that of flow, stay where they are.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Place;
use super::again::script;
use super::page::PageAddress;
use crate::support::peers::{Background, answering, run, tool};
use crate::support::ports::free_port;
use crate::support::scripts::Script;

use flow::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};

/// The rounds of the script that are measured where nobody says how long: a round is a few seconds.
const SHORT_MINUTES: f64 = 0.5;

/// What a median may grow by between the first third and the last: a factor, and bytes beside it.
const GROWTH_MAX: (f64, u64) = (1.3, 12 << 20);

/// One measurement: bytes of the two tabs' heaps, the nodes of their documents, and the resident bytes of flow.
struct Sample {
    heap: u64,
    nodes: u64,
    resident: u64,
}

/// Runs for half a minute, or for as long as `FLOW_PAGE_MINUTES` says. The figures are printed.
#[test]
fn a_page_that_is_left_open_under_load_takes_no_more_memory() {
    let (Some(storescu), Some(_)) = (tool("/usr/bin/storescu"), tool("/usr/bin/chromium")) else { return };
    let minutes = std::env::var("FLOW_PAGE_MINUTES").ok().and_then(|minutes| minutes.parse().ok());
    let place = Place::new();
    script(&place, "true");
    let (port, dicom_port) = (free_port().to_string(), free_port());
    let listen = dicom_port.to_string();
    let arguments = ["run", "script.yaml", "--listen", &listen, "--quiet-time", "0.2", "--page", &port];
    let mut command = place.flow(&arguments);
    command.args(["--keep-bytes", "1MiB"]);
    // Nobody need read what it says.
    let mut flow = Background::saying_to(&mut command, &place.path("said"));
    answering("FLOW", dicom_port);
    let url = PageAddress::of(&place, &port).entry();
    let minutes = minutes.unwrap_or(SHORT_MINUTES).to_string();
    let arguments = [url.as_str(), minutes.as_str()];
    let Some(mut tabs) = Script::start("playwright", include_str!("page_load.py"), &arguments) else {
        return;
    };
    let ended = AtomicBool::new(false);
    let (mut samples, mut sent) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&place, storescu, &listen, &ended));
        let watched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while let Some(numbers) = tabs.line().strip_prefix("sample ") {
                let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
                let resident = resident_bytes(flow.id());
                samples.push(Sample { heap: numbers[0], nodes: numbers[1], resident });
            }
        }));
        ended.store(true, Ordering::Relaxed);
        sent = sending.join().unwrap();
        watched.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    flow.end();
    assert_eq!(flow.ended(), 0);
    report(&samples, sent, &minutes);
}

/// Sends studies, each a new one, until the end. Gives how many.
fn send(place: &Place, storescu: &str, port: &str, ended: &AtomicBool) -> u64 {
    let mut seed = 0;
    while !ended.load(Ordering::Relaxed) {
        let folder = place.path(&format!("study-{seed}"));
        let options = PhantomOptions { size: [16, 16, 2], seed, ..PhantomOptions::default() };
        PhantomChest::new(&options).write(&folder, PhantomSyntax::Explicit).unwrap();
        let arguments = ["-aec", "FLOW", "+sd", "127.0.0.1", port];
        let sent = run(std::process::Command::new(storescu).args(arguments).arg(&folder));
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        fs::remove_dir_all(folder).unwrap();
        seed += 1;
    }
    seed
}

fn report(samples: &[Sample], sent: u64, minutes: &str) {
    assert!(samples.len() >= 6 && sent > 0, "{} samples, {sent} studies", samples.len());
    let third = samples.len() / 3;
    let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
    println!("{minutes} minutes, {sent} studies sent, {} samples", samples.len());
    for (what, of, beside) in [
        ("heap of the tabs, bytes", (|one| one.heap) as fn(&Sample) -> u64, GROWTH_MAX.1),
        ("nodes of the tabs", |one| one.nodes, 5_000),
        ("resident memory of flow, bytes", |one| one.resident, 4 * GROWTH_MAX.1),
    ] {
        let (before, after) = (median(first, of), median(last, of));
        let most = samples.iter().map(of).max().unwrap_or_default();
        println!("{what}: {before} in the first third, {after} in the last, {most} at most");
        let allowed = (before as f64 * GROWTH_MAX.0) as u64 + beside;
        assert!(after <= allowed, "{what} grows: {before} to {after}");
    }
}

fn median(samples: &[Sample], of: fn(&Sample) -> u64) -> u64 {
    let mut numbers: Vec<u64> = samples.iter().map(of).collect();
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}
