//! The folders of a process that is kept alive: one that it can write, and one with its inputs.
//!
//! The inputs of a call lie where the program can only read: it goes on running while the next ones are written. What
//! it gives lies below `out/` of its own folder, and is read without following links. A call finds in that folder what was
//! there when the program declared its steps, and nothing of other calls. What the program keeps between calls lies in a
//! folder of temporary files below it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

use crate::step::{ArrayForm, ArrayView, Item, Payload, ResponseFiles, StepDeclaration};

use super::folder::{ProgramFolderError, failed, found, log_end, open_below, read_all};
use super::hidden_places::HiddenPlaces;
use super::left_folder::remove_left_folder;
use super::npy;

pub struct CallFolders {
    work: TempDir,
    inputs: TempDir,
    /// Both of them, which faults do not name.
    places: HiddenPlaces,
    stderr: File,
    /// The names in the folder of the program when it declared its steps.
    own: BTreeSet<OsString>,
    /// `out/` of the present call, if the step gives files.
    out: Option<File>,
    /// Whether `in/` was made.
    has_inputs: Cell<bool>,
}

/// The names in the folder of a program that flow gives.
const OUT: &str = "out";
const TEMPORARY: &str = "tmp";

impl CallFolders {
    /// # Errors
    /// The folders cannot be made.
    pub fn new() -> Result<CallFolders, ProgramFolderError> {
        let folder = |prefix: &str| tempfile::Builder::new().prefix(prefix).tempdir();
        let made = || -> io::Result<CallFolders> {
            let (work, inputs) = (folder("flow-steps-")?, folder("flow-inputs-")?);
            let places = HiddenPlaces::of(&[work.path(), inputs.path()]);
            fs::create_dir(work.path().join(TEMPORARY))?;
            // Beside the inputs: the program has it open, and cannot put another in its place.
            let options = File::options().read(true).append(true).create_new(true).clone();
            let stderr = options.open(inputs.path().join("stderr"))?;
            let (own, has_inputs) = (BTreeSet::new(), Cell::new(false));
            Ok(CallFolders { work, inputs, places, stderr, own, out: None, has_inputs })
        };
        made().map_err(failed("make", "the folders of a program"))
    }

    /// The folder of the program, its working directory.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// The folder for temporary files of the program. They stay between calls, as its variables do.
    pub fn temporary(&self) -> PathBuf {
        self.work().join(TEMPORARY)
    }

    pub fn inputs(&self) -> &Path {
        self.inputs.path()
    }

    pub fn places(&self) -> &HiddenPlaces {
        &self.places
    }

    /// The place for the files of a program that is not started from its own folder. The program can only read them.
    pub fn code(&self) -> PathBuf {
        self.place("code")
    }

    pub fn stderr(&self) -> &File {
        &self.stderr
    }

    /// What was written to standard error since the last call.
    pub fn errors(&self) -> Vec<u8> {
        self.places.hidden(&log_end(&self.stderr))
    }

