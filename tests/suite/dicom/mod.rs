//! Studies in and results out, with real peers: DCMTK, Orthanc, and some that misbehave.

mod archives;
mod commitment;
mod completing;
mod conformance;
mod crowds;
mod files;
mod folders;
mod hostile;
mod limits;
mod long_uids;
mod odd;
mod raw;
mod receiving;
mod resent;
mod sending;
mod site;
mod watch;
mod web;
