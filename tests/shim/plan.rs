//! The plan: what is watched, and what happens where.

use std::ffi::{CString, c_int};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::name::Operation;
use crate::{append, die, is_there, open_to_append};

#[derive(Default)]
pub struct Plan {
    /// Labels and paths.
    folders: Vec<(String, String)>,
    trace: Option<c_int>,
    at: Option<(usize, String)>,
    deed: Option<Deed>,
    lasting: Option<CString>,
    keep: Option<PathBuf>,
    clock: Option<(i64, i64)>,
    met: AtomicUsize,
    begun: AtomicBool,
}

#[derive(Clone, Copy)]
enum Deed {
    KillBefore,
    KillAfter,
    Fail(c_int),
    Persist(c_int),
}

/// What is to become of an operation.
pub enum Verdict {
    Pass,
    KillBefore,
    KillAfter,
    Fail(c_int),
}

const STDERR: c_int = 2;
const EIO: c_int = 5;
const ENOSPC: c_int = 28;
const EROFS: c_int = 30;

impl Plan {
    pub fn get() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| Plan::read(&std::env::var("DISK_PLAN").unwrap_or_default()))
    }

    fn read(text: &str) -> Plan {
        let mut plan = Plan::default();
        for (word, rest) in text.lines().filter_map(|line| line.split_once(' ')) {
            plan.instruct(word, rest).unwrap_or_else(|| refuse(word, rest));
        }
        plan
    }

    fn instruct(&mut self, word: &str, rest: &str) -> Option<()> {
        match word {
            "folder" => self.folders.push(pair(rest)?),
            "trace" => self.trace = Some(open_to_append(&CString::new(rest).ok()?)),
            "at" => self.at = Some(pair(rest)?),
            "do" => self.deed = Some(Deed::read(rest)?),
            "while" => self.lasting = Some(CString::new(rest).ok()?),
            "keep" => self.keep = Some(rest.into()),
            "clock" => self.clock = Some(pair(rest)?),
            _ => return None,
        }
        Some(())
    }

    /// The label of the folder that a path is in, and what of the path is below it.
    pub fn below<'a>(&self, path: &'a [u8]) -> Option<(&str, &'a [u8])> {
        let within = |folder: &str| {
            let below = path.strip_prefix(folder.as_bytes())?;
            (below.is_empty() || below.starts_with(b"/")).then_some(below)
        };
        self.folders.iter().find_map(|(label, folder)| Some((label.as_str(), within(folder)?)))
    }

    pub fn judge(&self, operation: &Operation) -> Verdict {
        if let Some(trace) = self.trace {
            append(trace, &format!("{}\n", operation.name));
        }
        let here = self.is_here(operation);
        match self.deed {
            Some(Deed::KillBefore) if here => Verdict::KillBefore,
            Some(Deed::KillAfter) if here => Verdict::KillAfter,
            Some(Deed::Fail(errno)) if here && self.lasts() => Verdict::Fail(errno),
            Some(Deed::Persist(errno))
                if self.has_begun(here) && fails(operation.kind, errno) && self.lasts() =>
            {
                Verdict::Fail(errno)
            }
            _ => Verdict::Pass,
        }
    }

    /// Where files are kept that a power cut may bring back, if a kill is one.
    pub fn keep(&self) -> Option<&Path> {
        self.keep.as_deref()
    }

    /// By how many seconds the wall clock is off at this look.
    pub fn jump(&self, look: i64) -> i64 {
        self.clock.filter(|(from, _)| look >= *from).map_or(0, |(_, seconds)| seconds)
    }

    fn is_here(&self, operation: &Operation) -> bool {
        self.at.as_ref().is_some_and(|(occurrence, name)| {
            *name == operation.name && self.met.fetch_add(1, Ordering::Relaxed) + 1 == *occurrence
        })
    }

    fn has_begun(&self, here: bool) -> bool {
        self.begun.fetch_or(here, Ordering::Relaxed) || here
    }

    fn lasts(&self) -> bool {
        self.lasting.as_ref().is_none_or(|file| is_there(file))
    }
}

impl Deed {
    fn read(text: &str) -> Option<Deed> {
        match text.split_once(' ') {
            None if text == "kill-before" => Some(Deed::KillBefore),
            None if text == "kill-after" => Some(Deed::KillAfter),
            Some(("fail", errno)) => Some(Deed::Fail(errno.parse().ok()?)),
            Some(("persist", errno)) => Some(Deed::Persist(errno.parse().ok()?)),
            _ => None,
        }
    }
}

/// A panic would have to be written, and that would come by here again.
fn refuse(word: &str, rest: &str) -> ! {
    append(STDERR, &format!("DISK_PLAN is not understood: {word} {rest}\n"));
    die()
}

/// What fails on a disk that is full, broken, or may only be read.
fn fails(kind: &str, errno: c_int) -> bool {
    match errno {
        ENOSPC => matches!(kind, "create" | "write" | "copy" | "mkdir" | "link"),
        EIO => kind == "sync",
        EROFS => kind != "sync",
        _ => false,
    }
}

/// Two values with a space between them.
fn pair<A: FromStr, B: FromStr>(text: &str) -> Option<(A, B)> {
    let (first, second) = text.split_once(' ')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}
