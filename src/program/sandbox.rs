//! Restrictions that a program cannot lift: it sees its folder, the system's programs and libraries, its own
//! files and what the dataflow grants, or the files of an unpacked image alone; it has no network, and no privileges
//! though flow may run as root.
//!
//! Files are withheld by Landlock (Linux 5.13 and later), their modes and times by read-only mounts in the program's
//! namespace ([`super::writable_places`]). The network is withheld by a seccomp filter
//! ([`super::syscall_filter`]), and by Landlock (TCP, Linux 6.7 and later) and an empty network namespace where the
//! kernel and the rights of flow's user allow. A program in namespaces ([`super::namespaces`]) has a `/proc` of its
//! own. What a kernel does not have is said once in the log; the program runs all the same.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, set_capabilities, set_no_new_privs, unshare_unsafe,
};

use super::confinement;
use super::namespaces::NamespacePlan;
use super::program_root::{self, ProgramRoot};
use super::sandbox_grants::{NetworkAccess, ProgramGrants};
use super::syscall_filter::SyscallFilter;
use super::writable_places::WritablePlaces;

/// Restrictions, ready to be applied in the child.
pub struct Sandbox {
    /// The rules of Landlock. `None`: the kernel has none.
    ruleset: Option<OwnedFd>,
    filter: Option<SyscallFilter>,
    network: NetworkAccess,
    /// The namespaces that the program gets.
    namespaces: Option<NamespacePlan>,
    /// What it can write in the namespaces.
    writable: WritablePlaces,
    /// The root of the program, not of the first process of its namespaces.
    root: Option<ProgramRoot>,
}

/// Programs, libraries and what they usually read: nothing of it is secret. Of `/etc` only these files.
const SYSTEM: [&str; 28] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
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

/// The processes of the whole machine, or, in namespaces, those of the program.
const PROCESSES: &str = "/proc";

impl Sandbox {
    /// # Errors
    /// The kernel has Landlock and does not take the rules.
    pub fn new(program: &str, folder: &Path, grants: &ProgramGrants) -> io::Result<Sandbox> {
        let network = grants.network;
        let has_own_network = network == NetworkAccess::None;
        let namespaces = confinement::namespaces().map(|plan| NamespacePlan { has_own_network, ..plan });
        let mut ruleset = ruleset(program, folder, grants).map_err(io::Error::other)?;
        if !namespaces.is_some_and(|plan| plan.has_own_proc) {
            let rules = path_beneath_rules([PROCESSES], AccessFs::from_read(FILES));
            ruleset = ruleset.add_rules(rules).map_err(|error: RulesetError| io::Error::other(error))?;
        }
        let root = grants.root.as_deref().map(|root| ProgramRoot::new(root, folder)).transpose()?;
        if root.is_some() && namespaces.is_none() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let (ruleset, filter) = (ruleset.into(), SyscallFilter::new(network));
        let writable = WritablePlaces::new(folder, &grants.writes)?;
        Ok(Sandbox { ruleset, filter, network, namespaces, writable, root })
    }

    /// The namespaces that the program is started in.
    pub fn namespaces(&self) -> Option<NamespacePlan> {
        self.namespaces
    }

    /// What the program can write in its namespaces.
    pub fn take_writable(&mut self) -> WritablePlaces {
        std::mem::take(&mut self.writable)
    }

    /// Gives this process its root, and restricts it, between fork and exec. Makes system calls only.
    ///
    /// # Errors
    /// The kernel does not know the mounts, or has Landlock or filters and does not restrict the process.
    pub fn enter(&self) -> io::Result<()> {
        if let Some(root) = &self.root {
            root.enter()?;
            let grant =
                |ruleset| grant_folder(ruleset, program_root::SHARED_MEMORY, AccessFs::from_all(FILES));
            self.ruleset.as_ref().map_or(Ok(()), grant)?;
        }
        // What whoever started flow has left open is not the program's. Old kernels do not know this.
        let flags = libc::CLOSE_RANGE_CLOEXEC as usize;
        // SAFETY: the files stay open for this process until it becomes the program.
        unsafe { libc::syscall(libc::SYS_close_range, 3_usize, libc::c_uint::MAX, flags) };
        self.restrict()
    }

    fn restrict(&self) -> io::Result<()> {
        if self.namespaces.is_none() && self.network == NetworkAccess::None {
            // SAFETY: a process that has just been forked shares no network namespace with its own threads.
            // Without the right to make a namespace, the filter and Landlock have to do.
            let _ = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        }
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        // From here on a program has no more rights than this process, not even as root.
        set_no_new_privs(true)?;
        if let Some(ruleset) = &self.ruleset {
            // SAFETY: the call has no pointers.
            called(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_usize) })?;
        }
        self.filter.as_ref().map_or(Ok(()), SyscallFilter::install)
    }

    /// Restricts the first process of the namespaces, which has mounted their `/proc`, and grants that to all of them.
    ///
    /// # Errors
    /// As those of `enter`.
    pub fn enter_first(&self) -> io::Result<()> {
        if let (Some(ruleset), Some(NamespacePlan { has_own_proc: true, .. })) =
            (&self.ruleset, self.namespaces)
        {
            grant_folder(ruleset, c"/proc", AccessFs::from_read(FILES))?;
        }
        self.restrict()
    }
}

/// Adds a rule for a folder as this process sees it. Makes system calls only.
fn grant_folder(ruleset: &OwnedFd, folder: &CStr, access: BitFlags<AccessFs>) -> io::Result<()> {
    /// `struct landlock_path_beneath_attr`.
    #[repr(C, packed)]
    struct PathRule {
        access: u64,
        folder: i32,
    }
    const PATH_BENEATH: libc::c_int = 1;
    // SAFETY: the path ends with a zero, and the number that comes back is that of a file of our own.
    let folder = unsafe {
        let number = libc::open(folder.as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
        called(number.into())?;
        OwnedFd::from_raw_fd(number)
    };
    let rule = PathRule { access: access.bits(), folder: folder.as_raw_fd() };
    let (call, ruleset) = (libc::SYS_landlock_add_rule, ruleset.as_raw_fd());
    // SAFETY: the kernel only reads the rule.
    called(unsafe { libc::syscall(call, ruleset, PATH_BENEATH, &raw const rule, 0_usize) })
}

fn called(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn ruleset(program: &str, folder: &Path, grants: &ProgramGrants) -> Result<RulesetCreated, RulesetError> {
    let (read, write) = (AccessFs::from_read(FILES), AccessFs::from_all(FILES));
    let mut ruleset = Ruleset::default().handle_access(write)?;
    if grants.network == NetworkAccess::None {
        ruleset = ruleset.handle_access(AccessNet::from_all(NETWORK))?.scope(Scope::AbstractUnixSocket)?;
    }
    // Under a root of its own, the program does not find the system's files; the first process of its namespaces uses them.
    let own = grants.root.as_ref().map_or_else(|| own_files(program), |root| vec![root.clone()]);
    ruleset
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(own, read))?
        .add_rules(path_beneath_rules(DEVICES, write))?
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
