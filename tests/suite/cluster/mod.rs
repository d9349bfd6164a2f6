//! Several processes as one, and what happens when some of them are lost.
//!
//! `FLOW_CLUSTER_KILLS` says how many processes are killed or stopped in [`kills`]; three, where it says nothing.
//! `FLOW_SEED` varies which.

mod batches;
mod kills;
mod losses;
mod memory;
mod placement;
mod waiting;
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use flow::dataflow::Response;
use flow::journal::{JournalEntry, JournalReader, RequestHistory};

use crate::run::Place;
use crate::support::peers::{Background, until};
use crate::support::ports::free_port;

/// A folder with requests of two steps, and processes that run them. Both steps write a line when they end.
pub struct ClusterScene {
    pub place: Place,
    processes: usize,
    pub requests: usize,
}

impl ClusterScene {
    /// Scripts of the two steps run after a line says which step and request it is.
    pub fn new(processes: usize, requests: usize, scripts: [&str; 2], more: &str) -> ClusterScene {
        let place = Place::new();
        fs::create_dir(place.path("log")).unwrap();
        let log = place.path("log");
        let step = |name: &str, script: &str| {
            let log = log.display();
            let script = format!(
                "name=$(cat items/00001); log={log}; {script}; echo {name} $name >> $log/ended; echo {name} $name > out/{name}.txt"
            );
            format!("with: {{program: sh, arguments: [-c, {script:?}], grace_s: 0.2, writes: [{log}]}}")
        };
        let text = format!(
            "dataflow: two\nlimits: {{memory: {{fixed: 1 B}}{more}}}\nsteps:\n  first: {{step: run-program, needs: \
             {{request: request}}, {}}}\n  second: {{step: run-program, needs: {{request: request, files: first}}, \
             {}}}\nresponse: [first, second]\n",
            step("first", scripts[0]),
            step("second", scripts[1])
        );
        fs::write(place.path("two.yaml"), text).unwrap();
        for number in 0..requests {
            fs::write(place.path(&format!("r{number}")), format!("r{number}")).unwrap();
        }
        let hosts: Vec<String> = (0..processes).map(|_| format!("127.0.0.1:{}\n", free_port())).collect();
        fs::write(place.path("hosts"), hosts.concat()).unwrap();
        ClusterScene { place, processes, requests }
    }

    /// The address of process 0.
    pub fn address(&self) -> String {
        fs::read_to_string(self.place.path("hosts")).unwrap().lines().next().unwrap().to_owned()
    }

    pub fn command(&self, index: usize, more: &[&str]) -> Command {
        let mut arguments = vec!["run", "two.yaml", "--lanes", "8"];
        if !more.contains(&"-w") {
            arguments.extend(["-w", "2"]);
        }
        let (count, index) = (self.processes.to_string(), index.to_string());
        arguments.extend(["-n", &count, "-p", &index]);
        let files: Vec<String> = (0..self.requests).map(|number| format!("r{number}")).collect();
        if index == "0" {
            arguments.push("--files");
            arguments.extend(files.iter().map(String::as_str));
        }
        if !more.contains(&"--hosts") {
            arguments.extend(["--hosts", "hosts"]);
        }
        arguments.extend(more);
        self.place.flow(&arguments)
    }

    /// Starts a process, whose messages go to a file of its own.
    pub fn start(&self, index: usize, more: &[&str]) -> Background {
        let said = self.place.path(&format!("said-{index}"));
        let said = fs::OpenOptions::new().create(true).append(true).open(said).unwrap();
        Background::of(self.command(index, more).stdout(Stdio::null()).stderr(said))
    }

    pub fn said(&self, index: usize) -> String {
        fs::read_to_string(self.place.path(&format!("said-{index}"))).unwrap_or_default()
    }

    pub fn until_said(&self, index: usize, text: &str) {
        until(text, || self.said(index).contains(text).then_some(()));
    }

    /// How often each step has ended for each request, by "step request".
    pub fn ended(&self) -> BTreeMap<String, usize> {
        let mut ended = BTreeMap::new();
        let text = fs::read_to_string(self.place.path("log/ended")).unwrap_or_default();
        text.lines().for_each(|line| *ended.entry(line.to_owned()).or_default() += 1);
        ended
    }

    pub fn answered(&self) -> usize {
        fs::read_dir(self.place.path("flow-output")).map_or(0, Iterator::count)
    }

    /// All that the journal has of each request.
    pub fn histories(&self) -> Vec<RequestHistory> {
        let Ok(reader) = JournalReader::open(&self.place.path("flow-state")) else { return Vec::new() };
        let rows = reader.requests().unwrap_or_default();
        rows.iter().filter_map(|row| reader.history(row.number).ok()).collect()
    }

    /// The number of runs of a step in the journal.
    pub fn recorded(&self, step: &str) -> usize {
        self.histories().iter().map(|history| history.runs_of(step)).sum()
    }

    /// Checks that each request has one response, and the right one.
    pub fn account(&self) {
        let responses: BTreeMap<String, Response> = self.place.responses("flow-output");
        let mut said: Vec<String> = responses
            .keys()
            .map(|name| {
                let read = |file: &str| {
                    let folder: PathBuf = self.place.path("flow-output").join(name);
                    fs::read_to_string(folder.join(file)).unwrap_or_else(|error| {
                        let text = fs::read_to_string(folder.join("response.json")).unwrap();
                        panic!("{name} has no {file}: {error}; {text}")
                    })
                };
                format!("{}{}", read("first.txt"), read("second.txt"))
            })
            .collect();
        said.sort();
        let mut wanted: Vec<String> =
            (0..self.requests).map(|number| format!("first r{number}\nsecond r{number}\n")).collect();
        wanted.sort();
        assert_eq!(said, wanted, "one response each, and the right one");
        for history in self.histories() {
            let count = |wanted: fn(&JournalEntry) -> bool| {
                history.entries.iter().filter(|dated| wanted(&dated.entry)).count()
            };
            let name = &history.row.name;
            assert_eq!(count(|entry| matches!(entry, JournalEntry::Responded { .. })), 1, "{name}");
            // Process 0 is given its files again with each start: what is answered then gets the same response again.
            let given = count(|entry| matches!(entry, JournalEntry::Accepted { .. }));
            assert_eq!(count(|entry| matches!(entry, JournalEntry::Answered)), given, "{name}");
        }
    }
}

/// Sends a signal to a process of a test.
pub fn signal(process: &Background, name: &str) {
    let status = Command::new("kill").args([name, &process.id().to_string()]).status().unwrap();
    assert!(status.success(), "the process is there");
}
