//! Stands between flow and the disk: a library for `LD_PRELOAD`, compiled when the tests run.
//!
//! Every call that changes what is on disk below a folder of the plan is an operation. Its name says
//! what it does and where, with `#` for digests and numbers. The plan is in `DISK_PLAN`, one instruction a line:
//!
//! ```text
//! folder state /path      what changes below it is an operation, named `... state/...`
//! trace FILE              the name of each is appended there
//! at 2 sync state/a.wal   the second operation of this name is where it happens:
//! do kill-before          kill-before, kill-after, fail ERRNO (this one), or persist ERRNO (from here
//!                         on all that fail of such a cause),
//! while FILE              but only as long as this file is there
//! keep FOLDER             a kill is a power cut; in this folder is kept what it may bring back
//! clock 10 -3600          from the tenth look on the wall clock is an hour behind
//! ```
//!
//! Nothing here uses the standard library's input and output: that would come by here again.

mod name;
mod plan;
mod power;

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

use name::{Operation, at_path, moving, of_file};
use plan::{Plan, Verdict};

const AT_REMOVEDIR: c_int = 0x200;
const O_CREAT: c_int = 0o100;
const O_TRUNC: c_int = 0o1000;
const F_OK: c_int = 0;
const CLOCK_REALTIME: c_int = 0;
const SIGKILL: c_int = 9;
const RTLD_NEXT: *mut c_void = -1_isize as *mut c_void;
pub const AT_FDCWD: c_int = -100;

#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn faccessat(folder: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int;
    fn getpid() -> c_int;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn pause() -> c_int;
    fn __errno_location() -> *mut c_int;
}

/// The function of this name that would have been called without us.
macro_rules! real {
    ($name:ident: $signature:ty) => {{
        static FOUND: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
        if FOUND.load(Ordering::Relaxed).is_null() {
            let name = concat!(stringify!($name), "\0");
            FOUND.store(unsafe { dlsym(RTLD_NEXT, name.as_ptr().cast()) }, Ordering::Relaxed);
        }
        // libc has a function of this name, and this is how its header declares it.
        unsafe { mem::transmute::<*mut c_void, $signature>(FOUND.load(Ordering::Relaxed)) }
    }};
}

/// Takes the place of libc's functions. Behind the arrow: which operation the call is, if it is one.
macro_rules! stand_before {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty => $operation:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $kind),*) -> $answer {
            let real = real!($name: unsafe extern "C" fn($($kind),*) -> $answer);
            around($operation, || unsafe { real($($argument),*) })
        }
    )*};
}

