//! What a cluster costs and brings: processes of `flow run` on one machine, over loopback.
//!
//! * `remote`: the time that a step takes longer in another process than here, by the time of requests one after the
//!   other whose steps do next to nothing;
//! * `tls`: what the encryption of the connections takes of a core at 1 GB/s, and the rate of one connection with and
//!   without it;
//! * `rebuild`: 1 000 lanes and 100 requests in work, one of two processes is killed: the time until its requests are in
//!   work in the other. Of it, one second is the time that a lost process has to come back;
//! * `two`: requests of `ct-lung` on one process with one core, and on two with one core each (`taskset`).
//!
//! Nothing else should run meanwhile. `benches/cluster/attack.py` measures outages.
//! `cargo bench --bench cluster [-- remote tls rebuild two]`

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flow::journal::{JournalEntry, JournalReader};
use flow::tls::{SessionKeys, TlsSession};
use tempfile::TempDir;

const ROUNDS: usize = 5;
const FLOW: &str = env!("CARGO_BIN_EXE_flow");

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|one| one == name);
    if is_asked("remote") {
        remote();
    }
    if is_asked("tls") {
        tls();
    }
    if is_asked("rebuild") {
        rebuild();
    }
    if is_asked("two") {
        two();
    }
}

/// A folder with processes, which end with it.
struct BenchCluster {
    folder: TempDir,
    processes: Vec<Child>,
}

impl BenchCluster {
    fn new(processes: usize) -> BenchCluster {
        let folder = tempfile::tempdir().expect("a folder");
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let hosts: String = (0..processes).map(|_| format!("{}\n", free())).collect();
        fs::write(folder.path().join("hosts"), hosts).expect("the hosts file");
        BenchCluster { folder, processes: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Starts a process, on one core if it is said.
    fn start(&mut self, core: Option<usize>, arguments: &[&str]) {
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string(), FLOW]);
                command
            }
            None => Command::new(FLOW),
        };
        let said = File::options().create(true).append(true).open(self.path("said")).expect("a log");
        command.args(["run"]).args(arguments).current_dir(self.folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn();
        self.processes.push(child.expect("flow starts"));
    }

    /// Waits for the end of the last process that was started, which has to be a good one.
    fn end(&mut self) {
        let ended = self.processes.last_mut().expect("a process").wait().expect("it ends");
        let said = || fs::read_to_string(self.path("said")).unwrap_or_default();
        assert!(ended.success(), "{}", said());
    }

    /// The time from the first beginning of a request to the last answer, by the journal.
    fn span(&self) -> Duration {
        let reader = JournalReader::open(&self.path("flow-state")).expect("the journal");
        let rows = reader.requests().expect("its requests");
        let histories = rows.iter().map(|row| reader.history(row.number).expect("a history"));
        let (mut begin, mut end) = (i64::MAX, i64::MIN);
        for dated in histories.flat_map(|history| history.entries) {
            if matches!(dated.entry, JournalEntry::Began) {
                begin = begin.min(dated.time_ms);
            }
            if matches!(dated.entry, JournalEntry::Answered) {
                end = end.max(dated.time_ms);
            }
        }
        Duration::from_millis(u64::try_from(end - begin).expect("answers after beginnings"))
    }
}

impl Drop for BenchCluster {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

const SMALL: &str = "dataflow: small
limits: {memory: {fixed: 1 B}}
steps:
  lines: {step: read-json-lines, needs: {request: request}, on: far}
  numbers: {step: pick-number, needs: {item: lines}, with: {group: /group, field: /n}, on: far}
  total: {step: total-json, needs: {numbers: numbers}, on: far}
  report: {step: write-total, needs: {total: total}}
response: [report]
";

const SMALL_REQUESTS: usize = 500;

fn remote() {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        here.push(small_requests(["--label", "far"], ["--label", "other"]));
        there.push(small_requests(["--label", "other"], ["--label", "far"]));
    }
    let (here, there) = (median(here), median(there));
    let overhead = there.saturating_sub(here);
    println!(
        "remote: a request of one step takes {here:.2?} with the step here, {there:.2?} with it in another process: \
         {overhead:.2?} more"
    );
}

/// The mean time of a request, one after the other, with these labels of process 0 and 1.
fn small_requests(first: [&str; 2], second: [&str; 2]) -> Duration {
    let mut cluster = BenchCluster::new(2);
    cluster.write("small.yaml", SMALL);
    let files: Vec<String> = (0..SMALL_REQUESTS).map(|number| format!("r{number}")).collect();
    files.iter().for_each(|name| cluster.write(name, &format!("{{\"group\": \"{name}\", \"n\": 1}}\n")));
    let common = ["small.yaml", "-n", "2", "--hosts", "hosts", "-w", "1", "--lanes", "1", "-p"];
    cluster.start(None, &[&common[..], &["1"], &second].concat());
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    cluster.start(None, &[&common[..], &["0"], &first, &["--files"], &files[..]].concat());
    cluster.end();
    cluster.span() / SMALL_REQUESTS as u32
}

const PIECE: usize = 64 << 10;
const BYTES: usize = 4 << 30;

