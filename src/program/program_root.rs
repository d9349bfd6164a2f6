//! The files of an unpacked container image as all that a program sees: its root.
//!
//! The mounts are in a namespace of the program alone: nothing of them is seen outside, nor by the first process of its
//! other namespaces, which still has the system's files, and they end with it. The image is mounted read-only, without its
//! devices and the rights of its setuid programs; what was mounted before is detached. `/dev` has a few devices and an
//! empty `/dev/shm`. The program's folder is `/tmp`, which every image has.
//!
//! Landlock keeps the program from the first process, through which it could reach the system's files.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::{
    MNT_DETACH, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT, c_int, c_ulong,
};

use rustix::fs::StatVfsMountFlags;

use super::confinement;

/// The program's folder, as the program sees it.
pub const FOLDER: &str = "/tmp";

/// The place for memory that its processes share, as the program sees it.
pub const SHARED_MEMORY: &CStr = c"/dev/shm";

/// Folders of a root that are mounted over.
const COVERED: [&str; 3] = ["proc", "dev", "tmp"];

const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

/// Names below `/dev`, and what they lead to.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// A root, ready to be entered in the child.
pub struct ProgramRoot {
    root: CString,
    folder: CString,
    proc: CString,
    dev: CString,
    tmp: CString,
    shared_memory: CString,
    /// What the mounts of the root and of the folder withhold, which theirs withhold, too.
    root_flags: c_ulong,
    folder_flags: c_ulong,
    /// Devices outside, and their files in the root.
    devices: Vec<(CString, CString)>,
    /// What links lead to, and the links.
    links: Vec<(CString, CString)>,
}

/// The reason why a folder cannot be a root.
#[derive(Debug, thiserror::Error)]
pub enum ProgramRootError {
    #[error("the root {0:?} is not the absolute path of a folder below /")]
    Place(PathBuf),
    #[error("the root's folder {folder:?} cannot be used: {source}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error("flow's user can make no namespaces here, which a root needs")]
    NoNamespaces,
    #[error("this kernel has no Landlock, which a root needs")]
    NoLandlock,
}

/// Checks that a folder can be the root of a program.
///
/// # Errors
/// The reason why it cannot.
pub fn check_root(root: &Path) -> Result<(), ProgramRootError> {
    let is_all = || fs::canonicalize(root).is_ok_and(|root| root.parent().is_none());
    if !root.is_absolute() || is_all() {
        return Err(ProgramRootError::Place(root.to_owned()));
    }
    let folders = COVERED.map(|covered| root.join(covered));
    for folder in [root.to_owned()].into_iter().chain(folders) {
        // A link would lead out of the image.
        let found = fs::symlink_metadata(&folder).and_then(|found| match found.is_dir() {
            true => Ok(()),
            false => Err(io::ErrorKind::NotADirectory.into()),
        });
        found.map_err(|source| ProgramRootError::Folder { folder, source })?;
    }
    if !confinement::has_landlock() {
        return Err(ProgramRootError::NoLandlock);
    }
    let plan = confinement::namespaces().filter(|plan| plan.has_own_proc);
    plan.map(drop).ok_or(ProgramRootError::NoNamespaces)
}

impl ProgramRoot {
    /// # Errors
    /// A path has a zero byte, or its mount cannot be looked at.
    pub fn new(root: &Path, folder: &Path) -> io::Result<ProgramRoot> {
        let text = |path: &Path| Ok::<_, io::Error>(CString::new(path.as_os_str().as_bytes())?);
        let dev = root.join("dev");
        let outside = Path::new("/dev");
        let devices = DEVICES.iter().map(|name| Ok((text(&outside.join(name))?, text(&dev.join(name))?)));
        let links = LINKS.iter().map(|(name, to)| Ok((text(Path::new(to))?, text(&dev.join(name))?)));
        Ok(ProgramRoot {
            root: text(root)?,
            folder: text(folder)?,
            proc: text(&root.join("proc"))?,
            tmp: text(&root.join("tmp"))?,
            shared_memory: text(&dev.join("shm"))?,
            root_flags: withheld(root)?,
            folder_flags: withheld(folder)?,
            dev: text(&dev)?,
            devices: devices.collect::<io::Result<_>>()?,
            links: links.collect::<io::Result<_>>()?,
        })
    }

