//! The rules of the house that no compiler checks: what may name what, how large things are, that
//! the tools have nothing to say, and that the README and the book tell the truth.

mod circles;
mod docs;
mod registered;
mod source;
mod structure;
mod threats;
mod tools;
mod unsafe_code;
mod words;
