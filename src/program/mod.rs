//! The step `run-program`, which runs a program. Only this folder starts processes.
//!
//! A program is made as pure as possible from outside: its inputs are files in a private folder, its
//! environment has two variables, its standard input is empty, and its results are the files in `out/`
//! and the standard output. Memory and output are limited, and so is what it sees of the machine. A program
//! never outlives its run, also after a timeout, a cancellation or the end of flow.

mod child;
mod folder;
mod reservations;
mod run_program;
mod sandbox;
mod sweep;
