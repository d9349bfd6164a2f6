//! How fast instances come in and go out, beside DCMTK, Orthanc and the disk, in one run.
//!
//! `cargo bench --bench dicom [-- --slices N] [--small N] [--rounds N] [--gigabytes N] [--disk FOLDER] [--delay MS]`
//!
//! Each row is the median of the rounds (3), in MB/s of files; for small instances (8 KiB, 2 000 in one
//! association) it is instances per second. A peer that does not take all has no figure. Everything is on loopback; with `--delay` (root,
//! and `tc` of iproute2) it runs in a network of its own in which each packet takes so many milliseconds.
//! TCP_NODELAY is what DCMTK's environment variable of that name sets: `off` is how DCMTK is shipped.
//! flow sets it on its side always, and acknowledges at once.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[path = "../tests/suite/support/ports.rs"]
mod ports;

use ports::free_port;

const FLOW: &str = env!("CARGO_BIN_EXE_flow");
const STORESCU: &str = "/usr/bin/storescu";
const STORESCP: &str = "/usr/bin/storescp";
const ORTHANC: &str = "/usr/sbin/Orthanc";

struct Options {
    slices: usize,
    small: usize,
    rounds: usize,
    gigabytes: usize,
    disk: PathBuf,
    delay_ms: Option<u32>,
}

/// The study that is sent.
struct Study {
    files: Vec<PathBuf>,
    bytes: u64,
}

fn main() {
    let options = options();
    if let Some(delay_ms) = options.delay_ms.filter(|_| std::env::var_os("FLOW_DELAYED").is_none()) {
        return in_a_slow_network(delay_ms);
    }
    if ![STORESCU, STORESCP].iter().all(|tool| Path::new(tool).exists()) {
        return println!("skipped: DCMTK is not installed");
    }
    let folder = TempDir::new_in(memory()).expect("a folder in memory");
    let study = study(folder.path(), options.slices, 512);
    let (count, megabytes) = (study.files.len(), study.bytes as f64 / 1e6);
    println!(
        "{count} instances, {megabytes:.1} MB; {} rounds; disk is {}",
        options.rounds,
        options.disk.display()
    );
    println!("{:<44}{:>14}{:>10}{:>10}", "", "TCP_NODELAY", "MB/s", "ratio");
    receiving(&options, &study);
    durable(&options, &study);
    sending(&options, &study);
    small_instances(&options, folder.path());
    if options.delay_ms.is_none() {
        memory_while_receiving(&options, &study);
    }
}

/// From an unmodified storescu, into memory.
fn receiving(options: &Options, study: &Study) {
    for nodelay in [Nodelay::Off, Nodelay::On] {
        let dcmtk = median(options, || {
            let folder = TempDir::new_in(memory()).expect("a folder in memory");
            let (_peer, port) = storescp(folder.path(), nodelay);
            store(study, "ANY", port, nodelay, 1)
        });
        let flow = median(options, || {
            let folder = TempDir::new_in(memory()).expect("a folder in memory");
            let receiver = Receiver::start(folder.path());
            store(study, "FLOW", receiver.port, nodelay, 1)
        });
        row("storescu to storescp, in memory", nodelay, study, dcmtk, None);
        row("storescu to flow, in memory", nodelay, study, flow, dcmtk);
    }
}

/// Onto the disk: success is answered when the instance is there to stay.
fn durable(options: &Options, study: &Study) {
    let disk = median(options, || Some(write_and_sync(&options.disk, study)));
    row("the disk alone: write, sync, rename, sync", Nodelay::Unused, study, disk, None);
    for senders in [1_u32, 4] {
        let flow = median(options, || {
            let folder = TempDir::new_in(&options.disk).expect("a folder on the disk");
            let receiver = Receiver::start(folder.path());
            store(study, "FLOW", receiver.port, Nodelay::On, senders)
        });
        let times = study.bytes as f64 * f64::from(senders) / 1e6;
        row_of(
            &format!("{senders} storescu to flow, synced on the disk"),
            Nodelay::On,
            times,
            flow,
            disk.map(|disk| disk * senders),
        );
        beside_orthanc(options, study, senders, flow);
    }
}

