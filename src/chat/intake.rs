//! Messages on their way in: checked, recorded once, and handed to the engine. Nothing here waits for the disk.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::engine::{PartialText, RequestSubmission, RequestSubmitter};
use crate::journal::{Journal, JournalError, OnceAccepted, Receipt, RequestArrival, RequestBegin};
use crate::step::{Digest, Request};

use super::answer::{EVENTS_FILE, events_of};
use super::device::Device;
use super::event::ChatEvent;
use super::hub::ChatHub;
use super::log_reader::LogReader;
use super::message::{MessageOrigin, MessageRefusal, SentMessage, is_same_message};
use super::message_type::{MessageRetention, MessageType};
use super::outgoing::Outgoing;
use super::partial_receivers::shows_text_of;
use super::served_types::{ServedTypes, priority};
use super::sink::SharedOrder;
use super::under_way::{CountOutcome, MessagesUnderWay};
use super::unrecorded_work::UnrecordedWork;

/// The way in.
pub struct MessageIntake {
    pub journal: Arc<Journal>,
    pub log: Arc<LogReader>,
    pub hub: Arc<ChatHub>,
    pub types: Arc<ServedTypes>,
    pub order: SharedOrder,
    pub under_way: Arc<MessagesUnderWay>,
    /// Set when the engine runs.
    engine: OnceLock<IntakeEngine>,
    opened: watch::Sender<bool>,
    is_closed: AtomicBool,
    /// The messages whose acceptance is under way.
    accepting: AtomicUsize,
    unrecorded: UnrecordedWork,
}

struct IntakeEngine {
    submitter: RequestSubmitter,
    /// The digest of this program.
    program: Digest,
}

/// The most messages whose acceptance is under way: fewer than orders fit into the queue of the journal.
const ACCEPTING_MAX: usize = 2_000;

/// Whether a message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOutcome {
    /// The sender is told whether it was accepted.
    Taken,
    /// The server is ending: its sender is told nothing, and sends it again to the next one.
    Ended,
}

/// A message that fits its type.
struct CheckedMessage {
    device: Arc<Device>,
    sent: SentMessage,
    one: Arc<MessageType>,
    ack: Option<u64>,
}

impl MessageIntake {
    pub fn new(
        journal: Arc<Journal>,
        log: Arc<LogReader>,
        hub: Arc<ChatHub>,
        types: Arc<ServedTypes>,
        order: SharedOrder,
        under_way: Arc<MessagesUnderWay>,
    ) -> MessageIntake {
        let (engine, is_closed, accepting) = (OnceLock::new(), AtomicBool::new(false), AtomicUsize::new(0));
        let (opened, unrecorded) = (watch::Sender::new(false), UnrecordedWork::default());
        MessageIntake {
            journal,
            log,
            hub,
            types,
            order,
            under_way,
            engine,
            opened,
            is_closed,
            accepting,
            unrecorded,
        }
    }

    /// Takes messages from now on.
    pub fn open(&self, submitter: RequestSubmitter, program: Digest) {
        let _ = self.engine.set(IntakeEngine { submitter, program });
        self.opened.send_replace(true);
    }

    /// Waits until messages are taken.
    pub async fn opened(&self) {
        // The sender is here, so that it cannot be gone.
        let _ = self.opened.subscribe().wait_for(|opened| *opened).await;
    }

    /// Whether no more messages are taken.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Takes no more messages. Gives whether the acceptance of some is still under way.
    pub fn close(&self) -> bool {
        self.is_closed.store(true, Ordering::SeqCst);
        self.accepting.load(Ordering::SeqCst) > 0
    }

    /// Takes a message of a device. The device is told whether it was accepted.
    pub fn send(self: &Arc<Self>, device: &Arc<Device>, message: Value, ack: Option<u64>) -> TakeOutcome {
        if self.is_closed() {
            return TakeOutcome::Ended;
        }
        if !device.begin_sending() {
            let refusal = MessageRefusal::new(message["id"].as_str(), "too many messages at once");
            let refusal = refusal.remedy("wait until earlier ones are accepted");
            device.reply(Outgoing::Refused { refusal, ack });
            return TakeOutcome::Taken;
        }
        match self.checked(device, message, ack) {
            Ok(checked) if checked.one.keep == MessageRetention::Nothing => {
                let intake = Arc::clone(self);
                let work = Box::new(move || intake.run_at_once(checked));
                if device.unrecorded.push(work) {
                    self.unrecorded.run(Arc::clone(device));
                }
            }
            // Messages of a device are accepted in the order in which they came.
            Ok(checked) if checked.one.context > 0 || !device.recorded.is_idle() => {
                let intake = Arc::clone(self);
                let work = Box::new(move || {
                    let context = if checked.one.context > 0 { intake.context(&checked) } else { Vec::new() };
                    intake.accept(checked, context);
                });
                // On a thread that may wait.
                if device.recorded.push(work) {
                    let device = Arc::clone(device);
                    spawn_blocking(move || device.recorded.run());
                }
            }
            Ok(checked) => self.accept(checked, Vec::new()),
            Err(refusal) => device.end_sending(Outgoing::Refused { refusal, ack }),
        }
        TakeOutcome::Taken
    }

