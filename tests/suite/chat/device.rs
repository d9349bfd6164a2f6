//! A device as people have it: it comes back when the connection is lost, knows what it has seen, and sends again
//! what was not acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::chat_client::{ChatClient, ChatForm, ConnectionEnd, Said};
use crate::support::peers::DEADLINE;

/// A device of one user. It fails where an event comes twice, is left out, or comes out of order.
pub struct Device {
    token: String,
    form: ChatForm,
    pub client: Option<ChatClient>,
    /// The last sequence number of each conversation.
    seen: BTreeMap<String, u64>,
    /// The recorded events, in the order in which they came.
    pub events: Vec<Value>,
    /// The partial texts and what else is not recorded, since it was last looked at.
    pub passing: Vec<Said>,
    /// What became of the messages sent, by their ids.
    pub receipts: BTreeMap<String, Said>,
}

impl Device {
    pub fn new(token: &str, form: ChatForm) -> Device {
        Device {
            token: token.to_owned(),
            form,
            client: None,
            seen: BTreeMap::new(),
            events: Vec::new(),
            passing: Vec::new(),
            receipts: BTreeMap::new(),
        }
    }

    /// A device that is connected; it gets what the conversations have from their beginning.
    pub fn connected(address: SocketAddr, token: &str) -> Device {
        Device::connected_by(address, token, ChatForm::Plain)
    }

    pub fn connected_by(address: SocketAddr, token: &str, form: ChatForm) -> Device {
        let mut device = Device::new(token, form);
        device.connect(address).expect("the server takes the token");
        device
    }

    /// Connects, or connects again; gives the welcome.
    pub fn connect(&mut self, address: SocketAddr) -> Result<Value, ConnectionEnd> {
        self.client = None;
        let mut client = ChatClient::connect(address, self.form, None)?;
        let welcome = client.hello(&self.token, &json!(self.seen))?;
        self.client = Some(client);
        Ok(welcome)
    }

    /// Goes away without a word.
    pub fn leave(&mut self) {
        self.client = None;
    }

    pub fn is_connected(&self) -> bool {
        self.client.is_some()
    }

    pub fn client(&mut self) -> &mut ChatClient {
        self.client.as_mut().expect("it is connected")
    }

    /// Sends, and goes away where that fails.
    pub fn send(&mut self, message: &Value) -> Result<(), ConnectionEnd> {
        let sent = match &mut self.client {
            Some(client) => client.send(message),
            None => Err(ConnectionEnd("not connected".to_owned())),
        };
        if sent.is_err() {
            self.client = None;
        }
        sent
    }

    /// Takes in what comes until then; `false` when the connection is lost.
    pub fn listen_until(&mut self, end: Instant) -> bool {
        while let Some(client) = &mut self.client {
            match client.next_until(end) {
                Ok(Some(said)) => self.take(said),
                Ok(None) => return true,
                Err(_) => self.client = None,
            }
        }
        false
    }

    /// Takes in what comes next; `false` when nothing came until then, or the connection is lost.
    pub fn listen_once(&mut self, end: Instant) -> bool {
        let Some(client) = &mut self.client else { return false };
        match client.next_until(end) {
            Ok(Some(said)) => {
                self.take(said);
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.client = None;
                false
            }
        }
    }

    /// Takes in what comes until `done` is content.
    pub fn until<T>(&mut self, what: &str, mut done: impl FnMut(&Device) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = done(self) {
                return found;
            }
            assert!(self.is_connected(), "{what}: the connection was lost; {:?}", self.last());
            assert!(Instant::now() < end, "{what}: waited in vain; {:?}", self.last());
            self.listen_once(Instant::now() + Duration::from_secs(1));
        }
    }

    /// Sends a message and waits for what becomes of it: `accepted` or `refused`.
    pub fn ask(&mut self, message: &Value) -> Said {
        let id = text(&message["id"]);
        self.receipts.remove(&id);
        self.send(message).expect("it is connected");
        self.until("a receipt", |device| device.receipts.get(&id).cloned())
    }

    /// Sends a message that has to be accepted, and waits for the first event that answers it.
    pub fn converse(&mut self, message: &Value) -> Value {
        let receipt = self.ask(message);
        assert_eq!(receipt.name, "accepted", "{receipt:?}");
        let id = text(&message["id"]);
        self.until("an answer", |device| device.answers(&id).next().cloned())
    }

    /// The recorded events that answer a message of this device's user.
    pub fn answers<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["answers"] == id)
    }

    /// The events of a conversation: type and content.
    pub fn heard(&self, conversation: &str) -> Vec<(String, Value)> {
        let events = self.events.iter().filter(|event| event["conversation"] == conversation);
        events.map(|event| (text(&event["type"]), event["content"].clone())).collect()
    }

    pub fn seen(&self, conversation: &str) -> u64 {
        self.seen.get(conversation).copied().unwrap_or(0)
    }

    fn last(&self) -> (Option<&Value>, &BTreeMap<String, Said>) {
        (self.events.last(), &self.receipts)
    }

    fn take(&mut self, said: Said) {
        if let (Some(conversation), Some(seq)) =
            (said.value["conversation"].as_str(), said.value["seq"].as_u64())
        {
            // What is for others is skipped: then the number moves on by more than one.
            let seen = self.seen.entry(conversation.to_owned()).or_default();
            assert!(seq > *seen, "{conversation}: {seq} comes after {seen}: {said:?}");
            *seen = seq;
        }
        match said.name.as_str() {
            "event" if said.value["seq"].is_u64() => self.events.push(said.value),
            "accepted" | "refused" => _ = self.receipts.insert(text(&said.value["id"]), said),
            _ => self.passing.push(said),
        }
    }
}

/// A text of a message.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A message as clients send it.
pub fn message(id: &str, conversation: &str, kind: &str, content: Value) -> Value {
    json!({ "id": id, "conversation": conversation, "type": kind, "content": content })
}

/// A `text` message.
pub fn words(id: &str, conversation: &str, words: &str) -> Value {
    message(id, conversation, "text", json!({ "text": words }))
}
