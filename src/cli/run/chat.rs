//! `flow run chat`: a server of message types, until somebody ends it.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;

use crate::admission::{
    AdmissionEvent, AdmissionObserver, DataflowSelector, Intake, Service, ServiceSettings,
};
use crate::calls::note_circuits_in;
use crate::chat::{
    ChatRun, ChatRunError, ChatSettings, ChatSetup, MessageTypeError, MessageTypes, TypeUpdates, selector,
    set_site_model,
};
use crate::engine::{EngineControl, EngineSettings, NullObserver};
use crate::printable::PrintableLines;
use crate::step::StepTable;

use super::super::bind::bind;
use super::super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::super::monitor::{MonitorSetup, RunMonitor};
use super::super::progress::{GO_ON, ProgressDisplay};
use super::super::run_row::refuse_given;
use super::super::run_settings::{GivenSettings, RunSettings};
use super::super::step_folders::keep_step_folders;
use super::super::{file_access, listen, memory, noted_states, output, signals};
use super::broken::{end_process, end_when_broken};
use super::{GeneralSettings, KeepSettings, RunArguments};

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

impl RunArguments {
    /// Whether it is the chat that is to run.
    pub(super) fn is_chat(&self) -> bool {
        self.dataflow.as_deref() == Some(CHAT)
    }

    fn refuse_for_chat(&self) -> Result<(), CommandError> {
        let given = [
            ("--input or --files", !self.input.is_empty() || !self.files.is_empty()),
            ("--listen or --from", self.listen.is_given()),
            ("--to or --back-to", !self.to.is_empty() || !self.back_to.is_empty()),
            ("--output or --no-output", self.output.is_some() || self.no_output),
            ("--json or --priority", self.json || self.priority.is_some()),
            ("-n", !self.processes.is_alone()),
        ];
        refuse_given(given, "messages come from the clients of the chat, and answers go to them")
    }

    /// Serves until SIGINT or SIGTERM.
    pub(super) fn run_chat(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        self.refuse_for_chat()?;
        self.row.refuse_elsewhere()?;
        let site = self.site.load()?;
        let general = GeneralSettings {
            state: self.state.clone(),
            workers: self.workers,
            lanes: self.lanes,
            memory: self.memory,
            free_min: self.free_min,
            keep: KeepSettings { days: self.keep_days, bytes: self.keep_bytes },
            ..GeneralSettings::default()
        };
        let said = site.site.as_ref();
        let lanes = self.lanes.or(said.and_then(|site| site.general.lanes)).unwrap_or(LANES);
        let settings = said.and_then(|site| site.section::<ChatSettings>()).cloned().unwrap_or_default();
        let settings = self.chat.over(settings)?;
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
        let (page, free_bytes_min) = (self.page, chosen.free_min);
        let setup = MonitorSetup {
            page,
            journal: &service.journal,
            state: &chosen.state,
            free_bytes_min,
            table,
            site: &site,
        };
        let monitor = RunMonitor::start(&setup, &progress)?;
        raise_open_files();
        let control = Arc::new(EngineControl::at(&chosen.state));
        let listener = bind(settings.address)?;
        let when_broken = Box::new(|error: &crate::chat::LogError| end_process(error));
        let setup = ChatSetup {
            state: &chosen.state,
            settings: &settings,
            types,
            listener,
            control: &control,
            when_broken,
        };
        let chat = ChatRun::start(&service, setup)?;
        handle_signals(&service, &chat, settings.clone(), table)?;
        let scheme = if settings.identity.is_some() { "https" } else { "http" };
        let about = if chat.is_trial() { "  (a page to try it)" } else { "" };
        progress.say_line(format_args!("chat      {scheme}://{}/{about}", chat.address()));
        // One worker hands a message from step to step without waking another thread.
        let workers = chosen.workers.unwrap_or(NonZero::<usize>::MIN);
        let budget = chosen.memory.unwrap_or_else(memory::default_budget);
        let engine = EngineSettings {
            workers,
            lanes,
            in_work_max: lanes.checked_mul(TYPES_MAX),
            // The chat bounds its messages itself. An answer that waits for its turn must not keep the message out for
            // which it waits.
            under_way_max: Some(NonZero::<usize>::MAX),
            memory: budget,
            control,
            ..EngineSettings::default()
        };
        let observer = monitor.observer(Arc::new(NullObserver));
        let intake = service.run_all(vec![Arc::clone(&chat.source) as _], &chat.sink, engine, observer)?;
        Ok(if intake == Some(Intake::Partial) { CommandExit::WithErrors } else { CommandExit::Done })
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

/// What a person wants to see of a chat: not each message.
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