/// The same to Orthanc, in so many associations.
fn beside_orthanc(options: &Options, study: &Study, senders: u32, flow: Option<Duration>) {
    if !Path::new(ORTHANC).exists() {
        return println!("skipped: Orthanc is not installed");
    }
    let orthanc = median(options, || {
        let folder = TempDir::new_in(&options.disk).expect("a folder on the disk");
        let (_peer, port) = orthanc(folder.path());
        store(study, "ORTHANC", port, Nodelay::On, senders)
    });
    let megabytes = study.bytes as f64 * f64::from(senders) / 1e6;
    row_of(&format!("{senders} storescu to Orthanc"), Nodelay::On, megabytes, orthanc, None);
    if let (Some(orthanc), Some(flow)) = (orthanc, flow) {
        let times = orthanc.as_secs_f64() / flow.as_secs_f64();
        println!("{:<68}{times:>10.1}", "  flow is so many times as fast as Orthanc");
    }
}

/// To storescp as it is shipped.
fn sending(options: &Options, study: &Study) {
    let time = |command: &mut dyn FnMut(u16) -> Command| {
        median(options, || {
            let folder = TempDir::new_in(memory()).expect("a folder in memory");
            let (_peer, port) = storescp(folder.path(), Nodelay::Off);
            timed(command(port))
        })
    };
    let dcmtk = time(&mut |port| {
        let mut command = Command::new(STORESCU);
        command.args(["-aec", "ANY", "127.0.0.1", &port.to_string()]).args(&study.files);
        command
    });
    let flow = time(&mut |port| {
        let mut command = Command::new(FLOW);
        command.arg("send").arg(format!("ANY@127.0.0.1:{port}")).args(&study.files);
        command
    });
    row("storescu to storescp", Nodelay::Off, study, dcmtk, None);
    row("flow send to storescp", Nodelay::Off, study, flow, dcmtk);
}

/// Many small instances in one association, into memory and onto the disk.
fn small_instances(options: &Options, folder: &Path) {
    let study = study(folder, options.small, SMALL_MATRIX);
    let count = study.files.len() as f64;
    let bytes = study.bytes as f64 / count;
    println!("{count} instances of {bytes:.0} bytes in one association, instances per second");
    for (place, folder) in [("memory", memory()), ("disk", options.disk.clone())] {
        let dcmtk = median(options, || {
            let folder = TempDir::new_in(&folder).expect("a folder");
            let (_peer, port) = storescp(folder.path(), Nodelay::On);
            store(&study, "ANY", port, Nodelay::On, 1)
        });
        let flow = median(options, || {
            let folder = TempDir::new_in(&folder).expect("a folder");
            let receiver = Receiver::start(folder.path());
            store(&study, "FLOW", receiver.port, Nodelay::On, 1)
        });
        let synced = if place == "disk" { ", never synced" } else { "" };
        row_of(&format!("storescu to storescp, {place}{synced}"), Nodelay::On, count, dcmtk, None);
        let synced = if place == "disk" { ", synced" } else { "" };
        row_of(&format!("storescu to flow, {place}{synced}"), Nodelay::On, count, flow, dcmtk);
    }
    let disk = median(options, || Some(write_and_sync(&options.disk, &study)));
    row_of("the disk alone: write, sync, rename, sync", Nodelay::Unused, count, disk, None);
}

/// Its pixels have 8 KiB.
const SMALL_MATRIX: usize = 64;

