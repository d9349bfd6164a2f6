//! `programs`: files of any language whose steps a dataflow can name.
//!
//! This folder starts no program. It reads the key, and asks the [`ProgramLoader`] that another folder submits for
//! the steps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::step::{Fault, Step, StepTable};
use crate::yaml::{
    self, MapFields, PlacedValue, ProblemCollector, SourcePlace, YamlEntry, YamlShape, YamlTree, duration,
    flag, list, text, value,
};

use super::Dataflow;

/// A program whose steps a dataflow names, as the file declares it.
#[derive(Clone, Debug)]
pub struct ProgramSource {
    /// The program and its arguments. Those that name files beside the dataflow file are absolute paths.
    pub command: Vec<String>,
    /// Files and folders that it may read.
    pub reads: Vec<PathBuf>,
    /// Files and folders that it may also write.
    pub writes: Vec<PathBuf>,
    /// Whether it may use the network.
    pub network: bool,
    /// Limit of the address space of a process, in bytes.
    pub memory: u64,
    /// Limit of the size of the outputs of one run, in bytes.
    pub output: u64,
    /// Processes of it that may run at the same time.
    pub processes: usize,
    /// The time that it has to declare its steps.
    pub start_time: Duration,
}

/// The function that has a program declare its steps.
pub struct ProgramLoader(pub fn(&ProgramSource) -> Result<Vec<Step>, Fault>);

inventory::collect!(ProgramLoader);

const KEYS: [&str; 9] =
    ["file", "run", "reads", "writes", "network", "memory", "output", "processes", "start_time"];

const MEMORY: u64 = 4 << 30;
const MEMORY_LEAST: u64 = 16 << 20;
const OUTPUT: u64 = 1 << 30;
const PROCESSES_MAX: usize = 1024;
const START_TIME: Duration = Duration::from_secs(60);

/// The programs that files run with, by the ending of a file's name.
const RUNNERS: [(&str, &str); 4] = [("py", "python3"), ("js", "node"), ("mjs", "node"), ("sh", "sh")];

/// The table with the steps of the programs that a file names. `folder` is that of the file.
pub(super) fn extended(
    tree: Option<YamlTree>,
    folder: &Path,
    table: &StepTable,
    collector: &mut ProblemCollector,
) -> StepTable {
    let mut table = table.clone();
    let Some(entries) = tree.and_then(|tree| list(tree, "\"programs\"", collector)) else { return table };
    for tree in entries {
        let place = tree.place;
        let Some(source) = source(tree, folder, collector) else { continue };
        for step in load(&source, place, collector) {
            let name = step.declaration.name;
            if table.get(name).is_some() {
                let message = format!("there is another step \"{name}\" than that of this program");
                let hint = "give the step of the program a name that no other step has".to_owned();
                collector.add(place, message).hint(hint);
            } else {
                table = table.with(step);
            }
        }
    }
    table
}

/// Whether reading a dataflow text starts programs, or takes in a file that may name some: a text of somebody else is
/// looked at before it is read.
pub fn names_programs(text: &str) -> bool {
    let mut collector = ProblemCollector::new("", text);
    let tree = yaml::read(text, &mut collector);
    let YamlShape::Map(entries) = tree.map_or(YamlShape::Nothing, |tree| tree.value) else { return false };
    let has = |name: &str| entries.iter().any(|(key, _)| key.value == name);
    has("programs") || (has("customer") && !names_carried_base(&entries))
}

/// Whether all that an overlay says of its base is the name of a dataflow that flow carries.
fn names_carried_base(entries: &[YamlEntry]) -> bool {
    let mut bases = entries.iter().filter(|(key, _)| key.value == "dataflow");
    bases.all(
        |(_, tree)| matches!(&tree.value, YamlShape::Scalar(name, _) if Dataflow::built_in(name).is_some()),
    )
}

fn load(source: &ProgramSource, place: SourcePlace, collector: &mut ProblemCollector) -> Vec<Step> {
    let loaded = match inventory::iter::<ProgramLoader>.into_iter().next() {
        Some(loader) => (loader.0)(source),
        None => Err(Fault::new("this program cannot run programs", "Use the program `flow`.")),
    };
    loaded.unwrap_or_else(|fault| {
        let said = String::from_utf8_lossy(fault.log.0.as_deref().unwrap_or_default()).into_owned();
        collector.add(place, fault.reason).details(&said).hint(fault.remedy);
        Vec::new()
    })
}

