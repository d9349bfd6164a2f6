//! `flow conformance`: the DICOM conformance statement.

use std::io::{Write, stdout};

use crate::dicom;

use super::exit::{Exit, Failure};

/// Print the DICOM conformance statement (PS3.2), as Markdown
#[derive(Debug, clap::Args)]
pub struct Conformance {}

impl Conformance {
    pub fn run(self) -> Result<Exit, Failure> {
        stdout().write_all(dicom::conformance().as_bytes())?;
        Ok(Exit::Done)
    }
}
