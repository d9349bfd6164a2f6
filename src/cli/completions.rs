//! `flow completions` and `flow man`: the command line for shells and for `man`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, Command};
use clap_complete::Shell;

use super::exit::{CommandError, CommandExit};
use super::output;

/// Print the completions of this command for a shell
///
/// The packages have them in the places where shells look for them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow completions bash > ~/.local/share/bash-completion/completions/flow
  flow completions zsh > ~/.zfunc/_flow
  flow completions fish > ~/.config/fish/completions/flow.fish")]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Write the manual pages: one for flow, and one for each of its commands
#[derive(Debug, clap::Args)]
pub struct ManArguments {
    /// The folder; made if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl CompletionsArguments {
    pub fn run(self, mut command: Command) -> Result<CommandExit, CommandError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "flow", &mut script);
        if self.shell == Shell::Fish {
            script.extend(fish_values(&command).into_bytes());
        }
        output::stdout().write_all(&script)?;
        Ok(CommandExit::Done)
    }
}

impl ManArguments {
    pub fn run(self, command: Command) -> Result<CommandExit, CommandError> {
        std::fs::create_dir_all(&self.folder).map_err(CommandError::at("make the folder", &self.folder))?;
        clap_mangen::generate_to(command, &self.folder)
            .map_err(CommandError::at("write the pages into", &self.folder))?;
        Ok(CommandExit::Done)
    }
}

/// The values of arguments without a name, which the library does not complete in fish.
fn fish_values(command: &Command) -> String {
    let mut lines = String::new();
    for subcommand in command.get_subcommands() {
        let values = subcommand.get_positionals().flat_map(Arg::get_possible_values);
        let names: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        if !names.is_empty() {
            let (name, names) = (subcommand.get_name(), names.join(" "));
            lines +=
                &format!("complete -c flow -n \"__fish_flow_using_subcommand {name}\" -f -a \"{names}\"\n");
        }
    }
    lines
}
