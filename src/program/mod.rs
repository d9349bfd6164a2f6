//! A program as a step: `run-program`. The only folder that starts processes.
//!
//! A program is not pure by nature. It is made so as far as that can be done from outside: it sees
//! its inputs in a private folder, two environment variables and nothing on its standard input; what
//! it leaves in `out/` and on its standard output is its result. It is bounded in memory and in what
//! it writes, and it never outlives its run: not a timeout, not a cancellation, not flow itself.

mod child;
mod folder;
mod run_program;
