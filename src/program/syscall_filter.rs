//! A seccomp filter: the system calls that a program and its children cannot make, whatever user they run as.
//!
//! * Without the network: `socket` of any family, so that neither UDP nor a Unix socket in the file system can be
//!   reached, `io_uring`, which opens sockets past the filter, and pairs of datagram sockets, which can send to a
//!   name. Pairs of connected sockets are allowed: programs use them to talk to their own children.
//! * Always: a change of the limit that marks a process ([`super::sweep`]), and children that are made children of
//!   flow (`CLONE_PARENT`). `clone3` has its flags in memory, where a filter does not see them: it says that it does
//!   not exist, and C libraries use `clone`.
//!
//! There are filters for x86-64 with its 32-bit programs, and for AArch64 without them.

use std::io;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, EACCES,
    ENOSYS, EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, c_int, sock_filter, sock_fprog,
};

use super::sandbox_grants::NetworkAccess;

/// The instructions of the filter, ready to be installed between fork and exec.
pub struct SyscallFilter(Vec<sock_filter>);

/// The numbers of the system calls of an architecture.
struct SyscallNumbers {
    /// As `AUDIT_ARCH_*` of `linux/audit.h`.
    architecture: u32,
    /// Numbers from here on belong to another calling convention (x32).
    end: u32,
    socket: u32,
    socketpair: u32,
    /// All calls of sockets in one.
    socketcall: Option<u32>,
    setrlimit: u32,
    prlimit64: u32,
    clone: u32,
    clone3: u32,
    io_uring_setup: u32,
}

/// No number is as high.
const NO_END: u32 = u32::MAX;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: &[SyscallNumbers] = &[
    SyscallNumbers {
        architecture: 0xC000_003E,
        end: 0x4000_0000,
        socket: 41,
        socketpair: 53,
        socketcall: None,
        setrlimit: 160,
        prlimit64: 302,
        clone: 56,
        clone3: 435,
        io_uring_setup: 425,
    },
    SyscallNumbers {
        architecture: 0x4000_0003,
        end: NO_END,
        socket: 359,
        socketpair: 360,
        socketcall: Some(102),
        setrlimit: 75,
        prlimit64: 340,
        clone: 120,
        clone3: 435,
        io_uring_setup: 425,
    },
];

#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: &[SyscallNumbers] = &[SyscallNumbers {
    architecture: 0xC000_00B7,
    end: NO_END,
    socket: 198,
    socketpair: 199,
    socketcall: None,
    setrlimit: 164,
    prlimit64: 261,
    clone: 220,
    clone3: 435,
    io_uring_setup: 425,
}];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURES: &[SyscallNumbers] = &[];

/// Offsets in `struct seccomp_data`. The arguments have 64 bits; both architectures are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}
const UPPER_HALF: u32 = 4;

/// `RLIMIT_RTTIME`.
const REALTIME_LIMIT: u32 = 15;

/// The bits of the type of a socket that are no flags.
const TYPE_MASK: u32 = 0xf;

impl SyscallFilter {
    /// The filter for programs with this access to the network. `None` where the kernel has no filters, or none is
    /// written for the processor.
    pub fn new(network: NetworkAccess) -> Option<SyscallFilter> {
        if ARCHITECTURES.is_empty() || !is_supported() {
            return None;
        }
        let mut code = Vec::new();
        for numbers in ARCHITECTURES {
            let of_architecture = of_architecture(numbers, network);
            code.push(load(ARCHITECTURE));
            code.push(jump(BPF_JEQ, numbers.architecture, 0, length(&of_architecture)));
            code.extend(of_architecture);
        }
        code.push(refuse(ENOSYS));
        Some(SyscallFilter(code))
    }

