//! Webhook, mail and command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};

use crate::calls::ServicePost;
use crate::program::run_with_input;
use crate::step::{CallAttempt, Digest};

use super::message::AlarmMessage;
use super::site::{AlarmSettings, MailSettings};

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
    #[error("the mail server did not take the message: {0}")]
    Mail(#[from] lettre::transport::smtp::Error),
    #[error("the command {program} failed: {reason}")]
    Command { program: String, reason: String },
}

/// The longest time for one message.
const TIME_MAX: Duration = Duration::from_secs(30);

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

    /// Tells a message.
    ///
    /// # Errors
    /// If it is not taken.
    pub fn tell(&self, message: &AlarmMessage) -> Result<(), ReceiverError> {
        match self {
            AlarmReceiver::Webhook(url) => post(url, message),
            AlarmReceiver::Mail(settings) => send(settings, message),
            AlarmReceiver::Command(command) => run(command, message),
        }
    }
}

fn post(url: &str, message: &AlarmMessage) -> Result<(), ReceiverError> {
    let body = message.json();
    let post = ServicePost { url, headers: &[], body: body.as_bytes() };
    let attempt = CallAttempt { key: Digest::of(body.as_bytes()), timeout: TIME_MAX };
    post.send(&attempt).map(drop).map_err(|failed| ReceiverError::Webhook(failed.fault.reason))
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
    let (scheme, rest) = settings.server.split_once("://").unwrap_or(("smtp", &settings.server));
    let rest = rest.trim_end_matches('/');
    let given = rest.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let usual = match scheme {
        "smtps" => 465,
        "smtp+starttls" => 587,
        _ => 25,
    };
    let (host, port) = given.unwrap_or((rest, usual));
    let tls = match scheme {
        "smtps" => Tls::Wrapper(parameters(settings, host)?),
        "smtp+starttls" => Tls::Required(parameters(settings, host)?),
        _ => Tls::None,
    };
    let transport = SmtpTransport::builder_dangerous(host).port(port).tls(tls).timeout(Some(TIME_MAX));
    let Some(path) = &settings.authorization else { return Ok(transport.build()) };
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let (user, password) = text.lines().next().and_then(|line| line.split_once(':')).unwrap_or_default();
    Ok(transport.credentials(Credentials::new(user.to_owned(), password.to_owned())).build())
}

/// Only the site's authorities are trusted, as for all other connections.
fn parameters(settings: &MailSettings, host: &str) -> Result<TlsParameters, ReceiverError> {
    let mut parameters = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::None);
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
