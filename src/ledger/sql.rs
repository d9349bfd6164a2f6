//! Questions in SQL about the rows of the views at one commit, in a database in memory that is read only.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Value, json};

use super::names::NameTable;
use super::row::RowCounts;
use super::table::{TABLES, table_row};

/// The tables of one commit.
pub struct LedgerSql(Connection);

/// A part of the answer to a question: first the names of the columns, then each row.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlPart<'a> {
    Columns(&'a [String]),
    Row(Vec<Value>),
}

#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    #[error("the question is not answered: {0}")]
    Question(rusqlite::Error),
    #[error("only one SELECT is answered")]
    Change,
    #[error("the tables could not be made: {0}")]
    Tables(#[from] rusqlite::Error),
}

impl LedgerSql {
    /// Fills the tables.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn of(rows: &RowCounts, names: &NameTable) -> Result<LedgerSql, SqlError> {
        let connection = Connection::open_in_memory()?;
        let transaction = connection.unchecked_transaction()?;
        for (table, columns) in TABLES {
            transaction.execute_batch(&format!("CREATE TABLE \"{table}\" ({})", columns.join(", ")))?;
        }
        for (row, count) in rows {
            let (table, values) = table_row(row, *count, names);
            let (name, columns) = TABLES[table];
            let places = vec!["?"; columns.len()].join(",");
            let mut insert =
                transaction.prepare_cached(&format!("INSERT INTO \"{name}\" VALUES ({places})"))?;
            insert.execute(params_from_iter(values.iter().map(sql_value)))?;
        }
        transaction.commit()?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(LedgerSql(connection))
    }

    /// Answers a question: hands out each part as it comes, until there are no more or `take` fails.
    ///
    /// # Errors
    /// If it is no SQL, or more than one SELECT; and as `take`.
    pub fn answer<E: From<SqlError>>(
        &self,
        question: &str,
        mut take: impl FnMut(SqlPart) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.0.prepare(question).map_err(|error| match error {
            rusqlite::Error::MultipleStatement => SqlError::Change,
            error => SqlError::Question(error),
        })?;
        // Statements that change or attach anything have no columns.
        if !statement.readonly() || statement.column_count() == 0 {
            return Err(SqlError::Change.into());
        }
        let columns = distinct(statement.column_names().map(str::to_owned).collect());
        take(SqlPart::Columns(&columns))?;
        let mut rows = statement.query([]).map_err(SqlError::Question)?;
        while let Some(row) = rows.next().map_err(SqlError::Question)? {
            let values = (0..columns.len()).map(|index| Ok(json_value(row.get_ref(index)?)));
            let values = values.collect::<rusqlite::Result<_>>().map_err(SqlError::Question)?;
            take(SqlPart::Row(values))?;
        }
        Ok(())
    }
}

/// The names of columns, where a second one of a name gets a number: `count`, `count_2`.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for name in &names {
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut free = std::iter::once(name.clone()).chain(numbered).filter(|one| !distinct.contains(one));
        // A numbered name must not take that of another column.
        let is_others = |one: &String| one != name && names.contains(one);
        distinct.extend(free.find(|one| !is_others(one)));
    }
    distinct
}

