//! The servers that `benches/chat.rs` compares: flow's own, and Celery with Redis behind python-socketio.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::chat_client::{ChatClient, ChatForm};
use super::chat_tokens::{claims, signed};
use super::model;
use super::ports::free_port;

const FLOW: &str = env!("CARGO_BIN_EXE_flow");
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");
const KEY: &str = "a key of a benchmark, which has more than 32 bytes";
/// A file system in memory.
const MEMORY: &str = "/dev/shm";
const PATIENCE: Duration = Duration::from_secs(60);

/// The modules of Python that the peer needs.
const MODULES: &str = "import socketio, aiohttp, jwt, jsonschema, celery, redis";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// flow, spoken to by plain WebSocket.
    Flow,
    /// flow, spoken to by Socket.IO.
    FlowSocketIo,
    /// flow without a disk: its state is in `/dev/shm`, where a sync costs nothing. What was acknowledged outlives the
    /// process, and is lost with the power.
    FlowInMemory,
    /// flow with a type whose messages are not recorded, as one chooses for the notice that somebody is typing.
    FlowUnrecorded,
    /// Every message is synced to the disk before it is acknowledged.
    CeleryDurable,
    /// Redis as most run it: what was acknowledged in the last second may be lost.
    Celery,
    /// No Celery: the handler answers, and nothing is durable.
    PythonDirect,
}

/// A running server with its folder. All of its processes end when it is dropped.
pub struct ChatServer {
    kind: ServerKind,
    address: SocketAddr,
    processes: Vec<Child>,
    _folder: TempDir,
}

impl ServerKind {
    pub const ALL: [ServerKind; 7] = [
        ServerKind::Flow,
        ServerKind::FlowSocketIo,
        ServerKind::FlowInMemory,
        ServerKind::FlowUnrecorded,
        ServerKind::CeleryDurable,
        ServerKind::Celery,
        ServerKind::PythonDirect,
    ];

    pub fn name(self) -> &'static str {
        match self {
            ServerKind::Flow => "flow, WebSocket",
            ServerKind::FlowSocketIo => "flow, Socket.IO",
            ServerKind::FlowInMemory => "flow, WebSocket, without a disk",
            ServerKind::FlowUnrecorded => "flow, WebSocket, not recorded",
            ServerKind::CeleryDurable => "Celery, Redis synced each time",
            ServerKind::Celery => "Celery, Redis synced each second",
            ServerKind::PythonDirect => "python-socketio alone",
        }
    }

    pub fn is_peer(self) -> bool {
        matches!(self, ServerKind::CeleryDurable | ServerKind::Celery | ServerKind::PythonDirect)
    }

    /// Whether a model can be asked in the background.
    pub fn has_model(self) -> bool {
        self != ServerKind::PythonDirect
    }

    /// Says so where it is not installed.
    pub fn is_there(self) -> bool {
        if !self.is_peer() {
            return self != ServerKind::FlowInMemory || Path::new(MEMORY).is_dir();
        }
        let python = Command::new("python3").args(["-c", MODULES]).stderr(Stdio::null()).status();
        let redis = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        let is_there = [python, redis].iter().all(|tried| tried.as_ref().is_ok_and(|one| one.success()));
        if !is_there {
            println!("skipped: {}: redis-server, or python3 for `{MODULES}`, is not installed", self.name());
        }
        is_there
    }
}

