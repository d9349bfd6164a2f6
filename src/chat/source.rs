//! Chat as a source of requests: it opens the way in while the engine runs, and takes up new message types.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::admission::{Admission, BuiltInSource, Intake, Source};
use crate::step::{AttributeDeclaration, Request};

use super::intake::{MessageIntake, lookup_texts};
use super::message::{ATTRIBUTES, SOURCE};
use super::message_types::MessageTypes;
use super::served_types::selector;

inventory::submit! { BuiltInSource(|| Arc::new(ChatLookup)) }

/// The source of messages in a process that serves no chat.
struct ChatLookup;

impl Source for ChatLookup {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn feed(&self, _: &Admission) -> Intake {
        Intake::Whole
    }

    fn attributes(&self) -> &'static [AttributeDeclaration] {
        ATTRIBUTES
    }

    fn lookup_texts(&self, request: &Request) -> Vec<String> {
        lookup_texts(request)
    }
}

/// The source of messages. It takes them until the end is asked for.
pub struct ChatSource {
    intake: Arc<MessageIntake>,
    orders: Mutex<Receiver<SourceOrder>>,
    give: Sender<SourceOrder>,
}

/// Replaces the message types of a source that runs.
#[derive(Clone)]
pub struct TypeUpdates(Sender<SourceOrder>);

enum SourceOrder {
    Adopt(MessageTypes),
    End,
}

/// The time between two looks whether messages are still being accepted at the end.
const LOOK: Duration = Duration::from_millis(5);

/// The longest time that the end waits for these.
const LOOKS_MAX: u32 = 2_000;

impl ChatSource {
    pub fn new(intake: Arc<MessageIntake>) -> ChatSource {
        let (give, orders) = channel();
        ChatSource { intake, orders: Mutex::new(orders), give }
    }

    pub fn updates(&self) -> TypeUpdates {
        TypeUpdates(self.give.clone())
    }

    fn adopt(&self, admission: &Admission, types: MessageTypes) {
        let Some(selector) = selector(&types) else {
            return admission
                .say(SOURCE, "NOT RELOADED: no message type is recorded; give one a time for `keep`");
        };
        if admission.adopt(&selector) {
            self.intake.types.replace(types);
        }
    }
}

impl TypeUpdates {
    /// Serves other types from now on, for messages that are sent from then on.
    pub fn give(&self, types: MessageTypes) {
        // A failure means that the source has ended.
        let _ = self.0.send(SourceOrder::Adopt(types));
    }
}

impl Source for ChatSource {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn feed(&self, admission: &Admission) -> Intake {
        self.intake.open(admission.queue.submitter(), admission.program);
        let end = self.give.clone();
        admission.stop.when_requested(move || _ = end.send(SourceOrder::End));
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(SourceOrder::Adopt(types)) = orders.recv() {
            self.adopt(admission, types);
        }
        // What the journal is recording is handed to the engine before this source is at its end.
        for _ in 0..LOOKS_MAX {
            if !self.intake.close() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        Intake::Whole
    }

    fn attributes(&self) -> &'static [AttributeDeclaration] {
        ATTRIBUTES
    }

    fn lookup_texts(&self, request: &Request) -> Vec<String> {
        lookup_texts(request)
    }
}
