//! `flow init chat-type`: a message type, to begin with.

use std::fs;
use std::path::PathBuf;

use crate::chat::built_in_files;
use crate::program::PYTHON_HELPER;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::new_files;

/// Write a message type of a chat: one file with schema, steps and examples
///
/// If the folder is not there, it is made with all types that flow carries, so that a chat that is served from it
/// knows those, too. The commands that come next are printed. Nothing that is there already is overwritten.
#[derive(Debug, clap::Args)]
pub struct ChatTypeArguments {
    /// The name of the type: small letters and digits, words joined by hyphens
    #[arg(value_name = "NAME")]
    name: String,

    /// The folder of the types
    #[arg(value_name = "DIR", default_value = "types")]
    folder: PathBuf,

    /// The language of a step of its own; without it, the type uses steps that flow carries
    #[arg(long, value_enum)]
    language: Option<TypeLanguage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TypeLanguage {
    /// A file that flow runs; Python 3.8 or later is needed
    Python,
}

const PLAIN: &str = include_str!("templates/chat-type.yaml");
const WITH_PYTHON: &str = include_str!("templates/chat-type-python.yaml");
const STEP: &str = include_str!("templates/chat_type.py");
const HELPER: &str = "flow_step.py";

impl ChatTypeArguments {
    /// # Errors
    /// The name is none, a file is there already, or cannot be written.
    pub fn run(&self) -> Result<CommandExit, CommandError> {
        let name = &self.name;
        let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        if !name.split('-').all(|word| !word.is_empty() && word.chars().all(is_plain)) {
            let text = format!("{name:?} is not the name of a type");
            let hint = "a name is small letters and digits, words joined by a hyphen: blood-pressure";
            return Err(CommandError::new(CommandErrorKind::Usage, text).hint(hint));
        }
        // A step is called as its function, and both need a name that no other step has.
        let function = format!("add_mean_of_{}", name.replace('-', "_"));
        let module = name.replace('-', "_");
        let parts = [
            ("NAME", name.clone()),
            ("FILE", module.clone()),
            ("STEP", function.replace('_', "-")),
            ("FUNCTION", function),
        ];
        let named =
            |text: &str| parts.iter().fold(text.to_owned(), |text, (part, word)| text.replace(part, word));
        let template = if self.language.is_some() { WITH_PYTHON } else { PLAIN };
        let mut files = vec![(format!("{name}.yaml"), named(template))];
        if self.language.is_some() {
            files.push((format!("{module}.py"), named(STEP)));
            if fs::read_to_string(self.folder.join(HELPER)).ok().as_deref() != Some(PYTHON_HELPER) {
                files.push((HELPER.to_owned(), PYTHON_HELPER.to_owned()));
            }
        }
        let written: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        if !self.folder.exists() {
            let carried = built_in_files().filter_map(|(path, text)| {
                let file = path.rsplit('/').next()?.to_owned();
                (!written.contains(&file)).then(|| (file, text.to_owned()))
            });
            files.extend(carried.collect::<Vec<_>>());
        }
        new_files::write(&self.folder, &files, "choose another name, or edit that file")?;
        let file = self.folder.join(&written[0]);
        let next = [
            (
                format!("flow check --examples {}", file.display()),
                "is it right, and is it answered as its examples say?",
            ),
            (format!("flow graph {}", file.display()), "its steps"),
        ];
        new_files::tell(&self.folder, written.iter().map(String::as_str), &next)?;
        Ok(CommandExit::Done)
    }
}
