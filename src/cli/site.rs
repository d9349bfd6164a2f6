//! The site's file as commands use it: settings of the listener, and nodes by name.

use std::path::PathBuf;

use crate::dicom::{self, AeTitle, Called, Destination};
use crate::site::{Address, Listener, Node, Security, Site, SiteError};
use crate::tls;

use super::exit::{Failure, Kind};

/// Where the site's settings stand.
#[derive(Debug, clap::Args)]
pub struct SiteFile {
    /// The site's settings: who may call, when a study is complete, which nodes there are
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
}

/// What the file says; nothing, if there is none.
pub struct Settings {
    pub site: Option<Site>,
    client: Option<tls::Client>,
}

impl SiteFile {
    pub fn load(&self) -> Result<Settings, Failure> {
        let Some(path) = &self.site else { return Ok(Settings { site: None, client: None }) };
        let site = Site::load(path).map_err(|error| match error {
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
    /// Our title: as given, or as the file says, or `FLOW`.
    pub fn ae_title(&self, given: Option<&AeTitle>) -> AeTitle {
        let own = self.site.as_ref().and_then(|site| site.ae_title.as_ref());
        let title = given.or(own).cloned();
        title.unwrap_or_else(|| "FLOW".parse().expect("FLOW is an AE title"))
    }

    /// A node by its name in the file, or as `AETITLE@HOST:PORT`.
    pub fn node(&self, name: &str, own_title: &AeTitle) -> Result<Destination, Failure> {
        let known = self.site.as_ref().and_then(|site| site.nodes.get(name));
        if let Some(node) = known {
            return Ok(self.destination(node).calling(own_title.clone()));
        }
        let parsed = name.parse::<Destination>();
        let parsed = parsed.map_err(|error| {
            let failure = Failure::new(Kind::Usage, error.to_string());
            failure.hint("a node is written AETITLE@HOST:PORT, or named as in the --site file")
        })?;
        Ok(parsed.calling(own_title.clone()))
    }

    fn destination(&self, node: &Node) -> Destination {
        let Address::Dimse(destination) = &node.address;
        let mut destination = Destination::clone(destination);
        if node.tls {
            destination.tls.clone_from(&self.client);
        }
        if let Some(wait_max) = node.wait_max {
            destination.wait_max = wait_max;
        }
        destination
    }

    /// What the file says of the listener for associations.
    pub fn listener(&self) -> Option<&Listener> {
        self.site.as_ref()?.dicom.as_ref()
    }

    /// Sets what the file says of receiving.
    pub fn apply(&self, settings: &mut dicom::Settings) -> Result<(), Failure> {
        let Some(site) = &self.site else { return Ok(()) };
        settings.completion = site.completion.clone();
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
        if let Some(name) = &site.count {
            settings.count = Some(dicom::counter(self.node(name, &settings.ae_title)?));
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

fn set<T>(setting: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *setting = said;
    }
}
