//! Studies in files and folders: any nesting, any names.
//!
//! Every file is read once, in parallel, for its digest and its header; of a file no more is in memory than
//! its header can take. Files that belong to no study are reported with the reason and left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::dicom::names::delivered_objects::DeliveredObjects;
use crate::dicom_file::content::ContentDigester;
use crate::dicom_file::inflate::{BudgetClaim, FREE_BYTES, claim};
use crate::dicom_file::part10::{self, FileHead};
use crate::dicom_file::uid::UID_BYTES_ACCEPTED_MAX;
use crate::imaging::{HeaderError, Part10File, read_instance};
use crate::step::{Digest, Item, ItemPlace, Request};

use super::instance::{HEADER_BYTES_MAX, StudyInstance, item_differences, request};

/// The attribute `source` of what was found.
pub(in crate::dicom) const SOURCE: &str = "folder";

/// The studies, and the skipped files, below some paths.
#[derive(Debug, Default)]
pub struct FolderContents {
    /// One request for each Study Instance UID, in the order of the UIDs.
    pub studies: Vec<Request>,
    /// In the order of the paths.
    pub skipped: Vec<SkippedPath>,
}

/// A file or folder that is not part of any study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedPath {
    pub path: PathBuf,
    /// A fragment that fits after "was skipped: ".
    pub reason: String,
    pub cause: SkipCause,
}

/// The kinds of reasons for which a path is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipCause {
    /// Something that is not an instance of a study.
    NotAnInstance,
    /// The system could not read it.
    Unreadable,
    /// DICOM that ends too early, or an empty file.
    Damaged,
}

impl SkippedPath {
    /// Whether it may be part of a study, and what it holds is not known.
    pub fn may_be_missed(&self) -> bool {
        self.cause != SkipCause::NotAnInstance
    }
}

/// A reason, and its kind.
type Skipped = (SkipCause, String);

#[derive(Debug, thiserror::Error)]
#[error("could not open {path}: {source}", path = path.display())]
pub struct InputError {
    path: PathBuf,
    source: io::Error,
}

impl InputError {
    /// Whether there is nothing at the path.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Finds the studies in files and folders. Links are followed, each folder is looked into once.
///
/// # Errors
/// If one of `paths` itself is not there or may not be looked at.
pub fn find(paths: &[PathBuf]) -> Result<FolderContents, InputError> {
    find_without(paths, &DeliveredObjects::default())
}

/// The same without the objects that were given away as results.
///
/// # Errors
/// As [`find`].
pub fn find_without(paths: &[PathBuf], results: &DeliveredObjects) -> Result<FolderContents, InputError> {
    let mut walk = FolderWalk::default();
    for path in paths {
        fs::metadata(path).map_err(|source| InputError { path: path.clone(), source })?;
        walk.enter(path);
    }
    let FolderWalk { files, mut skipped, .. } = walk;
    let read: Vec<Result<StudyInstance, SkippedPath>> =
        files.par_iter().map(|file| file.read(Some(results))).collect();

    let mut studies: BTreeMap<String, Vec<StudyInstance>> = BTreeMap::new();
    for result in read {
        match result {
            Ok(instance) => {
                studies.entry(instance.study.study_instance_uid.clone()).or_default().push(instance);
            }
            Err(one) => skipped.push(one),
        }
    }
    let studies: Vec<_> =
        studies.into_values().map(|instances| without_copies(instances, &mut skipped)).collect();
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    let studies = studies.into_iter().filter_map(|one| request(one, &[("source", SOURCE)])).collect();
    Ok(FolderContents { studies, skipped })
}

/// The instances, of those with one SOP Instance UID and the same content in another compression the first. The others
/// are skipped.
fn without_copies(mut instances: Vec<StudyInstance>, skipped: &mut Vec<SkippedPath>) -> Vec<StudyInstance> {
    instances.sort_by(|a, b| (&a.sop_instance_uid, &a.item.name).cmp(&(&b.sop_instance_uid, &b.item.name)));
    let mut kept: Vec<StudyInstance> = Vec::new();
    for instance in instances {
        let uid = &instance.sop_instance_uid;
        let same_uid = kept.iter().rev().take_while(|one| !uid.is_empty() && one.sop_instance_uid == *uid);
        let is_copy = |one: &&StudyInstance| {
            one.item.digest != instance.item.digest && item_differences(&one.item, &instance.item).is_empty()
        };
        let first = same_uid.filter(is_copy).map(|first| first.item.name.clone()).next();
        match (first, instance.item.path().map(Path::to_owned)) {
            (Some(first), Some(path)) => {
                let reason = format!("it is the instance of {first} in another compression");
                skipped.push(SkippedPath { path, reason, cause: SkipCause::NotAnInstance });
            }
            _ => kept.push(instance),
        }
    }
    kept
}

/// The instances in a folder of received files. Files that belong to no study are ignored: their senders were
/// not answered with success. Results of flow are instances like all others: a receiver that leaves them alone does
/// not keep them.
///
/// # Errors
/// If one cannot be read: without it the study would be answered in part.
pub(in crate::dicom) fn instances(folder: &Path) -> io::Result<Vec<StudyInstance>> {
    let mut walk = FolderWalk::default();
    walk.enter(folder);
    let files = walk.files.par_iter();
    let read: Vec<Result<StudyInstance, SkippedPath>> = files.map(|file| file.read(None)).collect();
    let mut instances = Vec::new();
    let missed = walk.skipped.into_iter().map(Err);
    for result in read.into_iter().chain(missed) {
        match result {
            Ok(instance) => instances.push(instance),
            Err(one) if one.cause == SkipCause::Unreadable => {
                return Err(unreadable_file(&one));
            }
            Err(_) => {}
        }
    }
    // Earlier versions kept several of one UID: the last one is used.
    let received = |one: &StudyInstance| fs::metadata(one.item.file()?)?.modified();
    instances.sort_by_cached_key(|one| (received(one).ok(), one.item.name.clone()));
    Ok(instances)
}

/// The Study Instance UID of a folder of received files; `None` if no file tells it.
///
/// # Errors
/// If a file cannot be read.
pub(in crate::dicom) fn first_study(folder: &Path) -> io::Result<Option<String>> {
    let mut walk = FolderWalk::default();
    walk.enter(folder);
    for file in &walk.files {
        match file.read(None) {
            Ok(instance) => return Ok(Some(instance.study.study_instance_uid)),
            Err(one) if one.cause == SkipCause::Unreadable => return Err(unreadable_file(&one)),
            Err(_) => {}
        }
    }
    Ok(None)
}

fn unreadable_file(file: &SkippedPath) -> io::Error {
    io::Error::other(format!("{}: {}", file.path.display(), file.reason))
}

/// A file and how a person calls it.
struct NamedFile {
    name: String,
    path: PathBuf,
}

#[derive(Default)]
struct FolderWalk {
    files: Vec<NamedFile>,
    skipped: Vec<SkippedPath>,
    /// Folders looked into, by their real path: links may go round in circles.
    seen: BTreeSet<PathBuf>,
}

impl FolderWalk {
    fn enter(&mut self, root: &Path) {
        let below = if root.is_dir() { Some(root) } else { root.parent() };
        let mut paths = vec![root.to_owned()];
        while let Some(path) = paths.pop() {
            match self.visit(&path, below.unwrap_or(root)) {
                Ok(inside) => paths.extend(inside),
                Err((cause, reason)) => self.skipped.push(SkippedPath { path, reason, cause }),
            }
        }
    }

