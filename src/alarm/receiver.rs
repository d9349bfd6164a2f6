//! Webhook, mail and command.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};

use crate::calls::ServicePost;
use crate::program::run_with_input;
use crate::step::{CallAttempt, Digest};

use super::message::AlarmMessage;
use super::site::{AlarmSettings, MailSettings, server_address};

/// A receiver of messages.
#[derive(Clone, Debug)]
pub enum AlarmReceiver {
    Webhook(String),
    Mail(MailSettings),
    Command(Vec<String>),
}

#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    #[error("the webhook did not take the message: {0}")]
    Webhook(String),
    #[error("could not read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the mail could not be made: {0}")]
    Message(String),
    #[error("{} has no USER:PASSWORD in its first line", .0.display())]
    Credentials(PathBuf),
    #[error("the mail server takes longer than {} s", TIME_MAX.as_secs())]
    Late,
    #[error("the mail server did not take the message: {0}")]
    Mail(#[from] lettre::transport::smtp::Error),
    #[error("the command {program} failed: {reason}")]
    Command { program: String, reason: String },
}

/// The longest time for one message.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The longest time for one answer of a mail server.
const STEP_TIME_MAX: Duration = Duration::from_secs(10);

/// Mail clients that are at work; more than one only where a server took too long.
static CLIENTS: AtomicUsize = AtomicUsize::new(0);

const CLIENTS_MAX: usize = 4;

impl AlarmReceiver {
    /// The receivers of a site.
    pub fn of(settings: &AlarmSettings) -> Vec<AlarmReceiver> {
        let webhook = settings.webhook.clone().map(AlarmReceiver::Webhook);
        let mail = settings.mail.clone().map(AlarmReceiver::Mail);
        let command = Some(settings.command.clone()).filter(|command| !command.is_empty());
        webhook.into_iter().chain(mail).chain(command.map(AlarmReceiver::Command)).collect()
    }

    /// The name under which messages wait for it.
    pub fn name(&self) -> &'static str {
        match self {
            AlarmReceiver::Webhook(_) => "webhook",
            AlarmReceiver::Mail(_) => "mail",
            AlarmReceiver::Command(_) => "command",
        }
    }

    /// Whether the files that it needs can be used.
    ///
    /// # Errors
    /// If one cannot be read, or has not what it should have.
    pub fn check(&self) -> Result<(), ReceiverError> {
        match self {
            AlarmReceiver::Mail(settings) => transport(settings).map(drop),
            AlarmReceiver::Webhook(_) | AlarmReceiver::Command(_) => Ok(()),
        }
    }

    /// Tells a message, within a time.
    ///
    /// # Errors
    /// If it is not taken.
    pub fn tell(&self, message: &AlarmMessage) -> Result<(), ReceiverError> {
        match self {
            AlarmReceiver::Webhook(url) => post(url, message),
            AlarmReceiver::Mail(settings) => send_in_time(settings, message),
            AlarmReceiver::Command(command) => run(command, message),
        }
    }
}

fn post(url: &str, message: &AlarmMessage) -> Result<(), ReceiverError> {
    let body = message.json();
    let post = ServicePost { url, headers: &[], body: body.as_bytes() };
    let attempt = CallAttempt { key: Digest::of(body.as_bytes()), timeout: TIME_MAX };
    post.send_alone(&attempt).map(drop).map_err(|failed| ReceiverError::Webhook(failed.fault.reason))
}

/// The mail client has a time limit for each answer only: a server that answers slowly could hold it without end.
fn send_in_time(settings: &MailSettings, message: &AlarmMessage) -> Result<(), ReceiverError> {
    if CLIENTS.fetch_add(1, Ordering::Relaxed) >= CLIENTS_MAX {
        CLIENTS.fetch_sub(1, Ordering::Relaxed);
        return Err(ReceiverError::Late);
    }
    let (sent, outcome) = sync_channel(1);
    let (settings, message) = (settings.clone(), message.clone());
    let work = move || {
        // Nobody waits for an outcome that comes too late.
        let _ = sent.send(send(&settings, &message));
        CLIENTS.fetch_sub(1, Ordering::Relaxed);
    };
    let started = std::thread::Builder::new().name("flow:mail-client".to_owned()).spawn(work);
    started.map_err(|error| ReceiverError::Message(error.to_string()))?;
    outcome.recv_timeout(TIME_MAX).unwrap_or(Err(ReceiverError::Late))
}

