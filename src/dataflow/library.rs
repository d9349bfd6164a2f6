//! Loading of dataflows: those that the binary includes, and files on disk.

use crate::yaml;
use std::path::PathBuf;
use std::{fs, io};

use super::Dataflow;
use crate::step::StepTable;
use crate::yaml::Problems;

/// The files in the folder `dataflows`, by name.
const BUILT_IN: &[(&str, &str)] = &[
    #[cfg(feature = "books")]
    ("books", include_str!("../../dataflows/books.yaml")),
    ("ct-lung", include_str!("../../dataflows/ct-lung.yaml")),
    ("study-report", include_str!("../../dataflows/study-report.yaml")),
    ("tally", include_str!("../../dataflows/tally.yaml")),
];

/// Names of what this build leaves out: each is that of the feature that has it.
const LEFT_OUT: &[&str] = &[
    #[cfg(not(feature = "books"))]
    "books",
    #[cfg(not(feature = "chat"))]
    "chat",
];

/// The error of [`Dataflow::load`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file and no built-in dataflow has the name.
    #[error("{name:?} is neither a file nor a dataflow that flow carries")]
    Unknown {
        /// The name.
        name: String,
        /// A similar name, or all names.
        hint: Option<String>,
    },
    /// The file cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file has problems.
    #[error("{0}")]
    Problems(Problems),
}

impl LoadError {
    /// The hint for an unknown name.
    pub fn hint(&self) -> Option<&str> {
        match self {
            LoadError::Unknown { hint, .. } => hint.as_deref(),
            LoadError::Read { .. } | LoadError::Problems(_) => None,
        }
    }
}

/// The names of the built-in dataflows.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

impl Dataflow {
    /// The text of a built-in dataflow.
    pub fn built_in(name: &str) -> Option<&'static str> {
        BUILT_IN.iter().find(|(built_in, _)| *built_in == name).map(|(_, text)| *text)
    }

    /// Loads a dataflow by the name of a built-in one, or by the path of a file. A built-in name takes
    /// precedence; write `./NAME` for a file with the same name.
    ///
    /// ```
    /// use flow::dataflow::{Dataflow, LoadError};
    /// use flow::step::StepTable;
    ///
    /// let dataflow = Dataflow::load("ct-lung", &StepTable::built_in())?;
    /// assert!(dataflow.drawing().starts_with("ct-lung"));
    ///
    /// let misspelt = Dataflow::load("ct-lugn", &StepTable::built_in());
    /// let hint = misspelt.err().and_then(|error| error.hint().map(str::to_owned));
    /// assert_eq!(hint.as_deref(), Some("did you mean \"ct-lung\"?"));
    /// # Ok::<(), LoadError>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such file, it cannot be read, or it has problems.
    pub fn load(name_or_path: &str, table: &StepTable) -> Result<Dataflow, LoadError> {
        let (file, text) = match Dataflow::built_in(name_or_path) {
            Some(text) => (format!("dataflows/{name_or_path}.yaml"), text.to_owned()),
            None => (name_or_path.to_owned(), read(name_or_path)?),
        };
        Dataflow::parse(&file, &text, table).map_err(LoadError::Problems)
    }
}

fn read(path: &str) -> Result<String, LoadError> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Unknown { name: path.to_owned(), hint: hint(path) },
        _ => LoadError::Read { path: path.into(), source },
    })
}

fn hint(name: &str) -> Option<String> {
    if LEFT_OUT.contains(&name) {
        return Some(format!("this flow was built without it: build it with the feature {name:?}"));
    }
    yaml::meant_or_all(name, built_in_names())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_carried() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dataflows");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let yaml = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        let mut names: Vec<String> =
            yaml.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        assert_eq!(names, built_in_names().collect::<Vec<&str>>());
    }
}
