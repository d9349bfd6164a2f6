//! The commitments that senders have requested from us, until their outcomes are reported.
//!
//! A request is written to the disk before it is accepted, and its file is removed when the sender has
//! received the outcome. So an accepted request survives the process.
//!
//! A request is on the disk before it is agreed to, and its file goes when the sender has its outcome: an
//! answer that is promised survives the process.
//!
//! ```text
//! INBOX/commitments/UID.json       who asked, and for what
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::admission::StopSignal;
use crate::dicom::intake::event::ReceiverEvent;
use crate::dicom::names::dimse_node::DimseNode;
use crate::dicom_file::part10::FileHead;
use crate::store::make_folder;

use super::request::tell;
use super::transaction::{
    CLASS_INSTANCE_CONFLICT, CommitmentOutcome, CommitmentTransaction, NO_SUCH_INSTANCE, ObjectReference,
};

pub(in crate::dicom) struct CommitmentReports {
    inbox: PathBuf,
    folder: PathBuf,
    /// Nodes that a report can be sent to, by AE title.
    nodes: BTreeMap<String, DimseNode>,
    waiting: Mutex<Vec<CommitmentReport>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CommitmentReport {
    calling_ae: String,
    transaction: CommitmentTransaction,
    #[serde(skip)]
    tries: u32,
    /// Earliest time of the next try.
    #[serde(skip, default = "Instant::now")]
    due: Instant,
}

/// Most tries of a report. Each wait between two tries is twice the one before: some hours in all.
const TRIES_MAX: u32 = 16;

/// The most objects in waiting requests. Beyond it, requests are refused for the moment.
const WAITING_REFERENCES_MAX: usize = 1_000_000;

impl CommitmentReports {
    pub fn open(inbox: &Path, nodes: BTreeMap<String, DimseNode>) -> io::Result<CommitmentReports> {
        let folder = inbox.join("commitments");
        make_folder(&folder)?;
        let mut waiting = Vec::new();
        for entry in fs::read_dir(&folder)? {
            // A request that was not written to its end was not accepted.
            match serde_json::from_slice(&fs::read(entry?.path())?) {
                Ok(report) => waiting.push(report),
                Err(error) => tracing::debug!(%error, "a stored commitment request is incomplete"),
            }
        }
        Ok(CommitmentReports { inbox: inbox.to_owned(), folder, nodes, waiting: Mutex::new(waiting) })
    }

    /// Whether the outcome can be reported to a sender: its node is known.
    pub fn can_call(&self, calling_ae: &str) -> bool {
        self.nodes.contains_key(calling_ae)
    }

    pub fn have_room_for(&self, transaction: &CommitmentTransaction) -> bool {
        let waiting: usize = self.lock().iter().map(|report| report.transaction.references.len()).sum();
        waiting + transaction.references.len() <= WAITING_REFERENCES_MAX
    }

    /// Accepts a request: when this returns, it is on the disk.
    pub fn accept(&self, calling_ae: &str, transaction: CommitmentTransaction) -> io::Result<()> {
        let (calling_ae, due) = (calling_ae.to_owned(), Instant::now());
        let report = CommitmentReport { calling_ae, transaction, tries: 0, due };
        let text = serde_json::to_vec(&report)?;
        let mut file = File::create(self.path(&report))?;
        file.write_all(&text)?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        self.lock().push(report);
        Ok(())
    }

    /// Outcome of a transaction: the objects whose files are in the inbox are safe.
    pub fn outcome(&self, transaction: &CommitmentTransaction) -> io::Result<CommitmentOutcome> {
        let wanted = transaction.references.iter().map(|one| one.sop_instance_uid.as_str()).collect();
        let kept = kept(&self.inbox, &wanted)?;
        let mut outcome = CommitmentOutcome::default();
        for reference in &transaction.references {
            match failure(&kept, reference) {
                None => outcome.safe.push(reference.clone()),
                Some(reason) => outcome.failed.push((reference.clone(), reason)),
            }
        }
        Ok(outcome)
    }

    /// Reports outcomes until the stop. Failed reports are tried again, also by the next process.
    pub fn serve(&self, stop: &StopSignal, tell_of: &(dyn Fn(&ReceiverEvent) + Sync)) {
        while !stop.wait(LOOK) {
            let due = take_due(&mut self.lock(), Instant::now());
            for report in due {
                // Reports that are not sent yet are on the disk.
                if stop.wait(Duration::ZERO) {
                    return;
                }
                match self.report(&report) {
                    Ok(()) => self.forget(&report),
                    Err(reason) if report.tries + 1 == TRIES_MAX => {
                        tell_of(&ReceiverEvent::NotReported { reason });
                        self.forget(&report);
                    }
                    Err(reason) => {
                        tracing::debug!("the outcome of a commitment is not reported: {reason}");
                        self.lock().push(report.later());
                    }
                }
            }
        }
    }

