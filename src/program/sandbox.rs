//! Restrictions that a program cannot lift: it sees its folder, the system's programs and libraries, its own
//! files and what the dataflow grants, and it has no network.
//!
//! Files are withheld by Landlock (Linux 5.13 and later), TCP by Landlock (Linux 6.7 and later). All other
//! networking is withheld by an empty network namespace where flow has the right to make one. What a kernel
//! does not have is said once in the log; the program runs all the same.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// What a dataflow grants to a program besides its folder.
pub struct ProgramGrants {
    /// Files and folders that it may read and execute.
    pub reads: Vec<PathBuf>,
    /// Folders whose lists of files it may read, with those of the folders below, and nothing else of them.
    pub lists: Vec<PathBuf>,
    /// Files and folders that it may also write.
    pub writes: Vec<PathBuf>,
    pub network: NetworkAccess,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkAccess {
    None,
    All,
}

/// Restrictions, ready to be applied in the child.
pub struct Sandbox {
    ruleset: Option<RulesetCreated>,
    network: NetworkAccess,
}

/// Programs, libraries and what they usually read: nothing of it is secret. Of `/etc` only these files.
const SYSTEM: [&str; 29] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/var/cache/fontconfig",
    "/var/lib/dcmtk",
];

const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// The newest rights that are withheld where the kernel knows them.
const FILES: ABI = ABI::V5;
const NETWORK: ABI = ABI::V4;

impl Sandbox {
    /// # Errors
    /// The kernel has Landlock and does not take the rules.
    pub fn new(program: &str, folder: &Path, grants: &ProgramGrants) -> io::Result<Sandbox> {
        warn_once();
        let ruleset = ruleset(program, folder, grants).map_err(io::Error::other)?;
        Ok(Sandbox { ruleset: Some(ruleset), network: grants.network })
    }

    /// Restricts this process, between fork and exec. Makes system calls only.
    ///
    /// # Errors
    /// The kernel has Landlock and does not restrict the process.
    pub fn enter(&mut self) -> io::Result<()> {
        if self.network == NetworkAccess::None {
            // SAFETY: a process that has just been forked shares no network namespace with its own threads.
            // Without the right to make a namespace, Landlock alone has to do.
            let _ = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        }
        match self.ruleset.take().map(RulesetCreated::restrict_self) {
            Some(Err(_)) => Err(io::ErrorKind::PermissionDenied.into()),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

fn ruleset(program: &str, folder: &Path, grants: &ProgramGrants) -> Result<RulesetCreated, RulesetError> {
    let (read, write) = (AccessFs::from_read(FILES), AccessFs::from_all(FILES));
    let mut ruleset = Ruleset::default().handle_access(write)?;
    if grants.network == NetworkAccess::None {
        ruleset = ruleset.handle_access(AccessNet::from_all(NETWORK))?.scope(Scope::AbstractUnixSocket)?;
    }
    ruleset
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(DEVICES, write))?
        .add_rules(path_beneath_rules(own_files(program), read))?
        .add_rules(path_beneath_rules(&grants.reads, read))?
        .add_rules(path_beneath_rules(&grants.lists, AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(&grants.writes, write))?
        .add_rules(path_beneath_rules([folder], write))
}

/// The files of a program that is named by an absolute path: itself, and, if it lies in a folder `bin`, that
/// folder and those of its installation beside it.
fn own_files(program: &str) -> Vec<PathBuf> {
    let Ok(path) = std::fs::canonicalize(program) else { return Vec::new() };
    if !Path::new(program).is_absolute() {
        return Vec::new();
    }
    // A virtual environment of Python is beside the link, its installation beside what the link leads to.
    let mut files = Vec::new();
    for path in [PathBuf::from(program), path] {
        if let Some(folder) = path.parent().filter(|folder| folder.ends_with("bin")) {
            let beside = ["bin", "lib", "lib64", "libexec", "share", "pyvenv.cfg"];
            files.extend(beside.map(|name| folder.with_file_name(name)));
        }
        files.push(path);
    }
    files
}

/// Says once what this kernel does not withhold.
fn warn_once() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        if strict().handle_access(AccessFs::from_all(ABI::V1)).is_err() {
            tracing::warn!(
                "no Landlock in this kernel: programs of steps read and write what flow's user can"
            );
        }
        let may_unshare = rustix::process::geteuid().is_root();
        if !may_unshare && strict().handle_access(AccessNet::from_all(NETWORK)).is_err() {
            tracing::warn!("no Landlock for TCP in this kernel: programs of steps can reach the network");
        }
    });
}
