//! The files of an unpacked container image as all that a program sees: its root.
//!
//! The mounts are those of the program's own namespace, so that nothing of them is seen outside, and they end with it. The
//! program's folder is mounted as `/tmp`, which every image has.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::confinement;

/// The program's folder, as the program sees it.
pub const FOLDER: &str = "/tmp";

/// What is mounted below a root: a place outside, `None` for the program's folder, and the folder that it covers.
const MOUNTS: [(Option<&str>, &str); 3] = [(Some("/proc"), "proc"), (Some("/dev"), "dev"), (None, "tmp")];

/// A root, ready to be entered in the child.
pub struct ProgramRoot {
    root: CString,
    mounts: Vec<(CString, CString)>,
}

/// The reason why a folder cannot be a root.
#[derive(Debug, thiserror::Error)]
pub enum ProgramRootError {
    #[error("the root {0:?} is not an absolute path")]
    Relative(PathBuf),
    #[error("the root has no folder {0:?}")]
    Lacks(PathBuf),
    #[error("flow's user can make no namespaces here, which a root needs")]
    NoNamespaces,
}

/// Checks that a folder can be the root of a program.
///
/// # Errors
/// The reason why it cannot.
pub fn check_root(root: &Path) -> Result<(), ProgramRootError> {
    if !root.is_absolute() {
        return Err(ProgramRootError::Relative(root.to_owned()));
    }
    // A link would lead out of the image.
    let is_folder = |folder: &PathBuf| fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir());
    let mut folders = MOUNTS.iter().map(|(_, covered)| root.join(covered));
    if let Some(lacking) = folders.find(|folder| !is_folder(folder)) {
        return Err(ProgramRootError::Lacks(lacking));
    }
    confinement::namespaces().map(drop).ok_or(ProgramRootError::NoNamespaces)
}

impl ProgramRoot {
    /// # Errors
    /// A path has a zero byte.
    pub fn new(root: &Path, folder: &Path) -> io::Result<ProgramRoot> {
        let text = |path: &Path| Ok::<_, io::Error>(CString::new(path.as_os_str().as_bytes())?);
        let mount = |(from, covered): &(Option<&str>, &str)| {
            Ok((text(from.map_or(folder, Path::new))?, text(&root.join(covered))?))
        };
        let mounts = MOUNTS.iter().map(mount).collect::<io::Result<_>>()?;
        Ok(ProgramRoot { root: text(root)?, mounts })
    }

    /// Makes it the root of this process, which is in a mount namespace of its own, and its folder the working directory.
    /// Makes system calls only.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn enter(&self) -> io::Result<()> {
        for (from, covered) in &self.mounts {
            bind(from, covered)?;
        }
        // SAFETY: both strings end with a zero and live through the calls.
        unsafe {
            called(libc::chroot(self.root.as_ptr()))?;
            called(libc::chdir(c"/tmp".as_ptr()))
        }
    }
}

fn bind(from: &CStr, covered: &CStr) -> io::Result<()> {
    let (kind, data) = (std::ptr::null(), std::ptr::null());
    // SAFETY: the strings end with a zero and live through the call.
    called(unsafe { libc::mount(from.as_ptr(), covered.as_ptr(), kind, libc::MS_BIND | libc::MS_REC, data) })
}

fn called(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
