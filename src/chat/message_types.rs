//! Message types by name: the files of a folder, or those that flow carries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use include_dir::{Dir, include_dir};

use crate::dataflow::Dataflow;
use crate::step::StepTable;
use crate::yaml::{Problem, ProblemCollector, Problems, SourcePlace};

use super::message_section::{self, MessageSection};
use super::message_type::MessageType;

/// The types that flow carries: every file in the folder.
static BUILT_IN: Dir = include_dir!("$CARGO_MANIFEST_DIR/dataflows/chat");

const ENDING: &str = "yaml";

/// The types that a server knows.
#[derive(Clone, Debug, Default)]
pub struct MessageTypes(BTreeMap<String, Arc<MessageType>>);

/// The error of reading a folder of types.
#[derive(Debug, thiserror::Error)]
pub enum MessageTypeError {
    /// The folder, or a file in it.
    #[error("could not read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("no file in {} ends in .{ENDING}", path.display())]
    Empty { path: PathBuf },
    /// The problems of all files.
    #[error("{0}")]
    Problems(Problems),
}

impl MessageType {
    /// Reads a dataflow file with the key `message`. `file` is its name in messages.
    ///
    /// # Errors
    /// All problems of the file.
    pub fn parse(file: &str, text: &str, table: &StepTable) -> Result<MessageType, Problems> {
        let Some(one) = MessageType::of(Dataflow::parse(file, text, table)?) else {
            let mut collector = ProblemCollector::new(file, text);
            let hint =
                "say who sends it and what it holds: message: {from: [patient], content: {…}}".to_owned();
            let message = format!("a message type lacks the key \"{}\"", message_section::KEY);
            collector.add(SourcePlace::START, message).hint(hint);
            return collector.finish(None);
        };
        Ok(one)
    }

    /// The type that a dataflow is, if its file has the key `message`.
    pub fn of(dataflow: Dataflow) -> Option<MessageType> {
        let section = message_section::of_text(dataflow.text())?;
        let MessageSection { from, answer, order, keep, context, content, examples } = section;
        let dataflow = Arc::new(dataflow);
        Some(MessageType { dataflow, from, answer, order, keep, context, content, examples })
    }
}

impl MessageTypes {
    /// The types that flow carries.
    ///
    /// # Errors
    /// All problems of their files, if the table lacks a step.
    pub fn built_in(table: &StepTable) -> Result<MessageTypes, MessageTypeError> {
        let files = built_in_files().map(|(name, text)| (PathBuf::from(name), text.to_owned()));
        read(files.collect(), table)
    }

    /// The types of all files in a folder that end in `.yaml`. None is taken if one has a problem.
    ///
    /// # Errors
    /// If a file cannot be read, or has problems, or there is none.
    pub fn load(folder: &Path, table: &StepTable) -> Result<MessageTypes, MessageTypeError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
                files.push((path, text));
            }
        }
        if files.is_empty() {
            return Err(MessageTypeError::Empty { path: folder.to_owned() });
        }
        read(files, table)
    }

    /// The type of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<MessageType>> {
        self.0.get(name)
    }

    /// All types, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<MessageType>> {
        self.0.values()
    }
}

