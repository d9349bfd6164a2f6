//! A destination, and one try to deliver a response to it.

use std::fmt;
use std::sync::Arc;

use crate::dataflow::Response;
use crate::dicom::Object;
use crate::step::{Artifact, Request};
use crate::store::Store;

use super::Policy;
use super::delivery::{Delivery, FileDelivery, FileState};
use super::target::{Target, Trouble, TroubleKind};

/// A destination and how it is served.
#[derive(Clone)]
pub struct Forward {
    pub target: Target,
    pub policy: Policy,
    /// With it, what the destination has taken is stored only when this has found it there.
    pub verify: Option<Verify>,
}

/// Finds out which of the objects that a destination has taken are safe there. What is not among those it
/// gives, or is not safe, is looked for once more, and then sent again.
pub type Verify = Arc<dyn Fn(&[Object]) -> Result<Vec<Verified>, String> + Send + Sync>;

/// What was found out of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub sop_instance_uid: String,
    /// Why it is not safe, if it is not.
    pub safe: Result<(), String>,
}

/// What a try is about.
pub(super) struct Subject<'a> {
    pub request: &'a Request,
    pub response: &'a Response,
    pub store: &'a Store,
}

/// How a try ended.
pub(super) struct Tried {
    /// Of a file it is certain now that it is there, or was refused for good. So there is an end to
    /// such tries.
    pub is_fruitful: bool,
    pub trouble: Option<TroubleKind>,
}

impl Forward {
    /// Sends what is not there yet, has what was sent verified, and `note`s each file of which something
    /// is known anew.
    pub(super) fn attempt(
        &self,
        subject: &Subject,
        delivery: &mut Delivery,
        note: &dyn Fn(&FileDelivery),
    ) -> Tried {
        delivery.tries += 1;
        delivery.trouble = None;
        if !self.target.concerns(subject.request) {
            delivery.complete = true;
            return Tried { is_fruitful: false, trouble: None };
        }
        let mut is_fruitful = false;
        let mut learn = |delivery: &mut Delivery, file: FileDelivery| {
            if delivery.note(file.clone()) {
                is_fruitful |= !file.state.is_open();
                note(&file);
            }
        };
        let looked = self.verify(FileState::Missing, subject, delivery, &mut learn);
        let sent = self.send(subject, delivery, &mut learn);
        let verified = sent.and_then(|()| self.verify(FileState::Sent, subject, delivery, &mut learn));
        let trouble = verified.and(looked).err();
        delivery.trouble = trouble.as_ref().map(|trouble| trouble.text.clone());
        delivery.judge(subject.response);
        Tried { is_fruitful, trouble: trouble.map(|trouble| trouble.kind) }
    }

    fn send(
        &self,
        subject: &Subject,
        delivery: &mut Delivery,
        learn: &mut dyn FnMut(&mut Delivery, FileDelivery),
    ) -> Result<(), Trouble> {
        let mut objects = Vec::new();
        for file in delivery.unsent(subject.response) {
            match object(subject, file) {
                Ok(object) => objects.push(object),
                Err(why) => learn(delivery, FileDelivery::refused(&file.name, why)),
            }
        }
        if objects.is_empty() {
            return Ok(());
        }
        let is_to_be_verified = self.verify.is_some();
        self.target.send(subject.request, &objects, &mut |sent| {
            learn(delivery, FileDelivery::answered(sent, is_to_be_verified));
        })
    }

    /// Looks for the files in a state.
    fn verify(
        &self,
        state: FileState,
        subject: &Subject,
        delivery: &mut Delivery,
        learn: &mut dyn FnMut(&mut Delivery, FileDelivery),
    ) -> Result<(), Trouble> {
        let Some(verify) = &self.verify else { return Ok(()) };
        let unverified = delivery.in_state(subject.response, state);
        let objects: Vec<Object> = unverified.iter().filter_map(|file| object(subject, file).ok()).collect();
        if objects.is_empty() {
            return Ok(());
        }
        let passing = |text: String| Trouble { text, kind: TroubleKind::Passing };
        let verified = verify(&objects).map_err(passing)?;
        for object in &objects {
            let found = verified.iter().find(|one| one.sop_instance_uid == object.sop_instance_uid());
            let unknown = || Err("the destination says nothing of it".to_owned());
            let safe = found.map_or_else(unknown, |one| one.safe.clone());
            let file = delivery.files.iter().find(|file| file.name == object.name());
            if let Some(file) = file.map(|file| file.verified(safe)) {
                learn(delivery, file);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("target", &self.target).field("policy", &self.policy).finish()
    }
}

fn object(subject: &Subject, file: &Artifact) -> Result<Object, String> {
    let path = subject.store.path(subject.response.request, file);
    Object::open(&file.name, path).map_err(|error| error.to_string())
}
