//! `flow graph`: a dataflow as a drawing.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::dataflow::{Dataflow, LoadError};
use crate::step::StepTable;

use super::attention::standing;
use super::customer::{self, CustomerError};
use super::placement_lines;

/// Draw a dataflow: its steps, what each needs and gives
///
/// `text` is for the terminal: one line a step, in the order of the data; what meets the mark of a
/// step is what it needs. ● is a step, ◐ one with a condition, ○ one that is switched off.
///
/// With --customer the dataflow that a customer's overlay makes is drawn. --diff lists what an overlay
/// changes: a step that it adds (+), removes (-) or changes (~). --placement lists the steps by the processes on
/// which they run in a cluster, and beside a running flow of several processes which of them can run what.
///
/// `flow graph ct-lung --format dot | dot -Tsvg > ct-lung.svg` makes a picture.
#[derive(Debug, clap::Args)]
pub struct GraphArguments {
    /// A file, or the name of a dataflow that flow carries
    #[arg(value_name = "DATAFLOW", default_value = "ct-lung")]
    dataflow: String,
    /// Draw the dataflow of this customer: the overlay NAME.yaml in `customers`, or in the folder that --site says
    #[arg(long, value_name = "NAME", conflicts_with = "dataflow")]
    customer: Option<String>,
    /// The site's settings, for the folder of overlays
    #[arg(long, value_name = "FILE", requires = "customer")]
    site: Option<PathBuf>,
    /// List what the overlay changes in its base, and draw nothing
    #[arg(long, conflicts_with = "format")]
    diff: bool,
    /// List the steps by the label of the processes on which they run, and draw nothing
    #[arg(long, conflicts_with_all = ["diff", "format"])]
    placement: bool,
    /// For --placement: the state folder of the flow whose processes are listed
    #[arg(long, value_name = "DIR", default_value = "flow-state", requires = "placement")]
    state: PathBuf,
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
    #[error(transparent)]
    Customer(#[from] CustomerError),
    #[error("{0} is no overlay: there is nothing to compare it with")]
    NoOverlay(String),
    #[error("could not write the drawing")]
    Write(#[from] io::Error),
}

impl GraphArguments {
    /// # Errors
    /// If there is no such dataflow, there are problems in it, or the drawing cannot be written.
    pub fn run(&self, table: &StepTable, out: &mut impl Write) -> Result<(), GraphError> {
        let name = match &self.customer {
            Some(customer) => &customer::overlay(customer, self.site.as_deref())?,
            None => &self.dataflow,
        };
        let dataflow = Dataflow::load(name, table)?;
        if self.diff {
            return differences(name, &dataflow, table, out);
        }
        let drawing = match self.format {
            _ if self.placement => {
                let processes = placement_lines::lines(&dataflow, standing(&self.state).as_ref());
                dataflow.placement() + processes.as_str()
            }
            GraphFormat::Text => dataflow.drawing(),
            GraphFormat::Dot => dataflow.dot(),
            GraphFormat::Mermaid => dataflow.mermaid(),
        };
        Ok(out.write_all(drawing.as_bytes())?)
    }
}

fn differences(
    name: &str,
    dataflow: &Dataflow,
    table: &StepTable,
    out: &mut impl Write,
) -> Result<(), GraphError> {
    let overlay = dataflow.overlay().ok_or_else(|| GraphError::NoOverlay(name.to_owned()))?;
    let base = Dataflow::load(&overlay.base, table)?;
    let version = |dataflow: &Dataflow| format!("{} {}", dataflow.name(), dataflow.digest().short());
    writeln!(out, "{} → {}", version(&base), version(dataflow))?;
    Ok(dataflow.differences_from(&base).iter().try_for_each(|line| writeln!(out, "{line}"))?)
}
