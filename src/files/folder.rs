//! The folder of responses: one folder per response, with a name that a person can recognise. `response.json`
//! is beside the files and, if the response has other destinations, `delivery.json`.
//!
//! A request that went through two dataflows, or those of two customers, has two responses under one name. The one that
//! comes second goes to a folder whose name has its dataflow, too: a folder with the response of another dataflow
//! is never replaced.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, RenameFlags};
use serde::Deserialize;

use crate::admission::{
    DeliveryErrorKind, DeliveryRecord, DeliveryTrouble, Destination, DestinationReach, OutgoingResponse,
    PartAnswer,
};
use crate::dataflow::Response;
use crate::step::{Artifact, Request};
use crate::store::{SMALL_FILE_BYTES_MAX, Store};

/// A folder that gets a folder for each response: a [`Destination`] on this machine.
pub struct ResponseFolder {
    root: PathBuf,
    /// Numbers the drafts, so that two of the same response have different folders.
    drafts: AtomicU64,
    /// Locked while a draft is moved into its place.
    placing: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum ResponseFolderError {
    #[error("could not write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("the name {0:?} does not stay below the response's folder")]
    Name(String),
    #[error("{0} and the folders after it hold the responses of other dataflows")]
    Taken(PathBuf),
}

/// The most names that are tried for the folder of a response.
const PLACES_MAX: usize = 100;

impl ResponseFolder {
    /// # Errors
    /// If the folder cannot be made.
    pub fn at(root: impl Into<PathBuf>) -> Result<ResponseFolder, ResponseFolderError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(failed(&root))?;
        Ok(ResponseFolder { root, drafts: AtomicU64::new(0), placing: Mutex::new(()) })
    }

    /// Removes drafts that a killed process has left. No response may be written meanwhile.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn tidy(&self) -> Result<(), ResponseFolderError> {
        for entry in fs::read_dir(&self.root).map_err(failed(&self.root))? {
            let entry = entry.map_err(failed(&self.root))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') && name.ends_with(".part") {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Writes a response. It appears as a whole, and replaces an earlier response to the same request under the same
    /// dataflow.
    ///
    /// # Errors
    /// If it cannot be written: nothing of it is left then, and an earlier one stays.
    pub fn write(
        &self,
        request: &Request,
        response: &Response,
        store: &Store,
    ) -> Result<PathBuf, ResponseFolderError> {
        safe(&request.name)?;
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let draft = self.root.join(format!(".{}.{}-{number}.part", request.name, std::process::id()));
        let written = write_all(&draft, response, store).and_then(|()| {
            let _alone = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
            let place = self.place_of(request, &response.dataflow)?;
            put(&draft, &place).map(|()| place)
        });
        if written.is_err() {
            // The first error is the one that matters.
            let _ = fs::remove_dir_all(&draft);
        }
        written
    }

    /// The folder of the response to a request under a dataflow: the one that has it, or else the first that is free.
    /// Its name is the same for each delivery, also by a later process.
    fn place_of(&self, request: &Request, dataflow: &str) -> Result<PathBuf, ResponseFolderError> {
        let plain = self.root.join(safe(&request.name)?);
        let mut free = None;
        for number in 0..PLACES_MAX {
            let name = match number {
                0 => request.name.clone(),
                1 => format!("{}-{dataflow}", request.name),
                _ => format!("{}-{dataflow}-{number}", request.name),
            };
            let place = self.root.join(safe(&name)?);
            match tenant(&place)? {
                FolderTenant::Dataflow(name) if name == dataflow => return Ok(place),
                FolderTenant::Dataflow(_) => {}
                FolderTenant::Unknown => free = free.or(Some(place)),
                FolderTenant::Absent => {
                    free = free.or(Some(place));
                    // A response that had to give way to another has one of the further names.
                    if number > 0 {
                        break;
                    }
                }
            }
        }
        free.ok_or(ResponseFolderError::Taken(plain))
    }
}

/// The owner of a folder of a response.
enum FolderTenant {
    Absent,
    /// There is no response in it that can be read.
    Unknown,
    /// The name of the dataflow whose response it has.
    Dataflow(String),
}

/// The part of `response.json` that says whose it is.
#[derive(Deserialize)]
struct ResponseOwner {
    dataflow: String,
}

fn tenant(place: &Path) -> Result<FolderTenant, ResponseFolderError> {
    if !place.exists() {
        return Ok(FolderTenant::Absent);
    }
    let path = place.join("response.json");
    match fs::read(&path) {
        Ok(text) => Ok(match serde_json::from_slice::<ResponseOwner>(&text) {
            Ok(owner) => FolderTenant::Dataflow(owner.dataflow),
            Err(_) => FolderTenant::Unknown,
        }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(FolderTenant::Unknown)
        }
        // A response that cannot be read now may be another's.
        Err(error) => Err(failed(&path)(error)),
    }
}

impl Destination for ResponseFolder {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn reach(&self) -> DestinationReach {
        DestinationReach::Local
    }

