//! Options of `flow run` that have no meaning for a row of directories.

use super::super::exit::CommandError;
use super::super::pointless::refuse_given;
use super::RunArguments;

impl RunArguments {
    /// Refuses what has no meaning for a row of directories.
    pub(super) fn refuse_for_rows(&self) -> Result<(), CommandError> {
        let given = [
            (
                "--input, --files or a listener",
                !self.input.is_empty() || !self.files.is_empty() || self.listen.is_given(),
            ),
            ("--to or --back-to", !self.to.is_empty() || !self.back_to.is_empty()),
            (
                "--state, --site or --page",
                self.state.is_some() || self.site.is_given() || self.page.is_some(),
            ),
            ("-n", !self.processes.is_alone()),
            ("--json, --no-output or --priority", self.json || self.no_output || self.priority.is_some()),
        ];
        refuse_given(
            given,
            "a row of directories takes its tokens from its first directory, and is its own record",
        )
    }
}
