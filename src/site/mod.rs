//! A site's settings: who we are there, who may call, when a study is complete, and which nodes there are.
//!
//! One YAML file, so that a hospital's addresses stand neither in a dataflow nor on a command line. It
//! is checked as a dataflow is: all its problems at once, with their places. Paths in it are relative to
//! its folder. It names the files of keys; no secret stands in it.

mod audit;
mod complete;
mod listener;
mod node;
mod reader;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::dicom::{AeTitle, Caller, Completion};
use crate::tls::Identity;
use crate::yaml::{self, Collector, Place, Problems};

pub use audit::{Audit, Transport};
pub use node::{Address, Node, Retry, Verify};
use reader::Reader;

/// What a site's file says. What it does not say is empty.
#[derive(Debug)]
pub struct Site {
    pub ae_title: Option<AeTitle>,
    /// What proves who we are.
    pub identity: Option<Identity>,
    /// Whose certificates we believe.
    pub authorities: Option<PathBuf>,
    pub dicom: Option<Listener>,
    pub web: Option<Listener>,
    /// A folder whose files are taken in.
    pub watch: Option<PathBuf>,
    pub completion: Completion,
    /// The node that is asked how many instances a study has.
    pub count: Option<String>,
    pub nodes: BTreeMap<String, Node>,
    /// Where results go: names of nodes, or `sender`.
    pub to: Vec<String>,
    /// By how many minutes local time is ahead of UTC, for the windows of nodes.
    pub utc_offset_min: i32,
    pub audit: Option<Audit>,
}

/// How we are reached.
#[derive(Clone, Debug)]
pub struct Listener {
    pub address: SocketAddr,
    pub security: Security,
    /// Who may call; if nobody is named, everybody.
    pub callers: Vec<Caller>,
    pub any_called_title: bool,
    pub associations_max: Option<usize>,
    pub contexts_max: Option<usize>,
    pub pdu_bytes_max: Option<u32>,
    pub instance_bytes_max: Option<u64>,
    pub idle_time_max: Option<std::time::Duration>,
}

/// How a listener's connections are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    None,
    /// We show our certificate.
    Tls,
    /// The caller shows one, too.
    Mutual,
}

#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    #[error("could not read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Problems(#[from] Problems),
}

/// `to: [sender]`: the node that sent a study, by its AE title.
pub const SENDER: &str = "sender";

const KEYS: [&str; 10] =
    ["ae_title", "time_zone", "tls", "dicom", "web", "watch", "complete", "nodes", "to", "audit"];

impl Site {
    /// # Errors
    /// If the file cannot be read, or anything in it is wrong.
    pub fn load(path: &Path) -> Result<Site, SiteError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SiteError::Unreadable { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Site::parse(&path.display().to_string(), &text, folder)?)
    }

    /// # Errors
    /// Everything that is wrong with the text.
    pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Site, Problems> {
        let mut collector = Collector::new(file, text);
        let site = Site::read(text, folder, &mut collector);
        collector.finish(site)
    }

    fn read(text: &str, folder: &Path, collector: &mut Collector) -> Option<Site> {
        let tree = yaml::read(text, collector)?;
        let mut reader = Reader::new(tree, "the site", &KEYS, folder, collector);
        let ae_title = reader.ae_title("ae_title");
        let (identity, authorities) = reader.section("tls", tls).unwrap_or_default();
        let dicom = reader.section("dicom", listener::dicom).flatten();
        let web = reader.section("web", listener::web).flatten();
        let watch = reader.path("watch");
        let (completion, count) = reader.section("complete", complete::read).unwrap_or_default();
        let nodes = reader.section("nodes", node::all).unwrap_or_default();
        let to = reader.texts("to");
        let audit = reader.section("audit", audit::read).flatten();
        let hint = "write how far local time is ahead of UTC: +01:00";
        let utc_offset_min = reader.value("time_zone", "an offset", hint, utc_offset_min);
        let site = Site {
            ae_title,
            identity,
            authorities,
            dicom,
            web,
            watch,
            completion,
            count: None,
            nodes,
            to: Vec::new(),
            utc_offset_min: utc_offset_min.unwrap_or(0),
            audit,
        };
        site.joined(count, to, collector)
    }

    /// Checks what refers to other parts of the file.
    fn joined(
        mut self,
        count: Option<yaml::Placed<String>>,
        to: Vec<yaml::Placed<String>>,
        collector: &mut Collector,
    ) -> Option<Site> {
        for named in to.iter().chain(&count) {
            let is_sender = named.value == SENDER && to.iter().any(|one| one.place == named.place);
            if !is_sender && !self.nodes.contains_key(&named.value) {
                let known = self.nodes.keys().map(String::as_str).chain([SENDER]);
                let hint = yaml::meant_or_all(&named.value, known);
                collector.add(named.place, format!("there is no node \"{}\"", named.value)).hint(hint);
            }
        }
        let start = Place { line: 1, column: 1, width: 1 };
        let mut titles = std::collections::BTreeMap::new();
        for (name, title) in self.nodes.iter().filter_map(|(name, node)| Some((name, node.ae_title()?))) {
            if let Some(other) = titles.insert(title.to_owned(), name) {
                let message = format!("the nodes \"{other}\" and \"{name}\" are both called {title}");
                let hint = "results go back to a sender by its AE title: each node needs one of its own";
                collector.add(start, message).hint(hint.to_owned());
            }
        }
        let served = [("dicom", &self.dicom), ("web", &self.web)];
        for (name, listener) in served {
            let Some(listener) = listener else { continue };
            if listener.security != Security::None && self.identity.is_none() {
                let message = format!("\"{name}\" is to be encrypted, and there is no certificate of ours");
                collector.add(start, message).hint("add tls: {certificate: FILE, key: FILE}".to_owned());
            }
            if listener.security == Security::Mutual && self.authorities.is_none() {
                let message =
                    format!("callers of \"{name}\" are to show certificates, and nobody says whose");
                collector.add(start, message).hint("add tls: {authorities: FILE}".to_owned());
            }
        }
        if self.authorities.is_none()
            && let Some(name) = self.nodes.iter().find(|(_, node)| node.tls).map(|(name, _)| name)
        {
            let message =
                format!("the node \"{name}\" is to be believed, and nobody says by whose certificate");
            collector.add(start, message).hint("add tls: {authorities: FILE}".to_owned());
        }
        self.count = count.map(|count| count.value);
        self.to = to.into_iter().map(|to| to.value).collect();
        Some(self)
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
    ((0..=14).contains(&hours) && (0..60).contains(&minutes)).then_some(sign * (hours * 60 + minutes))
}

fn tls(reader: &mut Reader) -> (Option<Identity>, Option<PathBuf>) {
    reader.known("\"tls\"", &["certificate", "key", "authorities"]);
    let identity = match (reader.path("certificate"), reader.path("key")) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
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
