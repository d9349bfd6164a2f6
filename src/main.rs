//! The `flow` command.

use flow::step::StepTable;

/// The allocator of the system is slow where memory is freed on another thread than it was taken on, as
/// responses are: an epoch through ten steps costs twice as much with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    flow::cli::main(&StepTable::built_in())
}
