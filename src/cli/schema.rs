//! `flow schema`: JSON Schemas of the files of a response and of the files that people write, and the description of
//! the JSON API.

use std::io::Write;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;

use crate::dataflow::Response;
use crate::imaging::steps::{write_error_report, write_results};
use crate::monitor::openapi;
use crate::step::StepTable;

use super::exit::{CommandError, CommandExit};
use super::{file_schemas, output};

/// Print the JSON Schema of a file, or the OpenAPI document of the status page
///
/// Editors complete and check dataflow files and site files with theirs. The schemas follow the draft 2020-12. A later version of flow can add keys.
#[derive(Debug, clap::Args)]
pub struct SchemaArguments {
    /// The file
    #[arg(value_name = "FILE")]
    file: SchemaName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SchemaName {
    /// Measurements: results.json
    Results,
    /// Reasons why there are none: error.json
    Error,
    /// Verdict, steps and files: response.json
    Response,
    /// The JSON API of the status page, as an OpenAPI document
    Api,
    /// A dataflow file, with the steps of this program
    Dataflow,
    /// A site's file
    Site,
}

impl SchemaArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        output::stdout().write_all(self.file.schema(table).as_bytes())?;
        Ok(CommandExit::Done)
    }
}

impl SchemaName {
    fn schema(self, table: &StepTable) -> String {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let settings = settings.with_transform(RecursiveTransform(shorten));
        let generator = settings.clone().into_generator();
        let schema = match self {
            SchemaName::Dataflow => return format!("{:#}\n", file_schemas::dataflow(table)),
            SchemaName::Site => return format!("{:#}\n", file_schemas::site()),
            SchemaName::Api => return format!("{:#}\n", openapi(settings)),
            SchemaName::Results => write_results::schema(generator),
            SchemaName::Error => write_error_report::schema(generator),
            SchemaName::Response => generator.into_root_schema_for::<Response>(),
        };
        format!("{:#}\n", schema.as_value())
    }
}

/// Keeps the first paragraph of a description, which is written for Rust, as text in one line.
fn shorten(schema: &mut Schema) {
    let Some(text) = schema.get("description").and_then(|text| text.as_str()) else { return };
    let first = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    schema.insert("description".to_owned(), first.replace("[`", "`").replace("`]", "`").into());
}
