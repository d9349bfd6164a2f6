//! `flow backlog`: what is available and not converted.

use std::path::PathBuf;

use crate::books::{BacklogClass, BookBacklog, BookInventory};
use crate::step::StepTable;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::output::{print_line, tell_line};
use super::run_row::{ROOT, row_of};

/// Count the books that are available and not converted, or list them
///
/// The backlog is what the inventory has, without what is done, in flight or parked. The other numbers
/// show where directories and store do not agree.
#[derive(Debug, clap::Args)]
pub struct BacklogArguments {
    /// The dataflow with the row of directories
    #[arg(value_name = "DATAFLOW", default_value = "books")]
    dataflow: String,

    /// The folder with the directories [default: flow-output]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// List the books of a number, a barcode on each line: backlog, chosen-not-stored, stored-not-chosen, available, converted, in-flight, failed, stored
    #[arg(long, value_name = "NUMBER", value_parser = class)]
    list: Option<BacklogClass>,

    /// Print a line of JSON
    #[arg(long, conflicts_with = "list")]
    json: bool,
}

fn class(text: &str) -> Result<BacklogClass, String> {
    let names = BacklogClass::ALL.map(BacklogClass::name);
    let class = BacklogClass::ALL.into_iter().find(|class| class.name() == text);
    class.ok_or_else(|| format!("the numbers are {}", names.join(", ")))
}

impl BacklogArguments {
    pub fn run(&self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let root = self.output.clone().unwrap_or_else(|| ROOT.into());
        let row = row_of(&self.dataflow, &root, table)?.ok_or_else(|| {
            CommandError::new(CommandErrorKind::Usage, format!("{} is no row of directories", self.dataflow))
                .hint("its first step is choose-books: see `flow graph books`")
        })?;
        let failed = CommandError::of(CommandErrorKind::InputOutput);
        let inventory = match BookInventory::of(&row) {
            Some(inventory) => inventory.known(&|text| tell_line(text))?,
            None => Vec::new(),
        };
        let backlog =
            BookBacklog::of(&row, &inventory).map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        if let Some(class) = self.list {
            let mut barcodes: Vec<&str> = backlog.list(class).collect();
            barcodes.sort_unstable();
            barcodes.into_iter().try_for_each(print_line)?;
            return Ok(CommandExit::Done);
        }
        let counts = BacklogClass::ALL.map(|class| (class.name(), backlog.count(class)));
        if self.json {
            let counts: serde_json::Map<String, serde_json::Value> =
                counts.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
            print_line(serde_json::Value::Object(counts))?;
            return Ok(CommandExit::Done);
        }
        for (name, count) in counts {
            print_line(format_args!("{name:20}{count:>10}")).map_err(&failed)?;
        }
        Ok(CommandExit::Done)
    }
}
