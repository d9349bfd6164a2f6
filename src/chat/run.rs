//! A chat, put together: the way in, the way of answers, and the server between them and the devices.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::admission::Service;
use crate::engine::EngineControl;
use crate::journal::{JournalError, WalCheckpointer};
use crate::tls::{TlsError, TlsServer};

use super::context::ServerContext;
use super::hub::ChatHub;
use super::intake::MessageIntake;
use super::log::{LOG_FILE, LogError, LogWriter};
use super::log_reader::LogReader;
use super::message_types::MessageTypes;
use super::served_types::ServedTypes;
use super::server::ChatServer;
use super::settings::ChatSettings;
use super::sink::{ChatSink, SharedOrder, SinkSetup};
use super::source::ChatSource;
use super::token::{ChatKey, ChatKeyError, SigningKey};
use super::under_way::MessagesUnderWay;

/// The parts of a chat.
pub struct ChatSetup<'a> {
    pub state: &'a Path,
    pub settings: &'a ChatSettings,
    pub types: MessageTypes,
    /// The port, which is open.
    pub listener: TcpListener,
    /// The control of the engine, which tells of answers that are still being read.
    pub control: &'a EngineControl,
    /// Called when the conversation log can no longer be written.
    pub when_broken: Box<dyn Fn(&LogError) + Send>,
}

/// A chat whose server takes connections. Its source and its sink are to be run by the service.
pub struct ChatRun {
    pub source: Arc<ChatSource>,
    pub sink: ChatSink,
    /// Ends last: devices get the answers that are made at the end, too.
    server: ChatServer,
    is_trial: bool,
    /// A commit would wait for a checkpoint, and a message for the commit.
    _checkpoints: (Option<WalCheckpointer>, WalCheckpointer),
}

#[derive(Debug, thiserror::Error)]
pub enum ChatRunError {
    #[error(transparent)]
    Key(#[from] ChatKeyError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("could not start the threads of the chat: {0}")]
    Threads(#[from] io::Error),
}

impl ChatRun {
    /// Opens the conversation log of a state folder, and serves.
    ///
    /// # Errors
    /// If a file cannot be used, or a thread not be started.
    pub fn start(service: &Service, setup: ChatSetup) -> Result<ChatRun, ChatRunError> {
        let ChatSetup { state, settings, types, listener, control, when_broken } = setup;
        let (key, trial) = match &settings.key {
            Some(path) => (ChatKey::read(path)?, None),
            None => {
                let path = state.join(ChatKey::FILE);
                (ChatKey::at(&path)?, Some(SigningKey::read(&path)?))
            }
        };
        let audience = &settings.audience;
        let (key, trial) =
            (key.for_audience(audience.clone()), trial.map(|trial| trial.for_audience(audience.clone())));
        // The page gives tokens to whoever opens it.
        let trial = trial.filter(|_| listener.local_addr().is_ok_and(|address| address.ip().is_loopback()));
        let tls = settings.identity.as_ref().map(|identity| TlsServer::open(identity, None)).transpose()?;
        let log = LogWriter::open(state)?;
        let checkpoints = (service.journal.checkpoint_apart()?, log.checkpoint_apart()?);
        let hub = Arc::<ChatHub>::default();
        let types = Arc::new(ServedTypes::new(types));
        let order = SharedOrder::default();
        let under_way = Arc::<MessagesUnderWay>::default();
        let intake = Arc::new(MessageIntake::new(
            Arc::clone(&service.journal),
            Arc::new(LogReader::at(state.join(LOG_FILE))),
            Arc::clone(&hub),
            Arc::clone(&types),
            Arc::clone(&order),
            Arc::clone(&under_way),
        ));
        intake.note_left()?;
        let partials = Arc::clone(&intake);
        control.partials.send_to(move |partial| partials.tell_partial(partial));
        let stop = Arc::clone(&service.stop);
        let sink = ChatSink::start(SinkSetup { log, hub, types, order, under_way, stop, when_broken })?;
        let (stop, stopping) = watch::channel(false);
        let is_trial = trial.is_some();
        let (origins, limits) = (settings.origins.clone(), settings.limits);
        let context = ServerContext { intake: Arc::clone(&intake), key, trial, origins, limits, stopping };
        let server = ChatServer::start(listener, context, stop, tls.as_ref())?;
        let source = Arc::new(ChatSource::new(intake));
        Ok(ChatRun { source, sink, server, is_trial, _checkpoints: checkpoints })
    }

    /// The address of the server.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Whether there is a page to try it.
    pub fn is_trial(&self) -> bool {
        self.is_trial
    }
}