// Those that Rust's standard library, rustix and SQLite call, in the widths they call them in. A mode that
// was not given is passed on as it was found.
stand_before! {
    open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int => opening(AT_FDCWD, path, flags);
    open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int => opening(AT_FDCWD, path, flags);
    openat(folder: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int => opening(folder, path, flags);
    openat64(folder: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int => opening(folder, path, flags);
    write(file: c_int, bytes: *const c_void, count: usize) -> isize => of_file("write", file);
    pwrite(file: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize => of_file("write", file);
    pwrite64(file: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize => of_file("write", file);
    writev(file: c_int, parts: *const c_void, count: c_int) -> isize => of_file("write", file);
    copy_file_range(from: c_int, start: *mut i64, to: c_int, place: *mut i64, count: usize, flags: c_uint) -> isize
        => of_file("copy", to);
    sendfile(to: c_int, from: c_int, start: *mut i64, count: usize) -> isize => of_file("copy", to);
    sendfile64(to: c_int, from: c_int, start: *mut i64, count: usize) -> isize => of_file("copy", to);
    ftruncate(file: c_int, length: i64) -> c_int => of_file("truncate", file);
    ftruncate64(file: c_int, length: i64) -> c_int => of_file("truncate", file);
    fsync(file: c_int) -> c_int => of_file("sync", file);
    fdatasync(file: c_int) -> c_int => of_file("sync", file);
    syncfs(file: c_int) -> c_int => of_file("syncfs", file);
    rename(from: *const c_char, to: *const c_char) -> c_int => moving(AT_FDCWD, from, AT_FDCWD, to);
    renameat(folder: c_int, from: *const c_char, other: c_int, to: *const c_char) -> c_int
        => moving(folder, from, other, to);
    renameat2(folder: c_int, from: *const c_char, other: c_int, to: *const c_char, flags: c_uint) -> c_int
        => moving(folder, from, other, to);
    link(from: *const c_char, to: *const c_char) -> c_int => at_path("link", AT_FDCWD, to);
    linkat(folder: c_int, from: *const c_char, other: c_int, to: *const c_char, flags: c_int) -> c_int
        => at_path("link", other, to);
    unlink(path: *const c_char) -> c_int => at_path("remove", AT_FDCWD, path);
    unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int
        => at_path(if flags & AT_REMOVEDIR == 0 { "remove" } else { "rmdir" }, folder, path);
    mkdir(path: *const c_char, mode: c_uint) -> c_int => at_path("mkdir", AT_FDCWD, path);
    mkdirat(folder: c_int, path: *const c_char, mode: c_uint) -> c_int => at_path("mkdir", folder, path);
    rmdir(path: *const c_char) -> c_int => at_path("rmdir", AT_FDCWD, path);
}

/// The wall clock, which jumps where the plan says so.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    static LOOKS: AtomicI64 = AtomicI64::new(0);
    let real = real!(clock_gettime: unsafe extern "C" fn(c_int, *mut Time) -> c_int);
    let answer = unsafe { real(clock, time) };
    if clock == CLOCK_REALTIME && answer == 0 {
        let look = LOOKS.fetch_add(1, Ordering::Relaxed) + 1;
        unsafe { (*time).seconds += Plan::get().jump(look) };
    }
    answer
}

/// Opening changes the disk where it makes a file or empties one.
fn opening(folder: c_int, path: *const c_char, flags: c_int) -> Option<Operation> {
    if flags & (O_CREAT | O_TRUNC) == 0 {
        return None;
    }
    let exists = unsafe { faccessat(folder, path, F_OK, 0) } == 0;
    match exists {
        false if flags & O_CREAT != 0 => at_path("create", folder, path),
        true if flags & O_TRUNC != 0 => at_path("empty", folder, path),
        _ => None,
    }
}

/// What libc's functions answer.
trait Answer: Copy {
    const FAILED: Self;
    fn is_failed(self) -> bool;
}

impl Answer for c_int {
    const FAILED: c_int = -1;
    fn is_failed(self) -> bool {
        self < 0
    }
}

impl Answer for isize {
    const FAILED: isize = -1;
    fn is_failed(self) -> bool {
        self < 0
    }
}

fn around<A: Answer>(operation: Option<Operation>, act: impl FnOnce() -> A) -> A {
    let Some(operation) = operation.filter(|_| !power::cuts()) else { return act() };
    match Plan::get().judge(&operation) {
        Verdict::Pass => noted(&operation, act),
        Verdict::KillBefore => die(),
        Verdict::KillAfter => {
            noted(&operation, act);
            die()
        }
        Verdict::Fail(errno) => {
            unsafe { *__errno_location() = errno };
            A::FAILED
        }
    }
}

fn noted<A: Answer>(operation: &Operation, act: impl FnOnce() -> A) -> A {
    let Some(keep) = Plan::get().keep() else { return act() };
    let before = power::before(operation, keep);
    let answer = act();
    if !answer.is_failed() {
        power::after(operation, before);
    }
    answer
}

fn die() -> ! {
    if Plan::get().keep().is_some() {
        power::cut();
    }
    unsafe { kill(getpid(), SIGKILL) };
    loop {
        unsafe { pause() };
    }
}

/// Appends a line to a file in one call, past ourselves.
fn append(file: c_int, line: &str) {
    let real = real!(write: unsafe extern "C" fn(c_int, *const c_void, usize) -> isize);
    unsafe { real(file, line.as_ptr().cast(), line.len()) };
}

/// Opens a file to append to, past ourselves.
fn open_to_append(path: &CStr) -> c_int {
    const O_WRONLY: c_int = 0o1;
    const O_APPEND: c_int = 0o2000;
    const O_CLOEXEC: c_int = 0o2_000_000;
    let real = real!(open64: unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int);
    unsafe { real(path.as_ptr(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644) }
}

/// Whether a file is there.
fn is_there(path: &CStr) -> bool {
    unsafe { faccessat(AT_FDCWD, path.as_ptr(), F_OK, 0) == 0 }
}