    /// Restricts this process for good. Makes one system call; privileges must have been given up (`no_new_privs`).
    ///
    /// # Errors
    /// The kernel does not take the filter.
    pub fn install(&self) -> io::Result<()> {
        let length = u16::try_from(self.0.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let program = sock_fprog { len: length, filter: self.0.as_ptr().cast_mut() };
        let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
        // SAFETY: the instructions live through the call, which only reads them.
        let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Whether this kernel has filters that give an error number.
fn is_supported() -> bool {
    let action = SECCOMP_RET_ERRNO;
    // SAFETY: the call only reads the number.
    unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0_usize, &raw const action) == 0
    }
}

fn of_architecture(numbers: &SyscallNumbers, network: NetworkAccess) -> Vec<sock_filter> {
    let mut code = vec![load(NUMBER), jump(BPF_JGE, numbers.end, 0, 1), refuse(ENOSYS)];
    code.extend(when(numbers.setrlimit, &unless_marked_limit()));
    code.extend(when(numbers.prlimit64, &unless_limit_is_set()));
    code.extend(when(numbers.clone, &unless_child_of_parent()));
    code.extend(when(numbers.clone3, &[refuse(ENOSYS)]));
    if network == NetworkAccess::None {
        code.extend(when(numbers.socket, &[refuse(EACCES)]));
        code.extend(when(numbers.socketpair, &if_pair_is_connected()));
        code.extend(numbers.socketcall.into_iter().flat_map(|number| when(number, &[refuse(EACCES)])));
        code.extend(when(numbers.io_uring_setup, &[refuse(ENOSYS)]));
    }
    code.push(allow());
    code
}

/// Instructions for one system call. Each path through them returns.
fn when(number: u32, code: &[sock_filter]) -> Vec<sock_filter> {
    [&[jump(BPF_JEQ, number, 0, length(code))], code].concat()
}

fn unless_marked_limit() -> [sock_filter; 4] {
    [load(argument(0)), jump(BPF_JEQ, REALTIME_LIMIT, 0, 1), refuse(EPERM), allow()]
}

/// A call without a new limit (a null pointer) only reads it.
fn unless_limit_is_set() -> [sock_filter; 8] {
    [
        load(argument(1)),
        jump(BPF_JEQ, REALTIME_LIMIT, 0, 4),
        load(argument(2)),
        jump(BPF_JEQ, 0, 0, 3),
        load(argument(2) + UPPER_HALF),
        jump(BPF_JEQ, 0, 0, 1),
        allow(),
        refuse(EPERM),
    ]
}

fn unless_child_of_parent() -> [sock_filter; 4] {
    [load(argument(0)), jump(BPF_JSET, libc::CLONE_PARENT.cast_unsigned(), 0, 1), refuse(EPERM), allow()]
}

fn if_pair_is_connected() -> [sock_filter; 8] {
    [
        load(argument(0)),
        jump(BPF_JEQ, libc::AF_UNIX.cast_unsigned(), 0, 4),
        load(argument(1)),
        instruction(BPF_ALU | BPF_AND | BPF_K, TYPE_MASK, 0, 0),
        jump(BPF_JEQ, libc::SOCK_STREAM.cast_unsigned(), 2, 0),
        jump(BPF_JEQ, libc::SOCK_SEQPACKET.cast_unsigned(), 1, 0),
        refuse(EACCES),
        allow(),
    ]
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

/// Skips as many instructions, depending on whether the comparison holds.
fn jump(comparison: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    instruction(BPF_JMP | comparison | BPF_K, value, if_true, if_false)
}

fn allow() -> sock_filter {
    instruction(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0)
}

fn refuse(error: c_int) -> sock_filter {
    instruction(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error.cast_unsigned(), 0, 0)
}

fn instruction(code: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    let code = u16::try_from(code).expect("codes of instructions have 16 bits");
    sock_filter { code, jt: if_true, jf: if_false, k: value }
}

fn length(code: &[sock_filter]) -> u8 {
    u8::try_from(code.len()).expect("the filter of an architecture is short")
}
