//! Programs as steps. Only this folder starts processes.
//!
//! A program is made as pure as possible from outside: its inputs are files in a private folder, its environment has
//! few variables, and its results are what it writes. Memory and output are limited, and so is what it sees of the
//! machine. There are two ways:
//!
//! * The step `run-program` runs any program once, with an empty standard input; the files in `out/` are the result.
//! * A program of steps (`programs` in a dataflow file) declares steps, and is kept alive for many calls: `process`
//!   is one such process, `pool` has those of one program, `hello` reads the declarations, and `load` makes steps
//!   of them. The messages that travel are described in the book, under "The protocol of steps in any language".
//!
//! No program outlives flow, and none outlives a run that was cancelled or took too long. Where flow can make
//! namespaces, the kernel ends a program with all its descendants; elsewhere they are searched for (`sweep`).

mod batch_call;
mod call_folder;
mod chain_call;
mod child;
mod column;
mod confinement;
mod fault;
mod folder;
mod folder_plan;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gpg;
mod group_call;
mod hello;
mod hidden_places;
mod item_results;
mod kept_code;
mod left_folder;
mod link_kernel;
mod load;
mod message;
mod namespaces;
mod notify;
pub mod npy;
mod piped;
mod pipes;
mod plain_item;
mod pool;
mod process;
mod program_code;
mod program_root;
mod reservations;
mod run_program;
mod sandbox;
mod sandbox_grants;
mod step_answer;
mod step_call;
mod stopping;
mod stream_call;
mod sweep;
mod syscall_filter;
mod writable_places;

pub use gpg::{GpgError, GpgFiles};
pub use left_folder::remove_left_folder;
pub use notify::run_with_input;
pub use stopping::wait_for_stopping;

/// The module for steps in Python, one file without dependencies.
pub const PYTHON_HELPER: &str = include_str!("flow_step.py");

/// The module of that program for columns.
const PYTHON_COLUMN: &str = include_str!("flow_column.py");

/// The module of that program for faults.
const PYTHON_FAULT: &str = include_str!("flow_fault.py");

/// The module of that program for what steps give.
const PYTHON_OUTPUT: &str = include_str!("flow_output.py");

/// The program that runs steps in Python.
const PYTHON_SERVER: &str = include_str!("flow_serve.py");
