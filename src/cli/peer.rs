//! `flow echo`, `flow find` and `flow send`: requests to a DICOM node by hand.

use std::path::PathBuf;

use dicom::folder::{self, SkippedPath};

use crate::dicom::{
    self, AeTitle, DicomObject, DimseNode, DimseQuery, FindResult, ObjectError, PeerError, QueryLevel,
    SentObject,
};
use crate::printable::counted;
use crate::step::Item;

use crate::dicom::verify;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::output::{print_line, tell_line};
use super::site::SiteArguments;
use super::source::unopened;

/// A node, and the AE title that we use there.
#[derive(Debug, clap::Args)]
struct PeerArguments {
    /// The node: AETITLE@HOST:PORT, or its name in the --site file
    #[arg(value_name = "NODE")]
    node: String,

    #[command(flatten)]
    site: SiteArguments,

    /// AE title of this node [default: FLOW]
    #[arg(long, value_name = "TITLE")]
    ae_title: Option<AeTitle>,
}

/// Ask whether a DICOM node is there and talks to us (C-ECHO)
#[derive(Debug, clap::Args)]
pub struct EchoArguments {
    #[command(flatten)]
    peer: PeerArguments,
}

/// Ask a DICOM archive what it has (C-FIND)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow find ORTHANC@127.0.0.1:4242 'PatientID=P1'
  flow find PACS 'StudyDate=20260101-;ModalitiesInStudy=CT' --site site.yaml
  flow find PACS 'StudyInstanceUID=1.2.3' --level series --site site.yaml")]
pub struct FindArguments {
    #[command(flatten)]
    peer: PeerArguments,

    /// Keys that must match: Keyword=value, several with `;` between them; `*` stands for other letters
    #[arg(value_name = "QUERY")]
    query: DimseQuery,

    /// Level of the answers: each is about one study, series or instance
    #[arg(long, value_name = "LEVEL", default_value = "study")]
    level: FindLevel,

    /// A line of JSON for each answer
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FindLevel {
    Study,
    Series,
    Instance,
}

/// Send DICOM files to a node (C-STORE)
///
/// Tells for each file what the node answered. Exit code 1 if not all are stored.
#[derive(Debug, clap::Args)]
pub struct SendArguments {
    #[command(flatten)]
    peer: PeerArguments,

    /// Files, or folders with any nesting
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

impl PeerArguments {
    fn destination(&self) -> Result<DimseNode, CommandError> {
        let site = self.site.load()?;
        let own_title = site.ae_title(self.ae_title.as_ref());
        site.node(&self.node, &own_title)
    }
}

fn failed(error: PeerError) -> CommandError {
    let remedy = error.remedy();
    CommandError::of(CommandErrorKind::InputOutput)(error).hint(&remedy)
}

/// The error of a query.
fn not_asked(error: PeerError) -> CommandError {
    if !verify::answers_no_queries(&error) {
        return failed(error);
    }
    let PeerError { peer, cause, .. } = &error;
    let text = format!("{peer} does not answer our query: {cause}");
    CommandError::new(CommandErrorKind::InputOutput, text).hint(verify::QUERY_HINT)
}

impl EchoArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        let destination = self.peer.destination()?;
        dicom::echo(&destination).map_err(failed)?;
        print_line(format_args!("{destination} answers"))?;
        Ok(CommandExit::Done)
    }
}

impl FindArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        let level = match self.level {
            FindLevel::Study => QueryLevel::Study,
            FindLevel::Series => QueryLevel::Series,
            FindLevel::Instance => QueryLevel::Instance,
        };
        let query = DimseQuery { level, ..self.query };
        let FindResult { matches, cut_off } =
            dicom::find(&self.peer.destination()?, &query).map_err(not_asked)?;
        for one in &matches {
            let told = one.told();
            match self.json {
                true => print_line(serde_json::Value::Object(told.into_iter().collect()))?,
                false => {
                    let filled = told.iter().filter(|(_, value)| value.as_str() != Some(""));
                    let texts: Vec<String> = filled
                        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                        .collect();
                    print_line(texts.join("  "))?;
                }
            }
        }
        if cut_off {
            tell_line("flow: there are more; ask for less at a time");
        }
        Ok(CommandExit::Done)
    }
}

impl SendArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        let destination = self.peer.destination()?;
        let found = folder::find(&self.paths).map_err(unopened)?;
        for SkippedPath { path, reason, .. } in &found.skipped {
            tell_line(format_args!("skipped   {}: {reason}", path.display()));
        }
        let items: Vec<_> = found.studies.into_iter().flat_map(|study| study.items).collect();
        if items.is_empty() {
            return Err(CommandError::new(CommandErrorKind::NoInput, "there is no DICOM file to send"));
        }
        let open = |item: &Item| match item.file() {
            Ok(path) => DicomObject::open(&item.name, path),
            Err(source) => Err(ObjectError::Unreadable { name: item.name.clone(), source }),
        };
        let objects = items.iter().map(open);
        let objects: Vec<DicomObject> =
            objects.collect::<Result<_, _>>().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        let mut unsent = 0;
        let mut tell = |sent: SentObject| {
            unsent += usize::from(!sent.outcome.is_stored());
            // A closed output does not end the command.
            let _ = print_line(format_args!("{}  {}", sent.name, sent.outcome));
        };
        dicom::send_each(&destination, &objects, Some(dicom::plain_pixels), &mut tell).map_err(failed)?;
        let stored = items.len() - unsent;
        tell_line(format_args!("{stored} of {} stored at {destination}", counted(items.len(), "file")));
        Ok(if unsent == 0 { CommandExit::Done } else { CommandExit::WithErrors })
    }
}
