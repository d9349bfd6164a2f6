//! Steps in Rust: they count the words of files. `flow init --language rust` writes this program.

use std::process::ExitCode;

use flow::step::{
    Fault, Item, JsonValue, Parameter, ResponseFile, ResponseFiles, Step, StepOutputs, StepTable,
};
use serde_json::json;

fn main() -> ExitCode {
    flow::cli::main(&StepTable::built_in().with(count_words()).with(add_counts()))
}

fn count_words() -> Step {
    Step::new("count-words", 1, "Counts the words of a file that have at least so many letters.")
        .takes::<Item>("item")
        .parameter(Parameter::number("least", 1.0, 1.0, 100.0, "letters"))
        .gives::<JsonValue>("json")
        .runs(|call| {
            let item = call.input::<Item>("item");
            let read = |error| Fault::new(format!("{} cannot be read: {error}", item.name), "Send it again.");
            let text = String::from_utf8_lossy(&item.open().map_err(read)?).into_owned();
            let words = count(&text, call.number("least") as usize).ok_or_else(|| {
                Fault::new(format!("{} has no words", item.name), "Send a file with text in it.")
            })?;
            Ok(StepOutputs::one("json", JsonValue(json!({ "file": item.name, "words": words }))))
        })
}

fn add_counts() -> Step {
    Step::new("add-counts", 1, "Adds up the counts of all files.")
        .takes_each::<JsonValue>("counts")
        .gives::<ResponseFiles>("files")
        .runs(|call| {
            let counts: Vec<_> = call.each::<JsonValue>("counts").iter().map(|count| &count.0).collect();
            let total: u64 = counts.iter().filter_map(|count| count["words"].as_u64()).sum();
            let text = format!("{:#}\n", json!({ "total": total, "files": counts }));
            let file = ResponseFile::new("words.json", "application/json", text.into_bytes());
            Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
        })
}

/// The words with at least so many letters; `None` if there are no words at all.
fn count(text: &str, least: usize) -> Option<usize> {
    let words: Vec<&str> = text.split_whitespace().collect();
    (!words.is_empty()).then(|| words.iter().filter(|word| word.chars().count() >= least).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted() {
        assert_eq!(count("a word\nand one more", 1), Some(5));
        assert_eq!(count("a word\nand one more", 4), Some(2));
        assert_eq!(count(" \n", 1), None);
    }
}
