//! `flow conformance`: the DICOM conformance statement.

use std::io::Write;

use crate::dicom;

use super::exit::{CommandError, CommandExit};
use super::output;

/// Print the DICOM conformance statement (PS3.2), as Markdown
#[derive(Debug, clap::Args)]
pub struct ConformanceArguments {}

impl ConformanceArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        output::stdout().write_all(dicom::conformance().as_bytes())?;
        Ok(CommandExit::Done)
    }
}
