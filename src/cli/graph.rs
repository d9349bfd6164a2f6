//! `flow graph`: a dataflow as a drawing.

use std::io::{self, Write};

use crate::dataflow::{Dataflow, LoadError};
use crate::step::StepTable;

/// Draw a dataflow: its steps, what each needs and gives
///
/// `text` is for the terminal: one line a step, in the order of the data; what meets the mark of a
/// step is what it needs. ● is a step, ◐ one with a condition, ○ one that is switched off.
///
/// `flow graph ct-lung --format dot | dot -Tsvg > ct-lung.svg` makes a picture.
#[derive(Debug, clap::Args)]
pub struct GraphArguments {
    /// A file, or the name of a dataflow that flow carries
    #[arg(value_name = "DATAFLOW", default_value = "ct-lung")]
    dataflow: String,
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    format: GraphFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum GraphFormat {
    /// For the terminal
    Text,
    /// For Graphviz
    Dot,
    /// For Mermaid, in Markdown pages
    Mermaid,
}

#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("could not write the drawing")]
    Write(#[from] io::Error),
}

impl GraphArguments {
    /// # Errors
    /// If there is no such dataflow, there are problems in it, or the drawing cannot be written.
    pub fn run(&self, table: &StepTable, out: &mut impl Write) -> Result<(), GraphError> {
        let dataflow = Dataflow::load(&self.dataflow, table)?;
        let drawing = match self.format {
            GraphFormat::Text => dataflow.drawing(),
            GraphFormat::Dot => dataflow.dot(),
            GraphFormat::Mermaid => dataflow.mermaid(),
        };
        Ok(out.write_all(drawing.as_bytes())?)
    }
}
