//! `flow sql`: questions about the views of a journal.

use crate::ledger::{LedgerSql, NameTable, SqlError, add_declared_rows, plain_rows};
use crate::step::StepTable;
use serde_json::{Map, Value};

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::lookup;
use super::monitor::wirings;
use super::output::{print_cells, print_line};
use super::state_arguments::StateArguments;

/// Ask in SQL what a flow has done and what waits
///
/// The tables are those of the status page at one commit, in memory; nothing can be changed. They
/// are listed in the reference.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow sql \"SELECT subject, sum(count) FROM tally WHERE event = 'ran' GROUP BY subject\"
  flow sql \"SELECT * FROM waits ORDER BY since_ms LIMIT 10\"")]
pub struct SqlArguments {
    /// A SELECT of SQLite
    #[arg(value_name = "QUERY")]
    query: String,

    /// Print a line of JSON for each row
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    state: StateArguments,
}

impl SqlArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let state = self.state.find()?;
        let reader = lookup::open(&state)?;
        let cut = reader.cut().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let mut names = NameTable::default();
        let mut rows = plain_rows(&cut, &*wirings(&state, table.clone()), &mut names);
        add_declared_rows(&cut.tally, &self.state.views()?, &mut names, &mut rows);
        let answer = LedgerSql::of(&rows, &names).and_then(|sql| sql.answer(&self.query));
        let answer = answer.map_err(|error| match error {
            SqlError::Tables(_) => CommandError::of(CommandErrorKind::InputOutput)(error),
            error => CommandError::new(CommandErrorKind::Usage, error.to_string())
                .hint("`flow sql \"SELECT name, sql FROM sqlite_schema\"` lists tables and columns"),
        })?;
        if !self.json {
            print_cells(&answer.columns)?;
        }
        for row in answer.rows {
            if self.json {
                let fields: Map<String, Value> = answer.columns.iter().cloned().zip(row).collect();
                print_line(Value::Object(fields))?;
            } else {
                print_cells(&row.iter().map(cell).collect::<Vec<String>>())?;
            }
        }
        Ok(CommandExit::Done)
    }
}

/// A value in a line.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
