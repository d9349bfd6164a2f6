//! The DICOM section of a site's file: callers, completion of studies, and nodes.

mod complete;
mod listener;
mod node;

use std::collections::BTreeMap;

use crate::site::{BuiltInSection, SectionReader, SectionSettings, SiteSection, known_name};

use super::{AeTitle, CompletionRules, WatchedFolder};

pub use listener::{ListenerSecurity, ListenerSettings};
pub use node::{NodeRetry, SiteNode, VerifyMethod};

/// Reads `ae_title`, `dicom`, `web`, `watch`, `complete` and `nodes`.
pub struct DicomSection;

inventory::submit! { BuiltInSection(&DicomSection) }

/// DICOM section of a site file.
#[derive(Debug)]
pub struct DicomSite {
    pub ae_title: Option<AeTitle>,
    pub dicom: Option<ListenerSettings>,
    pub web: Option<ListenerSettings>,
    /// A folder whose files are taken in.
    pub watch: Option<WatchedFolder>,
    pub completion: CompletionRules,
    /// The node that is asked how many instances a study has.
    pub count: Option<String>,
    pub nodes: BTreeMap<String, SiteNode>,
}

/// `to: [sender]`: the node that sent a study, by its AE title.
pub const SENDER: &str = "sender";

impl SiteSection for DicomSection {
    fn keys(&self) -> &'static [&'static str] {
        &["ae_title", "dicom", "web", "watch", "complete", "nodes"]
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        let ae_title = reader.parsed("ae_title");
        let dicom = reader.section("dicom", listener::dicom).flatten();
        let web = reader.section("web", listener::web).flatten();
        let watch = reader.section("watch", watch).flatten();
        let (completion, count) = reader.section("complete", complete::read).unwrap_or_default();
        let nodes = reader.section("nodes", node::all).unwrap_or_default();
        if let Some(count) = &count {
            let known: Vec<&str> = nodes.keys().map(String::as_str).collect();
            known_name(reader, count, "node", &known);
        }
        let count = count.map(|count| count.value);
        let site = DicomSite { ae_title, dicom, web, watch, completion, count, nodes };
        site.check_titles(reader);
        site.check_encryption(reader);
        Box::new(site)
    }
}

/// `watch`: a folder, or a folder and how long its files must not have changed.
fn watch(reader: &mut SectionReader) -> Option<WatchedFolder> {
    if let Some(folder) = reader.single() {
        return Some(WatchedFolder::new(reader.context().folder.join(folder.value)));
    }
    reader.known("\"watch\"", &["folder", "settle_time"]);
    let folder = reader.required("folder", |reader| reader.path("folder"));
    let settle_time = reader.duration("settle_time");
    let mut watched = WatchedFolder::new(folder?);
    watched.settle_time = settle_time.unwrap_or(watched.settle_time);
    Some(watched)
}

impl SectionSettings for DicomSite {
    fn destination_names(&self) -> Vec<&str> {
        self.nodes.keys().map(String::as_str).chain([SENDER]).collect()
    }
}

impl DicomSite {
    fn check_titles(&self, reader: &mut SectionReader) {
        let mut titles = BTreeMap::new();
        for (name, title) in
            self.nodes.iter().filter_map(|(name, node)| Some((name, node.address.ae_title()?)))
        {
            if let Some(other) = titles.insert(title.to_owned(), name) {
                let message = format!("the nodes \"{other}\" and \"{name}\" are both called {title}");
                let hint = "results go back to a sender by its AE title: each node needs one of its own";
                reader.wrong_file(message, hint);
            }
        }
    }

    fn check_encryption(&self, reader: &mut SectionReader) {
        let has_identity = reader.context().identity.is_some();
        let has_authorities = reader.context().authorities.is_some();
        for (name, listener) in [("dicom", &self.dicom), ("web", &self.web)] {
            let Some(listener) = listener else { continue };
            if listener.security != ListenerSecurity::None && !has_identity {
                let message = format!("\"{name}\" is to be encrypted, and there is no certificate of ours");
                reader.wrong_file(message, "add tls: {certificate: FILE, key: FILE}");
            }
            if listener.security == ListenerSecurity::Mutual && !has_authorities {
                let message =
                    format!("callers of \"{name}\" need certificates, and no certificate authority is named");
                reader.wrong_file(message, "add tls: {authorities: FILE}");
            }
        }
        if let Some((name, _)) = self.nodes.iter().find(|(_, node)| node.tls && !has_authorities) {
            let message = format!(
                "the certificate of the node \"{name}\" cannot be verified: no certificate authority is named"
            );
            reader.wrong_file(message, "add tls: {authorities: FILE}");
        }
    }
}

#[cfg(test)]
mod tests;
