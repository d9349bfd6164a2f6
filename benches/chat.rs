//! The chat under load: from a client's `send` to its acknowledgement and to the answer's event, beside Celery 5 with
//! Redis behind python-socketio doing the same work, in one run.
//!
//! * `paced`: each conversation sends a message a second (one alone: 20 a second), 5 % of them with a model that takes
//!   2 s; median and 99th percentile of the acknowledgement and of the in-line answer, and what the model's answers
//!   take beyond the model's own time;
//! * `sustained`: in-line messages as fast as they are answered, eight of each conversation under way;
//! * `idle`: the memory that a connected client costs the server, and 5 000 of them at once.
//!
//! `cargo bench --bench chat [-- --seconds N] [--clients N] [--no-peer] [--paced CONVERSATIONS]`, the last of which
//! measures these alone, with `python3` that has python-socketio,
//! aiohttp, PyJWT, jsonschema, celery and redis first in `PATH`, and `redis-server` of Debian. Each client is a thread
//! of this process, so that load and servers share the processors.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use flow::chat::{ModelTroubles, SampleModel};
use serde_json::{Value, json};

use chat_client::ChatClient;
use servers::{ChatServer, ServerKind};

#[path = "../tests/suite/support/chat_client.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod chat_client;
#[path = "../tests/suite/support/chat_tokens.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod chat_tokens;
#[path = "../tests/suite/support/ports.rs"]
mod ports;
#[path = "chat/servers.rs"]
mod servers;

/// The time that the model takes.
const MODEL: Duration = Duration::from_secs(2);
/// One message of so many needs the model.
const MODEL_EVERY: u64 = 20;
/// Answers that take longer are counted as missing.
const PATIENCE: Duration = Duration::from_secs(60);
const WINDOW: usize = 8;

/// What a run is to be like.
#[derive(Clone, Copy)]
struct Plan {
    conversations: usize,
    has_model: bool,
    /// Time between the messages of a conversation; none: as soon as there is room in the window.
    pace: Option<Duration>,
    time: Duration,
}

/// What one or all conversations have measured.
#[derive(Default)]
struct Measured {
    acknowledged: Vec<Duration>,
    answered: Vec<Duration>,
    /// Times beyond the model's own.
    modelled: Vec<Duration>,
    refused: usize,
    missing: usize,
}

struct Options {
    seconds: u64,
    clients: usize,
    has_peer: bool,
    /// Nothing but this number of paced conversations.
    paced: Option<usize>,
}

fn main() {
    let options = options();
    allow_many_files();
    let kinds = ServerKind::ALL.into_iter().filter(|kind| options.has_peer || !kind.is_peer());
    let kinds: Vec<ServerKind> = kinds.filter(|kind| kind.is_there()).collect();
    let time = Duration::from_secs(options.seconds);
    println!(
        "paced: milliseconds, median and 99th percentile; {MODEL_EVERY}th message with a model of {MODEL:?}"
    );
    println!(
        "{:<34}{:>14}{:>20}{:>20}{:>22}",
        "", "conversations", "acknowledged", "answered", "model's overhead"
    );
    for conversations in options.paced.map_or_else(|| vec![1, 100, 1_000], |only| vec![only]) {
        for kind in &kinds {
            paced(*kind, conversations, time);
        }
    }
    if options.paced.is_some() {
        return;
    }
    println!("\nsustained: messages a second, {WINDOW} of each of 100 conversations under way");
    for kind in &kinds {
        let server = ChatServer::start(*kind);
        let warm = Plan { conversations: 1, has_model: false, pace: None, time: Duration::from_secs(1) };
        run(&server, warm, "warm");
        let (began, plan) = (Instant::now(), Plan { conversations: 100, time, ..warm });
        let measured = run(&server, plan, "sustained");
        let rate = measured.answered.len() as f64 / began.elapsed().as_secs_f64();
        println!("{:<34}{rate:>14.0}{}", kind.name(), measured.complaints());
    }
    println!("\nidle: memory of the server for a connected client, KiB");
    for kind in &kinds {
        idle(*kind, options.clients);
    }
}