    /// Notes a file, or gives what is in a folder.
    fn visit(&mut self, path: &Path, root: &Path) -> Result<Vec<PathBuf>, Skipped> {
        let metadata = fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            let real = fs::canonicalize(path).map_err(unreadable)?;
            return if self.seen.insert(real) { inside(path).map_err(unreadable) } else { Ok(Vec::new()) };
        }
        // Opening a pipe would wait for somebody to write into it.
        if !metadata.is_file() {
            return Err(not_an_instance("it is neither a file nor a folder"));
        }
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        // Another process of a cluster may stand in another folder.
        let path = std::path::absolute(path).map_err(unreadable)?;
        self.files.push(NamedFile { name, path });
        Ok(Vec::new())
    }
}

fn inside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn unreadable(error: io::Error) -> Skipped {
    (SkipCause::Unreadable, format!("it could not be read: {error}"))
}

fn not_an_instance(reason: &str) -> Skipped {
    (SkipCause::NotAnInstance, reason.to_owned())
}

impl NamedFile {
    /// Reads an instance. Without `results` those of flow are instances, too.
    fn read(&self, results: Option<&DeliveredObjects>) -> Result<StudyInstance, SkippedPath> {
        self.instance(results).map_err(|(cause, reason)| SkippedPath {
            path: self.path.clone(),
            reason,
            cause,
        })
    }

