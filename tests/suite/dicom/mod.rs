//! Studies in and results out, with real peers: DCMTK, Orthanc, and some that misbehave.

mod conformance;
mod folders;
mod limits;
mod receiving;
mod sending;
mod watch;
mod web;