impl ChatServer {
    /// Starts a server, and waits until it has answered a message, and one with the model.
    pub fn start(kind: ServerKind) -> ChatServer {
        let folder = match kind {
            ServerKind::FlowInMemory => tempfile::tempdir_in(MEMORY),
            _ => tempfile::tempdir(),
        };
        let folder = folder.expect("a temporary folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let processes = match kind {
            _ if !kind.is_peer() => vec![flow(kind, folder.path(), address)],
            _ => peer(kind, folder.path(), address),
        };
        let server = ChatServer { kind, address, processes, _folder: folder };
        server.wait();
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn form(&self) -> ChatForm {
        match self.kind {
            ServerKind::Flow | ServerKind::FlowInMemory | ServerKind::FlowUnrecorded => ChatForm::Plain,
            _ => ChatForm::SocketIo,
        }
    }

    pub fn has_model(&self) -> bool {
        self.kind.has_model()
    }

    pub fn token(&self, user: &str, conversation: &str) -> String {
        signed(KEY.as_bytes(), &claims(user, "patient", &[conversation]))
    }

    /// The memory of the process that the clients are connected to: what is resident and its own.
    pub fn memory_kib(&self) -> u64 {
        let process = self.processes.last().expect("the server itself comes last").id();
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("it runs");
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0)
        };
        field("Private_Clean:") + field("Private_Dirty:")
    }

    fn wait(&self) {
        let end = Instant::now() + PATIENCE;
        let look_again = |what: &str| {
            assert!(Instant::now() < end, "{}: {what}", self.kind.name());
            std::thread::park_timeout(Duration::from_millis(50));
        };
        while TcpStream::connect(self.address).is_err() {
            look_again("it does not listen");
        }
        let mut client = ChatClient::connect(self.address, self.form(), None).expect("it listens");
        client.hello(&self.token("first", "first"), &json!({})).expect("it takes the token");
        let kinds = if self.has_model() { &["note", "ask"][..] } else { &["note"] };
        for kind in kinds {
            let content = json!({ "text": "Hello" });
            let message = json!({ "id": kind, "conversation": "first", "type": kind, "content": content });
            client.send(&message).expect("it is there");
            while client.next().expect("the first message is answered").name != "event" {}
        }
    }
}

impl Drop for ChatServer {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            // Some have children, which end when they are asked to.
            let _ = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
            let end = Instant::now() + Duration::from_secs(5);
            while Instant::now() < end && process.try_wait().is_ok_and(|status| status.is_none()) {
                std::thread::park_timeout(Duration::from_millis(50));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn flow(kind: ServerKind, folder: &Path, address: SocketAddr) -> Child {
    let write =
        |name: &str, text: &str| fs::write(folder.join(name), text).expect("the folder can be written");
    fs::create_dir(folder.join("types")).expect("the folder can be written");
    let keep = if kind == ServerKind::FlowUnrecorded { "nothing" } else { "90 d" };
    write("types/note.yaml", &include_str!("note.yaml").replace("KEEP", keep));
    write("types/ask.yaml", &include_str!("ask.yaml").replace("MODEL", model()));
    write("chat.key", KEY);
    let limits = "rate: 1000000\n  connections: 20000\n  connections_per_address: 20000";
    write(
        "site.yaml",
        &format!("chat:\n  listen: {address}\n  key: chat.key\n  types: types\n  {limits}\nlanes: 256\n"),
    );
    quiet(Command::new(FLOW).args(["run", "chat", "--site", "site.yaml"]).current_dir(folder))
}

/// Redis, two workers and the server.
fn peer(kind: ServerKind, folder: &Path, address: SocketAddr) -> Vec<Child> {
    if kind == ServerKind::PythonDirect {
        return vec![quiet(python(folder, "").arg(address.port().to_string()).env("CHAT_DIRECT", "1"))];
    }
    let port = free_port().to_string();
    let sync = if kind == ServerKind::CeleryDurable { "always" } else { "everysec" };
    let mut redis = Command::new("redis-server");
    redis.args([
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        sync,
    ]);
    let mut processes = vec![quiet(redis.arg("--dir").arg(folder))];
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port.parse::<u16>().expect("a port"))).is_err() {
        assert!(Instant::now() < end, "Redis does not listen");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let url = format!("redis://127.0.0.1:{port}/0");
    // Processes for what takes no time, threads for what waits.
    for (queue, pool) in
        [("in_line", &["-P", "prefork", "-c", "2"]), ("model", &["-P", "threads", "-c", "200"])]
    {
        let mut worker = Command::new("python3");
        worker.args([
            "-m",
            "celery",
            "--workdir",
            PEERS,
            "-A",
            "chat_celery",
            "worker",
            "-Q",
            queue,
            "-n",
            queue,
        ]);
        worker.args(pool).args(["--loglevel", "error"]).current_dir(folder);
        processes
            .push(quiet(worker.env("REDIS_URL", &url).env("MODEL_URL", model_url()).env("TOKEN_KEY", KEY)));
    }
    processes.push(quiet(python(folder, &url).arg(address.port().to_string())));
    processes
}

fn python(folder: &Path, redis: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(format!("{PEERS}/chat_celery.py")).current_dir(folder);
    command.env("REDIS_URL", redis).env("MODEL_URL", model_url()).env("TOKEN_KEY", KEY);
    command
}

fn model_url() -> String {
    format!("{}/v1/chat/completions", model())
}

fn quiet(command: &mut Command) -> Child {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().expect("the program starts")
}
