//! `flow sql`: questions about the views of a journal.

use std::io;

use crate::ledger::{LedgerSql, NameTable, SqlError, SqlPart, add_declared_rows, plain_rows};
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
        let mut columns = Vec::new();
        let sql = LedgerSql::of(&rows, &names).map_err(SqlCommandError::Sql)?;
        // Rows are printed as they come: there may be many, and a reader that has seen enough ends it.
        sql.answer(&self.query, |part| -> Result<(), SqlCommandError> {
            match part {
                SqlPart::Columns(names) if self.json => columns = names.to_vec(),
                SqlPart::Columns(names) => print_cells(names)?,
                SqlPart::Row(row) if self.json => {
                    let fields: Map<String, Value> = columns.iter().cloned().zip(row).collect();
                    print_line(Value::Object(fields))?;
                }
                SqlPart::Row(row) => print_cells(&row.iter().map(cell).collect::<Vec<String>>())?,
            }
            Ok(())
        })?;
        Ok(CommandExit::Done)
    }
}

/// The reason why a question is not answered.
enum SqlCommandError {
    Sql(SqlError),
    Output(io::Error),
}

impl From<SqlError> for SqlCommandError {
    fn from(error: SqlError) -> SqlCommandError {
        SqlCommandError::Sql(error)
    }
}

impl From<io::Error> for SqlCommandError {
    fn from(error: io::Error) -> SqlCommandError {
        SqlCommandError::Output(error)
    }
}

impl From<SqlCommandError> for CommandError {
    fn from(error: SqlCommandError) -> CommandError {
        match error {
            SqlCommandError::Output(error) => error.into(),
            SqlCommandError::Sql(error @ SqlError::Tables(_)) => {
                CommandError::of(CommandErrorKind::InputOutput)(error)
            }
            SqlCommandError::Sql(error) => CommandError::new(CommandErrorKind::Usage, error.to_string())
                .hint("`flow sql \"SELECT name, sql FROM sqlite_schema\"` lists tables and columns"),
        }
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
