//! `flow conversations`: how the conversations of a chat stand.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::chat::{ConversationSummary, LogReader};
use crate::journal::JournalReader;
use crate::printable::{PrintableLines, counted};

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::output;
use super::state_arguments::StateArguments;

/// Show how the conversations of a chat stand
///
/// A conversation is being answered while a message of it is in work; else it stands as its last event says. What was
/// said is not shown.
#[derive(Debug, clap::Args)]
pub struct ConversationsArguments {
    /// Show this many conversations, those with the latest events first
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    count: usize,

    /// Print a line of JSON for each conversation
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    state: StateArguments,
}

/// A conversation as it is shown.
#[derive(Debug, Serialize)]
struct ConversationRow {
    conversation: String,
    state: String,
    events: u64,
    in_work: usize,
    last_ms: i64,
    last_type: String,
    last_role: String,
}

/// The type of the event that ends a conversation.
const CLOSE: &str = "close";

impl ConversationsArguments {
    pub fn run(&self) -> Result<CommandExit, CommandError> {
        let state = &self.state.find()?;
        let Some(log) = LogReader::of_state(state) else {
            let text = format!("there is no chat in {}", state.display());
            return Err(
                CommandError::new(CommandErrorKind::InputOutput, text).hint("`flow run chat` serves one")
            );
        };
        let summaries = log.summaries().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let in_work = in_work(state)?;
        let mut rows: Vec<ConversationRow> = summaries.into_iter().map(|one| row(one, &in_work)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.last_ms));
        match self.json {
            true => {
                for row in rows.iter().take(self.count) {
                    let line = serde_json::to_string(row).expect("it is made of texts and numbers");
                    output::print_line(line)?;
                }
            }
            false => output::print(&lines(&rows, self.count))?,
        }
        Ok(CommandExit::Done)
    }
}

/// The messages in work, by conversation.
fn in_work(state: &Path) -> Result<BTreeMap<String, usize>, CommandError> {
    let reader = JournalReader::open(state)?;
    let mut in_work = BTreeMap::new();
    for row in reader.overview(0)?.open {
        let history = reader.history(row.number)?;
        let Ok((request, _)) = history.request() else { continue };
        *in_work.entry(request.attribute("conversation").to_owned()).or_default() += 1;
    }
    Ok(in_work)
}

fn row(summary: ConversationSummary, in_work: &BTreeMap<String, usize>) -> ConversationRow {
    let ConversationSummary { name, last, last_ms, last_type, last_role } = summary;
    let in_work = in_work.get(&name).copied().unwrap_or(0);
    let state = match (in_work, last_type.as_str(), last_role.as_str()) {
        (1.., ..) => "being answered".to_owned(),
        (0, CLOSE, _) => "closed".to_owned(),
        (0, "", _) => "expired".to_owned(),
        (0, _, role) => format!("last said by {role}"),
    };
    ConversationRow { conversation: name, state, events: last, in_work, last_ms, last_type, last_role }
}

fn lines(rows: &[ConversationRow], count: usize) -> PrintableLines {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *states.entry(&row.state).or_default() += 1);
    let mut lines = PrintableLines::of(counted(rows.len(), "conversation"));
    for (state, count) in states {
        lines.push(format_args!("{count:>7}  {state}"));
    }
    for row in rows.iter().take(count) {
        let ConversationRow { conversation, state, events, in_work, last_type, .. } = row;
        let work = if *in_work > 0 { format!(", {in_work} in work") } else { String::new() };
        lines.push(format_args!("{conversation}  {state}; {events} events{work}, the last one {last_type}"));
    }
    lines
}