    /// Notes what is in the folder of the program before the first call.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn note_own(&mut self) -> Result<(), ProgramFolderError> {
        let listed = || -> io::Result<BTreeSet<OsString>> {
            fs::read_dir(self.work())?.map(|entry| Ok(entry?.file_name())).collect()
        };
        self.own = listed().map_err(failed("list", "the folder of a program"))?;
        self.own.remove(OsStr::new(OUT));
        Ok(())
    }

    /// Removes what is in the folder of the program and was not there before the first call. The folder itself stays: it
    /// is the program's working directory.
    fn clear(&self) -> Result<(), ProgramFolderError> {
        let clear = || -> io::Result<()> {
            for entry in fs::read_dir(self.work())? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    _ if self.own.contains(&entry.file_name()) => {}
                    true => remove_left_folder(&entry.path())?,
                    false => gone(fs::remove_file(entry.path()))?,
                }
            }
            Ok(())
        };
        clear().map_err(failed("remove", "what a call left"))
    }

    /// Empties the folder of the program for a call, also of what was written after the last one had ended, and makes
    /// `out/` if the step gives files there. What a call does not need is not made: on a slow disk a folder takes longer
    /// than a call.
    ///
    /// # Errors
    /// What an earlier call left cannot be removed.
    pub fn begin(&mut self, step: &StepDeclaration) -> Result<(), ProgramFolderError> {
        self.clear()?;
        let has_files = |kind: &str| kind == ResponseFiles::TYPE || ArrayForm::of(kind).is_some();
        if !step.outputs.iter().any(|output| has_files(output.kind)) {
            return Ok(());
        }
        let out = self.work().join(OUT);
        fs::create_dir(&out).map_err(failed("make", "out"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&out, flags, Mode::empty()).map(File::from).map_err(io::Error::from);
        self.out = Some(opened.map_err(failed("open", "out"))?);
        Ok(())
    }

    /// Removes what the call had and left.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn end(&mut self) -> Result<(), ProgramFolderError> {
        self.out = None;
        self.clear()?;
        if self.has_inputs.take() {
            remove_left_folder(&self.place("in")).map_err(failed("remove", "the inputs of a call"))?;
        }
        let is_silent = self.stderr.metadata().is_ok_and(|kind| kind.len() == 0);
        if is_silent { Ok(()) } else { self.stderr.set_len(0).map_err(failed("empty", "stderr")) }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.inputs.path().join(name)
    }

    /// Copies an item; returns the path.
    pub fn lay_item(&self, item: &Item, name: &str) -> Result<String, ProgramFolderError> {
        let to = self.new_place(name)?;
        let copied = match item.path() {
            Some(path) => fs::copy(path, &to).map(drop),
            None => item.open().and_then(|content| fs::write(&to, content)),
        };
        copied.map_err(failed("copy", &item.name))?;
        Ok(shown(&to))
    }

    /// Writes the files of another step; returns their paths, in their order.
    pub fn lay_files(&self, files: &ResponseFiles, name: &str) -> Result<Vec<String>, ProgramFolderError> {
        // Their names were checked when the files were made.
        let lay = |file: &crate::step::ResponseFile| {
            let to = self.new_place(&format!("{name}/{}", file.name))?;
            fs::write(&to, &file.bytes).map_err(failed("write", &file.name))?;
            Ok(shown(&to))
        };
        files.0.iter().map(lay).collect()
    }

    /// Writes an array in the NPY format; returns the path.
    pub fn lay_array(&self, array: &ArrayView, name: &str) -> Result<String, ProgramFolderError> {
        let to = self.new_place(&format!("{name}.npy"))?;
        let write = || -> io::Result<()> {
            let mut file = File::create_new(&to)?;
            file.write_all(&npy::header(array.element, &array.shape))?;
            file.write_all(&array.bytes)
        };
        write().map_err(failed("write", name))?;
        Ok(shown(&to))
    }

    fn new_place(&self, name: &str) -> Result<PathBuf, ProgramFolderError> {
        self.has_inputs.set(true);
        let to = self.place("in").join(name);
        let parent = to.parent().map(fs::create_dir_all).unwrap_or(Ok(()));
        parent.map_err(failed("make the folder of", name))?;
        Ok(to)
    }

    /// The bytes of a file below `out/`.
    ///
    /// # Errors
    /// It is not there, is no file, or is too large.
    pub fn given_file(&self, name: &str, bytes_most: u64) -> Result<Vec<u8>, ProgramFolderError> {
        let mut files = read_all(self.out(), vec![name.to_owned()], bytes_most, bytes_most)?;
        let file = files.pop().expect("one was asked for");
        Ok(file.bytes.to_vec())
    }

    /// All files in a folder below `out/`; none if it is not there.
    ///
    /// # Errors
    /// One of them is no file, or they are too large.
    pub fn given_files(&self, name: &str, bytes_most: u64) -> Result<ResponseFiles, ProgramFolderError> {
        let folder = match open_below(self.out(), name) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ResponseFiles::default()),
            Err(error) => return Err(failed("open", name)(error)),
        };
        if !folder.metadata().map_err(failed("read the metadata of", name))?.is_dir() {
            return Err(ProgramFolderError::Strange(name.to_owned()));
        }
        Ok(ResponseFiles(read_all(&folder, found(&folder)?, bytes_most, bytes_most)?))
    }

    fn out(&self) -> &File {
        self.out.as_ref().expect("it was made for a step that gives files")
    }
}

impl Drop for CallFolders {
    fn drop(&mut self) {
        // What stays is removed with the state's folders of steps, when flow starts again.
        let _ = remove_left_folder(self.work.path());
    }
}

/// A removal of what may be gone already.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
