//! `page` in a site's file: the status page.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::site::{BuiltInSection, SectionReader, SectionSettings, SiteSection};
use crate::tls::TlsIdentity;

/// Reads `page`.
pub struct PageSection;

inventory::submit! { BuiltInSection(&PageSection) }

/// Settings of the status page in a site's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageSettings {
    pub address: Option<SocketAddr>,
    /// The file of the token, if it is not that of the state folder.
    pub token: Option<PathBuf>,
    pub names: NameDisplay,
    /// Our certificate and key, if connections are encrypted.
    pub identity: Option<TlsIdentity>,
}

/// Whether the page shows the names of requests, which may name a patient where they come from folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameDisplay {
    #[default]
    Shown,
    Hidden,
}

const NAMES: [(&str, NameDisplay); 2] = [("shown", NameDisplay::Shown), ("hidden", NameDisplay::Hidden)];

const TLS: [(&str, bool); 2] = [("none", false), ("server", true)];

impl SiteSection for PageSection {
    fn keys(&self) -> &'static [&'static str] {
        &["page"]
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        Box::new(reader.section("page", page).unwrap_or_default())
    }
}

impl SectionSettings for PageSettings {}

fn page(reader: &mut SectionReader) -> PageSettings {
    reader.known("\"page\"", &["listen", "tls", "token", "names"]);
    let address = reader.required("listen", |reader| reader.listen_address("listen"));
    let is_encrypted = reader.choice("tls", &TLS).unwrap_or(false);
    let identity = reader.context().identity.clone().filter(|_| is_encrypted);
    if is_encrypted && identity.is_none() {
        reader.wrong(
            "it is to be encrypted, and there is no certificate of ours",
            "add tls: {certificate: FILE, key: FILE}",
        );
    }
    let names = reader.choice("names", &NAMES).unwrap_or_default();
    PageSettings { address, token: reader.path("token"), names, identity }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::Site;

    fn read(text: &str) -> Result<PageSettings, String> {
        let site = Site::parse("site.yaml", text, Path::new("/site"), &[&PageSection]);
        let site = site.map_err(|problems| problems.to_string())?;
        Ok(site.section::<PageSettings>().cloned().unwrap_or_default())
    }

    #[test]
    fn the_page_is_of_this_machine_unless_an_address_is_given() {
        let settings = read("page: {listen: 8080, token: t, names: hidden}\n").unwrap();
        assert_eq!(settings.address, Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!((settings.token, settings.names), (Some("/site/t".into()), NameDisplay::Hidden));
        let text = "tls: {certificate: c, key: k}\npage: {listen: '0.0.0.0:1', tls: server}\n";
        assert!(read(text).unwrap().identity.is_some());
        assert!(read("page: {listen: 1, tls: server}\n").unwrap_err().contains("no certificate of ours"));
        assert!(read("page: {tls: none}\n").unwrap_err().contains("lacks the key \"listen\""));
        assert_eq!(read("state: s\n").unwrap(), PageSettings::default());
    }
}
