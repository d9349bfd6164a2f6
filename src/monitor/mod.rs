//! The status page of a running flow, its JSON, and what monitoring asks for: `/metrics`, `/health`, `/ready`.
//!
//! Everything is a function of the ledger's snapshot and of the journal. There is no patient data in it but
//! the names of requests. Whoever has the token may see the page and act on requests; metrics and health need
//! none. The page is five files in this program: nothing is loaded from elsewhere.
//!
//! | file | what |
//! |---|---|
//! | `metrics` | the snapshot in the text format of Prometheus |
//! | `api` | paths and their answers |
//! | `requests`, `records` | the list of requests, and one of them with its records |
//! | `choices` | the rules, and the dataflow that a request would go through |
//! | `actions`, `pausing` | what the page does; pausing and resuming parts |
//! | `replays` | requests that are run again, with what differs |
//! | `answers`, `openapi` | the answers as types, and the document that describes them |
//! | `reply`, `refusal_code` | the form of answers over HTTP; why there is none |
//! | `changes` | the rows of the views and every change after them, as events |
//! | `access` | the token, and who may ask |
//! | `files` | the files of a response |
//! | `graph` | the steps of one request |
//! | `site` | `page` in a site's file |
//! | `server` | connections |
//! | `texts` | the texts of the page by language |
//! | `page.html`, `page.css`, `page.js`, `page.texts.json`, `page.icon.svg` | the page |

mod access;
mod actions;
mod answers;
mod api;
mod changes;
mod choices;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod graph;
mod metrics;
mod openapi;
mod pausing;
mod records;
mod refusal_code;
mod replays;
mod reply;
mod requests;
mod server;
mod site;
mod texts;

pub use access::{MonitorToken, MonitorTokenError};
pub use answers::ReceivingStudy;
pub use api::{CompleteStudy, MonitorApi};
pub use metrics::{StorageStatus, metrics_text};
pub use openapi::openapi;
pub use replays::{
    ReplayBoard, ReplayConclusion, ReplayFunction, ReplayState, ReplayedStep, RunDifference, ServedReplay,
};
pub use server::MonitorServer;
pub use site::{NameDisplay, PageSettings};