/// The address of the model, which is in this process.
fn model() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let troubles = ModelTroubles { delay_ms: MODEL.as_millis() as u64, ..ModelTroubles::default() };
        SampleModel::start_at("127.0.0.1:0", troubles).expect("there is a free port").url()
    })
}

fn options() -> Options {
    let mut options = Options { seconds: 20, clients: 5_000, has_peer: true, paced: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number follows");
        match name.as_str() {
            "--seconds" => options.seconds = number(),
            "--clients" => options.clients = number() as usize,
            "--paced" => options.paced = Some(number() as usize),
            "--no-peer" => options.has_peer = false,
            // Cargo says that this is a benchmark.
            _ => {}
        }
    }
    options
}

/// Each client is a file here and one there.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    raised.expect("a process may raise this to its maximum");
}

fn paced(kind: ServerKind, conversations: usize, time: Duration) {
    let server = ChatServer::start(kind);
    let pace = Duration::from_millis(if conversations == 1 { 50 } else { 1_000 });
    let plan = Plan { conversations, has_model: kind.has_model(), pace: Some(pace), time };
    run(&server, Plan { conversations: 1, time: Duration::from_secs(2), ..plan }, "warm");
    paced_row(kind, conversations, run(&server, plan, "paced"));
}

fn paced_row(kind: ServerKind, conversations: usize, mut measured: Measured) {
    let both = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
        let text = |time: Option<Duration>| {
            time.map_or_else(|| "-".to_owned(), |time| format!("{:.2}", time.as_secs_f64() * 1e3))
        };
        format!("{} / {}", text(at(0.5)), text(at(0.99)))
    };
    let (acknowledged, answered, modelled) =
        (both(&mut measured.acknowledged), both(&mut measured.answered), both(&mut measured.modelled));
    let complaints = measured.complaints();
    println!(
        "{:<34}{conversations:>14}{acknowledged:>20}{answered:>20}{modelled:>22}{complaints}",
        kind.name()
    );
}

impl Measured {
    fn add(&mut self, other: Measured) {
        self.acknowledged.extend(other.acknowledged);
        self.answered.extend(other.answered);
        self.modelled.extend(other.modelled);
        self.refused += other.refused;
        self.missing += other.missing;
    }

    fn complaints(&self) -> String {
        match (self.refused, self.missing) {
            (0, 0) => String::new(),
            (refused, missing) => format!("   {refused} refused, {missing} not answered within {PATIENCE:?}"),
        }
    }
}

/// All conversations of a plan, each on a thread of its own.
fn run(server: &ChatServer, plan: Plan, name: &str) -> Measured {
    let mut clients: Vec<(ChatClient, String)> = Vec::new();
    for number in 0..plan.conversations {
        let conversation = format!("{name}-{number}");
        clients.push((connect(server, &format!("user-{number}"), &conversation), conversation));
    }
    let start = Instant::now() + Duration::from_millis(200);
    let threads: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, (client, conversation))| {
            let thread = thread::Builder::new().stack_size(256 << 10);
            // Spread evenly over the time between two messages.
            let spread = plan.pace.unwrap_or_default() * number as u32 / plan.conversations as u32;
            let talk = Talk { client, conversation, plan, start: start + spread, number: number as u64 };
            thread.spawn(move || talk.run()).expect("a thread")
        })
        .collect();
    let mut all = Measured::default();
    threads.into_iter().for_each(|thread| all.add(thread.join().expect("a client ends well")));
    all
}

fn connect(server: &ChatServer, user: &str, conversation: &str) -> ChatClient {
    let token = server.token(user, conversation);
    let mut client = ChatClient::connect(server.address(), server.form(), None)
        .unwrap_or_else(|error| panic!("could not connect {user}: {error}"));
    client.hello(&token, &json!({})).unwrap_or_else(|error| panic!("{user} is not welcome: {error}"));
    client
}

/// One conversation.
struct Talk {
    client: ChatClient,
    conversation: String,
    plan: Plan,
    start: Instant,
    number: u64,
}

