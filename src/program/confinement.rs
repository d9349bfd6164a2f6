//! What this kernel lets flow withhold from programs. It is found out once, by trial, and what does not hold is
//! said once in the log.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr};
use rustix::process::{WaitOptions, geteuid, waitpid};

use super::namespaces::{self, NamespacePlan};
use super::sandbox_grants::NetworkAccess;
use super::syscall_filter::SyscallFilter;

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
    let of_proc = |has_own_proc| {
        let plan = move |has_own_user| NamespacePlan { has_own_user, has_own_proc, has_own_network: true };
        users.iter().copied().map(plan)
    };
    of_proc(true).chain(of_proc(false)).collect()
}

/// Whether a program runs in these namespaces and ends well.
fn works(plan: NamespacePlan) -> bool {
    let mut command = Command::new("cat");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(program) = namespaces::spawn(command, plan, Box::new(|| Ok(())), Box::new(|| Ok(()))) else {
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
    if !has_landlock() {
        tracing::warn!("no Landlock in this kernel: programs of steps read and write what flow's user can");
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
