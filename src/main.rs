//! The `flow` command.

use flow::step::StepTable;

fn main() -> std::process::ExitCode {
    flow::cli::main(&StepTable::built_in())
}
