//! The options of `flow run` for receiving, and the receiver itself.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::dicom::{self, AeTitle, Called, Stop};
use crate::step::Request;

use super::exit::{Failure, Kind};
use super::intake::Intake;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Receiving over DICOM")]
pub struct Listen {
    /// Receive studies at this port (C-STORE, C-ECHO); loopback only, unless an address is given
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address)]
    listen: Option<SocketAddr>,

    /// Our AE title
    #[arg(long, value_name = "TITLE", default_value = "FLOW")]
    ae_title: AeTitle,

    /// Accept senders that call us by another title
    #[arg(long)]
    any_called_ae: bool,

    /// A study is complete when its association is released and nothing has arrived for this long
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    quiet_time: Duration,

    /// A study whose sender broke off waits so long to be sent again; then what there is of it is answered
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    broken_time: Duration,
}

/// Where received files lie.
pub struct Inbox {
    pub folder: PathBuf,
    /// Those of its folders whose requests are recorded.
    pub known: BTreeSet<PathBuf>,
    pub free_bytes_min: u64,
}

/// A receiver whose port is open.
pub struct Receiver {
    listener: TcpListener,
    settings: dicom::Settings,
    stop: Arc<Stop>,
}

impl Listen {
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen
    }

    pub fn open(&self, address: SocketAddr, inbox: Inbox) -> Result<Receiver, Failure> {
        let listener = TcpListener::bind(address).map_err(|error| {
            let failure = Failure::new(Kind::InputOutput, format!("could not listen at {address}: {error}"));
            failure.hint("another program may have the port; ports below 1024 need rights")
        })?;
        let mut settings = dicom::Settings::new(self.ae_title.clone(), inbox.folder);
        settings.known_folders = inbox.known;
        settings.free_bytes_min = inbox.free_bytes_min;
        settings.completion.quiet_time = self.quiet_time;
        settings.completion.broken_time = self.broken_time;
        settings.called = if self.any_called_ae { Called::Any } else { Called::Ours };
        let stop = Arc::new(Stop::default());
        stop_on_signal(&stop)?;
        Ok(Receiver { listener, settings, stop })
    }
}

impl Receiver {
    /// Receives until a signal asks to end.
    pub fn serve(&self, intake: &Intake) {
        let progress = intake.progress;
        let address = self.listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
        progress.say(&format!("listening at {address} as {}; Ctrl-C ends", self.settings.ae_title));
        let on_study = |request| self.hand_over(intake, &request);
        let on_event = |event: &dicom::Event| {
            if event.is_warning() {
                return progress.say(&event.to_string());
            }
            dicom::log(event);
        };
        if let Err(error) = dicom::serve(&self.listener, &self.settings, &self.stop, on_study, on_event) {
            progress.say(&format!("receiving ended: {error}"));
        }
    }

    /// A study that is received stays in the inbox until it can be recorded, also beyond the end.
    fn hand_over(&self, intake: &Intake, request: &Request) {
        let mut told = false;
        while let Err(error) = intake.take(request.clone()) {
            if !std::mem::replace(&mut told, true) {
                let text = format!("{} waits in the inbox: {error}", request.name);
                intake.progress.say(&text);
            }
            if self.stop.wait(RETRY) {
                return;
            }
        }
    }
}

/// How long a received study waits that could not be recorded.
const RETRY: Duration = Duration::from_secs(1);

/// The first signal ends receiving, and what has been received is still answered; the second one
/// ends the process.
fn stop_on_signal(stop: &Arc<Stop>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(Kind::InputOutput, format!("could not watch for signals: {error}")))?;
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            let _ = writeln!(
                std::io::stderr(),
                "ending: what is complete is still answered; once more ends at once"
            );
            stop.request();
        }
        if signals.next().is_some() {
            std::process::exit(130);
        }
    });
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse::<u16>().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    let address = port.or_else(|_| text.parse());
    address.map_err(|_| "write a port, or an address and a port, for example 0.0.0.0:11112".to_owned())
}

/// Reads a number of seconds.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "write a number of seconds, for example 2.5".to_owned())
}
