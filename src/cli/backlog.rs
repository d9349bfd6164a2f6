//! `flow backlog`: what is available and not converted.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::books::{BacklogClass, BookBacklog, BookInventory, StageRow, kept_numbers, numbers};
use crate::step::StepTable;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::output::{print_line, tell_line};
use super::run_row::row_of;

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

    /// List the books of a number, a barcode on each line
    #[arg(long, value_name = "NUMBER", value_parser = class())]
    list: Option<BacklogClass>,

    /// Print a line of JSON
    #[arg(long, conflicts_with = "list")]
    json: bool,
}

/// A number. Shells complete its names.
fn class() -> impl TypedValueParser<Value = BacklogClass> {
    let names = PossibleValuesParser::new(BacklogClass::ALL.map(BacklogClass::name));
    names.map(|name| {
        let class = BacklogClass::ALL.into_iter().find(|class| class.name() == name);
        class.expect("it is one of these")
    })
}

impl BacklogArguments {
    pub fn run(&self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let row = row_of(Some(&self.dataflow), self.output.as_deref(), table)?.ok_or_else(|| {
            CommandError::new(CommandErrorKind::Usage, format!("{} is no row of directories", self.dataflow))
                .hint("its first step is choose-books: see `flow graph books`")
        })?;
        // A process that runs the row keeps the numbers; lists are counted anew.
        let kept = kept_numbers(&row).filter(|_| self.list.is_none());
        let numbers = match kept {
            Some(numbers) => numbers,
            None => match self.counted(&row)? {
                Some(numbers) => numbers,
                None => return Ok(CommandExit::Done),
            },
        };
        if self.json {
            print_line(serde_json::Value::Object(numbers))?;
            return Ok(CommandExit::Done);
        }
        for class in BacklogClass::ALL {
            let number = numbers.get(class.name()).and_then(serde_json::Value::as_u64).unwrap_or_default();
            print_line(format_args!("{:20}{number:>10}", class.name()))?;
        }
        Ok(CommandExit::Done)
    }

    /// The numbers counted anew; `None` if the books of one of them were listed.
    fn counted(
        &self,
        row: &StageRow,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, CommandError> {
        let inventory = match BookInventory::of(row) {
            Some(inventory) => inventory.known(&|text| tell_line(text))?,
            None => Vec::new(),
        };
        let backlog = BookBacklog::of(row, &inventory);
        let backlog = backlog.map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let Some(class) = self.list else { return Ok(Some(numbers(&backlog))) };
        let mut barcodes: Vec<&str> = backlog.list(class).collect();
        barcodes.sort_unstable();
        barcodes.into_iter().try_for_each(print_line)?;
        Ok(None)
    }
}
