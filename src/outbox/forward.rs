//! A destination, and one try to deliver a response to it.

use std::fmt;
use std::sync::Arc;

use crate::dataflow::Response;
use crate::dicom::{NotSendable, Object};
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
        let Opened { objects, refused, trouble } = open(subject, delivery.unsent(subject.response));
        refused.into_iter().for_each(|file| learn(delivery, file));
        let is_to_be_verified = self.verify.is_some();
        for part in parts(objects, delivery) {
            self.target.send(subject.request, &part, &mut |sent| {
                let broke_off = delivery.broke_off(&sent.name);
                learn(delivery, FileDelivery::answered(sent, is_to_be_verified, broke_off));
            })?;
        }
        trouble.map_or(Ok(()), Err)
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
        let Opened { objects, trouble, .. } = open(subject, delivery.in_state(subject.response, state));
        if objects.is_empty() {
            return trouble.map_or(Ok(()), Err);
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
        trouble.map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("target", &self.target).field("policy", &self.policy).finish()
    }
}

/// Objects that are sent together. One at which it broke off goes alone and behind the others, as it may be
/// its doing, and those at which it did so more often are the last.
fn parts(objects: Vec<Object>, delivery: &Delivery) -> Vec<Vec<Object>> {
    let broke_off = |object: &Object| delivery.broke_off(object.name());
    let (mut suspects, innocent): (Vec<Object>, Vec<Object>) =
        objects.into_iter().partition(|object| broke_off(object) > 0);
    suspects.sort_by_key(broke_off);
    let together = Some(innocent).filter(|innocent| !innocent.is_empty());
    together.into_iter().chain(suspects.into_iter().map(|object| vec![object])).collect()
}

/// Files of a response, opened as far as they can be.
#[derive(Default)]
struct Opened {
    objects: Vec<Object>,
    refused: Vec<FileDelivery>,
    /// Of those that cannot be read now. The store is local, so that is nothing about them.
    trouble: Option<Trouble>,
}

fn open(subject: &Subject, files: Vec<&Artifact>) -> Opened {
    let mut opened = Opened::default();
    for file in files {
        let path = subject.store.path(subject.response.request, file);
        match Object::open(&file.name, path) {
            Ok(object) => opened.objects.push(object),
            Err(error @ NotSendable::NotDicom { .. }) => {
                opened.refused.push(FileDelivery::refused(&file.name, error.to_string()));
            }
            Err(error @ NotSendable::Unreadable { .. }) => {
                let text = format!("{error}. Check the disk, and how many files may be open.");
                opened.trouble = Some(Trouble { text, kind: TroubleKind::Passing });
            }
        }
    }
    opened
}
