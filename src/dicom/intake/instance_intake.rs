//! Instance intake: the one way into the inbox, for every sender and every protocol.
//!
//! An instance is written to disk while it is received. It is stored once its header has been read as far as
//! the study's attributes and its file is in its final place; then there is a receipt, and the sender may be
//! answered with success.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dicom_dictionary_std::tags;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::dicom::names::delivered_objects::DeliveredObjects;
use crate::dicom::names::sop_class;
use crate::dicom::names::status::DimseStatus;
use crate::dicom_file::content::FileContent;
use crate::dicom_file::inflate::claim;
use crate::dicom_file::part10::{FileBeginning, FileHead, MARK_ENDS};
use crate::dicom_file::uid::{UID_CHARACTERS_MAX, is_uid};
use crate::imaging::{HeaderError, InstanceHeader, Part10File, StudyAttributes, read_instance};
use crate::step::{Item, ItemPlace};
use crate::store::free_bytes;

use super::completion::CompletionRules;
use super::event::{ArrivedInstance, IntakeSession, ReceiverEvent, SessionKind};
use super::inbox::{InstanceReceipt, StudyInbox};
use super::instance::{HEADER_BYTES_MAX, StudyInstance};
use super::partial_file::PartialFile;
use super::replacement::{InstanceArrival, KnownInstance, Replacement, differences};
use super::sender::InstanceSender;
use super::studies::{AddResult, ArrivingStudies, CountSource, FolderSync, StudyFolder};

/// Rules for which instances are accepted, and when a study is complete.
#[derive(Clone, Debug)]
pub(in crate::dicom) struct IntakeRules {
    /// The folder of received files.
    pub inbox: PathBuf,
    /// Free bytes on the inbox's disk below which instances are refused.
    pub free_bytes_min: u64,
    pub instance_bytes_max: u64,
    /// The most bytes that are received and not handed over yet.
    pub waiting_bytes_max: u64,
    pub completion: CompletionRules,
    pub counted: CountSource,
    pub own_results: OwnResults,
    pub delivered: Arc<DeliveredObjects>,
}

/// The treatment of received instances that flow has made itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnResults {
    /// They are answered with success and belong to no study. Otherwise an archive that forwards everything
    /// it receives would have its results processed again and again.
    #[default]
    LeftAlone,
    /// They are instances like all others, for a receiver that takes flow's results as an archive does.
    Kept,
}

/// State shared by all senders of instances.
pub(in crate::dicom) struct InstanceIntake<'a> {
    pub rules: IntakeRules,
    pub inbox: StudyInbox,
    pub studies: ArrivingStudies,
    pub tell: &'a (dyn Fn(&ReceiverEvent) + Sync),
    /// Number of sessions so far.
    pub sessions: AtomicU64,
}

/// The reason why an instance is answered with a failure.
#[derive(Debug)]
pub(in crate::dicom) struct InstanceRefusal {
    pub status: DimseStatus,
    pub reason: String,
    /// For an instance that is cut off: its study, or an empty text if that is unknown.
    pub cut_off: Option<String>,
}

/// An instance that is on the disk.
pub(in crate::dicom) struct StoredInstance {
    #[expect(dead_code, reason = "having it is the point")]
    kept: InstanceReceipt,
    pub instance: ArrivedInstance,
}

pub(in crate::dicom) fn refusal(status: DimseStatus, reason: impl Into<String>) -> InstanceRefusal {
    InstanceRefusal { status, reason: reason.into(), cut_off: None }
}

fn cut_off(missing: &str, study_instance_uid: String) -> InstanceRefusal {
    let reason = format!("the data set is cut off: {missing}");
    InstanceRefusal { cut_off: Some(study_instance_uid), ..refusal(DimseStatus::CANNOT_UNDERSTAND, reason) }
}

impl From<io::Error> for InstanceRefusal {
    /// The inbox is full or cannot be written: the sender may try again later.
    fn from(error: io::Error) -> InstanceRefusal {
        refusal(DimseStatus::OUT_OF_RESOURCES, format!("the inbox cannot be written: {error}"))
    }
}

