//! `flow run` as a person starts it: the real binary, in a folder of its own.

mod access;
mod again;
mod alarms;
mod api;
mod backups;
mod bounds;
mod circuits;
mod files;
mod hurry;
mod lookup;
mod messages;
pub mod nodes;
mod orthanc_page;
mod own_results;
mod own_steps;
mod page;
mod page_load;
mod page_texts;
mod pauses;
mod plain;
mod printable;
mod processes;
mod pull;
mod reload;
mod replay;
mod resent;
mod settings;
mod states;
mod status;
mod status_page;
mod study_report;
mod terminal;
mod times;
mod top;
mod traces;
mod viewer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flow::dataflow::Response;
use flow::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};
use flow::step::Digest;

/// A folder with the studies and results of one test.
pub struct Place(tempfile::TempDir);

/// How a command ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// A small chest study; its files.
    pub fn study(&self, below: &str, seed: u64) -> Vec<PathBuf> {
        let options = PhantomOptions { size: [96, 96, 40], seed, ..PhantomOptions::default() };
        PhantomChest::new(&options)
            .write(&self.path(below), PhantomSyntax::Explicit)
            .expect("the study can be written")
    }

    /// The command, to be started in this folder.
    pub fn flow(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        command.current_dir(self.0.path()).args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.path("user-state"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.flow(arguments).output().expect("flow starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("flow writes UTF-8");
        let code = output.status.code().expect("flow is not killed");
        Ended { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// The responses below an output folder, by the names of their folders.
    pub fn responses(&self, output: &str) -> BTreeMap<String, Response> {
        let folders = fs::read_dir(self.path(output)).expect("there is an output folder");
        let response = |folder: PathBuf| {
            let text = fs::read_to_string(folder.join("response.json")).expect("each folder has a response");
            let name = folder.file_name().expect("it has a name").to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).expect("it is a response"))
        };
        folders.map(|entry| response(entry.expect("it can be listed").path())).collect()
    }

    /// The only response below an output folder, with its folder.
    pub fn response(&self, output: &str) -> (PathBuf, Response) {
        let mut responses = self.responses(output);
        assert_eq!(responses.len(), 1, "{:?}", responses.keys());
        let (name, response) = responses.pop_first().expect("there is one");
        (self.path(output).join(name), response)
    }
}

/// Every file below a folder, by its digest.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Digest> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("the folder is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("the file can be read");
                files.insert(path.strip_prefix(folder).expect("it is below").to_owned(), Digest::of(&bytes));
            }
        }
    }
    files
}
