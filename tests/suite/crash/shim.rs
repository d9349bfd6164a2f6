//! The library that stands between flow and the disk (`tests/shim`): compiled once, loaded with a plan.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Site;

/// The compiled library.
pub struct Shim(PathBuf);

/// A kind of operation on a file, and which of those with this name: `rename output/#`, the first.
#[derive(Clone, Debug)]
pub struct Point {
    pub name: String,
    pub occurrence: usize,
}

/// What happens at a point.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    KillBefore,
    KillAfter,
    /// The operation fails.
    Fail(Cause),
    /// From the operation on all fail that fail of such a cause, until [`Plan::amend`].
    Persist(Cause),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Broken = 5,
    Full = 28,
    ReadOnly = 30,
}

/// What the library is to do.
pub struct Plan {
    text: String,
    cause: Option<Cause>,
    lasting: PathBuf,
    trace: PathBuf,
}

impl Shim {
    /// `None`, and a word about it, where programs are not linked with glibc.
    pub fn get() -> Option<&'static Shim> {
        static SHIM: OnceLock<Option<Shim>> = OnceLock::new();
        SHIM.get_or_init(Shim::compile).as_ref()
    }

    fn compile() -> Option<Shim> {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            println!("skipped: only on Linux with glibc can something be put between a program and libc");
            return None;
        }
        Some(Shim(compiled("disk", "cdylib")))
    }

    pub fn load<'a>(&self, command: &'a mut Command, plan: &Plan) -> &'a mut Command {
        command.env("LD_PRELOAD", &self.0).env("DISK_PLAN", &plan.text)
    }
}

/// Compiles a file of `tests/shim`; says where the library or program is.
///
/// # Panics
/// If it cannot be compiled.
pub fn compiled(name: &str, kind: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/shim/{name}.rs"));
    // Several test runs may share the folder.
    let draft = folder.join(format!("{name}-{}", std::process::id()));
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.args(["--edition", "2024", "-O", "-C", "panic=abort", "-D", "warnings", "--crate-type", kind]);
    let status = command.arg("-o").arg(&draft).arg(source).status();
    assert!(status.expect("rustc is where cargo is").success(), "it cannot be compiled");
    let place = folder.join(name);
    fs::rename(draft, &place).expect("it has just been written");
    place
}

impl Plan {
    /// Names the operations on a site, and does nothing to them.
    pub fn watching(site: &Site) -> Plan {
        let [lasting, trace] = ["lasting", "trace"].map(|name| site.path(name));
        fs::write(&lasting, "").expect("the site can be written");
        let [state, output] = [site.state(), site.output()].map(|path| path.display().to_string());
        let text = format!("folder state {state}\nfolder output {output}\nwhile {}\n", lasting.display());
        Plan { text, cause: None, lasting, trace }
    }

    pub fn traced(mut self) -> Plan {
        self.text += &format!("trace {}\n", self.trace.display());
        self
    }

    /// A kill is a power cut: what was not synced is lost. The folders themselves are an operator's.
    pub fn without_power(mut self, site: &Site) -> Plan {
        for folder in [site.state(), site.output(), site.path("kept")] {
            fs::create_dir(folder).expect("the site can be written");
        }
        self.text += &format!("keep {}\n", site.path("kept").display());
        self
    }

    pub fn at(mut self, point: &Point, deed: Deed) -> Plan {
        let (deed, cause) = match deed {
            Deed::KillBefore => ("kill-before".to_owned(), None),
            Deed::KillAfter => ("kill-after".to_owned(), None),
            Deed::Fail(cause) => (format!("fail {}", cause as i32), Some(cause)),
            Deed::Persist(cause) => (format!("persist {}", cause as i32), Some(cause)),
        };
        self.text += &format!("at {} {}\ndo {deed}\n", point.occurrence, point.name);
        self.cause = cause;
        self
    }

    /// From a look on, counted from 1, the wall clock is off.
    pub fn clock(mut self, look: usize, seconds: i64) -> Plan {
        self.text += &format!("clock {look} {seconds}\n");
        self
    }

    /// Whether it was said what fails, in the system's words, or for the journal what to do about it.
    pub fn is_told(&self, said: &str) -> bool {
        let journal = said.contains("could not use the journal") && said.contains("hint: ");
        self.cause.is_some_and(|cause| journal || cause.words().iter().any(|words| said.contains(words)))
    }

    /// Ends what persists: there is room again, the disk is well.
    pub fn amend(&self) {
        fs::remove_file(&self.lasting).expect("it is removed once");
    }

    /// The operations so far: the last occurrence of each name.
    pub fn points(&self) -> Vec<Point> {
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        let trace = fs::read_to_string(&self.trace).expect("it was traced");
        trace.lines().for_each(|name| *counts.entry(name.to_owned()).or_default() += 1);
        counts.into_iter().map(|(name, occurrence)| Point { name, occurrence }).collect()
    }
}

impl Point {
    /// `rename`, of `rename output/#`.
    pub fn kind(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    pub fn first(&self) -> Point {
        Point { occurrence: 1, ..self.clone() }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, time {}", self.name, self.occurrence)
    }
}

impl Cause {
    fn words(self) -> &'static [&'static str] {
        match self {
            Cause::Broken => &["Input/output error"],
            Cause::Full => &["No space left on device", "the disk of the journal is full"],
            Cause::ReadOnly => &["Read-only file system"],
        }
    }
}
