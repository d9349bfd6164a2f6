//! The site's file as commands use it: settings of the listeners, and nodes by name.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::dicom::site::{Address, DicomSection, DicomSite, Listener, Node, Security};
use crate::dicom::web::{self, Authorization};
use crate::dicom::{self, AeTitle, Called, Destination, Watched};
use crate::files::FilesSection;
use crate::site::{Site, SiteError, SiteSection};
use crate::tls;

use super::exit::{Failure, Kind};

/// Where the site's settings stand.
#[derive(Debug, clap::Args)]
pub struct SiteFile {
    /// The site's settings: who may call, when a study is complete, which nodes there are
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
}

/// All sections that a site's file may have. A new kind of source or destination adds its own here.
pub const SECTIONS: [&dyn SiteSection; 2] = [&DicomSection, &FilesSection];

/// What the file says; nothing, if there is none.
pub struct Settings {
    pub site: Option<Site>,
    client: Option<tls::Client>,
}

/// A node that can be talked to.
pub enum Peer {
    Dimse(Box<Destination>),
    Web(Box<web::Node>),
}

impl SiteFile {
    pub fn load(&self) -> Result<Settings, Failure> {
        let Some(path) = &self.site else { return Ok(Settings { site: None, client: None }) };
        let site = Site::load(path, &SECTIONS).map_err(|error| match error {
            SiteError::Problems(problems) => Failure::new(Kind::Problems, problems.to_string()),
            SiteError::Unreadable { .. } => Failure::new(Kind::NoInput, error.to_string()),
        })?;
        let client = site.authorities.as_ref();
        let client = client.map(|path| tls::Client::open(path, site.identity.as_ref()));
        let client = client.transpose().map_err(Failure::of(Kind::InputOutput))?;
        Ok(Settings { site: Some(site), client })
    }
}

impl Settings {
    /// A file that was read, for tests of what follows from it.
    #[cfg(test)]
    pub fn of(site: Site) -> Settings {
        Settings { site: Some(site), client: None }
    }

    /// What the file says of DICOM.
    pub fn dicom(&self) -> Option<&DicomSite> {
        self.site.as_ref()?.section()
    }

    /// Our title: as given, or as the file says, or `FLOW`.
    pub fn ae_title(&self, given: Option<&AeTitle>) -> AeTitle {
        let own = self.dicom().and_then(|dicom| dicom.ae_title.as_ref());
        let title = given.or(own).cloned();
        title.unwrap_or_else(|| "FLOW".parse().expect("FLOW is an AE title"))
    }

    /// What the file says of a node.
    pub fn known(&self, name: &str) -> Option<&Node> {
        self.dicom()?.nodes.get(name)
    }

    /// What the file says of encryption, for a connection that we open.
    pub fn client(&self) -> Option<&tls::Client> {
        self.client.as_ref()
    }

    /// A node by its name in the file, or as `AETITLE@HOST:PORT` or URL.
    pub fn peer(&self, name: &str, own_title: &AeTitle) -> Result<Peer, Failure> {
        if let Some(node) = self.known(name) {
            return self.of_site(node, own_title);
        }
        if name.contains("://") {
            let mut node: web::Node = name.parse().map_err(Failure::of(Kind::Usage))?;
            node.tls.clone_from(&self.client);
            return Ok(Peer::Web(Box::new(node)));
        }
        let parsed = name.parse::<Destination>();
        let parsed = parsed.map_err(|error| {
            let failure = Failure::new(Kind::Usage, error.to_string());
            failure.hint(
                "a node is written AETITLE@HOST:PORT or http(s)://HOST/PATH, or named as in the --site file",
            )
        })?;
        Ok(Peer::Dimse(Box::new(parsed.calling(own_title.clone()))))
    }

    /// A node that speaks DIMSE.
    pub fn node(&self, name: &str, own_title: &AeTitle) -> Result<Destination, Failure> {
        match self.peer(name, own_title)? {
            Peer::Dimse(destination) => Ok(*destination),
            Peer::Web(_) => Err(Failure::new(Kind::Usage, format!("{name} is a DICOMweb service"))
                .hint("a node that speaks DIMSE is needed here: AETITLE@HOST:PORT")),
        }
    }

