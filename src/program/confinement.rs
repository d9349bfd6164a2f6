//! What this kernel lets flow withhold from programs. It is found out once, by trial, and what does not hold is
//! said once in the log.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr};
use rustix::process::{WaitOptions, geteuid, waitpid};

use super::namespaces::{self, NamespacePlan};
use super::sandbox_grants::NetworkAccess;
use super::syscall_filter::SyscallFilter;
use super::writable_places::WritablePlaces;

/// The namespaces of programs without a network; `None` if flow can make none.
pub fn namespaces() -> Option<NamespacePlan> {
    static PLAN: OnceLock<Option<NamespacePlan>> = OnceLock::new();
    *PLAN.get_or_init(|| {
        let plan = plans().into_iter().find(|plan| works(*plan));
        warn(plan);
        plan
    })
}

/// The ways to make namespaces, best first.
fn plans() -> Vec<NamespacePlan> {
    let users: &[bool] = if geteuid().is_root() { &[false, true] } else { &[true] };
    let of_mounts = |(has_own_proc, has_read_only_files)| {
        let plan = move |has_own_user| NamespacePlan {
            has_own_user,
            has_own_proc,
            has_read_only_files,
            has_own_network: true,
        };
        users.iter().copied().map(plan)
    };
    [(true, true), (true, false), (false, true), (false, false)].into_iter().flat_map(of_mounts).collect()
}

/// Whether a program runs in these namespaces and ends well.
fn works(plan: NamespacePlan) -> bool {
    let mut command = Command::new("cat");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(writable) = WritablePlaces::new(&tempfile::env::temp_dir(), &[]) else { return false };
    let no_restriction = || Box::new(|| Ok(()));
    let Ok(program) = namespaces::spawn(command, plan, writable, no_restriction(), no_restriction()) else {
        return false;
    };
    let end = waitpid(Some(program.id), WaitOptions::empty());
    program.init.kill();
    program.init.reap();
    matches!(end, Ok(Some((_, status))) if status.exit_status() == Some(0))
}

/// Whether files can be withheld.
pub fn has_landlock() -> bool {
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    strict.handle_access(AccessFs::from_all(ABI::V1)).is_ok()
}

/// Says what is not withheld.
fn warn(plan: Option<NamespacePlan>) {
    let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let has_read_only_files = plan.is_some_and(|plan| plan.has_read_only_files);
    if !has_landlock() {
        let what = if has_read_only_files { "read" } else { "read and write" };
        tracing::warn!("no Landlock in this kernel: programs of steps {what} what flow's user can");
    } else if !has_read_only_files {
        tracing::warn!(
            "flow cannot mount files read-only for programs of steps: they can change modes and times of files of \
             flow's user"
        );
    }
    let filters = SyscallFilter::new(NetworkAccess::None).is_some();
    match plan {
        Some(NamespacePlan { has_own_proc: true, .. }) => {}
        Some(_) => tracing::warn!(
            "flow cannot mount /proc for programs of steps: they see the command lines of other processes"
        ),
        None => tracing::warn!(
            "flow's user can make no namespaces here (user.max_user_namespaces, or the rules of a container): \
             programs of steps see the command lines of other processes; a process that forks without pause can \
             outlive its step, and the children of a program can outlive a killed flow{}",
            if filters { "" } else { "; so can one that lowers RLIMIT_RTTIME" }
        ),
    }
    if filters {
        return;
    }
    tracing::warn!("no seccomp filters here: programs of steps can reach Unix sockets in the file system");
    if plan.is_none() {
        let tcp = strict().handle_access(AccessNet::from_all(ABI::V4)).is_err();
        let what = if tcp { "the network" } else { "the network by UDP" };
        tracing::warn!("no seccomp filters and no namespaces here: programs of steps can reach {what}");
    }
}