/// The most memory of the receiver while four associations send so many gigabytes.
fn memory_while_receiving(options: &Options, study: &Study) {
    let folder = TempDir::new_in(&options.disk).expect("a folder on the disk");
    let receiver = Receiver::start(folder.path());
    let times = (options.gigabytes as f64 * 1e9 / study.bytes as f64 / 4.0).ceil().max(1.0) as usize;
    let began = Instant::now();
    let senders: Vec<Child> = (0..4)
        .map(|_| {
            let mut command = storescu("FLOW", receiver.port, Nodelay::On);
            command.args(["--repeat", &times.to_string()]).args(&study.files);
            command.spawn().expect("storescu starts")
        })
        .collect();
    let statuses: Vec<_> = senders.into_iter().map(|mut sender| sender.wait().expect("it ends")).collect();
    if !statuses.iter().all(|status| status.success()) {
        return println!("{times} times in 4 associations: no figure, not all was taken");
    }
    let gigabytes = 4.0 * times as f64 * study.bytes as f64 / 1e9;
    let speed = gigabytes * 1e3 / began.elapsed().as_secs_f64();
    let peak = receiver.peak_mib();
    println!("{gigabytes:.1} GB in 4 associations at {speed:.0} MB/s: at most {peak} MiB of memory");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nodelay {
    On,
    Off,
    Unused,
}

fn row(what: &str, nodelay: Nodelay, study: &Study, time: Option<Duration>, beside: Option<Duration>) {
    row_of(what, nodelay, study.bytes as f64 / 1e6, time, beside);
}

/// A row, whose amount is in the unit of its section.
fn row_of(what: &str, nodelay: Nodelay, amount: f64, time: Option<Duration>, beside: Option<Duration>) {
    let nodelay = match nodelay {
        Nodelay::On => "on",
        Nodelay::Off => "off",
        Nodelay::Unused => "",
    };
    let Some(time) = time else {
        return println!("{what:<44}{nodelay:>14}  no figure: not all was taken");
    };
    let ratio = beside.map(|beside| format!("{:.2}", beside.as_secs_f64() / time.as_secs_f64()));
    let speed = amount / time.as_secs_f64();
    println!("{what:<44}{nodelay:>14}{speed:>10.1}{:>10}", ratio.unwrap_or_default());
}

/// The median; `None` if a peer refused in one of the rounds.
fn median(options: &Options, mut round: impl FnMut() -> Option<Duration>) -> Option<Duration> {
    let mut times: Vec<Duration> = (0..options.rounds).map(|_| round()).collect::<Option<_>>()?;
    times.sort();
    times.get(times.len() / 2).copied()
}

/// A program that is killed when this is dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `flow run --listen`; its studies stay in the inbox.
struct Receiver {
    process: Peer,
    port: u16,
}

impl Receiver {
    fn start(folder: &Path) -> Receiver {
        let mut command = Command::new(FLOW);
        command.args(["run", "--listen", "127.0.0.1:0", "--quiet-time", "3600", "--state"]);
        command.arg(folder.join("state")).arg("--output").arg(folder.join("output"));
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("flow starts");
        let mut said = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("listening at ") {
            line.clear();
            assert!(said.read_line(&mut line).expect("it speaks") > 0, "flow does not listen");
        }
        let (_, address) = line.split_once("listening at ").expect("it has that");
        let port = address.split([' ', ':']).find_map(|word| word.parse().ok()).expect("it names its port");
        // Nobody else reads what it says.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Receiver { process: Peer(process), port }
    }

    fn peak_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    }
}

fn storescp(folder: &Path, nodelay: Nodelay) -> (Peer, u16) {
    let port = free_port();
    let mut command = Command::new(STORESCP);
    command.args(["+xa", "-B", "-pdu", "131072", "-od"]).arg(folder).arg(port.to_string());
    (peer(&mut command, nodelay), awaited(port))
}

fn orthanc(folder: &Path) -> (Peer, u16) {
    let (port, web) = (free_port(), free_port());
    let path = folder.join("orthanc.json");
    let storage = folder.join("storage");
    let settings = format!(
        r#"{{"StorageDirectory": {storage:?}, "IndexDirectory": {storage:?}, "DicomAet": "ORTHANC",
            "DicomPort": {port}, "HttpPort": {web}, "RemoteAccessAllowed": false}}"#
    );
    fs::write(&path, settings).expect("a settings file");
    (peer(Command::new(ORTHANC).arg(path), Nodelay::On), awaited(port))
}