    /// The nodes of the file that speak DIMSE, by AE title.
    pub fn by_title(&self, own_title: &AeTitle) -> Result<BTreeMap<String, Destination>, Failure> {
        let mut nodes = BTreeMap::new();
        for node in self.dicom().iter().flat_map(|dicom| dicom.nodes.values()) {
            if let Peer::Dimse(destination) = self.of_site(node, own_title)? {
                nodes.insert(destination.ae_title.to_string(), *destination);
            }
        }
        Ok(nodes)
    }

    fn of_site(&self, node: &Node, own_title: &AeTitle) -> Result<Peer, Failure> {
        match &node.address {
            Address::Dimse(destination) => {
                let mut destination = Destination::clone(destination).calling(own_title.clone());
                if node.tls {
                    destination.tls.clone_from(&self.client);
                }
                set(&mut destination.wait_max, node.wait_max);
                Ok(Peer::Dimse(Box::new(destination)))
            }
            Address::Web(service) => {
                let mut service = web::Node::clone(service);
                service.tls.clone_from(&self.client);
                set(&mut service.wait_max, node.wait_max);
                service.authorization = node.authorization.as_deref().map(authorization).transpose()?;
                Ok(Peer::Web(Box::new(service)))
            }
        }
    }

    /// What the file says of the listener for associations.
    pub fn listener(&self) -> Option<&Listener> {
        self.dicom()?.dicom.as_ref()
    }

    /// Whether the file names a way on which studies come in.
    pub fn receives(&self) -> bool {
        self.dicom()
            .is_some_and(|dicom| dicom.dicom.is_some() || dicom.web.is_some() || dicom.watch.is_some())
    }

    /// Sets what the file says of receiving; opens the port for HTTP.
    pub fn apply(&self, settings: &mut dicom::Settings) -> Result<(), Failure> {
        let Some(site) = self.dicom() else { return Ok(()) };
        settings.completion = site.completion.clone();
        settings.nodes = self.by_title(&settings.ae_title)?;
        settings.watched = site.watch.iter().map(|folder| Watched::new(folder.clone())).collect();
        if let Some(listener) = &site.dicom {
            let Listener { callers, any_called_title, .. } = listener;
            settings.tls = self.server(listener)?;
            settings.callers.clone_from(callers);
            settings.called = if *any_called_title { Called::Any } else { Called::Ours };
            set(&mut settings.associations_max, listener.associations_max);
            set(&mut settings.contexts_max, listener.contexts_max);
            set(&mut settings.pdu_bytes_max, listener.pdu_bytes_max);
            set(&mut settings.instance_bytes_max, listener.instance_bytes_max);
            set(&mut settings.idle_time_max, listener.idle_time_max);
        }
        if let Some(listener) = &site.web {
            let mut web = web::Settings::new(super::listen::bind(listener.address)?);
            web.tls = self.server(listener)?;
            web.callers.clone_from(&listener.callers);
            set(&mut web.requests_max, listener.associations_max);
            set(&mut settings.instance_bytes_max, listener.instance_bytes_max);
            set(&mut settings.idle_time_max, listener.idle_time_max);
            settings.web = Some(web);
        }
        if let Some(name) = &site.count {
            settings.count = Some(match self.peer(name, &settings.ae_title)? {
                Peer::Dimse(node) => dicom::counter(*node),
                Peer::Web(node) => web::counter(*node),
            });
        }
        Ok(())
    }

    fn server(&self, listener: &Listener) -> Result<Option<tls::Server>, Failure> {
        let site = self.site.as_ref().filter(|_| listener.security != Security::None);
        let Some(identity) = site.and_then(|site| site.identity.as_ref()) else { return Ok(None) };
        let mutual = listener.security == Security::Mutual;
        let authorities = site.and_then(|site| site.authorities.as_deref()).filter(|_| mutual);
        tls::Server::open(identity, authorities).map(Some).map_err(Failure::of(Kind::InputOutput))
    }
}

/// The first line of a file, which nobody else should be able to read.
fn authorization(path: &Path) -> Result<Authorization, Failure> {
    let unread = |error| Failure::new(Kind::NoInput, format!("could not read {}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(unread)?;
    let mut line = String::new();
    std::io::BufReader::new(file).read_line(&mut line).map_err(unread)?;
    Ok(Authorization(line.trim().to_owned()))
}

fn set<T>(setting: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *setting = said;
    }
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
