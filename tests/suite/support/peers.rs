//! Other people's DICOM programs as peers, and our receiver beside them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use flow::admission::StopSignal;
use flow::dicom::{DimseNode, ReceiveSettings, ReceiverEvent, echo, serve};
use flow::step::Request;

/// Everything in these tests takes milliseconds, or seconds on a busy machine; what takes so long has failed.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The program, or `None` (and a word about it) where it is not installed. With
/// `FLOW_REQUIRE_PEERS=1` it has to be there.
pub fn tool(path: &str) -> Option<&str> {
    if Path::new(path).exists() {
        return Some(path);
    }
    assert!(std::env::var_os("FLOW_REQUIRE_PEERS").is_none(), "{path} is not installed");
    println!("skipped: {path} is not installed");
    None
}

/// At a free port.
pub fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("there is a free port")
}

/// Tries again until it works or the deadline has passed.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A program in the background, ended when dropped.
pub struct Background(Child);

impl Background {
    pub fn start(command: &mut Command) -> Background {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Background(quiet.spawn().expect("the program starts"))
    }

    /// Runs a command whose outputs are set.
    pub fn of(command: &mut Command) -> Background {
        Background(command.stdin(Stdio::null()).spawn().expect("the program starts"))
    }

    /// Waits until it is gone, also by a signal.
    pub fn gone(&mut self) {
        until("the program is gone", || self.0.try_wait().expect("it can be waited for"));
    }

    /// Writes what it says to a file: nobody need read it while it runs.
    pub fn saying_to(command: &mut Command, said: &Path) -> Background {
        let said = File::create(said).expect("the file can be made");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn();
        Background(child.expect("the program starts"))
    }

    /// The most memory that it has had at a time; `None` when it has ended.
    pub fn peak_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("the kernel writes a number");
        Some(kibibytes << 10)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end as an operator would.
    pub fn end(&self) {
        let ended = run(Command::new("kill").args(["-TERM", &self.0.id().to_string()]));
        assert!(ended.status.success(), "it has ended before");
    }

    /// Waits until it ends by itself; its exit code.
    pub fn ended(&mut self) -> i32 {
        let ended = until("the program ends", || self.0.try_wait().expect("it can be waited for"));
        ended.code().expect("it is not killed")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the program starts")
}

/// Waits until a DICOM node answers C-ECHO.
pub fn answering(title: &str, port: u16) -> DimseNode {
    let destination: DimseNode = format!("{title}@127.0.0.1:{port}").parse().expect("it is one");
    until("C-ECHO is answered", || echo(&destination).ok());
    destination
}

/// Our receiver, stopped and joined when dropped.
pub struct Receiving {
    pub address: SocketAddr,
    pub inbox: PathBuf,
    pub studies: Receiver<Request>,
    pub events: Receiver<ReceiverEvent>,
    stop: Arc<StopSignal>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Receiving {
    /// With a quiet time of 50 ms, also for what was broken off, and `set` applied.
    pub fn start(set: impl FnOnce(&mut ReceiveSettings)) -> Receiving {
        Receiving::at(listener(), set)
    }

    /// At a port that a peer knows already.
    pub fn at(listener: TcpListener, set: impl FnOnce(&mut ReceiveSettings)) -> Receiving {
        let (give, studies) = mpsc::channel();
        Receiving::with(listener, set, studies, move |request| _ = give.send(request))
    }

    pub fn handing_to(
        set: impl FnOnce(&mut ReceiveSettings),
        studies: Receiver<Request>,
        on_study: impl FnMut(Request) + Send + 'static,
    ) -> Receiving {
        Receiving::with(listener(), set, studies, on_study)
    }

    fn with(
        listener: TcpListener,
        set: impl FnOnce(&mut ReceiveSettings),
        studies: Receiver<Request>,
        on_study: impl FnMut(Request) + Send + 'static,
    ) -> Receiving {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let inbox = folder.path().join("inbox");
        let mut settings = ReceiveSettings::new("FLOW".parse().expect("an AE title"), inbox.clone());
        settings.completion.quiet_time = Duration::from_millis(50);
        settings.completion.broken_time = Duration::from_millis(50);
        set(&mut settings);
        let address = listener.local_addr().expect("it is bound");
        let (tell, events) = mpsc::channel();
        let stop = Arc::new(StopSignal::default());
        let stopped = Arc::clone(&stop);
        let receive = move || {
            let on_event = |event: &ReceiverEvent| _ = tell.send(event.clone());
            serve(Some(&listener), &settings, &stopped, on_study, on_event).expect("the inbox can be made");
        };
        let thread = thread::Builder::new().name("receiver".to_owned()).spawn(receive).expect("it starts");
        Receiving { address, inbox, studies, events, stop, thread: Some(thread), _folder: folder }
    }

    pub fn study(&self) -> Request {
        self.studies.recv_timeout(DEADLINE).unwrap_or_else(|_| {
            let events: Vec<String> = self.events.try_iter().map(|event| event.to_string()).collect();
            panic!("no study completes: {}", events.join("\n"))
        })
    }

    /// The next event that fits; others are passed over.
    pub fn event(&self, what: &str, fits: impl Fn(&ReceiverEvent) -> bool) -> ReceiverEvent {
        let start = Instant::now();
        loop {
            let left = DEADLINE.saturating_sub(start.elapsed());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("no event: {what}"));
            if fits(&event) {
                return event;
            }
        }
    }

    /// All events until it has ended by itself.
    pub fn all_events(&self) -> Vec<ReceiverEvent> {
        let start = Instant::now();
        let left = || DEADLINE.saturating_sub(start.elapsed());
        let events: Vec<ReceiverEvent> =
            std::iter::from_fn(|| self.events.recv_timeout(left()).ok()).collect();
        assert!(start.elapsed() < DEADLINE, "it does not end: {events:?}");
        events
    }

    /// How many files are being received; those that are made beforehand are empty.
    pub fn incoming(&self) -> usize {
        let files = std::fs::read_dir(self.inbox.join("incoming")).expect("there is an inbox");
        let sizes = files.flatten().filter_map(|file| file.metadata().ok()).map(|file| file.len());
        sizes.filter(|size| *size > 0).count()
    }

    pub fn destination(&self, title: &str) -> DimseNode {
        format!("{title}@{}", self.address).parse().expect("it is one")
    }

    /// Arguments of DCMTK's programs that lead here.
    pub fn arguments(&self, title: &str) -> Vec<String> {
        ["-aet", "SCANNER", "-aec", title, "127.0.0.1", &self.address.port().to_string()]
            .map(str::to_owned)
            .into()
    }

    pub fn stop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the receiver ends well");
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The body that an HTTP server on loopback answers with.
pub fn http(port: u16, method: &str, path: &str, body: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let body = body.as_ref();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n").ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    answer.starts_with(b"HTTP/1.").then_some(())?;
    answer[..end].windows(5).any(|window| window == b" 200 ").then(|| answer[end + 4..].to_vec())
}