    /// Makes it the root of this process, in a mount namespace of its own, and its folder the working directory. Makes
    /// system calls only.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn enter(&self) -> io::Result<()> {
        // SAFETY: a process that has just been forked has one thread.
        called(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        // With what is mounted below the image.
        bind(&self.root, &self.root, MS_REC, MS_RDONLY | MS_NOSUID | MS_NODEV | self.root_flags)?;
        self.fill_dev()?;
        bind(c"/proc", &self.proc, 0, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)?;
        bind(&self.folder, &self.tmp, 0, MS_NOSUID | MS_NODEV | self.folder_flags)?;
        // SAFETY: the strings end with a zero and live through the calls.
        unsafe {
            called(libc::chdir(self.root.as_ptr()))?;
            let (new, old) = (c".".as_ptr(), c".".as_ptr());
            called(libc::syscall(libc::SYS_pivot_root, new, old) as c_int)?;
            // The old root lies over the new one now.
            called(libc::umount2(c".".as_ptr(), MNT_DETACH))?;
            called(libc::chdir(c"/tmp".as_ptr()))
        }
    }

    fn fill_dev(&self) -> io::Result<()> {
        const KIND: Option<&CStr> = Some(c"tmpfs");
        mount(KIND, &self.dev, KIND, MS_NOSUID | MS_NOEXEC, Some(c"mode=0755,size=64k"))?;
        for (outside, device) in &self.devices {
            // SAFETY: the string ends with a zero; the number is that of a file of our own, which is closed at once.
            unsafe {
                let file = libc::open(device.as_ptr(), libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC, 0o600);
                called(file)?;
                libc::close(file);
            }
            // Read-only are its mode and owner, which are the machine's.
            bind(outside, device, 0, MS_RDONLY | MS_NOSUID | MS_NOEXEC)?;
        }
        for (to, link) in &self.links {
            // SAFETY: the strings end with a zero and live through the call.
            called(unsafe { libc::symlink(to.as_ptr(), link.as_ptr()) })?;
        }
        // SAFETY: the string ends with a zero and lives through the call.
        called(unsafe { libc::mkdir(self.shared_memory.as_ptr(), 0o700) })?;
        let flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
        mount(KIND, &self.shared_memory, KIND, flags, Some(c"mode=1777,size=256m"))
    }
}

/// The flags of the mount of a path that may not be lifted.
fn withheld(path: &Path) -> io::Result<c_ulong> {
    let found = rustix::fs::statvfs(path)?.f_flag;
    let flags = [
        (StatVfsMountFlags::RDONLY, MS_RDONLY),
        (StatVfsMountFlags::NOEXEC, MS_NOEXEC),
        (StatVfsMountFlags::NODEV, MS_NODEV),
        (StatVfsMountFlags::NOSUID, MS_NOSUID),
    ];
    let found = flags.into_iter().filter(|(flag, _)| found.contains(*flag));
    Ok(found.fold(0, |all, (_, flag)| all | flag))
}

/// Mounts a file or folder at a second place, alone or with all that is mounted below it (`MS_REC`), with these flags.
fn bind(from: &CStr, place: &CStr, below: c_ulong, flags: c_ulong) -> io::Result<()> {
    mount(Some(from), place, None, MS_BIND | below, None)?;
    mount(None, place, None, MS_BIND | MS_REMOUNT | flags, None)
}

fn mount(
    from: Option<&CStr>,
    place: &CStr,
    kind: Option<&CStr>,
    flags: c_ulong,
    options: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the strings end with a zero and live through the call.
    called(unsafe {
        libc::mount(pointer(from), place.as_ptr(), pointer(kind), flags, pointer(options).cast())
    })
}

fn called(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
