//! The site's file as commands use it: settings of the listeners, and nodes by name.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::alarm::AlarmSettings;
use crate::dicom::site::{DicomSite, ListenerSecurity, ListenerSettings, SiteNode};
use crate::dicom::web::{self, AuthorizationValue};
use crate::dicom::{self, AeTitle, CalledTitles, DimseNode, PeerAddress, PeerAddressError};
use crate::ledger::{DeclaredView, DeclaredViews};
use crate::monitor::PageSettings;
use crate::site::{Site, SiteError, built_in_sections};
use crate::tls;
use crate::trace::TraceSettings;

use super::bind::bind;
use super::exit::{CommandError, CommandErrorKind};

/// The argument with the site's file.
#[derive(Clone, Debug, clap::Args)]
pub struct SiteArguments {
    /// The site's settings: who may call, when a study is complete, which nodes there are
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
}

/// Settings of the site's file; empty if the command line names no such file.
pub struct SiteSettings {
    pub site: Option<Arc<Site>>,
    client: Option<tls::TlsClient>,
}

/// The nodes that can be called, by their names in the site's file and by their addresses.
#[derive(Clone)]
pub struct PeerBook {
    named: BTreeMap<String, PeerAddress>,
    own_title: AeTitle,
    client: Option<tls::TlsClient>,
}

impl PeerBook {
    pub fn peer(&self, name: &str) -> Result<PeerAddress, CommandError> {
        match self.named.get(name) {
            Some(peer) => Ok(peer.clone()),
            None => written(name, &self.own_title, self.client.as_ref()),
        }
    }
}

impl SiteArguments {
    #[cfg(feature = "books")]
    pub fn is_given(&self) -> bool {
        self.site.is_some()
    }

    /// Reads the file, and the certificates that it names.
    pub fn load(&self) -> Result<SiteSettings, CommandError> {
        let Some(site) = self.read()? else { return Ok(SiteSettings { site: None, client: None }) };
        let client = site.authorities.as_ref();
        let client = client.map(|path| tls::TlsClient::open(path, site.identity.as_ref()));
        let client = client.transpose().map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        Ok(SiteSettings { site: Some(Arc::new(site)), client })
    }

    /// Reads the file alone; `None` if the command line names none.
    pub fn read(&self) -> Result<Option<Site>, CommandError> {
        self.site.as_deref().map(read_site).transpose()
    }
}

/// Reads a site's file.
pub fn read_site(path: &Path) -> Result<Site, CommandError> {
    Site::load(path, &built_in_sections()).map_err(|error| match error {
        SiteError::Problems(problems) => {
            CommandError::new(CommandErrorKind::Problems, "the site's file has problems").details(problems)
        }
        SiteError::Unreadable { .. } => CommandError::new(CommandErrorKind::InputOutput, error.to_string()),
    })
}

impl SiteSettings {
    /// A file that was read, for tests of what follows from it.
    #[cfg(test)]
    pub fn of(site: Site) -> SiteSettings {
        SiteSettings { site: Some(Arc::new(site)), client: None }
    }

    /// The DICOM section of the site's file.
    pub fn dicom(&self) -> Option<&DicomSite> {
        self.site.as_ref()?.section()
    }

    /// The alarms of the site's file.
    pub fn alarms(&self) -> Option<&AlarmSettings> {
        self.site.as_ref()?.section()
    }

    /// The collector of traces in the site's file.
    pub fn traces(&self) -> Option<&TraceSettings> {
        self.site.as_ref()?.section()
    }

    /// The views that the site's file declares.
    pub fn views(&self) -> &[DeclaredView] {
        let views = self.site.as_ref().and_then(|site| site.section::<DeclaredViews>());
        views.map(|views| views.0.as_slice()).unwrap_or_default()
    }

    /// The settings of the status page in the site's file.
    pub fn page(&self) -> PageSettings {
        self.site.as_ref().and_then(|site| site.section::<PageSettings>()).cloned().unwrap_or_default()
    }

    /// The AE title of this node: as given, else as in the site's file, else `FLOW`.
    pub fn ae_title(&self, given: Option<&AeTitle>) -> AeTitle {
        let own = self.dicom().and_then(|dicom| dicom.ae_title.as_ref());
        let title = given.or(own).cloned();
        title.unwrap_or_else(|| "FLOW".parse().expect("FLOW is an AE title"))
    }

    /// The settings of a node that the site's file names.
    pub fn known(&self, name: &str) -> Option<&SiteNode> {
        self.dicom()?.nodes.get(name)
    }

    /// The TLS settings for outgoing connections, if the site's file has any.
    pub fn client(&self) -> Option<&tls::TlsClient> {
        self.client.as_ref()
    }

    /// A node by its name in the file, or as `AETITLE@HOST:PORT` or URL.
    pub fn peer(&self, name: &str, own_title: &AeTitle) -> Result<PeerAddress, CommandError> {
        if let Some(node) = self.known(name) {
            return self.of_site(node, own_title);
        }
        written(name, own_title, self.client.as_ref())
    }

    /// All nodes, usable without these settings.
    pub fn peers(&self, own_title: &AeTitle) -> Result<PeerBook, CommandError> {
        let nodes = self.dicom().into_iter().flat_map(|dicom| &dicom.nodes);
        let named = nodes.map(|(name, node)| Ok((name.clone(), self.of_site(node, own_title)?)));
        let named = named.collect::<Result<_, CommandError>>()?;
        Ok(PeerBook { named, own_title: own_title.clone(), client: self.client.clone() })
    }

