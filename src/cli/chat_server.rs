//! `flow run chat`: a server of message types, until somebody ends it.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;

use crate::admission::{
    AdmissionEvent, AdmissionObserver, DataflowSelector, Intake, Service, ServiceSettings,
};
use crate::calls::note_circuits_in;
use crate::chat::{
    ChatRun, ChatRunError, ChatSettings, ChatSetup, LogError, MessageTypeError, MessageTypes, TypeUpdates,
    selector, set_site_model,
};
use crate::engine::{EngineControl, EngineSettings, NullObserver};
use crate::printable::PrintableLines;
use crate::site::GeneralSettings;
use crate::step::StepTable;

use super::bind::bind;
use super::broken::{end_process, end_when_broken};
use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::monitor::{MonitorSetup, RunMonitor};
use super::pointless::refuse_given;
use super::progress::{GO_ON, ProgressDisplay};
use super::run_settings::{GivenSettings, RunSettings};
use super::service_manager::ServiceManager;
use super::site::SiteArguments;
use super::step_folders::keep_step_folders;
use super::{file_access, listen, memory, noted_states, output, signals};

/// The name of the server of message types.
pub const CHAT: &str = "chat";

/// Options for `flow run chat`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Chat")]
pub struct ChatArguments {
    /// Serve the chat at this port; loopback only, unless an address is given [default: 8090]
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = listen::address)]
    chat_listen: Option<SocketAddr>,
}

/// A chat as the command line wants it.
pub struct ChatCommand {
    pub general: GeneralSettings,
    pub chat: ChatArguments,
    pub site: SiteArguments,
    /// The port of the status page.
    pub page: Option<SocketAddr>,
}

/// Messages of a type in work at once, unless said otherwise: those that wait for a model.
const LANES: NonZero<usize> = NonZero::new(32).expect("thirty-two is not zero");

/// The versions of types that the engine can have.
const TYPES_MAX: NonZero<usize> = NonZero::new(64).expect("sixty-four is not zero");

impl ChatArguments {
    /// Refuses what has a meaning for the chat only.
    pub fn refuse_elsewhere(&self) -> Result<(), CommandError> {
        refuse_given([("--chat-listen", self.chat_listen.is_some())], "it is for `flow run chat`")
    }

    /// The settings of the site's file, with those of the command line.
    fn over(&self, mut settings: ChatSettings) -> Result<ChatSettings, CommandError> {
        settings.address = self.chat_listen.unwrap_or(settings.address);
        if settings.key.is_none() && !settings.address.ip().is_loopback() {
            let text = "a key that is made here is for trying on this machine alone";
            let failure = CommandError::new(CommandErrorKind::Usage, text);
            return Err(failure.hint("add chat: {key: FILE} to the --site file"));
        }
        Ok(settings)
    }
}

impl ChatCommand {
    /// Serves until SIGINT or SIGTERM.
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let ChatCommand { general, chat, site, page } = self;
        let site = site.load()?;
        let said = site.site.as_ref();
        let lanes = general.lanes.or(said.and_then(|site| site.general.lanes)).unwrap_or(LANES);
        let settings = said.and_then(|site| site.section::<ChatSettings>()).cloned().unwrap_or_default();
        let settings = chat.over(settings)?;
        let chosen = RunSettings::choose(GivenSettings { general, output: None }, &site, true)?;
        let types = load(&settings, table)?;
        set_site_model(settings.model.clone());
        let progress = Arc::new(ProgressDisplay::new());
        file_access::restrict(chosen.readers);
        file_access::claim_folder(&chosen.state, chosen.readers)?;
        let service = service(&chosen, &types, table, &progress)?;
        let state = std::path::absolute(&chosen.state).unwrap_or_else(|_| chosen.state.clone());
        progress.say_line(format_args!("state     {}", state.display()));
        noted_states::note(&state);
        keep_step_folders(&chosen.state, 0)?;
        note_circuits_in(&chosen.state, 0);
        let (journal, free_bytes_min) = (&*service.journal, chosen.free_min);
        let (state, dataflows) = (chosen.state.as_path(), &service.dataflows);
        let setup = MonitorSetup { page, journal, dataflows, state, free_bytes_min, table, site: &site };
        let monitor = RunMonitor::start(&setup, &progress)?;
        raise_open_files();
        let control = Arc::new(EngineControl::at(&chosen.state));
        let chat = start(&service, &chosen, &settings, types, &control)?;
        handle_signals(&service, &chat, settings.clone(), table)?;
        let scheme = if settings.identity.is_some() { "https" } else { "http" };
        let about = if chat.is_trial() { "  (a page to try it)" } else { "" };
        progress.say_line(format_args!("chat      {scheme}://{}/{about}", chat.address()));
        let engine = engine(&chosen, lanes, control);
        let observer = monitor.observer(Arc::new(NullObserver));
        let _manager = ServiceManager::tell_ready(&service);
        let intake = service.run_all(vec![Arc::clone(&chat.source) as _], &chat.sink, engine, observer)?;
        Ok(if intake == Intake::Partial { CommandExit::WithErrors } else { CommandExit::Done })
    }
}

