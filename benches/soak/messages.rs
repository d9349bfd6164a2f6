//! Messages of a chat: most are answered in line, every twentieth one by a model.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use flow::chat::{ModelTroubles, SampleModel};
use serde_json::{Value, json};

use super::chat_client::{ChatClient, ChatForm, Said};
use super::chat_tokens::{now, signed};
use super::ports::free_port;
use super::program::KilledProgram;
use super::{MESSAGES_AN_HOUR, PATIENCE, SoakAccount, SoakPlan};

pub const NAME: &str = "messages";
/// The state folder.
pub const STATE: &str = "messages-state";
const KEY: &str = "a key of a benchmark, which has more than 32 bytes";
const CONVERSATIONS: u64 = 20;
const MODEL_EVERY: u64 = 20;

/// The process, and where it listens.
pub fn program(folder: &Path) -> (Arc<KilledProgram>, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let troubles = ModelTroubles { delay_ms: 500, busy_every: 11, ..ModelTroubles::default() };
    let model = SampleModel::start_at("127.0.0.1:0", troubles).expect("there is a free port").url();
    let write =
        |name: &str, text: &str| fs::write(folder.join(name), text).expect("the folder can be written");
    fs::create_dir(folder.join("types")).expect("the folder can be written");
    write("types/note.yaml", include_str!("../chat/note.yaml"));
    write("types/ask.yaml", &include_str!("../chat/ask.yaml").replace("MODEL", &model));
    write("chat.key", KEY);
    write("chat-site.yaml", &format!("chat: {{listen: {address}, key: chat.key, types: types}}\n"));
    let arguments = ["run", "chat", "--site", "chat-site.yaml", "--state", STATE, "--keep-bytes", "2MiB"];
    (Arc::new(KilledProgram::new(NAME, folder.to_owned(), &arguments)), address)
}

pub fn run(plan: &SoakPlan, address: SocketAddr) -> SoakAccount {
    let count = plan.share(MESSAGES_AN_HOUR) / CONVERSATIONS;
    let heard: Vec<BTreeMap<String, usize>> = thread::scope(|scope| {
        let talk = |number: u64| scope.spawn(move || Conversation::new(address, number).run(plan, count));
        let threads: Vec<_> = (0..CONVERSATIONS).map(talk).collect();
        threads.into_iter().map(|thread| thread.join().expect("a conversation ends well")).collect()
    });
    let all = heard.iter().enumerate().flat_map(|(number, heard)| heard.iter().map(move |one| (number, one)));
    let wrong = all.filter(|(_, (_, times))| **times != 1);
    let faults =
        wrong.map(|(number, (id, times))| format!("conversation {number}: {id} was answered {times} times"));
    let answered = heard.iter().flat_map(BTreeMap::values).filter(|times| **times > 0).count() as u64;
    SoakAccount { part: NAME, asked: count * CONVERSATIONS, answered, faults: faults.collect() }
}

/// One person who comes back when the connection is lost.
struct Conversation {
    address: SocketAddr,
    name: String,
    number: u64,
    client: Option<ChatClient>,
    /// The number of the last event that has come.
    seen: u64,
    /// What is not answered yet, in the order in which it was sent.
    open: Vec<Value>,
    /// How often each message was answered.
    heard: BTreeMap<String, usize>,
}

impl Conversation {
    fn new(address: SocketAddr, number: u64) -> Conversation {
        let (name, open, heard) = (format!("conversation-{number}"), Vec::new(), BTreeMap::new());
        Conversation { address, name, number, client: None, seen: 0, open, heard }
    }

    fn run(mut self, plan: &SoakPlan, count: u64) -> BTreeMap<String, usize> {
        // The persons of all conversations take turns.
        let due = |sent: u64| plan.due(sent * CONVERSATIONS + self.number, count * CONVERSATIONS);
        let dues: Vec<Instant> = (0..count).map(due).collect();
        let end = plan.begin + plan.time + PATIENCE;
        let mut sent = 0;
        while Instant::now() < end && (sent < count || !self.open.is_empty()) {
            let due = dues.get(sent as usize).copied();
            if due.is_some_and(|due| due <= Instant::now()) {
                self.say(sent);
                sent += 1;
                continue;
            }
            let next = Instant::now() + Duration::from_secs(1);
            self.listen(due.map_or(next, |due| due.min(next)), plan);
        }
        self.heard
    }

    fn say(&mut self, number: u64) {
        let kind = if (self.number + number).is_multiple_of(MODEL_EVERY) { "ask" } else { "note" };
        let content = json!({ "text": "How long do I have to wait until the doctor has time for me?" });
        let id = format!("{kind}-{number}");
        let message = json!({ "id": id, "conversation": self.name, "type": kind, "content": content });
        self.heard.insert(id, 0);
        if self.client.as_mut().is_some_and(|client| client.send(&message).is_err()) {
            self.client = None;
        }
        self.open.push(message);
    }

    fn listen(&mut self, end: Instant, plan: &SoakPlan) {
        let Some(client) = &mut self.client else { return self.come_back() };
        match client.next_until(end) {
            Ok(Some(said)) => self.hear(&said, plan),
            Ok(None) => {}
            Err(_) => self.client = None,
        }
    }

    fn hear(&mut self, said: &Said, plan: &SoakPlan) {
        if said.name == "refused" {
            // There was no room, or the state is being made: it is said again with the next connection.
            self.client = None;
        }
        if said.name != "event" {
            return;
        }
        self.seen = said.value["seq"].as_u64().unwrap_or(self.seen);
        let Some(id) = said.value["answers"].as_str() else { return };
        if let Some(times) = self.heard.get_mut(id) {
            *times += 1;
            plan.messages.fetch_add(usize::from(*times == 1), Ordering::Relaxed);
        }
        self.open.retain(|message| message["id"] != id);
    }

    /// Connects again, and says once more what was not answered.
    fn come_back(&mut self) {
        let claims = json!({
            "sub": self.name, "role": "patient", "conversations": [self.name], "exp": now() + 36_000
        });
        let connected = ChatClient::connect(self.address, ChatForm::Plain, None).and_then(|mut client| {
            client.hello(&signed(KEY.as_bytes(), &claims), &json!({ &*self.name: self.seen }))?;
            self.open.iter().try_for_each(|message| client.send(message))?;
            Ok(client)
        });
        self.client = connected.ok();
        if self.client.is_none() {
            thread::sleep(Duration::from_millis(200));
        }
    }
}
