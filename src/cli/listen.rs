//! The options of `flow run` for receiving, and the receiver itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dicom::{
    self, AeTitle, CalledTitles, CompletionRules, DeliveredObjects, OrderedRetrieval, PeerAddress, PullOrder,
    RequestedCommitments, RetrievalMethod, StudyPull,
};
use crate::dicom::{PullEntry, StudyReceiver};

use crate::site::listen_address;
use crate::yaml::duration;

use super::audit::AuditRecorder;
use super::bind::bind;
use super::exit::{CommandError, CommandErrorKind};
use super::site::{self, PeerBook};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Receiving over DICOM")]
pub struct ListenArguments {
    /// Receive studies at this port (C-STORE, C-ECHO); loopback only, unless an address is given
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address)]
    listen: Option<SocketAddr>,

    /// AE title of this node [default: FLOW]
    #[arg(long, value_name = "TITLE")]
    ae_title: Option<AeTitle>,

    /// Accept senders that call us by another title
    #[arg(long)]
    any_called_ae: bool,

    /// A study is complete when nothing of it has arrived for this long, also on an association that stays open (there at least 2 s), for example 30 s; a number alone is in seconds [default: 5]
    #[arg(long, value_name = "TIME", value_parser = time)]
    quiet_time: Option<Duration>,

    /// A study whose sender broke off waits so long to be sent again; then what there is of it is answered [default: 600]
    #[arg(long, value_name = "TIME", value_parser = time)]
    broken_time: Option<Duration>,

    /// A file in the watched folder (watch, in the --site file) is taken in when it has not changed for this long [default: 2]
    #[arg(long, value_name = "TIME", value_parser = time)]
    settle_time: Option<Duration>,

    /// Fetch studies from this archive: AETITLE@HOST:PORT, the URL of a DICOMweb service, or a name in the --site file
    #[arg(long, value_name = "NODE", requires = "pull")]
    from: Option<String>,

    /// Study Instance UIDs, accession numbers or queries (Keyword=value;...) to fetch, or @FILE, one a line
    #[arg(long, value_name = "STUDY", num_args = 1.., requires = "from")]
    pull: Vec<String>,

    /// How studies travel: on our association (get), or on one that the archive opens to --listen (move)
    #[arg(long, value_name = "WAY", default_value = "get")]
    pull_by: PullMethod,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PullMethod {
    Get,
    Move,
}

/// State that the receiver shares with the destinations.
pub struct DicomLinks {
    pub commitments: Arc<RequestedCommitments>,
    pub delivered: Arc<DeliveredObjects>,
}

/// Where received files lie.
pub struct InboxPlace {
    pub folder: PathBuf,
    /// The subfolders of `folder` whose requests are recorded in the journal.
    pub known: BTreeSet<PathBuf>,
    pub free_bytes_min: u64,
}

impl ListenArguments {
    /// Whether studies are to be received or fetched.
    pub fn is_wanted(&self, site: &site::SiteSettings) -> bool {
        self.address(site).is_some() || self.from.is_some() || site.receives()
    }

    /// Whether the command line says that requests are received or fetched.
    pub fn is_given(&self) -> bool {
        self.listen.is_some() || self.from.is_some()
    }

    pub fn ae_title(&self) -> Option<&AeTitle> {
        self.ae_title.as_ref()
    }

    pub fn address(&self, site: &site::SiteSettings) -> Option<SocketAddr> {
        self.listen.or_else(|| site.listener().map(|listener| listener.address))
    }

