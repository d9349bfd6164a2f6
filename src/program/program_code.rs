//! The files of a program of steps: those that its version counts, and the command that starts it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::dataflow::ProgramSource;
use crate::step::{Digest, Digester};

use super::child::ProgramLimits;
use super::process::ProcessOrder;
use super::sandbox_grants::{NetworkAccess, ProgramGrants};
use super::{PYTHON_COLUMN, PYTHON_FAULT, PYTHON_HELPER, PYTHON_OUTPUT, PYTHON_SERVER};

/// The code of a program, as its files lay when its dataflow was read.
pub struct ProgramCode {
    /// The first file of the command that is no program of the system.
    script: Option<PathBuf>,
}

/// A file of the code.
#[derive(Debug, PartialEq, Eq)]
pub struct CodeFile {
    /// The name in the version: relative to the script's folder, so that a program that is moved as a whole is the same.
    pub name: String,
    pub digest: Digest,
    /// Its place, if it can be kept: it is a script or a module that was loaded, and lies below the script's folder.
    pub kept_at: Option<PathBuf>,
}

/// The folder from which a process is started, in place of that of the script.
pub struct KeptPlace {
    /// The folder of the script.
    pub folder: PathBuf,
    pub place: PathBuf,
}

impl ProgramCode {
    pub fn of(source: &ProgramSource) -> ProgramCode {
        ProgramCode { script: script(source).map(Path::to_owned) }
    }

    /// The folder of the script.
    pub fn folder(&self) -> Option<&Path> {
        self.script.as_deref().and_then(Path::parent)
    }

    /// The name of the program in messages.
    pub fn name(&self, source: &ProgramSource) -> String {
        let name = self.script.as_deref().and_then(Path::file_name);
        name.map_or_else(|| source.command.join(" "), |name| name.to_string_lossy().into_owned())
    }

    /// The digest of the code: of its files, and of what else changes results.
    pub fn digest(&self, source: &ProgramSource, version: &str, files: &[CodeFile]) -> Digest {
        let mut parts = vec![version.as_bytes(), NUMBERS];
        parts.extend(files.iter().flat_map(|file| [file.name.as_bytes(), file.digest.as_bytes().as_slice()]));
        if is_python(source) {
            parts.extend(PYTHON_FILES.iter().map(|(_, text)| text.as_bytes()));
        }
        Digest::of_parts(parts)
    }

    /// The files of the command, those that may be read, and further ones. Those that were kept are read at their place.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn own(
        &self,
        source: &ProgramSource,
        further: &[String],
        place: Option<&KeptPlace>,
    ) -> io::Result<Vec<CodeFile>> {
        let folder = self.folder().map(Path::to_owned);
        let own = |name: &String| {
            let path = folder.clone().unwrap_or_default().join(name);
            place.map_or_else(|| path.clone(), |place| place.original(&path))
        };
        let further: Vec<PathBuf> = further.iter().map(own).collect();
        let in_command = source.command.iter().map(PathBuf::from).filter(|path| path.is_absolute());
        // Not the program itself: it may be large, and may need what lies around it.
        let scripts: Vec<PathBuf> = in_command.clone().filter(|path| is_argument(source, path)).collect();
        let present = |path: &Path| place.map_or_else(|| path.to_owned(), |place| place.present(path));
        let all = in_command.chain(source.reads.iter().cloned()).chain(further.iter().cloned());
        let mut paths: Vec<PathBuf> = all.filter(|path| present(path).is_file()).collect();
        paths.sort();
        paths.dedup();
        let file = |path: PathBuf| {
            let below = folder.as_ref().and_then(|folder| path.strip_prefix(folder).ok());
            let name = below.unwrap_or(&path).to_string_lossy().into_owned();
            let can_keep = below.is_some() && (scripts.contains(&path) || further.contains(&path));
            let digest = digest_of(&present(&path))?;
            Ok(CodeFile { name, digest, kept_at: can_keep.then_some(path) })
        };
        let mut files = paths.into_iter().map(file).collect::<io::Result<Vec<_>>>()?;
        let words = source.command.iter().filter(|word| !Path::new(word).is_absolute());
        let word =
            |word: &String| CodeFile { name: word.clone(), digest: Digest::of(b"word"), kept_at: None };
        files.extend(words.map(word));
        Ok(files)
    }

    /// The command that starts the program, with its limits.
    pub fn order(&self, source: &ProgramSource) -> ProcessOrder {
        let (siblings, lists) = self.script.as_deref().map(siblings).unwrap_or_default();
        let in_command = source.command.iter().skip(1).map(PathBuf::from).filter(|path| path.is_absolute());
        let grants = ProgramGrants {
            reads: in_command.chain(siblings).chain(source.reads.iter().cloned()).collect(),
            lists,
            writes: source.writes.clone(),
            network: if source.network { NetworkAccess::All } else { NetworkAccess::None },
            root: None,
        };
        order(source, source.command.clone(), grants)
    }

    /// The same for a program that is started from kept files.
    pub fn order_at(
        &self,
        source: &ProgramSource,
        grants: &ProgramGrants,
        place: &KeptPlace,
    ) -> ProcessOrder {
        let present = |word: &String| place.present(Path::new(word)).to_string_lossy().into_owned();
        let mut command = source.command.clone();
        command.iter_mut().skip(1).for_each(|word| *word = present(word));
        order(source, command, grants.clone())
    }
}