fn start(
    service: &Service,
    chosen: &RunSettings,
    settings: &ChatSettings,
    types: MessageTypes,
    control: &EngineControl,
) -> Result<ChatRun, CommandError> {
    let listener = bind(settings.address)?;
    let when_broken = Box::new(|error: &LogError| end_process(error));
    let state = chosen.state.as_path();
    Ok(ChatRun::start(service, ChatSetup { state, settings, types, listener, control, when_broken })?)
}

fn engine(chosen: &RunSettings, lanes: NonZero<usize>, control: Arc<EngineControl>) -> EngineSettings {
    EngineSettings {
        // One worker hands a message from step to step without waking another thread.
        workers: chosen.workers.unwrap_or(NonZero::<usize>::MIN),
        lanes,
        in_work_max: lanes.checked_mul(TYPES_MAX),
        // The chat bounds its messages itself. An answer that waits for its turn must not keep the message out for
        // which it waits.
        under_way_max: Some(NonZero::<usize>::MAX),
        memory: chosen.memory.unwrap_or_else(memory::default_budget),
        control,
        ..EngineSettings::default()
    }
}

fn service(
    chosen: &RunSettings,
    types: &MessageTypes,
    table: &StepTable,
    progress: &Arc<ProgressDisplay>,
) -> Result<Service, CommandError> {
    let dataflows: DataflowSelector = selector(types).ok_or_else(|| {
        let failure = CommandError::new(CommandErrorKind::Problems, "no message type is recorded");
        failure.hint("give at least one a time for `keep`")
    })?;
    let settings = ServiceSettings { free_bytes_min: chosen.free_min, ..ServiceSettings::at(&chosen.state) };
    let mut service = Service::open(settings, dataflows)?.with_earlier_versions(table)?;
    end_when_broken(&service.journal);
    service.settings.retention = chosen.retention();
    service.observer = Arc::new(ChatProgress(Arc::clone(progress)));
    Ok(service)
}

fn load(settings: &ChatSettings, table: &StepTable) -> Result<MessageTypes, CommandError> {
    let types = match &settings.types {
        Some(folder) => MessageTypes::load(folder, table),
        None => MessageTypes::built_in(table),
    };
    types.map_err(|error| match error {
        MessageTypeError::Problems(problems) => {
            CommandError::new(CommandErrorKind::Problems, "the message types have problems").details(problems)
        }
        error @ (MessageTypeError::Unreadable { .. } | MessageTypeError::Empty { .. }) => {
            CommandError::of(CommandErrorKind::InputOutput)(error)
        }
    })
}

/// A reload reads the message types again.
fn handle_signals(
    service: &Service,
    chat: &ChatRun,
    settings: ChatSettings,
    table: &StepTable,
) -> Result<(), CommandError> {
    let (updates, table): (TypeUpdates, StepTable) = (chat.source.updates(), table.clone());
    signals::handle(&service.stop, move || match load(&settings, &table) {
        Ok(types) => updates.give(types),
        Err(error) => {
            let head = format_args!("NOT RELOADED: {GO_ON}").to_string();
            output::tell_event(&PrintableLines::of(head).lines_of(error.lines().as_str()));
        }
    })
}

/// As many connections as the system lets this process have.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, fewer connections are held.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The events that a person wants to see of a chat: not each message.
struct ChatProgress(Arc<ProgressDisplay>);

impl AdmissionObserver for ChatProgress {
    fn observe_admission(&self, event: &AdmissionEvent) {
        match event {
            AdmissionEvent::InWork { .. }
            | AdmissionEvent::AnsweredBefore { .. }
            | AdmissionEvent::Ignored { .. }
            | AdmissionEvent::Resumed { .. }
            | AdmissionEvent::ResponseMade { .. } => {}
            AdmissionEvent::NotAccepted { .. }
            | AdmissionEvent::Cancelled { .. }
            | AdmissionEvent::Retried { .. }
            | AdmissionEvent::Hurried { .. }
            | AdmissionEvent::Urgent { .. }
            | AdmissionEvent::DataflowsReplaced { .. }
            | AdmissionEvent::DataflowsKept { .. }
            | AdmissionEvent::Told { .. } => self.0.observe_admission(event),
        }
    }
}

impl From<ChatRunError> for CommandError {
    fn from(error: ChatRunError) -> CommandError {
        let hint = match &error {
            ChatRunError::Key(error) => Some(error.hint()),
            ChatRunError::Log(_) => {
                Some("see whether its disk is full or broken, and whether flow may write there")
            }
            ChatRunError::Journal(_) | ChatRunError::Tls(_) | ChatRunError::Threads(_) => None,
        };
        let failure = CommandError::of(CommandErrorKind::InputOutput)(error);
        hint.into_iter().fold(failure, |failure, hint| failure.hint(hint))
    }
}
