//! The devices that are connected: events go to the devices of their conversation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::device::Device;
use super::event::ChatEvent;
use super::outgoing::Outgoing;
use super::token::MemberConversations;

/// The devices that are connected, by conversation.
#[derive(Default)]
pub struct ChatHub(Mutex<HubDevices>);

#[derive(Default)]
struct HubDevices {
    conversations: HashMap<Arc<str>, Vec<Arc<Device>>>,
    /// The devices of all conversations.
    everywhere: Vec<Arc<Device>>,
}

impl ChatHub {
    /// Brings a device events from now on.
    pub fn join(&self, device: &Arc<Device>) {
        let mut devices = self.lock();
        match &device.member.conversations {
            MemberConversations::All => devices.everywhere.push(Arc::clone(device)),
            MemberConversations::Named(names) => {
                for name in names {
                    devices.conversations.entry(Arc::clone(name)).or_default().push(Arc::clone(device));
                }
            }
        }
    }

    /// Ends that.
    pub fn leave(&self, device: &Arc<Device>) {
        let mut devices = self.lock();
        let is_other = |other: &Arc<Device>| !Arc::ptr_eq(other, device);
        match &device.member.conversations {
            MemberConversations::All => devices.everywhere.retain(is_other),
            MemberConversations::Named(names) => {
                for name in names {
                    let Some(members) = devices.conversations.get_mut(name) else { continue };
                    members.retain(is_other);
                    if members.is_empty() {
                        devices.conversations.remove(name);
                    }
                }
            }
        }
    }

    /// Brings events to the devices of their conversations. Recorded ones have to be on the disk.
    pub fn publish(&self, events: Vec<ChatEvent>) {
        let devices = self.lock();
        for event in events {
            let event = Arc::new(event);
            devices.of(&event.conversation).for_each(|device| device.push(&event));
        }
    }

    /// Brings the text of an answer so far to the devices of who has asked.
    pub fn publish_partial(&self, user: &str, conversation: &Arc<str>, answers: &Arc<str>, text: &Arc<str>) {
        let devices = self.lock();
        for device in devices.of(conversation).filter(|device| &*device.member.user == user) {
            let (conversation, answers, text) =
                (Arc::clone(conversation), Arc::clone(answers), Arc::clone(text));
            device.push_passing(Outgoing::Partial { conversation, answers, text });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HubDevices> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HubDevices {
    fn of(&self, conversation: &str) -> impl Iterator<Item = &Arc<Device>> {
        self.conversations.get(conversation).into_iter().flatten().chain(&self.everywhere)
    }
}
