//! The rows of the views as rows of tables with named columns: for SQL and for programs.

use serde_json::{Map, Value, json};

use crate::journal::tally::bucket_end_us;

use super::names::NameTable;
use super::row::{TallyRow, ViewRow};
use super::snapshot::told;

/// A table: its name and its columns.
pub type TableColumns = (&'static str, &'static [&'static str]);

/// All tables. The last column of each says how often the row is there, or a sum.
pub const TABLES: [TableColumns; 15] = [
    ("standing", &["dataflow", "state", "answer", "requests"]),
    ("bytes", &["dataflow", "state", "answer", "bytes"]),
    ("open", &["dataflow", "source", "state", "requests"]),
    ("oldest", &["opened_ms", "request", "dataflow", "count"]),
    ("waits", &["request", "reason", "name", "because", "since_ms", "count"]),
    ("wait_counts", &["dataflow", "reason", "name", "because", "requests"]),
    ("steps_ended", &["dataflow", "step", "requests"]),
    ("steps_ready", &["dataflow", "step", "requests"]),
    ("down", &["destination", "reason", "since_ms", "count"]),
    ("queued", &["destination", "requests"]),
    ("tally", &["begin_ms", "dataflow", "event", "subject", "kind", "reason", "seconds", "count"]),
    ("running", &["request", "dataflow", "step", "count"]),
    ("retry_at", &["request", "step", "at_ms", "count"]),
    ("next_try", &["request", "destination", "at_ms", "count"]),
    ("declared", &["view", "key1", "key2", "key3", "key4", "seconds", "count"]),
];

const HOUR_MS: i64 = 3_600_000;

/// A row as one of a table: the index of the table, and a value for each of its columns.
pub fn table_row(row: &ViewRow, count: isize, names: &NameTable) -> (usize, Vec<Value>) {
    let text = |id| Value::from(names.text(id));
    let because = |reason| {
        let (reason, name, because) = told(reason, names);
        [json!(reason), json!(name), json!(because)]
    };
    let (table, mut values) = match *row {
        ViewRow::Standing(dataflow, state, answer) => {
            (0, vec![text(dataflow), json!(state.name()), json!(answer.name())])
        }
        ViewRow::Bytes(dataflow, state, answer) => {
            (1, vec![text(dataflow), json!(state.name()), json!(answer.name())])
        }
        ViewRow::Open(dataflow, source, state) => {
            (2, vec![text(dataflow), text(source), json!(state.name())])
        }
        ViewRow::Oldest(opened_ms, request, dataflow) => {
            (3, vec![json!(opened_ms), json!(request), text(dataflow)])
        }
        ViewRow::Waits(request, reason, since_ms) => {
            let [reason, name, because] = because(reason);
            (4, vec![json!(request), reason, name, because, json!(since_ms)])
        }
        ViewRow::WaitCount(dataflow, reason) => {
            let [reason, name, because] = because(reason);
            (5, vec![text(dataflow), reason, name, because])
        }
        ViewRow::StepEnded(dataflow, step) => (6, vec![text(dataflow), text(step)]),
        ViewRow::StepReady(dataflow, step) => (7, vec![text(dataflow), text(step)]),
        ViewRow::Down(destination, reason, since_ms) => {
            (8, vec![text(destination), text(reason), json!(since_ms)])
        }
        ViewRow::Queued(destination) => (9, vec![text(destination)]),
        ViewRow::Tally(hour, dataflow, tally) => {
            let mut values = vec![json!(hour * HOUR_MS), text(dataflow)];
            values.extend(tally_values(tally, names));
            (10, values)
        }
        ViewRow::Running(request, dataflow, step) => (11, vec![json!(request), text(dataflow), text(step)]),
        ViewRow::RetryAt(request, step, at_ms) => (12, vec![json!(request), text(step), json!(at_ms)]),
        ViewRow::NextTry(request, destination, at_ms) => {
            (13, vec![json!(request), text(destination), json!(at_ms)])
        }
        ViewRow::Declared(view, keys, bucket) => {
            let mut values = vec![text(view)];
            values.extend(keys.map(text));
            values.push(seconds(bucket));
            (14, values)
        }
    };
    values.push(json!(count));
    (table, values)
}

/// Event, subject, kind, reason and seconds of a count.
fn tally_values(tally: TallyRow, names: &NameTable) -> [Value; 5] {
    let text = |id| Value::from(names.text(id));
    let none = || Value::from("");
    match tally {
        TallyRow::Accepted(source) => [json!("accepted"), text(source), none(), none(), Value::Null],
        TallyRow::Answered(answer, bucket) => {
            [json!("answered"), json!(answer.name()), none(), none(), seconds(bucket)]
        }
        TallyRow::Ran(step, bucket) => [json!("ran"), text(step), none(), none(), seconds(bucket)],
        TallyRow::Failed(step, kind, reason) => {
            [json!("failed"), text(step), text(kind), text(reason), Value::Null]
        }
        TallyRow::Delivered(destination) => {
            [json!("delivered"), text(destination), none(), none(), Value::Null]
        }
        TallyRow::NotDelivered(destination) => {
            [json!("not_delivered"), text(destination), none(), none(), Value::Null]
        }
    }
}

/// The time below which all times of a bucket are, in seconds.
fn seconds(bucket: u16) -> Value {
    json!(bucket_end_us(bucket) / 1e6)
}

/// A row as JSON, by the names of its columns.
pub fn row_json(row: &ViewRow, count: isize, names: &NameTable) -> Value {
    let (table, values) = table_row(row, count, names);
    let (name, columns) = TABLES[table];
    let mut fields: Map<String, Value> =
        columns.iter().map(|column| (*column).to_owned()).zip(values).collect();
    fields.insert("table".to_owned(), json!(name));
    Value::Object(fields)
}