/// The files of the types that flow carries, by their paths below the project's folder.
pub fn built_in_files() -> impl Iterator<Item = (String, &'static str)> {
    BUILT_IN.files().filter_map(|file| {
        let name = file.path().to_str().filter(|name| name.ends_with(ENDING))?;
        Some((format!("dataflows/chat/{name}"), file.contents_utf8()?))
    })
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> MessageTypeError {
    let path = path.to_owned();
    move |source| MessageTypeError::Unreadable { path, source }
}

fn read(files: Vec<(PathBuf, String)>, table: &StepTable) -> Result<MessageTypes, MessageTypeError> {
    let (mut types, mut problems) = (MessageTypes::default(), Vec::<Problem>::new());
    for (path, text) in files {
        match of_file(&path, &text, table) {
            Ok(one) => drop(types.0.insert(one.name().to_owned(), Arc::new(one))),
            Err(found) => problems.extend(found.iter().cloned()),
        }
    }
    match Problems::of(problems) {
        Some(problems) => Err(MessageTypeError::Problems(problems)),
        None => Ok(types),
    }
}

/// The type in a file. It is called as the file, so that two files never define the same.
fn of_file(path: &Path, text: &str, table: &StepTable) -> Result<MessageType, Problems> {
    let file = path.display().to_string();
    let one = MessageType::parse(&file, text, table)?;
    if path.file_stem().is_some_and(|stem| stem == one.name()) {
        return Ok(one);
    }
    let mut collector = ProblemCollector::new(&*file, text);
    let message = format!("the dataflow \"{}\" stands in a file of another name", one.name());
    collector.add(SourcePlace::START, message).hint(format!("call the file {}.{ENDING}", one.name()));
    collector.finish(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{AnswerMode, MessageOrder, MessageRetention};

    const TEXT: &str = include_str!("../../dataflows/chat/text.yaml");

    fn problems(text: &str) -> String {
        MessageType::parse("text.yaml", text, &StepTable::built_in()).unwrap_err().to_string()
    }

    #[test]
    fn all_problems_of_a_type_are_reported_at_once_with_their_lines() {
        let text = TEXT
            .replace("[patient, provider]", "[patient, All]")
            .replace("order: conversation", "order: any");
        let text = text.replace("step: write-events", "step: write-event");
        let found = problems(&text);
        assert!(found.contains("text.yaml:5:19: \"All\" is not a role"), "{found}");
        assert!(found.contains("text.yaml:6:10: \"order\" is one of \"none\", \"conversation\""), "{found}");
        assert!(found.contains("did you mean \"write-events\"?"), "{found}");
    }

    #[test]
    fn a_schema_and_examples_are_checked() {
        let found = problems(&TEXT.replace("type: string", "type: strin"));
        assert!(found.contains("text.yaml:7:3: \"content\" is no JSON Schema"), "{found}");
        let found = problems(&TEXT.replace("refused: /text", "refused: /other"));
        assert!(found.contains("does not fit: /text: it is empty"), "{found}");
        let found = problems(&TEXT.replace("{text: Hello}\n", "{text: 7}\n"));
        assert!(found.contains("does not fit: /text"), "{found}");
        let found = problems(&TEXT.replace("- from: provider", "- from: nurse"));
        assert!(found.contains("the role \"nurse\" may not send this type"), "{found}");
        let found = problems(&TEXT.replace("{/content/text}\"}}]", "{/content/text\"}}]"));
        assert!(found.contains("has a place without a closing brace"), "{found}");
        let rest = &TEXT[TEXT.find("steps:").unwrap()..];
        let found = problems(&format!("dataflow: x\n{rest}"));
        assert!(found.contains("a message type lacks the key \"message\""), "{found}");
    }

    #[test]
    fn a_type_knows_its_settings() {
        let table = StepTable::built_in();
        let one = MessageType::parse("text.yaml", TEXT, &table).unwrap();
        assert!(one.may_send("patient") && !one.may_send("robot"));
        assert_eq!((one.answer, one.order), (AnswerMode::InLine, MessageOrder::Conversation));
        assert!(matches!(one.keep, MessageRetention::For(time) if time.as_secs() == 90 * 24 * 3600));
        let types = MessageTypes::built_in(&table).unwrap();
        assert_eq!(types.get("typing").unwrap().keep, MessageRetention::Nothing);
        assert_eq!(types.get("summary").unwrap().context, 50);
        assert_eq!(types.get("summary").unwrap().answer, AnswerMode::Background);
        assert!(types.get("nothing").is_none());
    }

    #[test]
    fn a_folder_is_read_as_a_whole_or_not_at_all() {
        let (folder, table) = (tempfile::tempdir().unwrap(), StepTable::built_in());
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let load = || MessageTypes::load(folder.path(), &table);
        assert!(load().unwrap_err().to_string().contains("no file in"));
        write("text.yaml", TEXT);
        write("notes.txt", "no type");
        assert_eq!(load().unwrap().iter().len(), 1);
        write("other.yaml", TEXT);
        write("third.yaml", "dataflow: third");
        let problems = load().unwrap_err().to_string();
        assert!(
            problems.contains("call the file text.yaml") && problems.contains("third.yaml:1:1"),
            "{problems}"
        );
    }
}
