//! Studies in and results out, with real peers: DCMTK, Orthanc, and some that misbehave.

#[path = "../support/peers.rs"]
mod peers;
#[path = "../support/slices.rs"]
mod slices;

mod folders;
mod limits;
mod receiving;
mod sending;