impl KeptPlace {
    /// The path of a file in the place of the script's folder; others stay where they are.
    fn present(&self, path: &Path) -> PathBuf {
        moved(path, &self.folder, &self.place)
    }

    /// The path that a file has in the script's folder.
    fn original(&self, path: &Path) -> PathBuf {
        moved(path, &self.place, &self.folder)
    }
}

fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    path.strip_prefix(from).map_or_else(|_| path.to_owned(), |name| to.join(name))
}

fn order(source: &ProgramSource, command: Vec<String>, grants: ProgramGrants) -> ProcessOrder {
    let mut words = command.into_iter();
    let program = words.next().unwrap_or_default();
    let (options, helpers) = match is_python(source) {
        true => (["-s", "-B", "flow_serve.py"].map(str::to_owned).to_vec(), PYTHON_FILES),
        false => (Vec::new(), [].as_slice()),
    };
    ProcessOrder {
        arguments: options.into_iter().chain(words).collect(),
        program,
        grants,
        limits: ProgramLimits { memory_bytes: source.memory, file_bytes: source.output },
        helpers,
    }
}

/// The digest of what a file has now.
///
/// # Errors
/// It cannot be read.
pub fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut digester = Digester::default();
    io::copy(&mut File::open(path)?, &mut digester)?;
    Ok(digester.digest())
}

/// Whether a file is an argument of the command.
fn is_argument(source: &ProgramSource, path: &Path) -> bool {
    source.command.iter().skip(1).any(|word| Path::new(word) == path)
}

/// The first file of the command that is no program of the system.
fn script(source: &ProgramSource) -> Option<&Path> {
    let words = source.command.iter().map(Path::new);
    let mut files = words.enumerate().filter(|(_, word)| word.is_absolute() && word.is_file());
    let first = files.next()?;
    // With an interpreter by its path, the script comes next.
    Some(if first.0 == 0 { files.next().map_or(first.1, |(_, next)| next) } else { first.1 })
}

fn is_python(source: &ProgramSource) -> bool {
    let name = Path::new(&source.command[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.starts_with("python") && source.command.get(1).is_some_and(|script| script.ends_with(".py"))
}

/// The way in which numbers are written, which changes what programs get: whole ones without a point.
const NUMBERS: &[u8] = b"whole numbers as such, settings as they are";

/// The files that a process of steps in Python has in its folder.
const PYTHON_FILES: &[(&str, &str)] = &[
    ("flow_step.py", PYTHON_HELPER),
    ("flow_column.py", PYTHON_COLUMN),
    ("flow_fault.py", PYTHON_FAULT),
    ("flow_output.py", PYTHON_OUTPUT),
    ("flow_serve.py", PYTHON_SERVER),
];

/// What a script may read beside itself: files with its ending, packages of Python and Node, and the list of the
/// folder. Results and journals that lie beside it are not among them.
fn siblings(script: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let folder = script.parent().unwrap_or(Path::new("/"));
    let is_own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        let same = path.extension().is_some() && path.extension() == script.extension() && path.is_file();
        same || path.join("__init__.py").is_file() || name == "node_modules" || name == "package.json"
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    (entries.filter(is_own).collect(), vec![folder.to_owned()])
}