    pub fn open(
        &self,
        site: &site::SiteSettings,
        inbox: InboxPlace,
        links: &DicomLinks,
        auditor: &Arc<AuditRecorder>,
    ) -> Result<StudyReceiver, CommandError> {
        let own_title = site.ae_title(self.ae_title.as_ref());
        let mut settings = dicom::ReceiveSettings::new(own_title.clone(), inbox.folder);
        site.apply(&mut settings)?;
        settings.commitments = Arc::clone(&links.commitments);
        settings.delivered = Arc::clone(&links.delivered);
        settings.known_folders = inbox.known;
        settings.free_bytes_min = inbox.free_bytes_min;
        let CompletionRules { quiet_time, broken_time, .. } = &mut settings.completion;
        *quiet_time = self.quiet_time.unwrap_or(*quiet_time);
        *broken_time = self.broken_time.unwrap_or(*broken_time);
        for watched in &mut settings.watched {
            watched.settle_time = self.settle_time.unwrap_or(watched.settle_time);
        }
        if self.any_called_ae {
            settings.called = CalledTitles::Any;
        }
        settings.pull = self.pull(site, &own_title)?;
        let listener = self.address(site).map(bind).transpose()?;
        if listener.is_none() && self.pull_by == PullMethod::Move {
            let failure = CommandError::new(
                CommandErrorKind::Usage,
                "--pull-by move needs a port that the archive sends to",
            );
            return Err(failure.hint("add --listen, and make that address known at the archive"));
        }
        let (peers, can_move) = (site.peers(&own_title)?, listener.is_some());
        settings.planner = Some(Arc::new(move |order| plan(order, &peers, &own_title, can_move)));
        let auditor = Arc::clone(auditor);
        Ok(StudyReceiver::new(listener, settings, move |event| auditor.received(event)))
    }

    fn pull(
        &self,
        site: &site::SiteSettings,
        own_title: &AeTitle,
    ) -> Result<Option<StudyPull>, CommandError> {
        let Some(from) = &self.from else { return Ok(None) };
        let wanted = wanted_texts(&self.pull)?;
        let peer = site.peer(from, own_title)?;
        study_pull(peer, self.pull_by.into(), &wanted, own_title).map(Some)
    }
}

/// What is wanted, with the lines of lists in the place of `@FILE`.
pub fn wanted_texts(given: &[String]) -> Result<Vec<String>, CommandError> {
    let mut wanted = Vec::new();
    for text in given {
        let Some(path) = text.strip_prefix('@') else {
            wanted.push(text.clone());
            continue;
        };
        let unread = |error| {
            CommandError::new(CommandErrorKind::InputOutput, format!("could not read {path}: {error}"))
        };
        let list = std::fs::read_to_string(path).map_err(unread)?;
        let lines = list.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        wanted.extend(lines.map(str::to_owned));
    }
    wanted.iter().try_for_each(|text| parse_wanted(text).map(drop))?;
    Ok(wanted)
}

fn study_pull(
    peer: PeerAddress,
    by: OrderedRetrieval,
    wanted: &[String],
    own_title: &AeTitle,
) -> Result<StudyPull, CommandError> {
    let wanted = wanted.iter().map(|text| parse_wanted(text)).collect::<Result<_, _>>()?;
    let method = match by {
        OrderedRetrieval::Get => RetrievalMethod::Get,
        OrderedRetrieval::Move => RetrievalMethod::Move { to: own_title.clone() },
    };
    let waits = PULL_WAITS_S.map(Duration::from_secs).into();
    Ok(StudyPull { from: peer, method, wanted, waits })
}

/// Plans what `flow pull` has ordered.
fn plan(
    order: &PullOrder,
    peers: &PeerBook,
    own_title: &AeTitle,
    can_move: bool,
) -> Result<StudyPull, String> {
    if order.by == OrderedRetrieval::Move && !can_move {
        return Err(
            "--by move needs a port that the archive sends to: the flow that is running has none".to_owned()
        );
    }
    let peer = peers.peer(&order.from);
    let planned = peer.and_then(|peer| study_pull(peer, order.by, &order.wanted, own_title));
    planned.map_err(|error| format!("{}: {}", order.from, error.message()))
}

impl From<PullMethod> for OrderedRetrieval {
    fn from(method: PullMethod) -> OrderedRetrieval {
        match method {
            PullMethod::Get => OrderedRetrieval::Get,
            PullMethod::Move => OrderedRetrieval::Move,
        }
    }
}

/// How long to wait before each further try of a study that could not be fetched.
const PULL_WAITS_S: [u64; 3] = [1, 5, 15];

fn parse_wanted(text: &str) -> Result<PullEntry, CommandError> {
    text.parse().map_err(CommandError::of(CommandErrorKind::Usage))
}

/// Reads an address and a port; a port alone is on loopback.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    listen_address(text)
        .ok_or_else(|| "write a port, or an address and a port, for example 0.0.0.0:11112".to_owned())
}

/// Reads a time; a number alone is a number of seconds.
pub fn time(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| {
        format!("write a number of seconds, or a number and one of {}: 30 s", duration::units())
    })
}