    fn instance(&self, results: Option<&DeliveredObjects>) -> Result<StudyInstance, Skipped> {
        let content = FileBytes::read(&self.path).map_err(unreadable)?;
        let content = content.ok_or_else(|| self.not_dicom())?;
        let FileBytes { beginning, digest, size, _claim } = content;
        if is_directory(&beginning) {
            return Err(not_an_instance("it is a DICOMDIR, an index of other files"));
        }
        let (name, path) = (self.name.clone(), self.path.clone());
        let mut item = Item { name, place: ItemPlace::File(path), digest, size, decoded: size };
        match read_instance(&self.name, &self.path, &beginning) {
            Ok((_, study)) if study.study_instance_uid.is_empty() => {
                Err(not_an_instance("it names no study (Study Instance UID)"))
            }
            Ok((header, _)) if results.is_some() && header.is_own_result => {
                Err(not_an_instance("it is a result of flow"))
            }
            Ok((header, _)) if results.is_some_and(|results| results.has(&header.sop_instance_uid)) => {
                Err(not_an_instance("it is a result of flow, made by a program of a step"))
            }
            Ok((header, _)) if header.sop_instance_uid.len() > UID_BYTES_ACCEPTED_MAX => {
                let reason =
                    format!("its SOP Instance UID is longer than {UID_BYTES_ACCEPTED_MAX} characters");
                Err((SkipCause::Damaged, reason))
            }
            Ok((header, study)) => {
                item.decoded = header.decoded_bytes().max(item.size);
                Ok(StudyInstance::new(item, header, study))
            }
            Err(HeaderError::Damaged { study, .. }) if !study.study_instance_uid.is_empty() => {
                Ok(StudyInstance::damaged(item, *study))
            }
            Err(error @ HeaderError::Damaged { .. }) => Err((SkipCause::Damaged, error.to_string())),
            Err(error @ HeaderError::NotDicom) => Err(not_an_instance(&error.to_string())),
        }
    }

    fn not_dicom(&self) -> Skipped {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() == 0 => (SkipCause::Damaged, "the file is empty".to_owned()),
            _ => not_an_instance("it is not a DICOM file"),
        }
    }
}

struct FileBytes {
    beginning: Vec<u8>,
    /// Of the bytes of a long beginning.
    _claim: Option<BudgetClaim<'static>>,
    digest: Digest,
    size: u64,
}

impl FileBytes {
    /// Reads a DICOM file. Of any other file only the first few bytes are read.
    fn read(path: &Path) -> io::Result<Option<FileBytes>> {
        let mut file = fs::File::open(path)?;
        // Room at once: growing while it is read would copy it again and again.
        let room = file.metadata()?.len().min(part10::MARK_ENDS + FREE_BYTES as u64) as usize;
        let mut beginning = Vec::with_capacity(room);
        file.by_ref().take(part10::MARK_ENDS).read_to_end(&mut beginning)?;
        if !part10::is_dicom(&beginning) {
            return Ok(None);
        }
        file.by_ref().take(FREE_BYTES as u64).read_to_end(&mut beginning)?;
        let mut _claim = None;
        if beginning.len() >= FREE_BYTES && !has_pixels(&beginning) {
            let long = file.metadata()?.len().min(HEADER_BYTES_MAX);
            _claim = claim(long);
            beginning.reserve_exact((long as usize).saturating_sub(beginning.len()));
            file.by_ref().take(HEADER_BYTES_MAX).read_to_end(&mut beginning)?;
        }
        let mut digester = ContentDigester::default();
        digester.update(&beginning);
        let rest = io::copy(&mut file, &mut digester)?;
        let digest = digester.finish().digest;
        Ok(Some(FileBytes { size: beginning.len() as u64 + rest, digest, beginning, _claim }))
    }
}

/// Whether the pixels begin in the beginning of a file: the header ends before.
fn has_pixels(beginning: &[u8]) -> bool {
    Part10File::open_header(beginning).is_ok_and(|file| file.elements().pixels.is_some())
}

fn is_directory(bytes: &[u8]) -> bool {
    let directory = dicom_dictionary_std::uids::MEDIA_STORAGE_DIRECTORY_STORAGE;
    FileHead::decode(bytes).is_some_and(|(head, _)| head.sop_class_uid == directory)
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::{tags, uids};

    use super::*;

    /// A report that flow has made, as far as it matters here.
    fn result() -> Vec<u8> {
        let (class, uid) = (uids::COMPREHENSIVE_SR_STORAGE, "2.25.1");
        let head = FileHead {
            sop_class_uid: class.to_owned(),
            sop_instance_uid: uid.to_owned(),
            transfer_syntax_uid: uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned(),
        };
        let mut bytes = head.encode();
        for (tag, vr, text) in [
            (tags::SOP_CLASS_UID, b"UI", class),
            (tags::SOP_INSTANCE_UID, b"UI", uid),
            (tags::MANUFACTURER, b"LO", "flow"),
            (tags::MANUFACTURER_MODEL_NAME, b"LO", "flow"),
            (tags::STUDY_INSTANCE_UID, b"UI", "1.2.3"),
            (tags::SERIES_INSTANCE_UID, b"UI", "1.2.4"),
        ] {
            let text = if text.len() % 2 == 1 { format!("{text}\0") } else { text.to_owned() };
            bytes.extend([tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat());
            bytes.extend([vr.as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat());
        }
        bytes
    }

    #[test]
    fn a_result_in_the_inbox_was_kept_on_purpose() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("report.dcm"), result()).unwrap();
        assert_eq!(instances(folder.path()).unwrap().len(), 1);
        assert_eq!(first_study(folder.path()).unwrap().as_deref(), Some("1.2.3"));
        let found = find(&[folder.path().to_owned()]).unwrap();
        assert_eq!(found.skipped[0].reason, "it is a result of flow");
    }
}
