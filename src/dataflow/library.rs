//! Where dataflows come from: the files that the binary carries, and files on disk.

use std::path::PathBuf;
use std::{fs, io};

use super::{Dataflow, Problems, hint};
use crate::step::Table;

/// The files of the folder `dataflows`, by name.
const BUILT_IN: [(&str, &str); 1] = [("ct-lung", include_str!("../../dataflows/ct-lung.yaml"))];

/// Why there is no dataflow.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("no dataflow is called {name:?}")]
    Unknown { name: String, hint: Option<String> },
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Problems(Problems),
}

/// The names of the dataflows that the binary carries.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

impl Dataflow {
    /// The text of a dataflow that the binary carries.
    pub fn built_in(name: &str) -> Option<&'static str> {
        BUILT_IN.iter().find(|(built_in, _)| *built_in == name).map(|(_, text)| *text)
    }

    /// Takes the name of a built-in dataflow or the path of a file. The name comes first: a file
    /// of that name is `./NAME`.
    ///
    /// # Errors
    /// If there is no such file, it cannot be read, or there are problems in it.
    pub fn load(name_or_path: &str, table: &Table) -> Result<Dataflow, LoadError> {
        let (file, text) = match Dataflow::built_in(name_or_path) {
            Some(text) => (format!("dataflows/{name_or_path}.yaml"), text.to_owned()),
            None => (name_or_path.to_owned(), read(name_or_path)?),
        };
        Dataflow::parse(&file, &text, table).map_err(LoadError::Problems)
    }
}

fn read(path: &str) -> Result<String, LoadError> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => {
            LoadError::Unknown { name: path.to_owned(), hint: hint::meant_or_all(path, built_in_names()) }
        }
        _ => LoadError::Read { path: path.into(), source },
    })
}
