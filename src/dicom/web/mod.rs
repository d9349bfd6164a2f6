//! DICOMweb, both sides (PS3.18); the only place that speaks HTTP.
//!
//! The server provides STOW-RS: `POST {base}/studies` and `POST {base}/studies/{uid}`. The client uses
//! STOW-RS, QIDO-RS and WADO-RS.
//!
//! HTTP/1.1 only, on both sides, by hyper. Objects of hundreds of megabytes gain nothing from streams that
//! share a connection, and other people's limits on those streams have lost instances before. Async code ends
//! at the network: one thread holds all connections, and the disk is written by a few others.

mod answer;
mod body_intake;
mod client;
mod find;
mod job;
mod media_type;
pub mod multipart;
mod order;
mod pace;
mod place;
mod pull;
mod quick_ack;
mod retrieve;
mod server;
mod service;
mod settings;
mod store;
mod store_response;

pub use crate::dicom::names::web_node::{AuthorizationValue, WebNode, WebNodeError};
pub use find::{WebLevel, WebMatch, WebQuery, counter, find};
pub use media_type::MediaType;
pub(in crate::dicom) use pull::{PullResult, fetch};
pub use retrieve::retrieve;
pub(in crate::dicom) use server::WebServer;
pub use settings::WebSettings;
pub(in crate::dicom) use settings::{CONNECTIONS_MAX, PARTS_MAX, REQUESTS_MAX};
pub use store::store;
#[cfg(any(test, fuzzing))]
pub(in crate::dicom) use {
    body_intake::{BodyChunk, BodyIntake},
    order::BodyForm,
};