    fn report(&self, report: &CommitmentReport) -> Result<(), String> {
        let CommitmentReport { calling_ae, transaction, .. } = report;
        let outcome = self.outcome(transaction).map_err(|error| error.to_string())?;
        let node = self.nodes.get(calling_ae);
        let node = node.ok_or_else(|| format!("no address is known for {calling_ae}"))?;
        tell(node, &transaction.uid, &outcome).map_err(|error| error.to_string())
    }

    fn forget(&self, report: &CommitmentReport) {
        if let Err(error) = fs::remove_file(self.path(report)) {
            tracing::warn!(%error, "the outcome of a commitment will be reported once more");
        }
    }

    /// The path of a report's file. The transaction UID comes from the sender; its digest is safe as a file
    /// name.
    fn path(&self, report: &CommitmentReport) -> PathBuf {
        let parts = [report.calling_ae.as_bytes(), report.transaction.uid.as_bytes()];
        self.folder.join(format!("{}.json", crate::step::Digest::of_parts(parts).uid()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<CommitmentReport>> {
        self.waiting.lock().expect("nothing panics while it holds the reports")
    }
}

const LOOK: Duration = Duration::from_millis(200);

/// Takes a report that is due; reports that wait for another try do not block it.
fn take_due(waiting: &mut Vec<CommitmentReport>, now: Instant) -> Vec<CommitmentReport> {
    waiting.extract_if(.., |report| report.due <= now).collect()
}

impl CommitmentReport {
    /// The report with the time of its next try, after one that failed.
    fn later(self) -> CommitmentReport {
        let tries = self.tries + 1;
        CommitmentReport { tries, due: Instant::now() + LOOK * 2_u32.pow(tries), ..self }
    }
}

/// The files of the wanted instances in the inbox, by SOP Instance UID.
fn kept(inbox: &Path, wanted: &BTreeSet<&str>) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut kept = BTreeMap::new();
    for folder in fs::read_dir(inbox)? {
        let folder = folder?;
        if !folder.file_name().to_string_lossy().starts_with("study-") {
            continue;
        }
        // The folder of a request that has just been removed may be gone.
        let Ok(files) = fs::read_dir(folder.path()) else { continue };
        for file in files.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            // Earlier versions named the file UID-DIGEST.dcm.
            let uid = name.strip_suffix(".dcm").and_then(|name| name.split('-').next());
            if let Some(uid) = uid.filter(|uid| wanted.contains(uid)) {
                kept.insert(uid.to_owned(), file.path());
            }
        }
    }
    Ok(kept)
}

/// The failure reason for an object that we do not commit to.
fn failure(kept: &BTreeMap<String, PathBuf>, reference: &ObjectReference) -> Option<u16> {
    let Some(path) = kept.get(&reference.sop_instance_uid) else { return Some(NO_SUCH_INSTANCE) };
    let mut beginning = Vec::new();
    let read = File::open(path)
        .and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, 4096), &mut beginning));
    match read.ok().and_then(|_| FileHead::decode(&beginning)) {
        None => Some(NO_SUCH_INSTANCE),
        Some((head, _)) if head.sop_class_uid != reference.sop_class_uid => Some(CLASS_INSTANCE_CONFLICT),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_told_holds_up_nobody() {
        let report = |calling_ae: &str| CommitmentReport {
            calling_ae: calling_ae.to_owned(),
            transaction: CommitmentTransaction { uid: "1.2".to_owned(), references: Vec::new() },
            tries: 0,
            due: Instant::now(),
        };
        let mut waiting = vec![report("GONE").later(), report("THERE")];
        let due = take_due(&mut waiting, Instant::now());
        assert!(due.len() == 1 && due[0].calling_ae == "THERE", "{due:?}");
        assert!(waiting.len() == 1 && waiting[0].tries == 1, "{waiting:?}");
        let last = (1..TRIES_MAX).fold(report("GONE"), |report, _| report.later());
        assert!(last.due > Instant::now() + Duration::from_secs(3600), "it is tried for more than an hour");
    }
}
