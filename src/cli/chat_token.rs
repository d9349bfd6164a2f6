//! `flow chat-token`: a token for trying a chat.

use std::path::PathBuf;
use std::time::Duration;

use crate::chat::{SigningKey, is_name, is_role};

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::listen;
use super::output;

/// Print a token with which a client may connect to a chat
///
/// A site's own users get theirs from the site's login; this one is for trying, and for scripts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  flow chat-token --key flow-state/chat.key --user ann --role patient --conversation c1")]
pub struct ChatTokenArguments {
    /// The key: a line of at least 32 characters, or a private key in PEM (EdDSA or RS256)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The user
    #[arg(long, value_name = "NAME")]
    user: String,

    /// The role, as message types name it
    #[arg(long, value_name = "ROLE")]
    role: String,

    /// A conversation of which the user is a member, or * for all; may be given more than once
    #[arg(long, value_name = "NAME", required = true)]
    conversation: Vec<String>,

    /// The audience, where the site's file has one (`audience` of `chat`)
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,

    /// How long the token is valid
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = listen::time)]
    valid: Duration,
}

impl ChatTokenArguments {
    pub fn run(&self) -> Result<CommandExit, CommandError> {
        if !is_role(&self.role) {
            let text = format!("{:?} is not a role", self.role);
            let failure = CommandError::new(CommandErrorKind::Usage, text);
            return Err(failure.hint("a role is small letters, digits and hyphens: patient"));
        }
        let mut names =
            std::iter::once(&self.user).chain(self.conversation.iter().filter(|name| *name != "*"));
        if let Some(name) = names.find(|name| !is_name(name)) {
            let text = format!("{name:?} is no name of a user or a conversation");
            let failure = CommandError::new(CommandErrorKind::Usage, text);
            return Err(failure.hint("a name has up to 80 bytes, and no slash"));
        }
        let key = SigningKey::read(&self.key).map(|key| key.for_audience(self.audience.clone()));
        let token = key.and_then(|key| key.sign(&self.user, &self.role, &self.conversation, self.valid));
        let token = token.map_err(|error| {
            let hint = error.hint();
            CommandError::of(CommandErrorKind::InputOutput)(error).hint(hint)
        })?;
        output::print_line(token)?;
        Ok(CommandExit::Done)
    }
}
