//! `flow init`: a dataflow with steps of one's own, to begin with.

use std::io;
use std::path::PathBuf;

use crate::program::PYTHON_HELPER;

use super::exit::{CommandError, CommandExit};
#[cfg(feature = "chat")]
use super::init_chat_type::ChatTypeArguments;
use super::new_files;

/// Write a dataflow with steps of your own: two steps, a test that passes, and files to run them on
///
/// The commands that come next are printed. Nothing that is there already is overwritten.
///
/// `flow init chat-type NAME` writes a message type of a chat instead.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct InitArguments {
    #[cfg(feature = "chat")]
    #[command(subcommand)]
    other: Option<InitSubject>,

    /// The folder; it is made if it is not there
    #[arg(value_name = "DIR", default_value = "my-steps")]
    folder: PathBuf,

    /// The language of the steps
    #[arg(long, value_enum, default_value_t = StepLanguage::Python)]
    language: StepLanguage,
}

#[cfg(feature = "chat")]
#[derive(Debug, clap::Subcommand)]
enum InitSubject {
    ChatType(ChatTypeArguments),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StepLanguage {
    /// A file that flow runs; Python 3.8 or later is needed
    Python,
    /// A program that has the command line of flow; Cargo is needed
    Rust,
}

/// A file to write: its name and its text.
type NewFile = (&'static str, String);

const LETTERS: [(&str, &str); 2] =
    [("letters/first.txt", "Dear flow,\nthis is short.\n"), ("letters/second.txt", "This one is shorter.\n")];

impl InitArguments {
    /// # Errors
    /// A file is there already, or cannot be written.
    pub fn run(&self) -> Result<CommandExit, CommandError> {
        #[cfg(feature = "chat")]
        if let Some(InitSubject::ChatType(chat_type)) = &self.other {
            return chat_type.run();
        }
        let mut files = match self.language {
            StepLanguage::Python => python_files(),
            StepLanguage::Rust => rust_files(),
        };
        files.extend(LETTERS.map(|(name, text)| (name, text.to_owned())));
        new_files::write(&self.folder, &files, "name another folder")?;
        self.tell(&files)?;
        Ok(CommandExit::Done)
    }

    fn tell(&self, files: &[NewFile]) -> io::Result<()> {
        let go = format!("cd {}", self.folder.display());
        let next: Vec<(String, &str)> = match self.language {
            StepLanguage::Python => [
                (go.as_str(), ""),
                ("python3 test_steps.py", "the test of the steps"),
                ("flow check dataflow.yaml", "is everything wired right?"),
                (
                    "flow step counts --dataflow dataflow.yaml --input item=letters/first.txt",
                    "one step alone",
                ),
                ("flow run dataflow.yaml --files letters", "a request through all steps"),
            ]
            .map(|(command, why)| (command.to_owned(), why))
            .into(),
            StepLanguage::Rust => [
                (go.as_str(), ""),
                ("cargo test", "the test of the steps; the first build takes minutes"),
                ("cargo run -- check dataflow.yaml", "is everything wired right?"),
                (
                    "cargo run -- step counts --dataflow dataflow.yaml --input item=letters/first.txt",
                    "one step alone",
                ),
                ("cargo run -- run dataflow.yaml --files letters", "a request through all steps"),
            ]
            .map(|(command, why)| (command.to_owned(), why))
            .into(),
        };
        new_files::tell(&self.folder, files.iter().map(|(name, _)| *name), &next)
    }
}

fn python_files() -> Vec<NewFile> {
    vec![
        ("dataflow.yaml", include_str!("templates/python.yaml").to_owned()),
        ("steps.py", include_str!("templates/steps.py").to_owned()),
        ("test_steps.py", include_str!("templates/test_steps.py").to_owned()),
        ("flow_step.py", PYTHON_HELPER.to_owned()),
    ]
}

fn rust_files() -> Vec<NewFile> {
    let source = env!("CARGO_MANIFEST_DIR");
    let manifest = format!(
        "[package]\nname = \"my-steps\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         # The source of flow, where this flow was built.\nflow = {{ path = {source:?} }}\nserde_json = \"1\"\n"
    );
    vec![
        ("dataflow.yaml", include_str!("templates/rust.yaml").to_owned()),
        ("Cargo.toml", manifest),
        ("src/main.rs", include_str!("../../examples/own_words.rs").to_owned()),
    ]
}
