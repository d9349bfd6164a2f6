//! Webhook, mail and command.

use std::time::Duration;

use crate::calls::ServicePost;
use crate::program::run_with_input;
use crate::step::{CallAttempt, Digest};

#[cfg(feature = "mail")]
use super::mail::{self, MailError};
use super::message::AlarmMessage;
use super::site::AlarmSettings;
#[cfg(feature = "mail")]
use super::site::MailSettings;

/// A receiver of messages.
#[derive(Clone, Debug)]
pub enum AlarmReceiver {
    Webhook(String),
    #[cfg(feature = "mail")]
    Mail(MailSettings),
    Command(Vec<String>),
}

#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    #[error("the webhook did not take the message: {0}")]
    Webhook(String),
    #[cfg(feature = "mail")]
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error("the command {program} failed: {reason}")]
    Command { program: String, reason: String },
}

/// The longest time for one message.
const TIME_MAX: Duration = Duration::from_secs(30);

impl AlarmReceiver {
    /// The receivers of a site.
    pub fn of(settings: &AlarmSettings) -> Vec<AlarmReceiver> {
        let webhook = settings.webhook.clone().map(AlarmReceiver::Webhook);
        let command = Some(settings.command.clone()).filter(|command| !command.is_empty());
        let receivers = webhook.into_iter().chain(command.map(AlarmReceiver::Command));
        #[cfg(feature = "mail")]
        let receivers = receivers.chain(settings.mail.clone().map(AlarmReceiver::Mail));
        receivers.collect()
    }

    /// The name under which messages wait for it.
    pub fn name(&self) -> &'static str {
        match self {
            AlarmReceiver::Webhook(_) => "webhook",
            #[cfg(feature = "mail")]
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
            #[cfg(feature = "mail")]
            AlarmReceiver::Mail(settings) => Ok(mail::check(settings)?),
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
            #[cfg(feature = "mail")]
            AlarmReceiver::Mail(settings) => Ok(mail::send_within(settings, message, TIME_MAX)?),
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

fn run(command: &[String], message: &AlarmMessage) -> Result<(), ReceiverError> {
    let input = message.json() + "\n";
    run_with_input(command, input.as_bytes(), TIME_MAX).map_err(|error| ReceiverError::Command {
        program: command.first().cloned().unwrap_or_default(),
        reason: error.to_string(),
    })
}
