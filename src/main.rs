//! The `flow` command.

use flow::step::StepTable;

/// The allocator. Responses are freed on other threads than they are made on, which the system's does
/// slowly; and of several studies one after the other, it keeps more.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is freed goes back to the system after 100 ms, also where nothing else happens: memory has a budget.
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &u8 =
    &c"background_thread:true,dirty_decay_ms:100,muzzy_decay_ms:0".to_bytes_with_nul()[0];

fn main() -> std::process::ExitCode {
    flow::cli::main(&StepTable::built_in())
}