fn send(settings: &MailSettings, message: &AlarmMessage) -> Result<(), ReceiverError> {
    let wrong = |error: &dyn std::fmt::Display| ReceiverError::Message(error.to_string());
    let address = |text: &str| text.parse().map_err(|error: lettre::address::AddressError| wrong(&error));
    let mut mail = Message::builder().from(address(&settings.from)?).subject(message.subject());
    for to in &settings.to {
        mail = mail.to(address(to)?);
    }
    let body =
        format!("{}\n\nstate folder: {}\ncause: {}\n", message.subject(), message.state, message.cause);
    let mail = mail.header(ContentType::TEXT_PLAIN).body(body).map_err(|error| wrong(&error))?;
    transport(settings)?.send(&mail)?;
    Ok(())
}

fn transport(settings: &MailSettings) -> Result<SmtpTransport, ReceiverError> {
    let (host, port) = server_address(&settings.server);
    let tls = match settings.server.split_once("://") {
        Some(("smtps", _)) => Tls::Wrapper(parameters(settings, host)?),
        Some(("smtp+starttls", _)) => Tls::Required(parameters(settings, host)?),
        _ => Tls::None,
    };
    let transport = SmtpTransport::builder_dangerous(host).port(port).tls(tls).timeout(Some(STEP_TIME_MAX));
    Ok(match credentials(settings)? {
        Some(credentials) => transport.credentials(credentials).build(),
        None => transport.build(),
    })
}

fn credentials(settings: &MailSettings) -> Result<Option<Credentials>, ReceiverError> {
    let Some(path) = &settings.authorization else { return Ok(None) };
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let pair = text.lines().next().and_then(|line| line.split_once(':'));
    let (user, password) = pair
        .filter(|(user, password)| !user.is_empty() && !password.is_empty())
        .ok_or_else(|| ReceiverError::Credentials(path.clone()))?;
    Ok(Some(Credentials::new(user.to_owned(), password.to_owned())))
}

/// The public authorities are trusted, as by the webhook: many mail servers are those of a provider. Those of the site
/// are trusted, too.
fn parameters(settings: &MailSettings, host: &str) -> Result<TlsParameters, ReceiverError> {
    let mut parameters =
        TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    if let Some(path) = &settings.authorities {
        for certificate in certificates(&String::from_utf8_lossy(&read(path)?)) {
            parameters = parameters.add_root_certificate(Certificate::from_pem(certificate.as_bytes())?);
        }
    }
    Ok(parameters.build()?)
}

/// Each certificate of a PEM file.
fn certificates(text: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let parts = text.split_inclusive(END).filter(|part| part.contains(END));
    let begin = |part: &str| part.find("-----BEGIN CERTIFICATE-----").map(|at| part[at..].to_owned() + "\n");
    parts.filter_map(begin).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, ReceiverError> {
    std::fs::read(path).map_err(|source| ReceiverError::File { path: path.to_owned(), source })
}

fn run(command: &[String], message: &AlarmMessage) -> Result<(), ReceiverError> {
    let input = message.json() + "\n";
    run_with_input(command, input.as_bytes(), TIME_MAX).map_err(|error| ReceiverError::Command {
        program: command.first().cloned().unwrap_or_default(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_user_and_password_is_named_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.txt");
        let (server, from, to) = ("smtps://mail.example.org".to_owned(), "a@b.org".to_owned(), Vec::new());
        let (authorization, authorities) = (Some(path.clone()), None);
        let receiver = AlarmReceiver::Mail(MailSettings { server, from, to, authorization, authorities });
        for text in ["", "user\n", "user:\n", ":word\n", "\nuser:word\n"] {
            std::fs::write(&path, text).unwrap();
            let error = receiver.check().unwrap_err().to_string();
            assert!(error.contains("mail.txt has no USER:PASSWORD"), "{text:?}: {error}");
        }
        std::fs::write(&path, "user:word:with colon\n").unwrap();
        receiver.check().unwrap();
    }
}
