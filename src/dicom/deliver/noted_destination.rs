//! A destination of files of any kind that has objects of other programs noted before it gets them: from there
//! they may be sent on, or be put where requests come from.

use std::path::PathBuf;
use std::sync::Arc;

use crate::admission::{
    DeliveryRecord, DeliveryTrouble, Destination, DestinationReach, OutgoingResponse, PartAnswer, PartFinding,
};
use crate::dataflow::Response;
use crate::step::Request;

use super::{DeliveredObjects, note_foreign, open};

/// A destination, and the record of objects that programs have made.
pub struct NotedDestination {
    pub inner: Arc<dyn Destination>,
    pub delivered: Arc<DeliveredObjects>,
}

impl Destination for NotedDestination {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn reach(&self) -> DestinationReach {
        self.inner.reach()
    }

    fn takes(&self, request: &Request) -> bool {
        self.inner.takes(request)
    }

    fn parts(&self, response: &Response) -> Vec<String> {
        self.inner.parts(response)
    }

    fn shares_peer(&self, one: &Request, other: &Request) -> bool {
        self.inner.shares_peer(one, other)
    }

    fn send(
        &self,
        outgoing: &OutgoingResponse,
        parts: &[&str],
        answered: &mut dyn FnMut(PartAnswer),
    ) -> Result<(), DeliveryTrouble> {
        let files = outgoing.response.files.iter();
        let names: Vec<&str> = files.map(|file| file.name.as_str()).collect();
        let opened = open(outgoing, &names);
        // An object that is not noted would count as a part of its study when it comes back.
        if let Some(trouble) = opened.trouble {
            return Err(trouble);
        }
        note_foreign(&self.delivered, outgoing.request, &opened.objects)?;
        self.inner.send(outgoing, parts, answered)
    }

    fn verify(
        &self,
        outgoing: &OutgoingResponse,
        parts: &[&str],
        found: &mut dyn FnMut(PartFinding),
    ) -> Result<(), DeliveryTrouble> {
        self.inner.verify(outgoing, parts, found)
    }

    fn place(&self, request: &Request) -> Option<PathBuf> {
        self.inner.place(request)
    }

    fn note(&self, request: &Request, deliveries: &[DeliveryRecord]) -> Result<(), DeliveryTrouble> {
        self.inner.note(request, deliveries)
    }
}
