//! All tests that see flow from outside, in one binary: real files, real processes, real peers.
//!
//! Tests that need a peer (DCMTK, Orthanc, the validators) or the real studies say that they skipped
//! where it is not there; with `FLOW_REQUIRE_PEERS=1` a peer that is not there is a failure.

mod admission;
mod agreement;
mod audit;
mod book_bucket;
mod books;
mod calls;
mod chat;
mod check;
mod cluster;
mod commands;
mod crash;
mod customers;
mod dicom;
mod engine;
mod file_schemas;
mod init;
mod joins;
mod journal;
mod ledger;
mod limits;
mod monitor;
mod outbox;
mod package;
mod pauses;
mod phantom;
mod pixels;
mod program;
mod program_calls;
mod program_chains;
mod program_columns;
mod program_confinement;
mod program_kept;
mod program_modules;
mod program_root;
mod program_steps;
mod program_streams;
mod rates;
mod reference;
mod replay;
mod results;
mod run;
mod schema;
mod service;
mod simulate;
mod streams;
mod support;
mod tally;
mod text;
mod torture;
mod truth;
mod upgrades;
mod variants;
mod versions;