    fn checked(
        &self,
        device: &Arc<Device>,
        message: Value,
        ack: Option<u64>,
    ) -> Result<CheckedMessage, MessageRefusal> {
        let sent = SentMessage::read(message)?;
        let refused = |reason: &str| MessageRefusal::new(Some(&sent.id), reason);
        let member = &device.member;
        if member.expires_s < now_s() {
            return Err(refused("the token has expired").remedy("connect again with a new one"));
        }
        if !member.conversations.has(&sent.conversation) {
            let refusal = refused("you are not a member of this conversation").at("/conversation");
            return Err(refusal.remedy("connect with a token that names it"));
        }
        let Some(one) = self.types.get(&sent.message_type) else {
            let types = self.types.now();
            let known: Vec<&str> =
                types.iter().filter(|one| one.may_send(&member.role)).map(|one| one.name()).collect();
            let remedy = format!("use one of {}", known.join(", "));
            return Err(refused("there is no such type").at("/type").remedy(remedy));
        };
        if !one.may_send(&member.role) {
            let reason = format!("the role {} may not send this type", member.role);
            let remedy = format!("it is for {}", one.from.join(", "));
            return Err(refused(&reason).at("/type").remedy(remedy));
        }
        if let Err(problem) = one.check(&sent.content) {
            let field = format!("/content{}", problem.field);
            return Err(refused(&problem.reason).at(field).remedy("correct the field, and send it again"));
        }
        Ok(CheckedMessage { device: Arc::clone(device), sent, one, ack })
    }

    /// Runs a message of a type that is not recorded, and gives its events to who is there.
    fn run_at_once(&self, message: CheckedMessage) {
        let CheckedMessage { device, sent, one, ack } = message;
        let request = Arc::new(sent.to_request(&device.member, &one, Vec::new()));
        let origin = MessageOrigin::of(&request);
        device.end_sending(Outgoing::Accepted { id: sent.id, ack });
        let (response, files) = one.dataflow.interpret(&request);
        let answered = events_of(&response, |_| {
            files.iter().find(|file| file.name == EVENTS_FILE).map(|file| file.bytes.to_vec())
        });
        self.hub.publish(answered.into_iter().map(|event| ChatEvent::of(event, &origin)).collect());
    }

    /// The last events of the conversation. Where the log cannot be read, the message goes without.
    fn context(&self, message: &CheckedMessage) -> Vec<Value> {
        let CheckedMessage { device, sent, one, .. } = message;
        let events = self.log.context(&sent.conversation, &device.member, one.context);
        let events = events.unwrap_or_else(|error| {
            tracing::error!("{error}; a message goes without the conversation before it");
            Vec::new()
        });
        let form = |event: ChatEvent| json!({"seq": event.seq, "type": &*event.event_type, "from": event.from, "content": &*event.content});
        events.into_iter().map(form).collect()
    }

