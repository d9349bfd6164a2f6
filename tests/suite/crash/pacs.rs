//! The PACS that results go to: it keeps every copy that differs from the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use flow::dicom::{DimseNode, OwnResults, ReceiverEvent};
use flow::step::Digest;

use crate::support::peers::Receiving;
use crate::support::slices::data_set;

pub struct Pacs(Receiving);

/// The data sets that arrived under each SOP Instance UID: one each, if all is well.
pub type Objects = BTreeMap<String, BTreeSet<Digest>>;

/// Files with their bytes.
pub type Held = Vec<(PathBuf, Vec<u8>)>;

impl Pacs {
    pub fn open() -> Pacs {
        Pacs(Receiving::start(|settings| {
            settings.ae_title = "PACS".parse().expect("it is an AE title");
            settings.own_results = OwnResults::Kept;
        }))
    }

    pub fn destination(&self) -> DimseNode {
        self.0.destination("PACS")
    }

    /// Our receiver names a file by its UID, and notes each one that took the place of another.
    pub fn objects(&self) -> Objects {
        let mut objects = Objects::new();
        for file in files(&self.0.inbox) {
            let name = file.file_stem().expect("it is a file").to_string_lossy().into_owned();
            let bytes = fs::read(&file).expect("it was kept");
            objects.entry(name).or_default().insert(Digest::of(data_set(&bytes)));
            let folder = file.parent().expect("it is in a study's folder");
            assert!(!folder.join("replaced").exists(), "another object came under a UID that was taken");
        }
        objects
    }

    /// The files of all objects.
    pub fn held(&self) -> Held {
        let file = |path: PathBuf| (path.clone(), fs::read(path).expect("it was kept"));
        files(&self.0.inbox).into_iter().map(file).collect()
    }

    /// Has these objects again, and no others. Nobody may be sending.
    pub fn go_back(&self, held: &Held) {
        files(&self.0.inbox).iter().for_each(|file| fs::remove_file(file).expect("it was kept"));
        for (path, bytes) in held {
            fs::create_dir_all(path.parent().expect("it was in a folder")).expect("it can be made");
            fs::write(path, bytes).expect("there is room");
        }
    }

    /// How many objects were stored, copies included, since this was last asked.
    pub fn stored(&self) -> usize {
        self.0.events.try_iter().filter(|event| matches!(event, ReceiverEvent::Stored { .. })).count()
    }
}

/// The stored files. A folder in which nothing was stored may vanish meanwhile.
fn files(inbox: &Path) -> Vec<PathBuf> {
    let inside =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = inside(inbox.to_owned()).flat_map(inside);
    files.filter(|path| path.extension().is_some_and(|ending| ending == "dcm")).collect()
}
