//! A site's settings: who we are there, where requests come from and responses go, and which dataflow a
//! request goes to.
//!
//! One YAML file, so that a hospital's addresses stand neither in a dataflow nor on a command line. It
//! is checked as a dataflow is: all its problems at once, with their places. Paths in it are relative to
//! its folder. It names the files of keys; no secret stands in it.
//!
//! | part | who reads it |
//! |---|---|
//! | [`GeneralSettings`] | here: what the command line has, too |
//! | `tls`, `time_zone`, `audit`, `to` | here |
//! | [`DataflowRules`], `customers` | here: from requests to dataflows |
//! | sections | their owners, who register a [`SiteSection`] each |

mod audit;
mod comparison;
mod context;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod general;
#[cfg(not(feature = "chat"))]
mod left_out;
mod question;
mod rules;
mod section;
mod section_reader;

use std::any::Any;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::admission::{Destination, Source};
use crate::dataflow::{LoadError, built_in_names};
use crate::printable::with_causes;
use crate::tls::TlsIdentity;
use crate::yaml::{self, PlacedValue, ProblemCollector, Problems, SourcePlace};

pub use audit::{AuditProtocol, AuditSettings};
pub use context::SiteContext;
pub use general::{FileReaders, GeneralSettings, KeepSettings, LANES_MAX, WORKERS_MAX};
pub use question::{check_attribute, described_request};
pub use rules::{DataflowChoice, DataflowRule, DataflowRules, DefaultRule, customer_file, customer_names};
pub use section::{BuiltInSection, SectionSettings, SiteSection, built_in_sections};
pub use section_reader::{SectionReader, listen_address};

/// Settings of a site's file. Those that the file does not give are empty.
#[derive(Debug)]
pub struct Site {
    pub general: GeneralSettings,
    /// The certificate and private key that identify this node in TLS.
    pub identity: Option<TlsIdentity>,
    /// The file of certificate authorities whose certificates are trusted.
    pub authorities: Option<PathBuf>,
    /// The names of the destinations of responses; sections define them.
    pub to: Vec<String>,
    /// The minutes by which local time is ahead of UTC, for the windows of destinations.
    pub utc_offset_min: i32,
    pub audit: Option<AuditSettings>,
    /// Rules that choose the dataflow for a request.
    pub rules: Option<DataflowRules>,
    /// The folder of the customers' overlays.
    pub customers: PathBuf,
    sections: Vec<Box<dyn SectionSettings>>,
    /// The place of the dataflow of the general settings.
    dataflow_at: Option<SourcePlace>,
    file: String,
    text: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    #[error("could not read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Problems(#[from] Problems),
}

const KEYS: [&str; 6] = ["time_zone", "tls", "to", "audit", "rules", "customers"];

/// The folder of overlays beside a site's file that names none.
pub const CUSTOMERS: &str = "customers";

/// The keys at the top of a site's file that takes these sections.
pub fn keys(sections: &[&dyn SiteSection]) -> Vec<&'static str> {
    let own = KEYS.into_iter().chain(general::KEYS);
    own.chain(sections.iter().flat_map(|section| section.keys().iter().copied())).collect()
}

