//! Mail through an SMTP server: the only file that names the mail client.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};

use super::message::AlarmMessage;
use super::site::{MailSettings, server_address};

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("could not read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the mail could not be made: {0}")]
    Message(String),
    #[error("{} has no USER:PASSWORD in its first line", .0.display())]
    Credentials(PathBuf),
    #[error("the mail server takes longer than {} s", .0.as_secs())]
    Late(Duration),
    #[error("the mail server did not take the message: {0}")]
    Server(#[from] lettre::transport::smtp::Error),
}

/// The longest time for one answer of a mail server.
const STEP_TIME_MAX: Duration = Duration::from_secs(10);

/// Mail clients that are at work; more than one only where a server took too long.
static CLIENTS: AtomicUsize = AtomicUsize::new(0);

const CLIENTS_MAX: usize = 4;

/// Looks whether the files can be used that the settings name.
///
/// # Errors
/// If one cannot be read, or has not what it should have.
pub fn check(settings: &MailSettings) -> Result<(), MailError> {
    transport(settings).map(drop)
}

/// Sends a mail. The mail client has a time limit for each answer only: a server that answers slowly could hold it without end.
///
/// # Errors
/// If the server does not take it within `time`.
pub fn send_within(settings: &MailSettings, message: &AlarmMessage, time: Duration) -> Result<(), MailError> {
    let late = || MailError::Late(time);
    let place = ClientPlace::take().ok_or_else(late)?;
    let (sent, outcome) = sync_channel(1);
    let (settings, message) = (settings.clone(), message.clone());
    let work = move || {
        // Nobody waits for an outcome that comes too late.
        let _ = sent.send(send(&settings, &message));
        drop(place);
    };
    let started = std::thread::Builder::new().name("flow:mail-client".to_owned()).spawn(work);
    started.map_err(|error| MailError::Message(error.to_string()))?;
    outcome.recv_timeout(time).unwrap_or_else(|_| Err(late()))
}

/// One of the mail clients that may run at a time.
struct ClientPlace;

impl ClientPlace {
    fn take() -> Option<ClientPlace> {
        let place = (CLIENTS.fetch_add(1, Ordering::Relaxed), ClientPlace);
        Some(place).filter(|(count, _)| *count < CLIENTS_MAX).map(|(_, place)| place)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        CLIENTS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn send(settings: &MailSettings, message: &AlarmMessage) -> Result<(), MailError> {
    let wrong = |error: &dyn std::fmt::Display| MailError::Message(error.to_string());
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

fn transport(settings: &MailSettings) -> Result<SmtpTransport, MailError> {
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

fn credentials(settings: &MailSettings) -> Result<Option<Credentials>, MailError> {
    let Some(path) = &settings.authorization else { return Ok(None) };
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let pair = text.lines().next().and_then(|line| line.split_once(':'));
    let (user, password) = pair
        .filter(|(user, password)| !user.is_empty() && !password.is_empty())
        .ok_or_else(|| MailError::Credentials(path.clone()))?;
    Ok(Some(Credentials::new(user.to_owned(), password.to_owned())))
}

/// The public authorities are trusted, as by the webhook: many mail servers are those of a provider. Those of the site
/// are trusted, too.
fn parameters(settings: &MailSettings, host: &str) -> Result<TlsParameters, MailError> {
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

fn read(path: &Path) -> Result<Vec<u8>, MailError> {
    std::fs::read(path).map_err(|source| MailError::File { path: path.to_owned(), source })
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
        let settings = MailSettings { server, from, to, authorization, authorities };
        for text in ["", "user\n", "user:\n", ":word\n", "\nuser:word\n"] {
            std::fs::write(&path, text).unwrap();
            let error = check(&settings).unwrap_err().to_string();
            assert!(error.contains("mail.txt has no USER:PASSWORD"), "{text:?}: {error}");
        }
        std::fs::write(&path, "user:word:with colon\n").unwrap();
        check(&settings).unwrap();
    }
}
