//! The context of every connection of a server: who may come in, and the way of what goes to a device.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::device::{ConversationPlace, Device, DeviceWork};
use super::hub::ChatHub;
use super::intake::MessageIntake;
use super::log::LogError;
use super::log_reader::LogReader;
use super::names::ALL_CONVERSATIONS;
use super::outgoing::{ChatWelcome, Outgoing};
use super::settings::ChatLimits;
use super::token::{ChatKey, ChatMember, MemberConversations, SigningKey};

/// The state and the settings that connections share.
pub struct ServerContext {
    pub intake: Arc<MessageIntake>,
    pub key: ChatKey,
    /// Signs tokens for the page, where the key is one for trying.
    pub trial: Option<SigningKey>,
    pub origins: Vec<String>,
    pub limits: ChatLimits,
    /// Whether the server is to end.
    pub stopping: watch::Receiver<bool>,
}

/// Why a client is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryRefusal {
    /// It has no valid token, or has not shown it as the protocol says. The reason is for the client.
    Invalid(String),
    /// The log of the conversations cannot be read now.
    Unready,
    /// The server is ending.
    Ending,
}

impl EntryRefusal {
    /// The reason, for the client.
    pub fn reason(self) -> String {
        match self {
            EntryRefusal::Invalid(reason) => reason,
            EntryRefusal::Unready => {
                "the server cannot read the conversations now; try again later".to_owned()
            }
            EntryRefusal::Ending => "the server is ending; try again in a moment".to_owned(),
        }
    }
}

/// A device that gets events until this is dropped.
pub struct JoinedDevice {
    pub device: Arc<Device>,
    hub: Arc<ChatHub>,
}

impl Drop for JoinedDevice {
    fn drop(&mut self) {
        self.hub.leave(&self.device);
    }
}

/// The events that are read in the log at a time.
const READ_MAX: u32 = 32;

impl ServerContext {
    /// Lets in who has a valid token. `seen` has the number of the last event that the device has, by conversation.
    ///
    /// # Errors
    /// If the token is not valid, or nobody can be let in now.
    pub async fn enter(
        &self,
        token: &str,
        seen: HashMap<String, u64>,
    ) -> Result<(JoinedDevice, ChatWelcome), EntryRefusal> {
        let member = self.key.verify(token).map_err(EntryRefusal::Invalid)?;
        let welcome = ChatWelcome {
            user: Arc::clone(&member.user),
            role: Arc::clone(&member.role),
            conversations: match &member.conversations {
                MemberConversations::All => vec![ALL_CONVERSATIONS.into()],
                MemberConversations::Named(names) => names.iter().cloned().collect(),
            },
            types: self.intake.types.welcome(),
        };
        let device = Arc::new(Device::new(member, &seen));
        let hub = Arc::clone(&self.intake.hub);
        // It is brought events before the log is read, so that none falls between the two.
        hub.join(&device);
        let joined = JoinedDevice { device, hub };
        let (device, log) = (Arc::clone(&joined.device), Arc::clone(&self.intake.log));
        let last = spawn_blocking(move || last_of(&log, &device.member, &seen)).await;
        match last {
            Ok(Ok(last)) => joined.device.begin(last),
            Ok(Err(error)) => {
                tracing::error!("{error}");
                return Err(EntryRefusal::Unready);
            }
            Err(_) => return Err(EntryRefusal::Ending),
        }
        Ok((joined, welcome))
    }

    /// The next thing for a device; nothing if its connection is to end. Nothing is lost when this is given up.
    pub async fn next(&self, device: &Arc<Device>) -> Option<Outgoing> {
        loop {
            match device.take() {
                DeviceWork::Send(outgoing) => return Some(outgoing),
                DeviceWork::Read { conversation, after, known } => {
                    self.read(device, conversation, after, known);
                }
                DeviceWork::Nothing => device.woken().await,
                DeviceWork::End => return None,
            }
        }
    }

    /// Brings a device events of the log, as it has asked for. A task of its own does so, whoever waits: a client that
    /// interrupts the wait again and again has not more read.
    pub fn read(&self, device: &Arc<Device>, conversation: Arc<str>, after: u64, known: u64) {
        let (log, name) = (Arc::clone(&self.intake.log), Arc::clone(&conversation));
        let device = Arc::clone(device);
        tokio::spawn(async move {
            match spawn_blocking(move || log.after(&name, after, READ_MAX)).await {
                Ok(Ok(events)) => {
                    // Fewer than were asked for may be a few large ones.
                    let is_whole = events.is_empty();
                    device.bring(&conversation, known, events, is_whole);
                }
                Ok(Err(error)) => {
                    tracing::error!("{error}");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    device.bring_nothing();
                }
                // The server is at its end.
                Err(_) => {}
            }
        });
    }
}

/// Waits until the server is to end.
pub async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone.
    stopping.wait_for(|stopping| *stopping).await.map(drop).unwrap_or_default();
}

/// The last numbers of the conversations of a member, with what the device has seen where it does not know that yet.
fn last_of(
    log: &LogReader,
    member: &ChatMember,
    seen: &HashMap<String, u64>,
) -> Result<Vec<ConversationPlace>, LogError> {
    let with_last = |names: Vec<Arc<str>>| -> Result<Vec<(Arc<str>, u64)>, LogError> {
        let last = log.last(&names)?;
        Ok(names.into_iter().zip(last).collect())
    };
    match &member.conversations {
        MemberConversations::Named(names) => {
            let last = with_last(names.iter().cloned().collect())?;
            let place = |(conversation, last)| ConversationPlace { conversation, last, seen: None };
            Ok(last.into_iter().map(place).collect())
        }
        MemberConversations::All => {
            let others = seen.get(ALL_CONVERSATIONS);
            let last = match others {
                Some(_) => log.conversations()?,
                None => with_last(seen.keys().map(|name| Arc::from(&**name)).collect())?,
            };
            let place = |(conversation, last): (Arc<str>, u64)| {
                let seen = seen.get(&*conversation).or(others).copied();
                ConversationPlace { conversation, last, seen }
            };
            Ok(last.into_iter().map(place).collect())
        }
    }
}
