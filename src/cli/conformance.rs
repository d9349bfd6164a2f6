//! `flow conformance`: the DICOM conformance statement.

use std::io::{Write, stdout};

use crate::dicom;

use super::exit::{CommandError, CommandExit};

/// Print the DICOM conformance statement (PS3.2), as Markdown
#[derive(Debug, clap::Args)]
pub struct ConformanceArguments {}

impl ConformanceArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        stdout().write_all(dicom::conformance().as_bytes())?;
        Ok(CommandExit::Done)
    }
}
