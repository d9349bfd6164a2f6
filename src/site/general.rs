//! General settings, which the command line of `flow run` has, too. The command line overrides them.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dataflow::{Dataflow, ProcessLabel};
use crate::yaml::SourcePlace;

use super::SectionReader;

/// Settings of `flow run`. What the file does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeneralSettings {
    /// The folder of the journal, of received requests and of results.
    pub state: Option<PathBuf>,
    /// The name of a built-in dataflow, or the path of a file.
    pub dataflow: Option<String>,
    /// Files and folders with requests.
    pub input: Vec<PathBuf>,
    pub workers: Option<NonZero<usize>>,
    pub lanes: Option<NonZero<usize>>,
    /// The labels of this process in a cluster.
    pub labels: Vec<ProcessLabel>,
    /// Bytes that requests in work may take.
    pub memory: Option<u64>,
    /// The free bytes on the disk of `state` below which no request is accepted.
    pub free_min: Option<u64>,
    pub keep: KeepSettings,
    /// The delays before the first further attempts to deliver a response.
    pub retry: Option<Vec<Duration>>,
    /// The time after the first attempt at which a response is given up.
    pub keep_trying: Option<Duration>,
    /// The users that can read what flow writes.
    pub readers: Option<FileReaders>,
}

/// The users, besides root, that can read the files that flow writes: patient data are in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileReaders {
    /// Flow's user: files have mode 0600, folders 0700.
    #[default]
    Owner,
    /// Also the group of the folder: files have mode 0640, folders 0750.
    Group,
}

const READERS: [(&str, FileReaders); 2] = [("owner", FileReaders::Owner), ("group", FileReaders::Group)];

/// `keep`: the limits within which answered requests are remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeepSettings {
    pub days: Option<f64>,
    pub bytes: Option<u64>,
}

pub(super) const KEYS: [&str; 12] = [
    "state",
    "dataflow",
    "input",
    "workers",
    "lanes",
    "labels",
    "memory",
    "free_min",
    "keep",
    "retry",
    "keep_trying",
    "readable_by",
];

/// The most worker threads of a process.
pub const WORKERS_MAX: usize = 4096;

/// The most requests in work at the same time.
pub const LANES_MAX: usize = 1_000_000;

/// Reads the settings; gives the place of the dataflow as well.
pub(super) fn read(reader: &mut SectionReader) -> (GeneralSettings, Option<SourcePlace>) {
    let folder = reader.context().folder.clone();
    let dataflow = reader.text("dataflow");
    let place = dataflow.as_ref().map(|name| name.place);
    let settings = GeneralSettings {
        state: reader.path("state"),
        dataflow: dataflow.map(|name| dataflow_path(&folder, &name.value)),
        input: reader.texts("input").into_iter().map(|path| folder.join(path.value)).collect(),
        workers: reader.count("workers", WORKERS_MAX).and_then(NonZero::new),
        lanes: reader.count("lanes", LANES_MAX).and_then(NonZero::new),
        labels: labels(reader),
        memory: reader.bytes("memory"),
        free_min: reader.bytes("free_min"),
        keep: reader.section("keep", keep).unwrap_or_default(),
        retry: reader.durations("retry"),
        keep_trying: reader.duration("keep_trying"),
        readers: reader.choice("readable_by", &READERS),
    };
    (settings, place)
}

fn labels(reader: &mut SectionReader) -> Vec<ProcessLabel> {
    let written = reader.texts("labels");
    written.iter().filter_map(|label| reader.parse(label)).collect()
}

fn keep(reader: &mut SectionReader) -> KeepSettings {
    reader.known("\"keep\"", &["days", "bytes"]);
    let days = reader.value("days", "a number of days", "for example 30, or 0.5", |text| {
        crate::yaml::number(text).filter(|days| *days >= 0.0)
    });
    KeepSettings { days, bytes: reader.bytes("bytes") }
}

/// A dataflow as the file names it: one that flow carries, or a path relative to the file's folder.
pub(super) fn dataflow_path(folder: &Path, name: &str) -> String {
    match Dataflow::built_in(name) {
        Some(_) => name.to_owned(),
        None => folder.join(name).to_string_lossy().into_owned(),
    }
}
