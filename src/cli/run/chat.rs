//! `flow run chat`: the options of `flow run` that a chat has.

use crate::site::{GeneralSettings, KeepSettings};
use crate::step::StepTable;

use super::super::chat_server::{CHAT, ChatCommand};
use super::super::exit::{CommandError, CommandExit};
use super::super::pointless::refuse_given;
use super::RunArguments;

impl RunArguments {
    /// Whether it is the chat that is to run.
    pub(super) fn is_chat(&self) -> bool {
        self.dataflow.as_deref() == Some(CHAT)
    }

    fn refuse_for_chat(&self) -> Result<(), CommandError> {
        let given = [
            ("--input or --files", !self.input.is_empty() || !self.files.is_empty()),
            ("--listen or --from", self.listen.is_given()),
            ("--to or --back-to", !self.to.is_empty() || !self.back_to.is_empty()),
            ("--output or --no-output", self.output.is_some() || self.no_output),
            ("--json or --priority", self.json || self.priority.is_some()),
            ("-n", !self.processes.is_alone()),
        ];
        refuse_given(given, "messages come from the clients of the chat, and answers go to them")
    }

    pub(super) fn run_chat(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        self.refuse_for_chat()?;
        #[cfg(feature = "books")]
        self.row.refuse_elsewhere()?;
        let general = GeneralSettings {
            state: self.state,
            workers: self.workers,
            lanes: self.lanes,
            memory: self.memory,
            free_min: self.free_min,
            keep: KeepSettings { days: self.keep_days, bytes: self.keep_bytes },
            ..GeneralSettings::default()
        };
        ChatCommand { general, chat: self.chat, site: self.site, page: self.page }.run(table)
    }
}