fn source(tree: YamlTree, folder: &Path, collector: &mut ProblemCollector) -> Option<ProgramSource> {
    let place = tree.place;
    if let YamlShape::Scalar(file, _) = &tree.value {
        return Some(usual(of_file(file, folder)));
    }
    let mut fields = MapFields::read(tree, "a program", &KEYS, collector).at(place);
    let file = fields.take("file").map(|(_, tree)| text(tree, "\"file\" of a program", collector));
    let run = fields.take("run").map(|(_, tree)| command(tree, folder, collector));
    let command = match (file, run) {
        (Some(file), None) => file.map(|file| of_file(&file.value, folder)),
        (None, Some(run)) => run,
        (None, None) if !fields.lacks("file") || !fields.lacks("run") => None,
        _ => {
            let hint = "write `file: steps.py`, or `run: [node, steps.js]`".to_owned();
            collector.add(place, "a program has one of the keys \"file\" and \"run\"").hint(hint);
            None
        }
    };
    let mut paths = |key: &str| {
        let all =
            fields.take(key).and_then(|(_, tree)| texts(tree, &format!("\"{key}\" of a program"), collector));
        all.unwrap_or_default().into_iter().map(|path| folder.join(path.value)).collect::<Vec<PathBuf>>()
    };
    let (reads, writes) = (paths("reads"), paths("writes"));
    let network = fields.take("network").and_then(|(_, tree)| {
        value(tree, "\"network\" of a program", "true or false", "without it there is none", flag, collector)
    });
    let mut bytes = |key: &str| {
        let read = |text: &str| yaml::size(text).filter(|bytes| *bytes >= MEMORY_LEAST);
        let hint = format!("write a number and one of {}: 4 GiB", yaml::size_units());
        let what = format!("\"{key}\" of a program");
        fields
            .take(key)
            .and_then(|(_, tree)| value(tree, &what, "a size from 16 MiB", &hint, read, collector))
    };
    let (memory, output) = (bytes("memory"), bytes("output"));
    let processes = fields.take("processes").and_then(|(_, tree)| {
        let read = |text: &str| text.parse().ok().filter(|count| (1..=PROCESSES_MAX).contains(count));
        let hint = "each keeps what it has loaded, a model for example";
        value(tree, "\"processes\" of a program", "a whole number from 1 to 1024", hint, read, collector)
    });
    let start_time = fields.take("start_time").and_then(|(_, tree)| {
        let hint = "it is the time that the program has to declare its steps: 1 min";
        value(tree, "\"start_time\" of a program", "a time", hint, duration::parse, collector)
    });
    let usual = usual(command?);
    Some(ProgramSource {
        reads,
        writes,
        network: network.unwrap_or(false),
        memory: memory.unwrap_or(MEMORY),
        output: output.unwrap_or(OUTPUT),
        processes: processes.unwrap_or(1),
        start_time: start_time.unwrap_or(START_TIME),
        ..usual
    })
}

fn usual(command: Vec<String>) -> ProgramSource {
    ProgramSource {
        command,
        reads: Vec::new(),
        writes: Vec::new(),
        network: false,
        memory: MEMORY,
        output: OUTPUT,
        processes: 1,
        start_time: START_TIME,
    }
}

/// The command for a file: what runs files with this ending, or the file itself.
fn of_file(file: &str, folder: &Path) -> Vec<String> {
    let path = shown(&folder.join(file));
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    let runner = RUNNERS.iter().find(|(known, _)| *known == ending).map(|(_, runner)| (*runner).to_owned());
    runner.into_iter().chain([path]).collect()
}

fn command(tree: YamlTree, folder: &Path, collector: &mut ProblemCollector) -> Option<Vec<String>> {
    let place = tree.place;
    let words = texts(tree, "\"run\" of a program", collector)?;
    if words.is_empty() {
        collector
            .add(place, "\"run\" of a program is empty")
            .hint("name the program: [node, steps.js]".to_owned());
        return None;
    }
    let word = |(index, word): (usize, PlacedValue<String>)| {
        let beside = folder.join(&word.value);
        // A program without a path is looked up in PATH.
        let is_beside = (index > 0 || word.value.contains('/')) && beside.is_file();
        if is_beside { shown(&beside) } else { word.value }
    };
    Some(words.into_iter().enumerate().map(word).collect())
}

fn texts(tree: YamlTree, what: &str, collector: &mut ProblemCollector) -> Option<Vec<PlacedValue<String>>> {
    let all = list(tree, what, collector)?;
    all.into_iter().map(|one| text(one, &format!("a part of {what}"), collector)).collect()
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The tree of `programs` with absolute paths: what it says wherever its text is read again.
pub(super) fn made_absolute(tree: &mut YamlTree, folder: &Path) {
    let YamlShape::List(entries) = &mut tree.value else { return };
    let join = |tree: &mut YamlTree| {
        if let YamlShape::Scalar(path, _) = &mut tree.value {
            *path = shown(&folder.join(&*path));
        }
    };
    for entry in entries {
        let YamlShape::Map(fields) = &mut entry.value else {
            join(entry);
            continue;
        };
        for (key, tree) in fields {
            match (key.value.as_str(), &mut tree.value) {
                ("file", _) => join(tree),
                ("reads" | "writes", YamlShape::List(paths)) => paths.iter_mut().for_each(join),
                ("run", YamlShape::List(words)) => {
                    for (index, word) in words.iter_mut().enumerate() {
                        let YamlShape::Scalar(text, _) = &mut word.value else { continue };
                        let beside = folder.join(&*text);
                        if (index > 0 || text.contains('/')) && beside.is_file() {
                            *text = shown(&beside);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_starts_programs_is_known_before_it_is_read() {
        for (text, names) in [
            ("dataflow: a\nprograms: [x.py]", true),
            ("dataflow: a\n\"\\x70rograms\": [x.py]", true),
            ("customer: a\ndataflow: /etc/passwd", true),
            ("customer: a\ndataflow: ct-lung\ndataflow: x.yaml", true),
            ("customer: a\ndataflow: ct-lung", false),
            ("dataflow: a\nabout: programs", false),
            ("{", false),
        ] {
            assert_eq!(names_programs(text), names, "{text}");
        }
    }
}