    /// A node that speaks DIMSE.
    pub fn node(&self, name: &str, own_title: &AeTitle) -> Result<DimseNode, CommandError> {
        match self.peer(name, own_title)? {
            PeerAddress::Dimse(destination) => Ok(*destination),
            PeerAddress::Web(_) => {
                Err(CommandError::new(CommandErrorKind::Usage, format!("{name} is a DICOMweb service"))
                    .hint("a node that speaks DIMSE is needed here: AETITLE@HOST:PORT"))
            }
        }
    }

    /// The nodes of the file that speak DIMSE, by AE title.
    pub fn by_title(&self, own_title: &AeTitle) -> Result<BTreeMap<String, DimseNode>, CommandError> {
        let mut nodes = BTreeMap::new();
        for node in self.dicom().iter().flat_map(|dicom| dicom.nodes.values()) {
            if let PeerAddress::Dimse(destination) = self.of_site(node, own_title)? {
                nodes.insert(destination.ae_title.to_string(), *destination);
            }
        }
        Ok(nodes)
    }

    fn of_site(&self, node: &SiteNode, own_title: &AeTitle) -> Result<PeerAddress, CommandError> {
        match &node.address {
            PeerAddress::Dimse(destination) => {
                let mut destination = DimseNode::clone(destination).calling(own_title.clone());
                if node.tls {
                    destination.tls.clone_from(&self.client);
                }
                set(&mut destination.wait_max, node.wait_max);
                Ok(destination.into())
            }
            PeerAddress::Web(service) => {
                let mut service = web::WebNode::clone(service);
                service.tls.clone_from(&self.client);
                set(&mut service.wait_max, node.wait_max);
                service.authorization = node.authorization.as_deref().map(authorization).transpose()?;
                Ok(service.into())
            }
        }
    }

    /// The settings of the listener for DICOM associations, if the site's file has any.
    pub fn listener(&self) -> Option<&ListenerSettings> {
        self.dicom()?.dicom.as_ref()
    }

    /// Whether the file defines a way to receive studies.
    pub fn receives(&self) -> bool {
        self.dicom()
            .is_some_and(|dicom| dicom.dicom.is_some() || dicom.web.is_some() || dicom.watch.is_some())
    }

    /// Applies the file's settings of the receiver, and opens the port for HTTP.
    pub fn apply(&self, settings: &mut dicom::ReceiveSettings) -> Result<(), CommandError> {
        let Some(site) = self.dicom() else { return Ok(()) };
        settings.completion = site.completion.clone();
        settings.nodes = self.by_title(&settings.ae_title)?;
        settings.watched = site.watch.iter().cloned().collect();
        if let Some(listener) = &site.dicom {
            let ListenerSettings { callers, any_called_title, .. } = listener;
            settings.tls = self.server(listener)?;
            settings.callers.clone_from(callers);
            settings.called = if *any_called_title { CalledTitles::Any } else { CalledTitles::Ours };
            set(&mut settings.associations_max, listener.associations_max);
            set(&mut settings.contexts_max, listener.contexts_max);
            set(&mut settings.pdu_bytes_max, listener.pdu_bytes_max);
            set(&mut settings.instance_bytes_max, listener.instance_bytes_max);
            set(&mut settings.idle_time_max, listener.idle_time_max);
        }
        if let Some(listener) = &site.web {
            let mut web = web::WebSettings::new(bind(listener.address)?);
            web.tls = self.server(listener)?;
            web.callers.clone_from(&listener.callers);
            set(&mut web.requests_max, listener.associations_max);
            set(&mut settings.instance_bytes_max, listener.instance_bytes_max);
            set(&mut settings.idle_time_max, listener.idle_time_max);
            settings.web = Some(web);
        }
        if let Some(name) = &site.count {
            settings.count = Some(match self.peer(name, &settings.ae_title)? {
                PeerAddress::Dimse(node) => dicom::counter(*node),
                PeerAddress::Web(node) => web::counter(*node),
            });
        }
        Ok(())
    }

    fn server(&self, listener: &ListenerSettings) -> Result<Option<tls::TlsServer>, CommandError> {
        let site = self.site.as_ref().filter(|_| listener.security != ListenerSecurity::None);
        let Some(identity) = site.and_then(|site| site.identity.as_ref()) else { return Ok(None) };
        let mutual = listener.security == ListenerSecurity::Mutual;
        let authorities = site.and_then(|site| site.authorities.as_deref()).filter(|_| mutual);
        tls::TlsServer::open(identity, authorities)
            .map(Some)
            .map_err(CommandError::of(CommandErrorKind::InputOutput))
    }
}

/// A node written as `AETITLE@HOST:PORT` or URL.
fn written(
    name: &str,
    own_title: &AeTitle,
    client: Option<&tls::TlsClient>,
) -> Result<PeerAddress, CommandError> {
    let parsed = name.parse().map_err(|error: PeerAddressError| {
        let failure = CommandError::new(CommandErrorKind::Usage, error.to_string());
        failure.hint(
            "a node is written AETITLE@HOST:PORT or http(s)://HOST/PATH, or named as in the --site file",
        )
    })?;
    Ok(match parsed {
        PeerAddress::Dimse(node) => node.calling(own_title.clone()).into(),
        PeerAddress::Web(mut node) => {
            node.tls = client.cloned();
            PeerAddress::Web(node)
        }
    })
}

/// The first line of a file with a secret.
fn authorization(path: &Path) -> Result<AuthorizationValue, CommandError> {
    let unread = |error| {
        CommandError::new(
            CommandErrorKind::InputOutput,
            format!("could not read {}: {error}", path.display()),
        )
    };
    let file = std::fs::File::open(path).map_err(unread)?;
    let mut line = String::new();
    std::io::BufReader::new(file).read_line(&mut line).map_err(unread)?;
    Ok(AuthorizationValue(line.trim().to_owned()))
}

fn set<T>(setting: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *setting = said;
    }
}

#[cfg(test)]
mod tests;