    /// Has a message recorded. The rest is done on the thread of the journal.
    fn accept(self: &Arc<Self>, message: CheckedMessage, context: Vec<Value>) {
        let CheckedMessage { device, sent, one, ack } = message;
        let Some(engine) = self.engine.get() else { return };
        let request = Arc::new(sent.to_request(&device.member, &one, context));
        let origin = Arc::new(MessageOrigin::of(&request));
        let refused = |reason: &str, remedy: &str| {
            let refusal = MessageRefusal::new(Some(&sent.id), reason).remedy(remedy);
            Outgoing::Refused { refusal, ack }
        };
        let counted = match self.accepting.load(Ordering::SeqCst) {
            ..ACCEPTING_MAX => self.under_way.begin(request.id, &origin, bytes_of(&request)),
            _ => CountOutcome::TooMany,
        };
        if counted == CountOutcome::TooMany {
            return device.end_sending(refused("the server is busy", "send it again in a moment"));
        }
        let text = origin.lookup_text();
        let arrival = RequestArrival {
            request: Arc::clone(&request),
            dataflow: one.dataflow.name().to_owned(),
            version: one.dataflow.digest(),
            program: engine.program,
            lookup_texts: vec![text.clone()],
        };
        // Recorded together, they take one commit less.
        let others = self.accepting.fetch_add(1, Ordering::SeqCst);
        let begin = match engine.submitter.begins_at_once(arrival.version, others) {
            true => RequestBegin::AtOnce,
            false => RequestBegin::Later,
        };
        let intake = Arc::clone(self);
        self.journal.accept_once(arrival, text, begin, move |accepted| {
            let id = request.id;
            let reply = match accepted {
                Ok(OnceAccepted::New(receipt)) => return intake.begin(receipt, &one, &origin, &device, ack),
                Ok(OnceAccepted::Known(history)) => match history.request() {
                    Ok((earlier, _)) if is_same_message(earlier, &request) => {
                        Outgoing::Accepted { id: sent.id, ack }
                    }
                    Ok(_) | Err(_) => {
                        let refusal = MessageRefusal::new(
                            Some(&sent.id),
                            "another message with this id was accepted before",
                        );
                        let refusal = refusal.at("/id").remedy("give each message an id of its own");
                        Outgoing::Refused { refusal, ack }
                    }
                },
                Err(error) => refusal_of(&error, &sent.id, ack),
            };
            if counted == CountOutcome::New {
                intake.under_way.end(id);
            }
            device.end_sending(reply);
            intake.accepting.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Begins the work on a message that is on the disk.
    fn begin(
        &self,
        receipt: Receipt,
        one: &MessageType,
        origin: &MessageOrigin,
        device: &Arc<Device>,
        ack: Option<u64>,
    ) {
        if let Some(number) = receipt.number().filter(|_| origin.is_ordered) {
            let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            order.accept(&origin.conversation, number);
        }
        device.end_sending(Outgoing::Accepted { id: origin.id.to_string(), ack });
        if let Some(engine) = self.engine.get() {
            let submission = RequestSubmission::from(receipt).under(one.dataflow.digest());
            engine.submitter.submit(RequestSubmission { priority: priority(one), ..submission });
        }
        self.accepting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Brings the text of a model's answer so far to who has asked, if the whole of it comes to them as well.
    pub fn tell_partial(&self, partial: &PartialText) {
        let Some(origin) = self.under_way.origin(partial.request) else { return };
        let MessageOrigin { conversation, user, role, id, message_type, .. } = &*origin;
        let one = self.types.get(message_type);
        if one.is_some_and(|one| shows_text_of(&one.dataflow, partial.step, role)) {
            self.hub.publish_partial(user, conversation, id, &Arc::from(partial.text));
        }
    }

    /// Notes the messages of earlier processes, with the order of those for which it counts, before any of them is
    /// answered.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn note_left(&self) -> Result<(), JournalError> {
        for row in self.journal.open_requests()? {
            let Some(history) = self.journal.history(row.number)? else { continue };
            let Ok((request, _)) = history.request() else { continue };
            let origin = Arc::new(MessageOrigin::of(request));
            self.under_way.begin(request.id, &origin, bytes_of(request));
            if origin.is_ordered {
                let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
                order.accept(&origin.conversation, row.number);
            }
        }
        Ok(())
    }
}

fn refusal_of(error: &JournalError, id: &str, ack: Option<u64>) -> Outgoing {
    let reason = match error {
        JournalError::Full | JournalError::Low { .. } => "the disk of the server is full",
        JournalError::Failed { .. }
        | JournalError::Damaged { .. }
        | JournalError::Format { .. }
        | JournalError::New { .. } => "the server could not record it",
    };
    tracing::error!(%error, "a message was not accepted");
    let refusal = MessageRefusal::new(Some(id), reason).remedy("send it again later");
    Outgoing::Refused { refusal, ack }
}

/// The bytes of a message with the events that are attached to it.
fn bytes_of(request: &Request) -> u64 {
    request.items.iter().map(|item| item.size).fold(0, u64::saturating_add)
}

/// The text by which the journal knows a message.
pub(super) fn lookup_texts(request: &Request) -> Vec<String> {
    vec![MessageOrigin::of(request).lookup_text()]
}

pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