fn tls() {
    let keys = SessionKeys::shared(&[7; 32]).expect("keys");
    let ((_, mut near), (_, mut far)) = connected(&keys);
    let (plain, mut opened) = (vec![7; PIECE], Vec::new());
    let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..BYTES / PIECE {
        let began = Instant::now();
        let sealed = near.seal(&plain).expect("it is sealed");
        sealing += began.elapsed();
        let began = Instant::now();
        opened.clear();
        far.open(&sealed, &mut opened).expect("it is opened");
        opening += began.elapsed();
        assert_eq!(opened.len(), PIECE);
    }
    let share = |time: Duration| 100.0 * time.as_secs_f64() / (BYTES as f64 / 1e9);
    println!(
        "tls: at 1 GB/s, sealing takes {:.0} % of a core and opening {:.0} %",
        share(sealing),
        share(opening)
    );
    let rate = |is_sealed: bool| {
        let times = (0..ROUNDS).map(|_| transfer(connected(&keys), is_sealed)).collect();
        BYTES as f64 / 1e9 / median(times).as_secs_f64()
    };
    let (plain, sealed) = (rate(false), rate(true));
    println!("tls: one connection over loopback: {plain:.2} GB/s without, {sealed:.2} GB/s with");
}

type SessionEnd = (TcpStream, TlsSession);

fn connected(keys: &SessionKeys) -> (SessionEnd, SessionEnd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let until = Instant::now() + Duration::from_secs(10);
    std::thread::scope(|scope| {
        let near = scope.spawn(move || {
            let socket = TcpStream::connect(address).expect("a connection");
            let session = keys.connect("127.0.0.1", &socket, until).expect("a handshake");
            (socket, session)
        });
        let (socket, _) = listener.accept().expect("a connection");
        let session = keys.accept(&socket, until).expect("a handshake");
        (near.join().expect("it connects"), (socket, session))
    })
}

/// The time that bytes take from one thread to another over loopback.
fn transfer((mut near, mut far): (SessionEnd, SessionEnd), is_sealed: bool) -> Duration {
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let plain = vec![7; PIECE];
            for _ in 0..BYTES / PIECE {
                match is_sealed {
                    true => {
                        near.0.write_all(&near.1.seal(&plain).expect("it is sealed")).expect("it is sent")
                    }
                    false => near.0.write_all(&plain).expect("it is sent"),
                }
            }
        });
        let (mut wire, mut opened, mut count) = (vec![0; PIECE], Vec::new(), 0);
        while count < BYTES {
            let read = far.0.read(&mut wire).expect("it is received");
            assert!(read > 0, "all bytes come");
            count += match is_sealed {
                true => {
                    opened.clear();
                    far.1.open(&wire[..read], &mut opened).expect("it is opened");
                    opened.len()
                }
                false => read,
            };
        }
    });
    began.elapsed()
}

const IN_WORK: usize = 100;

fn rebuild() {
    let times = (0..ROUNDS).map(|_| rebuilt()).collect();
    let took = median(times);
    println!(
        "rebuild: 1 000 lanes, {IN_WORK} requests in work, one of two processes is killed: its requests are in work in \
         the other after {took:.2?}"
    );
}

fn rebuilt() -> Duration {
    let mut cluster = BenchCluster::new(2);
    let folder = cluster.folder.path().display().to_string();
    let script =
        format!("echo >> {folder}/began; while [ ! -e {folder}/go ]; do sleep 1; done; echo > out/x");
    cluster.write(
        "wait.yaml",
        &format!(
            "dataflow: wait\nlimits: {{memory: {{fixed: 1 B}}}}\nsteps:\n  wait: {{step: run-program, needs: {{request: \
             request}}, with: {{program: sh, arguments: [-c, {script:?}], writes: [{folder}]}}}}\nresponse: [wait]\n"
        ),
    );
    let files: Vec<String> = (0..IN_WORK).map(|number| format!("r{number}")).collect();
    files.iter().for_each(|name| cluster.write(name, name));
    let common = ["wait.yaml", "-n", "2", "--hosts", "hosts", "-w", "1", "--lanes", "1000", "-p"];
    cluster.start(None, &[&common[..], &["1"]].concat());
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    cluster.start(None, &[&common[..], &["0", "--files"], &files[..]].concat());
    let began = cluster.path("began");
    until(&began, IN_WORK);
    let start = Instant::now();
    cluster.processes[0].kill().expect("it is killed");
    // Requests are given in turn, so that the other process had half of them.
    until(&began, IN_WORK + IN_WORK / 2);
    let took = start.elapsed();
    cluster.write("go", "");
    cluster.end();
    took
}

/// Waits until a file has so many lines.
fn until(path: &Path, lines: usize) {
    let start = Instant::now();
    while fs::read_to_string(path).map_or(0, |text| text.lines().count()) < lines {
        assert!(start.elapsed() < Duration::from_secs(300), "waited in vain for {lines} lines");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Many enough that the first and the last, beside which a core is idle, weigh little.
const STUDIES: &str = "24";

fn two() {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(studies(1));
        two.push(studies(2));
    }
    let (one, two) = (median(one), median(two));
    let ratio = one.as_secs_f64() / two.as_secs_f64();
    println!(
        "two: {STUDIES} studies take {one:.1?} on one process and core, {two:.1?} on two: {ratio:.2} times as fast"
    );
}

/// The time that so many processes, each with a core of its own, take for the same studies.
fn studies(processes: usize) -> Duration {
    let mut cluster = BenchCluster::new(processes);
    let sample = ["sample", "in", "--studies", STUDIES, "--matrix", "256", "--slices", "120"];
    let made =
        Command::new(FLOW).args(sample).current_dir(cluster.folder.path()).output().expect("flow runs");
    assert!(made.status.success());
    let count = processes.to_string();
    let common = ["ct-lung", "-n", count.as_str(), "--hosts", "hosts", "-w", "1", "--lanes", "4", "-p"];
    for index in (0..processes).rev() {
        let number = index.to_string();
        let input: &[&str] = if index == 0 { &["--input", "in"] } else { &[] };
        cluster.start(Some(index), &[&common[..], &[number.as_str()], input].concat());
    }
    cluster.end();
    cluster.span()
}