    /// A single part: the folder appears as a whole or not at all.
    fn parts(&self, response: &Response) -> Vec<String> {
        vec![response.name.clone()]
    }

    fn send(
        &self,
        outgoing: &OutgoingResponse,
        parts: &[&str],
        answered: &mut dyn FnMut(PartAnswer),
    ) -> Result<(), DeliveryTrouble> {
        self.write(outgoing.request, outgoing.response, outgoing.store)?;
        parts.iter().for_each(|part| answered(PartAnswer::stored(part)));
        Ok(())
    }

    fn place(&self, request: &Request, dataflow: &str) -> Option<PathBuf> {
        self.place_of(request, dataflow).ok()
    }

    /// Writes `delivery.json`. The file appears whole.
    fn note(
        &self,
        request: &Request,
        dataflow: &str,
        deliveries: &[DeliveryRecord],
    ) -> Result<(), DeliveryTrouble> {
        let place = self.place_of(request, dataflow)?;
        let path = place.join("delivery.json");
        let text = serde_json::to_string_pretty(deliveries).expect("a delivery is made of texts and numbers");
        let draft = place.join(".delivery.json.part");
        let written = fs::write(&draft, text + "\n").and_then(|()| fs::File::open(&draft)?.sync_all());
        let placed = written
            .and_then(|()| fs::rename(&draft, &path))
            .and_then(|()| fs::File::open(&place)?.sync_all());
        Ok(placed.map_err(failed(&path))?)
    }
}

impl From<ResponseFolderError> for DeliveryTrouble {
    fn from(error: ResponseFolderError) -> DeliveryTrouble {
        let kind = match error {
            ResponseFolderError::Write { .. } => DeliveryErrorKind::Passing,
            ResponseFolderError::Name(_) | ResponseFolderError::Taken(_) => DeliveryErrorKind::Lasting,
        };
        DeliveryTrouble { kind, ..DeliveryTrouble::passing(error) }
    }
}

fn write_all(draft: &Path, response: &Response, store: &Store) -> Result<(), ResponseFolderError> {
    fs::create_dir_all(draft).map_err(failed(draft))?;
    for artifact in &response.files {
        let path = draft.join(safe(&artifact.name)?);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        copy(&store.path(response.request, artifact), &path, artifact)?;
    }
    let path = draft.join("response.json");
    let mut text = serde_json::to_string_pretty(response).expect("a response is made of texts and numbers");
    text.push('\n');
    fs::write(&path, text).map_err(failed(&path))?;
    sync_all(draft)
}

/// The bytes of large files were synced in the store; small ones, `response.json` and the folders were not.
fn sync_all(draft: &Path) -> Result<(), ResponseFolderError> {
    let mut folders = vec![draft.to_owned()];
    while let Some(folder) = folders.pop() {
        let inside = fs::read_dir(&folder).map_err(failed(&folder))?;
        for entry in inside {
            let path = entry.map_err(failed(&folder))?.path();
            let about = fs::symlink_metadata(&path).map_err(failed(&path))?;
            if about.is_dir() {
                folders.push(path);
            } else if about.len() <= SMALL_FILE_BYTES_MAX || path.ends_with("response.json") {
                sync(&path)?;
            }
        }
        sync(&folder)?;
    }
    Ok(())
}

fn sync(path: &Path) -> Result<(), ResponseFolderError> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(failed(path))
}

/// Links or copies a file of the store. A hard link copies no bytes, but is impossible across file systems.
fn copy(from: &Path, to: &Path, artifact: &Artifact) -> Result<(), ResponseFolderError> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) => {
            let size = fs::copy(from, to).map_err(failed(to))?;
            sync(to)?;
            if size == artifact.size { Ok(()) } else { Err(failed(to)(io::ErrorKind::UnexpectedEof.into())) }
        }
    }
}

/// Moves a draft into its place. An earlier response stays there until the new one replaces it.
fn put(draft: &Path, place: &Path) -> Result<(), ResponseFolderError> {
    if !place.exists() {
        fs::rename(draft, place).map_err(failed(place))?;
    } else if rustix::fs::renameat_with(CWD, draft, CWD, place, RenameFlags::EXCHANGE).is_err() {
        // A file system that cannot exchange two folders has neither of them for a moment.
        remove(place)?;
        fs::rename(draft, place).map_err(failed(place))?;
    }
    place.parent().map_or(Ok(()), sync)?;
    if let Err(error) = remove(draft) {
        tracing::warn!(%error, "an earlier response stays beside the new one");
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), ResponseFolderError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(folder)(error)),
        _ => Ok(()),
    }
}