fn peer(command: &mut Command, nodelay: Nodelay) -> Peer {
    if nodelay == Nodelay::On {
        command.env("TCP_NODELAY", "1");
    }
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Peer(quiet.spawn().expect("the peer starts"))
}

fn storescu(title: &str, port: u16, nodelay: Nodelay) -> Command {
    let mut command = Command::new(STORESCU);
    command.args(["-aec", title, "-pdu", "131072", "127.0.0.1", &port.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if nodelay == Nodelay::On {
        command.env("TCP_NODELAY", "1");
    }
    command
}

/// Sends the study from so many senders at once. `None` if the peer did not take all from every sender.
fn store(study: &Study, title: &str, port: u16, nodelay: Nodelay, senders: u32) -> Option<Duration> {
    let began = Instant::now();
    let started = (0..senders).map(|_| {
        let mut command = storescu(title, port, nodelay);
        command.args(&study.files).spawn().expect("storescu starts")
    });
    let started: Vec<Child> = started.collect();
    let statuses: Vec<_> = started.into_iter().map(|mut sender| sender.wait().expect("it ends")).collect();
    statuses.iter().all(|status| status.success()).then(|| began.elapsed())
}

/// `None` if the command fails.
fn timed(mut command: Command) -> Option<Duration> {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it starts");
    status.success().then(|| began.elapsed())
}

/// What the disk needs for the same files without a network: each is written, synced, put into its place,
/// and the place synced.
fn write_and_sync(disk: &Path, study: &Study) -> Duration {
    let folder = TempDir::new_in(disk).expect("a folder on the disk");
    let contents: Vec<Vec<u8>> =
        study.files.iter().map(|path| fs::read(path).expect("it is there")).collect();
    let began = Instant::now();
    for (index, content) in contents.iter().enumerate() {
        let draft = folder.path().join("draft");
        let mut file = File::create(&draft).expect("a file");
        file.write_all(content).expect("there is room");
        file.sync_data().expect("it is synced");
        fs::rename(&draft, folder.path().join(index.to_string())).expect("it is moved");
        File::open(folder.path()).and_then(|place| place.sync_all()).expect("it is synced");
    }
    began.elapsed()
}

fn study(folder: &Path, slices: usize, matrix: usize) -> Study {
    let folder = folder.join(format!("study-{matrix}"));
    let mut command = Command::new(FLOW);
    command.arg("sample").arg(&folder);
    command.args(["--matrix", &matrix.to_string(), "--slices", &slices.to_string()]);
    timed(command).expect("a study is made");
    let below = fs::read_dir(folder.join("chest-1")).expect("a study");
    let mut files: Vec<PathBuf> = below.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let bytes = files.iter().map(|path| fs::metadata(path).expect("it is there").len()).sum();
    Study { files, bytes }
}

fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

fn awaited(port: u16) -> u16 {
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "the peer does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    port
}

/// Runs this once more in a network namespace whose loopback is slow.
fn in_a_slow_network(delay_ms: u32) {
    let program = std::env::current_exe().expect("this program has a path");
    let script = format!(
        "ip link set lo up && tc qdisc add dev lo root netem delay {delay_ms}ms limit 100000 && exec \"$0\" \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]).arg(program).args(std::env::args().skip(1));
    let status = command.env("FLOW_DELAYED", "1").status().expect("unshare starts");
    assert!(status.success(), "it needs root, and `tc` of iproute2");
}

fn options() -> Options {
    let mut options = Options {
        slices: 100,
        small: 2000,
        rounds: 3,
        gigabytes: 1,
        disk: PathBuf::from("target"),
        delay_ms: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number follows");
        match name.as_str() {
            "--slices" => options.slices = number(),
            "--small" => options.small = number(),
            "--rounds" => options.rounds = number(),
            "--gigabytes" => options.gigabytes = number(),
            "--delay" => options.delay_ms = Some(number() as u32),
            "--disk" => options.disk = arguments.next().expect("a folder follows").into(),
            // Cargo says that this is a benchmark.
            _ => {}
        }
    }
    options
}