impl<'a> InstanceIntake<'a> {
    /// # Errors
    /// If the inbox cannot be made or read.
    pub fn open(
        rules: IntakeRules,
        tell: &'a (dyn Fn(&ReceiverEvent) + Sync),
    ) -> io::Result<InstanceIntake<'a>> {
        Ok(InstanceIntake {
            inbox: StudyInbox::open(&rules.inbox)?,
            studies: ArrivingStudies::new(rules.completion.clone(), rules.counted, rules.waiting_bytes_max),
            rules,
            tell,
            sessions: AtomicU64::new(0),
        })
    }

    pub fn session(&self, way: SessionKind) -> IntakeSession {
        IntakeSession { way, number: self.sessions.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Begins to receive a file with its own head.
    pub fn begin(&self) -> Result<PartialFile, InstanceRefusal> {
        if !self.studies.have_room() {
            return Err(refusal(DimseStatus::OUT_OF_RESOURCES, "too much is waiting, try again later"));
        }
        if free_bytes(&self.rules.inbox) < self.rules.free_bytes_min {
            return Err(refusal(DimseStatus::OUT_OF_RESOURCES, "the disk is nearly full, try again later"));
        }
        Ok(self.inbox.begin()?)
    }

    /// Begins to receive a data set whose head came separately.
    pub fn begin_data_set(&self, head: &FileHead) -> Result<PartialFile, InstanceRefusal> {
        for (name, uid) in [("Class", &head.sop_class_uid), ("Instance", &head.sop_instance_uid)] {
            let fault = if uid.is_empty() { "is missing" } else { "is not a UID" };
            if !is_uid(uid) {
                let reason = format!("the Affected SOP {name} UID of the command {fault}");
                return Err(refusal(DimseStatus::INVALID_INSTANCE, reason));
            }
        }
        check_class(head)?;
        let mut part = self.begin()?;
        part.write_head(head)?;
        Ok(part)
    }

    /// Writes received bytes of a file. A file that is too large, or that the disk does not take, is refused,
    /// and its further bytes are dropped.
    pub fn write(&self, part: &mut Result<PartialFile, InstanceRefusal>, bytes: &[u8]) {
        let Ok(file) = part else { return };
        if file.size() + bytes.len() as u64 > self.rules.instance_bytes_max {
            *part = Err(refusal(DimseStatus::OUT_OF_RESOURCES, "the instance is too large"));
        } else if let Err(error) = file.write(bytes) {
            *part = Err(error.into());
        }
    }

    /// Stores a file that came with its own head.
    pub fn keep_file(
        &self,
        sender: &InstanceSender,
        mut part: PartialFile,
    ) -> Result<StoredInstance, InstanceRefusal> {
        let Some((head, _)) = FileHead::decode(part.beginning()) else {
            let head = part.beginning().iter().take(MARK_ENDS as usize);
            let is_blank = head.copied().all(|byte| byte == 0);
            let missing = if is_blank { Some(BLANK.to_owned()) } else { part.content().missing };
            if let Some(missing) = missing {
                return Err(cut_off(&missing, String::new()));
            }
            return Err(refusal(
                DimseStatus::CANNOT_UNDERSTAND,
                "it is not a DICOM file, or its head is damaged",
            ));
        };
        check_class(&head)?;
        if TransferSyntaxRegistry.get(&head.transfer_syntax_uid).is_none() {
            let reason = "its transfer syntax is not known";
            return Err(refusal(DimseStatus::TRANSFER_SYNTAX_NOT_SUPPORTED, reason));
        }
        self.keep(sender, part, None)
    }

    /// The refusal of a file in which nothing has been written at the end.
    pub fn unwritten_end(&self, part: &PartialFile) -> InstanceRefusal {
        let study = self.read(part).map(|read| read.study.study_instance_uid);
        cut_off(OPEN_END, study.unwrap_or_default())
    }

    /// Stores an instance: moves its file into the folder of its study. `announced` is what the sender said
    /// of it before.
    pub fn keep(
        &self,
        sender: &InstanceSender,
        mut part: PartialFile,
        announced: Option<&FileHead>,
    ) -> Result<StoredInstance, InstanceRefusal> {
        if announced.is_some() && has_second_head(part.beginning()) {
            return Err(refusal(DimseStatus::CANNOT_UNDERSTAND, SECOND_HEAD));
        }
        let FileContent { digest, missing, .. } = part.content();
        let read = self.read(&part);
        if let Some(missing) = missing {
            return Err(cut_off(
                &missing,
                read.map(|read| read.study.study_instance_uid).unwrap_or_default(),
            ));
        }
        let ReceivedIdentity { head, header, study } = read?;
        check(announced, &head, &study)?;
        check_study(sender, &study)?;
        if header.as_ref().is_some_and(|header| header.series_instance_uid.is_empty()) {
            let reason = "the data set has no Series Instance UID";
            return Err(refusal(DimseStatus::CANNOT_UNDERSTAND, reason));
        }
        let is_own_result = header.as_ref().is_some_and(|header| header.is_own_result)
            || self.rules.delivered.has(&head.sop_instance_uid);
        if is_own_result && self.rules.own_results == OwnResults::LeftAlone {
            return Ok(self.own_result(sender, head, &study));
        }
        let name = format!("{}.dcm", head.sop_instance_uid);
        let size = part.size();
        let uid = &study.study_instance_uid;
        let place = self.studies.place(uid, sender, || self.inbox.new_folder())?;
        let expected = self.rules.completion.expected.as_ref();
        let marks = expected.map_or(0, |expected| expected.marks(part.beginning()));
        let decoded = header.as_ref().map_or(0, InstanceHeader::decoded_bytes).max(size);
        let file = ItemPlace::File(place.folder.join(&name));
        let item = Item { name, place: file, digest, size, decoded };
        let instance = ArrivedInstance {
            sop_class_uid: head.sop_class_uid,
            sop_instance_uid: head.sop_instance_uid.clone(),
            study_instance_uid: study.study_instance_uid.clone(),
            patient_id: study.patient_id.clone(),
        };
        // A file whose header cannot be read could not be assigned to its study at the next start.
        let part = if header.is_some() { part } else { part.without_mark() };
        let seen = match header {
            Some(header) => StudyInstance::new(item, header, study),
            None => StudyInstance {
                sop_instance_uid: head.sop_instance_uid,
                ..StudyInstance::damaged(item, study)
            },
        };
        let kept = self.put(&place, part, StudyInstance { marks, ..seen })?;
        let (session, boxed) = (sender.session, Box::new(instance.clone()));
        (self.tell)(&ReceiverEvent::Stored { session, bytes: size, instance: boxed });
        Ok(StoredInstance { kept, instance })
    }

    /// Answers a result of flow with success, and keeps nothing.
    fn own_result(&self, sender: &InstanceSender, head: FileHead, study: &StudyAttributes) -> StoredInstance {
        (self.tell)(&ReceiverEvent::OwnResult { session: sender.session });
        let instance = ArrivedInstance {
            sop_class_uid: head.sop_class_uid,
            sop_instance_uid: head.sop_instance_uid,
            study_instance_uid: study.study_instance_uid.clone(),
            patient_id: study.patient_id.clone(),
        };
        StoredInstance { kept: InstanceReceipt::of_own_result(), instance }
    }

    /// Moves a file into the folder of its study, unless it is there already. Its old name is gone afterwards.
    fn put(
        &self,
        place: &StudyFolder,
        part: PartialFile,
        instance: StudyInstance,
    ) -> io::Result<InstanceReceipt> {
        let path = place.folder.join(&instance.item.name);
        let found = part.sync(instance.item.digest)?;
        loop {
            let known = self.studies.known(place, &instance.item.name);
            let arrival = arrival(known.as_ref(), &instance.item, &part);
            let against = known.map(|known| known.digest);
            // Another sender may have stored an instance with this UID since the comparison.
            let receipt = match self.studies.add(place, &instance, against, arrival, || part.put(&path))? {
                AddResult::Outdated => continue,
                AddResult::Added(FolderSync::NotNeeded) => InstanceReceipt::of_found(found),
                AddResult::Added(FolderSync::Needed) => None,
            };
            return receipt.map_or_else(|| self.studies.sync(place), Ok);
        }
    }

    /// Reads the header of an instance from the bytes in memory, or from the file if it is longer.
    fn read(&self, part: &PartialFile) -> Result<ReceivedIdentity, InstanceRefusal> {
        let read = match read_instance("", part.path(), part.beginning()) {
            Err(HeaderError::Damaged { .. }) if !part.is_short() => {
                // Long headers are read one at a time: for many associations at once they would take too much
                // memory.
                let long = part.size().min(HEADER_BYTES_MAX);
                let _claim = claim(long);
                let mut bytes = Vec::with_capacity(long as usize);
                File::open(part.path())?.take(HEADER_BYTES_MAX).read_to_end(&mut bytes)?;
                read_instance("", part.path(), &bytes)
            }
            read => read,
        };
        let damaged = || refusal(DimseStatus::CANNOT_UNDERSTAND, "the data set is damaged or cut off");
        match read {
            Ok((header, study)) => {
                let head = FileHead {
                    sop_class_uid: header.sop_class_uid.clone(),
                    sop_instance_uid: header.sop_instance_uid.clone(),
                    transfer_syntax_uid: header.transfer_syntax_uid.clone(),
                };
                Ok(ReceivedIdentity { head, header: Some(header), study })
            }
            // An element before the pixels is longer than the part of a file that is read.
            Err(HeaderError::Damaged { study, .. }) if part.size() > HEADER_BYTES_MAX => {
                let file = Part10File::open_header(part.beginning()).map_err(|_| damaged())?;
                let elements = file.elements();
                let head = FileHead {
                    sop_class_uid: elements.text(tags::SOP_CLASS_UID),
                    sop_instance_uid: elements.text(tags::SOP_INSTANCE_UID),
                    transfer_syntax_uid: file.transfer_syntax_uid.clone(),
                };
                Ok(ReceivedIdentity { head, header: None, study: *study })
            }
            Err(_) => Err(damaged()),
        }
    }
}

/// Some programs allocate a file in its full length before they write it, or write its end first.
const BLANK: &str = "nothing has been written at its beginning yet";

/// Others allocate it and write it from its beginning.
const OPEN_END: &str = "nothing has been written at its end yet";

/// Some senders pass a file on as it is.
const SECOND_HEAD: &str = "the data set begins with the head of a DICOM file; only what follows the file meta \
                           information (0002,xxxx) may be sent";

/// Whether the data set behind the head of a file begins with a preamble.
fn has_second_head(file: &[u8]) -> bool {
    let data_set = FileHead::decode(file).map_or(&[][..], |(_, data_set)| &file[data_set]);
    FileBeginning::of(data_set) == Some(FileBeginning::Preamble)
}

/// The relation of a received instance to the one that is known.
fn arrival(known: Option<&KnownInstance>, item: &Item, part: &PartialFile) -> InstanceArrival {
    let Some(known) = known else { return InstanceArrival::New };
    if known.digest == item.digest {
        return InstanceArrival::Again;
    }
    let differences = differences(&known.path, part.path());
    match differences.is_empty() {
        true => InstanceArrival::Again,
        false => {
            let (name, digest) = (item.name.clone(), item.digest);
            InstanceArrival::Replaces(Replacement { name, digest, differences })
        }
    }
}

/// The identity of a received instance, as its file states it.
struct ReceivedIdentity {
    /// From the data set, not from the announcement.
    head: FileHead,
    header: Option<InstanceHeader>,
    study: StudyAttributes,
}

/// Checks the UIDs of a received instance: all must be there, and the head and the data set must agree, or
/// queries would not find the instance.
fn check(
    announced: Option<&FileHead>,
    found: &FileHead,
    study: &StudyAttributes,
) -> Result<(), InstanceRefusal> {
    if study.study_instance_uid.is_empty() {
        return Err(refusal(DimseStatus::CANNOT_UNDERSTAND, "the data set has no Study Instance UID"));
    }
    if found.sop_instance_uid.is_empty() {
        return Err(refusal(DimseStatus::INVALID_INSTANCE, "the data set has no SOP Instance UID"));
    }
    if !is_uid(&found.sop_instance_uid) {
        return Err(refusal(DimseStatus::INVALID_INSTANCE, "the data set's SOP Instance UID is not a UID"));
    }
    let same = announced.is_none_or(|head| {
        found.sop_class_uid == head.sop_class_uid
            && is_announced(&found.sop_instance_uid, &head.sop_instance_uid)
    });
    let mismatch = || refusal(DimseStatus::DATA_SET_MISMATCH, "SOP UIDs of command and data set differ");
    same.then_some(()).ok_or_else(mismatch)
}

/// DCMTK announces no more than the characters that a UID may have (PS3.5 9.1), however long it is.
fn is_announced(found: &str, announced: &str) -> bool {
    found == announced || announced.len() == UID_CHARACTERS_MAX && found.starts_with(announced)
}

fn check_class(head: &FileHead) -> Result<(), InstanceRefusal> {
    let other = || refusal(DimseStatus::SOP_CLASS_NOT_SUPPORTED, "objects of its class are not stored");
    sop_class::is_storage(&head.sop_class_uid).then_some(()).ok_or_else(other)
}

fn check_study(sender: &InstanceSender, study: &StudyAttributes) -> Result<(), InstanceRefusal> {
    let other = |expected: &String| *expected != study.study_instance_uid;
    match &sender.study_instance_uid {
        Some(expected) if other(expected) => {
            Err(refusal(DimseStatus::DATA_SET_MISMATCH, "it belongs to another study than was announced"))
        }
        _ => Ok(()),
    }
}
