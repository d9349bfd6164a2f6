//! A destination of files of any kind that has objects of other programs noted before it gets them: from there
//! they may be sent on, or be put where requests come from.

use std::path::PathBuf;
use std::sync::Arc;

use crate::admission::{
    DeliveryRecord, DeliveryTrouble, Destination, DestinationReach, OutgoingResponse, PartAnswer, PartFinding,
};
use crate::dataflow::Response;
use crate::step::Request;

use super::{DeliveredObjects, OpenedObjects, note_foreign, open};

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
        let OpenedObjects { objects, unreadable, trouble, .. } = open(outgoing, &names);
        note_foreign(&self.delivered, outgoing.request, &objects)?;
        // An object that is not noted would count as a part of its study when it comes back. A part that is no
        // file of its own may hold it.
        let is_noted = |part: &&&str| match names.contains(part) {
            true => !unreadable.iter().any(|name| name == *part),
            false => unreadable.is_empty(),
        };
        let noted: Vec<&str> = parts.iter().filter(is_noted).copied().collect();
        if !noted.is_empty() {
            self.inner.send(outgoing, &noted, answered)?;
        }
        match trouble {
            Some(trouble) if noted.len() < parts.len() => Err(trouble),
            _ => Ok(()),
        }
    }

    fn verify(
        &self,
        outgoing: &OutgoingResponse,
        parts: &[&str],
        found: &mut dyn FnMut(PartFinding),
    ) -> Result<(), DeliveryTrouble> {
        self.inner.verify(outgoing, parts, found)
    }

    fn place(&self, request: &Request, dataflow: &str) -> Option<PathBuf> {
        self.inner.place(request, dataflow)
    }

    fn note(
        &self,
        request: &Request,
        dataflow: &str,
        deliveries: &[DeliveryRecord],
    ) -> Result<(), DeliveryTrouble> {
        self.inner.note(request, dataflow, deliveries)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::admission::DeliveryErrorKind;
    use crate::dataflow::ResponseVerdict;
    use crate::dicom_file::part10::FileHead;
    use crate::step::{Digest, ResponseFile};
    use crate::store::Store;

    /// Notes the parts that it is sent.
    #[derive(Default)]
    struct PartList(Mutex<Vec<String>>);

    impl Destination for PartList {
        fn name(&self) -> String {
            "list".to_owned()
        }

        fn send(
            &self,
            _outgoing: &OutgoingResponse,
            parts: &[&str],
            answered: &mut dyn FnMut(PartAnswer),
        ) -> Result<(), DeliveryTrouble> {
            self.0.lock().unwrap().extend(parts.iter().map(|part| (*part).to_owned()));
            parts.iter().for_each(|part| answered(PartAnswer::stored(part)));
            Ok(())
        }
    }

    fn object(number: u8) -> ResponseFile {
        let sop_instance_uid = format!("1.2.3.{number}");
        let head = FileHead { sop_class_uid: "1.2".to_owned(), sop_instance_uid, ..FileHead::default() };
        ResponseFile::new(format!("{number}.dcm"), "application/dicom", head.encode())
    }

    #[test]
    fn an_object_that_cannot_be_read_holds_up_nothing_but_itself() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path()).unwrap();
        let request = Request::new("study", Default::default(), Vec::new());
        let objects = [object(1), object(2)];
        let [first, second] = objects.each_ref().map(|object| object.artifact());
        store.put(request.id, first.digest, &objects[0].bytes).unwrap();
        let response = Response {
            request: request.id,
            name: request.name.clone(),
            dataflow: "reports".into(),
            version: Digest::of(b""),
            verdict: ResponseVerdict::Complete,
            steps: Vec::new(),
            reservations: Vec::new(),
            streams: Vec::new(),
            files: vec![first, second.clone()],
            supersedes: None,
            revises: None,
        };
        let outgoing = OutgoingResponse { request: &request, response: &response, store: &store };
        let (list, delivered) = (Arc::new(PartList::default()), Arc::new(DeliveredObjects::default()));
        let destination = NotedDestination { inner: list.clone(), delivered: delivered.clone() };
        let send = |parts: &[&str]| destination.send(&outgoing, parts, &mut |_| {});

        let trouble = send(&["1.dcm", "2.dcm"]).unwrap_err();
        assert_eq!(trouble.kind, DeliveryErrorKind::Partial);
        assert!(trouble.text.contains("2.dcm could not be read"), "{}", trouble.text);
        assert_eq!(*list.0.lock().unwrap(), ["1.dcm"], "what is not noted is not given away");
        assert!(send(&["all of them"]).is_err());
        assert_eq!(list.0.lock().unwrap().len(), 1, "nor in something else");
        assert_eq!(send(&["1.dcm"]), Ok(()), "it is of no account for the others");

        store.put(request.id, second.digest, &objects[1].bytes).unwrap();
        assert_eq!(send(&["2.dcm"]), Ok(()));
        assert_eq!(*list.0.lock().unwrap(), ["1.dcm", "1.dcm", "2.dcm"]);
    }
}
