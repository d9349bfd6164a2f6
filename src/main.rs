//! The `flow` command.

use flow::step::Table;

fn main() -> std::process::ExitCode {
    flow::cli::main(&Table::built_in())
}
