//! Studies in folders of any shape.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use flow::dicom::folder::{FolderContents, find};

use crate::support::peers::run;
use crate::support::slices::Slice;

fn found(path: &Path) -> FolderContents {
    find(&[path.to_owned()]).unwrap()
}

/// The reason why a file was skipped.
fn reason<'a>(found: &'a FolderContents, name: &str) -> &'a str {
    let skipped = found.skipped.iter().find(|one| one.path.ends_with(name));
    &skipped.unwrap_or_else(|| panic!("{name} was not skipped")).reason
}

#[test]
fn studies_are_found_whatever_the_files_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a b/.hidden/\u{e9}\u{1f600}");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("IM000001"), Slice::new("1.2.3", 1).file()).unwrap();
    fs::write(folder.path().join(".dcm"), Slice::new("1.2.3", 2).file()).unwrap();
    fs::write(folder.path().join("report.pdf"), Slice::new("1.2.4", 1).file()).unwrap();
    fs::write(folder.path().join("copy of .dcm"), Slice::new("1.2.3", 2).file()).unwrap();

    let found = found(folder.path());
    assert_eq!(found.skipped, []);
    let [first, second] = found.studies.as_slice() else { panic!("{:?}", found.studies) };
    assert_eq!(first.attribute("study_instance_uid"), "1.2.3");
    let names: Vec<&str> = first.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, [".dcm", "a b/.hidden/\u{e9}\u{1f600}/IM000001"], "in order, the copy counted once");
    assert_eq!((second.items.len(), second.attribute("source")), (1, "folder"));
    // As much as the pixels take, and no less than the file, which has to be read.
    assert_eq!(first.items[0].decoded, first.items[0].size);
    assert!(first.items[0].size > 32 * 32 * 2);
}

#[test]
fn what_is_no_study_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("notes.txt"), "not DICOM").unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::write(path("no-study"), Slice::new("", 1).file()).unwrap();
    fs::write(path("head-only"), &Slice::new("1.2.3", 1).file()[..200]).unwrap();
    symlink("nowhere", path("broken-link")).unwrap();
    let pipe = run(Command::new("mkfifo").arg(path("pipe")));
    assert!(pipe.status.success());

    let found = found(folder.path());
    assert_eq!(found.studies, []);
    assert_eq!(found.skipped.len(), 6);
    assert_eq!(reason(&found, "notes.txt"), "it is not a DICOM file");
    assert_eq!(reason(&found, "empty"), "the file is empty");
    let missed = found.skipped.iter().filter(|one| one.may_be_missed()).map(|one| one.path.clone());
    let missed: Vec<PathBuf> = missed.collect();
    assert_eq!(missed, ["broken-link", "empty", "head-only"].map(path), "what may be part of a study");
    assert_eq!(reason(&found, "no-study"), "it names no study (Study Instance UID)");
    assert_eq!(reason(&found, "pipe"), "it is neither a file nor a folder");
    assert!(reason(&found, "broken-link").contains("could not be read"));
    assert!(!reason(&found, "head-only").is_empty());
}

#[test]
fn a_dicomdir_is_an_index_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = Slice::new("1.2.3", 1).file();
    let class = dicom_dictionary_std::uids::CT_IMAGE_STORAGE.as_bytes();
    let index = b"1.2.840.10008.1.3.10\0\0\0\0\0";
    let at = file.windows(class.len()).position(|window| window == class).unwrap();
    file[at..at + class.len()].copy_from_slice(index);
    fs::write(folder.path().join("DICOMDIR"), &file).unwrap();
    fs::write(folder.path().join("index.bak"), &file).unwrap();
    let found = found(folder.path());
    assert_eq!(found.studies, []);
    assert_eq!(reason(&found, "DICOMDIR"), "it is a DICOMDIR, an index of other files");
    assert_eq!(reason(&found, "index.bak"), "it is a DICOMDIR, an index of other files");
}

#[test]
fn links_are_followed_and_may_go_round() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("slice"), Slice::new("1.2.3", 1).file()).unwrap();
    symlink(elsewhere.path(), folder.path().join("link")).unwrap();
    symlink(folder.path(), elsewhere.path().join("back")).unwrap();
    let found = found(folder.path());
    assert_eq!((found.studies.len(), found.studies[0].items.len()), (1, 1));
    assert_eq!(found.studies[0].items[0].name, "link/slice");
}

#[test]
fn a_damaged_instance_stays_with_its_study() {
    let folder = tempfile::tempdir().unwrap();
    let slice = Slice::new("1.2.3", 2);
    let whole = slice.file();
    // Behind the Study Instance UID, before the pixels.
    let cut = whole.len() - 2 * 32 * 32 - 30;
    fs::write(folder.path().join("1"), Slice::new("1.2.3", 1).file()).unwrap();
    fs::write(folder.path().join("2"), &whole[..cut]).unwrap();
    let found = found(folder.path());
    assert_eq!((found.studies.len(), found.studies[0].items.len()), (1, 2), "{:?}", found.skipped);
}

#[test]
fn a_file_can_be_given_and_a_missing_path_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one");
    fs::write(&path, Slice::new("1.2.3", 1).file()).unwrap();
    assert_eq!(found(&path).studies[0].items[0].name, "one");
    let missing = PathBuf::from("/no/such/folder");
    assert!(find(&[missing]).unwrap_err().to_string().contains("/no/such/folder"));
}