fn sql_value(value: &Value) -> rusqlite::types::Value {
    match value {
        Value::String(text) => rusqlite::types::Value::Text(text.clone()),
        Value::Number(number) => match number.as_i64() {
            Some(number) => rusqlite::types::Value::Integer(number),
            None => rusqlite::types::Value::Real(number.as_f64().unwrap_or_default()),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => rusqlite::types::Value::Null,
    }
}

fn json_value(value: ValueRef) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) | ValueRef::Blob(text) => json!(String::from_utf8_lossy(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{AnswerKind, RequestState};
    use crate::ledger::{TallyRow, ViewRow, WaitReason};

    fn answered(sql: &LedgerSql, question: &str) -> Result<(Vec<String>, Vec<Vec<Value>>), SqlError> {
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        sql.answer(question, |part| {
            match part {
                SqlPart::Columns(names) => columns.extend_from_slice(names),
                SqlPart::Row(row) => rows.push(row),
            }
            Ok::<(), SqlError>(())
        })?;
        Ok((columns, rows))
    }

    #[test]
    fn rows_are_handed_out_as_they_come() {
        let sql = LedgerSql::of(&RowCounts::new(), &NameTable::default()).unwrap();
        let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n";
        let mut rows = 0;
        let ended = sql.answer(endless, |_| {
            rows += 1;
            if rows > 100 { Err(SqlError::Change) } else { Ok(()) }
        });
        assert!(ended.is_err() && rows == 101);
    }

    #[test]
    fn a_question_is_answered_and_nothing_can_be_changed() {
        let mut names = NameTable::default();
        let (dataflow, step, archive) = (names.id("d"), names.id("lungs"), names.id("PACS"));
        let rows: RowCounts = [
            (ViewRow::Standing(dataflow, RequestState::Answered, AnswerKind::Failed), 3),
            (ViewRow::Tally(5, dataflow, TallyRow::Ran(step, 40)), 2),
            (ViewRow::Tally(6, dataflow, TallyRow::Ran(step, 44)), 5),
            (ViewRow::Waits(7, WaitReason::Down(archive, step), 9), 1),
        ]
        .into();
        let sql = LedgerSql::of(&rows, &names).unwrap();
        let answer = |question: &str| answered(&sql, question);
        let (columns, rows) =
            answer("SELECT subject, sum(count) AS n FROM tally WHERE event = 'ran'").unwrap();
        assert_eq!(columns, ["subject", "n"]);
        assert_eq!(rows, [[json!("lungs"), json!(7)]]);
        let (_, rows) = answer("SELECT request, reason, name, because FROM waits").unwrap();
        assert_eq!(rows, [[json!(7), json!("down"), json!("PACS"), json!("lungs")]]);
        for change in [
            "DELETE FROM waits",
            "ATTACH 'journal.sqlite' AS other",
            "SELECT 1; DELETE FROM waits",
            "PRAGMA query_only = false",
            "CREATE TABLE t (x)",
        ] {
            assert!(answer(change).is_err(), "{change}");
        }
        assert!(matches!(answer("SELECT nothing FROM waits"), Err(SqlError::Question(_))));
        assert_eq!(answer("SELECT count(*) FROM waits").unwrap().1, [[json!(1)]]);
        let (columns, _) = answer("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a").unwrap();
        assert_eq!(columns, ["a", "a_3", "a_2", "a_4"]);
    }

    #[test]
    fn every_row_has_a_value_for_each_column_of_its_table() {
        let mut names = NameTable::default();
        let name = names.id("a");
        let waits = WaitReason::Destination(name);
        let rows = [
            ViewRow::Standing(name, RequestState::Accepted, AnswerKind::Complete),
            ViewRow::Bytes(name, RequestState::Accepted, AnswerKind::Complete),
            ViewRow::Open(name, name, RequestState::Accepted),
            ViewRow::Oldest(1, 2, name),
            ViewRow::Waits(1, waits, 2),
            ViewRow::WaitCount(name, waits),
            ViewRow::StepEnded(name, name),
            ViewRow::StepReady(name, name),
            ViewRow::Down(name, name, 1),
            ViewRow::Queued(name),
            ViewRow::Tally(1, name, TallyRow::Accepted(name)),
            ViewRow::Running(1, name, name),
            ViewRow::RetryAt(1, name, 2),
            ViewRow::NextTry(1, name, 2),
            ViewRow::Declared(name, [name; 4], 3),
        ];
        for (index, row) in rows.iter().enumerate() {
            let (table, values) = table_row(row, 1, &names);
            assert_eq!((table, values.len()), (index, TABLES[index].1.len()), "{row:?}");
        }
        assert_eq!(rows.len(), TABLES.len());
        LedgerSql::of(&rows.map(|row| (row, 1)).into(), &names).unwrap();
    }
}