impl Talk {
    fn run(mut self) -> Measured {
        let mut measured = Measured::default();
        let mut under_way = HashMap::<String, Sent>::new();
        let (end, mut due, mut sent) = (self.start + self.plan.time, self.start, 0);
        loop {
            let now = Instant::now();
            let has_room = self.plan.pace.is_some() || under_way.len() < WINDOW;
            if due < end && now >= due && now < end && has_room {
                let message = self.message(sent);
                sent += 1;
                let id = message["id"].as_str().unwrap_or_default().to_owned();
                let sent = Sent { began: Instant::now(), is_acknowledged: false, is_answered: false };
                under_way.insert(id, sent);
                self.client.send(&message).expect("the server is there");
                due += self.plan.pace.unwrap_or_default();
                continue;
            }
            if now >= end && (under_way.is_empty() || now >= end + PATIENCE) {
                measured.missing = under_way.len();
                return measured;
            }
            let next = if now >= end {
                end + PATIENCE
            } else if has_room {
                due.min(end)
            } else {
                end
            };
            if let Some(said) = self.client.next_until(next).expect("the server is there") {
                take(&said.name, &said.value, &mut under_way, &mut measured);
            }
        }
    }

    fn message(&self, sent: u64) -> Value {
        let needs_model = self.plan.has_model && (self.number * 7 + sent) % MODEL_EVERY == MODEL_EVERY - 1;
        let kind = if needs_model { "ask" } else { "note" };
        // The kind stands in the id, so that the answer tells it.
        let id = format!("{kind}-{sent}");
        let content = json!({ "text": "How long do I have to wait until the doctor has time for me?" });
        json!({ "id": id, "conversation": self.conversation, "type": kind, "content": content })
    }
}

/// A message that lacks its acknowledgement, its answer, or both.
struct Sent {
    began: Instant,
    is_acknowledged: bool,
    is_answered: bool,
}

fn take(name: &str, value: &Value, under_way: &mut HashMap<String, Sent>, measured: &mut Measured) {
    let id = if name == "event" { &value["answers"] } else { &value["id"] };
    let id = id.as_str().unwrap_or_default();
    let Some(sent) = under_way.get_mut(id) else { return };
    let took = sent.began.elapsed();
    match name {
        "accepted" => {
            measured.acknowledged.push(took);
            sent.is_acknowledged = true;
        }
        "event" => {
            let is_modelled = id.starts_with("ask");
            let (times, own) = match is_modelled {
                true => (&mut measured.modelled, MODEL),
                false => (&mut measured.answered, Duration::ZERO),
            };
            times.push(took.saturating_sub(own));
            sent.is_answered = true;
        }
        "refused" => {
            measured.refused += 1;
            (sent.is_acknowledged, sent.is_answered) = (true, true);
        }
        _ => {}
    }
    if sent.is_acknowledged && sent.is_answered {
        under_way.remove(id);
    }
}

/// Clients that are connected and say nothing, and then a message of every hundredth.
fn idle(kind: ServerKind, clients: usize) {
    let server = ChatServer::start(kind);
    let conversation = |number: usize| format!("idle-{number}");
    let client = |number| connect(&server, &format!("user-{number}"), &conversation(number));
    let mut connected = vec![client(0)];
    one_answer(&mut connected[0], &conversation(0));
    let before = server.memory_kib();
    let each = |count: usize| server.memory_kib().saturating_sub(before) as f64 / count as f64;
    let began = Instant::now();
    for number in 1..=clients {
        connected.push(client(number));
        if number == 1_000 {
            println!("{:<34}{number:>14} clients{:>10.1} KiB each", kind.name(), each(number));
        }
    }
    let (took, each) = (began.elapsed(), each(clients));
    let mut times: Vec<Duration> = (0..clients)
        .step_by(clients.div_ceil(100))
        .map(|number| one_answer(&mut connected[number], &conversation(number)))
        .collect();
    times.sort_unstable();
    println!(
        "{:<34}{clients:>14} clients{each:>10.1} KiB each, connected in {took:.1?}; then an answer takes {:.1?}",
        kind.name(),
        times[times.len() / 2]
    );
}

/// The time that a message of an idle client takes until its event is there.
fn one_answer(client: &mut ChatClient, conversation: &str) -> Duration {
    let began = Instant::now();
    let message = json!({
        "id": format!("{began:?}"), "conversation": conversation, "type": "note", "content": { "text": "Hello" },
    });
    client.send(&message).expect("the server is there");
    while client.next().expect("an idle client is answered").name != "event" {}
    began.elapsed()
}