impl Site {
    /// Reads a site's file.
    ///
    /// # Errors
    /// If the file cannot be read, or anything in it is wrong.
    pub fn load(path: &Path, sections: &[&dyn SiteSection]) -> Result<Site, SiteError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SiteError::Unreadable { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Site::parse(&path.display().to_string(), &text, folder, sections)?)
    }

    /// Reads the text of a site's file.
    ///
    /// # Errors
    /// All problems of the text.
    pub fn parse(
        file: &str,
        text: &str,
        folder: &Path,
        sections: &[&dyn SiteSection],
    ) -> Result<Site, Problems> {
        let mut collector = ProblemCollector::new(file, text);
        let site = Site::read((file, text), folder, sections, &mut collector);
        collector.finish(site)
    }

    /// The settings of a section, by their type.
    pub fn section<T: SectionSettings>(&self) -> Option<&T> {
        self.sections.iter().find_map(|section| (&**section as &dyn Any).downcast_ref())
    }

    /// The destination of this name, if the file has all that is needed to make it.
    pub fn destination(&self, name: &str) -> Option<Arc<dyn Destination>> {
        self.sections.iter().find_map(|section| section.destination(name))
    }

    /// The sources that the file defines.
    pub fn sources(&self) -> Vec<Arc<dyn Source>> {
        self.sections.iter().flat_map(|section| section.sources()).collect()
    }

    /// The keys at the top of the file whose values differ in another version of it.
    pub fn differing_keys(&self, other: &Site) -> Vec<String> {
        comparison::differing_keys(&self.text, &other.text)
    }

    /// A dataflow that cannot be loaded, as a problem of the first place that names it; `None` if none does.
    pub fn dataflow_problem(&self, dataflow: &str, error: &LoadError) -> Option<Problems> {
        let general = self.dataflow_at.filter(|_| self.general.dataflow.as_deref() == Some(dataflow));
        let place = general.or_else(|| self.rules.as_ref()?.place_of(dataflow))?;
        let mut collector = ProblemCollector::new(self.file.as_str(), self.text.as_str());
        // As a person has written it, not with the folder of the file.
        let written = Path::new(dataflow).file_name().map_or(dataflow.into(), OsStr::to_string_lossy);
        let hint = match error {
            LoadError::Unknown { .. } => yaml::meant_or_all(&written, built_in_names()),
            LoadError::Read { .. } | LoadError::Problems(_) => None,
        };
        collector.add(place, with_causes(error)).hint(hint);
        collector.finish::<()>(None).err()
    }

    fn read(
        (file, text): (&str, &str),
        folder: &Path,
        sections: &[&dyn SiteSection],
        collector: &mut ProblemCollector,
    ) -> Option<Site> {
        let tree = yaml::read(text, collector)?;
        let bare = SiteContext { folder: folder.to_owned(), identity: None, authorities: None };
        let mut reader = SectionReader::new(tree, "the site", &keys(sections), &bare, collector);
        let (identity, authorities) = reader.section("tls", tls).unwrap_or_default();
        let context =
            SiteContext { identity: identity.clone(), authorities: authorities.clone(), ..bare.clone() };
        reader.context = &context;
        let (general, dataflow_at) = general::read(&mut reader);
        let customers = reader.path("customers").unwrap_or_else(|| folder.join(CUSTOMERS));
        let rules = rules::read(&mut reader, &customers);
        if rules.is_some() && general.dataflow.is_some() {
            let hint = "name it as the default of the rules";
            reader.wrong_file("\"dataflow\" and \"rules\" both say where requests go".to_owned(), hint);
        }
        let sections: Vec<_> = sections.iter().map(|section| section.read(&mut reader)).collect();
        let to = reader.texts("to");
        let known: Vec<&str> = sections.iter().flat_map(|section| section.destination_names()).collect();
        to.iter().for_each(|name| known_name(&mut reader, name, "node", &known));
        let audit = reader.section("audit", audit::read).flatten();
        let hint = "write how far local time is ahead of UTC: +01:00";
        let utc_offset_min = reader.value("time_zone", "an offset", hint, utc_offset_min);
        Some(Site {
            general,
            identity,
            authorities,
            to: to.into_iter().map(|name| name.value).collect(),
            utc_offset_min: utc_offset_min.unwrap_or(0),
            audit,
            rules,
            customers,
            sections,
            dataflow_at,
            file: file.to_owned(),
            text: text.to_owned(),
        })
    }
}

/// Notes a name that is not among those that are known.
pub fn known_name(reader: &mut SectionReader, name: &PlacedValue<String>, kind: &str, known: &[&str]) {
    if !known.contains(&name.value.as_str()) {
        let hint = yaml::meant_or_all(&name.value, known.iter().copied());
        reader.wrong_at(name.place, format!("there is no {kind} \"{}\"", name.value), hint);
    }
}

/// `+01:00` in minutes.
fn utc_offset_min(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..=14).contains(&hours) && (0..60).contains(&minutes)).then(|| sign * (hours * 60 + minutes))
}

fn tls(reader: &mut SectionReader) -> (Option<TlsIdentity>, Option<PathBuf>) {
    reader.known("\"tls\"", &["certificate", "key", "authorities"]);
    let identity = match (reader.path("certificate"), reader.path("key")) {
        (Some(certificate), Some(key)) => Some(TlsIdentity { certificate, key }),
        (None, None) => None,
        _ => {
            reader.wrong("a certificate and a key belong together", "name both, or none");
            None
        }
    };
    (identity, reader.path("authorities"))
}

#[cfg(test)]
mod tests;
