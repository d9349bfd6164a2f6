//! A client in a conversation that goes on whatever becomes of the server: it comes back, sends again what was not
//! acknowledged and now and then what was, and knows what it has to hear in the end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::device::{Device, message, text};
use super::scene::token;
use crate::support::chat_client::ChatForm;
use crate::support::model_server::answer_to;
use crate::support::peers::DEADLINE;
use crate::support::random::Dice;

/// Types of the harness: in line without an order, in line in the order of the conversation, and with a model.
pub const NOTE: &str = "note";
pub const TURN: &str = "turn";
pub const ASK: &str = "ask";
pub const ASK_IN_TURN: &str = "ask-in-turn";

/// What all clients of a harness share.
#[derive(Default)]
pub struct Shared {
    /// No more messages are begun.
    pub is_over: AtomicBool,
    /// Acknowledgements so far.
    pub acknowledged: AtomicUsize,
    /// How often a client had to connect anew.
    pub reconnected: AtomicUsize,
    /// How often a message was sent again.
    pub repeated: AtomicUsize,
}

pub struct Talk {
    pub conversation: String,
    pub device: Device,
    /// Messages in the order in which they were first sent.
    pub sent: Vec<Value>,
    dice: Dice,
    /// The number of messages that may wait for their acknowledgement at a time.
    window: usize,
    pause_ms: usize,
}

impl Talk {
    /// Every other client speaks Socket.IO. `pause_ms` is the most time between two messages.
    pub fn new(number: usize, seed: u64, pause_ms: usize) -> Talk {
        let conversation = format!("talk-{number}");
        let form = if number.is_multiple_of(2) { ChatForm::Plain } else { ChatForm::SocketIo };
        let token = token(&format!("user-{number}"), "patient", &[&conversation]);
        let device = Device::new(&token, form);
        let dice = Dice(seed ^ (number as u64) << 32);
        Talk { conversation, device, sent: Vec::new(), dice, window: 1, pause_ms }
    }

    /// Goes on until it is over, and all is acknowledged and answered.
    pub fn run(&mut self, address: SocketAddr, shared: &Shared) {
        let mut next = Instant::now() + self.pause();
        let mut progress = (Instant::now(), 0);
        while !self.is_done(shared) {
            if !self.device.is_connected() && !self.come_back(address, shared) {
                continue;
            }
            let may_send = !shared.is_over.load(Ordering::Acquire) && self.waiting().count() < self.window;
            if may_send && Instant::now() >= next {
                let message = self.make();
                self.sent.push(message.clone());
                let _ = self.device.send(&message);
                next = Instant::now() + self.pause();
            }
            let before = self.device.receipts.len();
            self.device.listen_once(next.min(Instant::now() + Duration::from_millis(50)).max(Instant::now()));
            shared.acknowledged.fetch_add(self.device.receipts.len() - before, Ordering::Relaxed);
            let known = self.device.receipts.len() + self.device.events.len() + self.sent.len();
            if known > progress.1 {
                progress = (Instant::now(), known);
            }
            assert!(
                progress.0.elapsed() < DEADLINE,
                "{}: stuck; missing {:?}",
                self.conversation,
                self.missing()
            );
        }
    }

    /// What is wrong in the end.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut say = |what: String| faults.push(format!("{}: {what}", self.conversation));
        let seqs: Vec<u64> = self.device.events.iter().filter_map(|event| event["seq"].as_u64()).collect();
        if seqs != Vec::from_iter(1..=self.sent.len() as u64) {
            say(format!("{} messages, and events {seqs:?}", self.sent.len()));
        }
        for sent in &self.sent {
            let id = text(&sent["id"]);
            let answers: Vec<&Value> = self.device.answers(&id).collect();
            let receipt = self.device.receipts.get(&id).map(|said| said.name.as_str());
            if receipt != Some("accepted") || answers.len() != 1 {
                say(format!("{id}: {receipt:?}, answered by {answers:?}"));
            } else if !is_answer(sent, answers[0]) {
                say(format!("{sent} is answered by {}", answers[0]));
            }
        }
        let in_turn = |value: &&Value| [TURN, ASK_IN_TURN].contains(&text(&value["type"]).as_str());
        let asked: Vec<String> = self.sent.iter().filter(in_turn).map(|one| text(&one["id"])).collect();
        let heard: Vec<String> =
            self.device.events.iter().filter(in_turn).map(|one| text(&one["answers"])).collect();
        if asked != heard {
            say(format!("in the order {asked:?}, heard in the order {heard:?}"));
        }
        faults
    }

    fn is_done(&self, shared: &Shared) -> bool {
        shared.is_over.load(Ordering::Acquire) && self.waiting().count() == 0 && self.missing().is_empty()
    }

    /// Messages without an acknowledgement.
    fn waiting(&self) -> impl Iterator<Item = &Value> {
        self.sent.iter().rev().take(self.window).filter(|sent| !self.is_acknowledged(sent))
    }

    fn is_acknowledged(&self, sent: &Value) -> bool {
        self.device.receipts.contains_key(sent["id"].as_str().unwrap_or_default())
    }

    /// The ids of messages without an answer; each is one event.
    fn missing(&self) -> Vec<String> {
        if self.device.events.len() >= self.sent.len() {
            return Vec::new();
        }
        let is_missing = |id: &String| self.device.answers(id).next().is_none();
        self.sent.iter().map(|sent| text(&sent["id"])).filter(is_missing).collect()
    }

    /// Connects, and sends again; `false` when there is nobody, after a moment.
    fn come_back(&mut self, address: SocketAddr, shared: &Shared) -> bool {
        if self.device.connect(address).is_err() {
            std::thread::park_timeout(Duration::from_millis(10 + self.dice.below(90) as u64));
            return false;
        }
        shared.reconnected.fetch_add(1, Ordering::Relaxed);
        let mut again: Vec<Value> = self.waiting().cloned().collect();
        if self.dice.one_in(3) {
            again.extend(self.sent.last().cloned());
        }
        shared.repeated.fetch_add(again.len(), Ordering::Relaxed);
        again.iter().all(|message| self.device.send(message).is_ok())
    }

    fn pause(&mut self) -> Duration {
        Duration::from_millis(self.dice.below(self.pause_ms) as u64)
    }

    /// One in twenty needs the model.
    fn make(&mut self) -> Value {
        let id = format!("{}-{}", self.conversation, self.sent.len());
        let kind = match self.dice.below(100) {
            0 => ASK_IN_TURN,
            1..5 => ASK,
            5..40 => TURN,
            _ => NOTE,
        };
        message(&id, &self.conversation, kind, json!({ "text": text_of(&id) }))
    }
}

/// The text of a message; that of no other has it as a part.
pub fn text_of(id: &str) -> String {
    format!("the text of {id}.")
}

/// The event has the type and the text of its message, or what a model says to that.
fn is_answer(sent: &Value, event: &Value) -> bool {
    let (asked, said) = (&sent["content"], &event["content"]);
    let is_model = [ASK, ASK_IN_TURN].contains(&text(&sent["type"]).as_str());
    let expected = answer_to(&text(&asked["text"]));
    sent["type"] == event["type"] && if is_model { said["text"] == expected } else { asked == said }
}