fn safe(name: &str) -> Result<&Path, ResponseFolderError> {
    let path = Path::new(name);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    if stays && !name.is_empty() { Ok(path) } else { Err(ResponseFolderError::Name(name.to_owned())) }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ResponseFolderError {
    let path = path.to_owned();
    move |source| ResponseFolderError::Write { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::ResponseVerdict;
    use crate::step::{Digest, ResponseFile};

    fn response(request: &Request, store: &Store, files: &[(&str, &str)]) -> Response {
        let artifact = |(name, text): &(&str, &str)| {
            let artifact = ResponseFile::new(*name, "text/plain", text.as_bytes().to_vec()).artifact();
            store.put(request.id, artifact.digest, text.as_bytes()).unwrap();
            artifact
        };
        Response {
            request: request.id,
            name: request.name.clone(),
            dataflow: "test".into(),
            version: Digest::of(b"test"),
            verdict: ResponseVerdict::Complete,
            steps: Vec::new(),
            reservations: Vec::new(),
            streams: Vec::new(),
            files: files.iter().map(artifact).collect(),
            supersedes: None,
            revises: None,
        }
    }

    #[test]
    fn a_later_response_takes_the_place_of_an_earlier_one_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path().join("store")).unwrap();
        let folder = ResponseFolder::at(root.path().join("out")).unwrap();
        let request = Request::new("study", Default::default(), Vec::new());
        folder
            .write(&request, &response(&request, &store, &[("a/b.txt", "1"), ("c.txt", "2")]), &store)
            .unwrap();
        let place = folder.write(&request, &response(&request, &store, &[("a/b.txt", "3")]), &store).unwrap();
        assert_eq!(fs::read_to_string(place.join("a/b.txt")).unwrap(), "3");
        assert!(!place.join("c.txt").exists());
        let read: Response =
            serde_json::from_str(&fs::read_to_string(place.join("response.json")).unwrap()).unwrap();
        assert_eq!(read.files.len(), 1);
        assert_eq!(fs::read_dir(root.path().join("out")).unwrap().count(), 1, "no drafts are left");
    }

    #[test]
    fn the_responses_of_two_dataflows_have_two_folders_whichever_comes_again() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path().join("store")).unwrap();
        let request = Request::new("study", Default::default(), Vec::new());
        let write = |dataflow: &str, text: &str| {
            // A folder of its own each time, as after a restart.
            let folder = ResponseFolder::at(root.path().join("out")).unwrap();
            let files = response(&request, &store, &[("total.txt", text)]);
            let place =
                folder.write(&request, &Response { dataflow: dataflow.into(), ..files }, &store).unwrap();
            assert_eq!(folder.place(&request, dataflow), Some(place.clone()));
            assert_eq!(fs::read_to_string(place.join("total.txt")).unwrap(), text);
            folder.note(&request, dataflow, &[]).unwrap();
            assert!(place.join("delivery.json").exists());
            place.file_name().unwrap().to_str().unwrap().to_owned()
        };
        let names = [("north", "1"), ("south", "2"), ("north", "3"), ("south", "4"), ("west", "5")];
        let names = names.map(|(dataflow, text)| write(dataflow, text));
        assert_eq!(names, ["study", "study-south", "study", "study-south", "study-west"]);
        // A response keeps its folder when the first one was taken away, and gives way to none.
        fs::remove_dir_all(root.path().join("out/study")).unwrap();
        assert_eq!(write("south", "6"), "study-south");
        assert_eq!(write("north-south", "7"), "study");
        fs::rename(root.path().join("out/study"), root.path().join("out/study-north")).unwrap();
        assert_eq!(write("west", "8"), "study-west");
        assert_eq!(write("south", "9"), "study-south");
        fs::create_dir(root.path().join("out/study")).unwrap();
        fs::write(root.path().join("out/study/response.json"), r#"{"dataflow": "other"}"#).unwrap();
        assert_eq!(write("north", "10"), "study-north-2");
        assert_eq!(fs::read_dir(root.path().join("out")).unwrap().count(), 5, "no drafts are left");
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path().join("store")).unwrap();
        let folder = ResponseFolder::at(root.path().join("out")).unwrap();
        let request = Request::new("study", Default::default(), Vec::new());
        for name in ["../x", "/x", "a/../../x", ""] {
            let written = folder.write(&request, &response(&request, &store, &[(name, "1")]), &store);
            assert!(matches!(written, Err(ResponseFolderError::Name(_))), "{name:?}");
        }
        assert_eq!(fs::read_dir(root.path().join("out")).unwrap().count(), 0);
    }

    #[test]
    fn the_same_response_written_many_times_at_once_is_there_once() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path().join("store")).unwrap();
        let folder = ResponseFolder::at(root.path().join("out")).unwrap();
        let request = Request::new("study", Default::default(), Vec::new());
        let response = response(&request, &store, &[("a/b.txt", "1"), ("c.txt", "2")]);
        std::thread::scope(|scope| {
            let write = || (0..50).for_each(|_| drop(folder.write(&request, &response, &store).unwrap()));
            (0..4).for_each(|_| drop(scope.spawn(write)));
        });
        assert_eq!(fs::read_dir(root.path().join("out")).unwrap().count(), 1, "no drafts are left");
        assert_eq!(fs::read_to_string(folder.place(&request, "test").unwrap().join("c.txt")).unwrap(), "2");
    }
}
