//! The services that are left alone now, as files that other processes read: one for each process that makes calls.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A service that is not called for a while, because it failed again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCircuit {
    /// Host and port.
    pub service: String,
    /// Why the last call failed.
    pub reason: String,
    /// Failed calls in a row.
    pub failures: u32,
    /// The time since which it is left alone: milliseconds of Unix time.
    pub since_ms: i64,
    /// The time at which one caller tries it: milliseconds of Unix time.
    pub next_ms: i64,
}

/// The file in which a process notes them.
pub(super) struct CircuitFile(PathBuf);

impl CircuitFile {
    /// The file of the process with this index. What an earlier process noted there is removed; the first process
    /// removes what all of them did.
    pub fn at(state: &Path, process: usize) -> CircuitFile {
        let folder = folder(state);
        let path = folder.join(format!("{process}.json"));
        let _ = if process == 0 { fs::remove_dir_all(&folder) } else { fs::remove_file(&path) };
        CircuitFile(path)
    }

    /// Writes them, or removes the file if there are none. It says what is so now, so it need not outlive a crash of the
    /// machine.
    pub fn write(&self, open: &[OpenCircuit]) {
        let written = if open.is_empty() { removed(&self.0) } else { self.replace(open) };
        if let Err(error) = written {
            tracing::warn!(%error, path = %self.0.display(), "a service that is left alone is not noted");
        }
    }

    fn replace(&self, open: &[OpenCircuit]) -> io::Result<()> {
        self.0.parent().map_or(Ok(()), fs::create_dir_all)?;
        let draft = self.0.with_extension("part");
        File::create(&draft)?.write_all(&serde_json::to_vec(open)?)?;
        fs::rename(&draft, &self.0)
    }
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn folder(state: &Path) -> PathBuf {
    state.join("circuits")
}

/// The services that a flow with this state folder leaves alone. What cannot be read is none.
pub fn open_circuits(state: &Path) -> Vec<OpenCircuit> {
    let entries = fs::read_dir(folder(state)).into_iter().flatten().flatten();
    let files =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "json"));
    let read = |path: PathBuf| fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let mut open: Vec<OpenCircuit> = files.filter_map(read).flat_map(|all: Vec<OpenCircuit>| all).collect();
    open.sort_by(|one, other| one.service.cmp(&other.service));
    open
}
