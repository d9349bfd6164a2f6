//! The status page of a running flow, its JSON, and what monitoring asks for: `/metrics`, `/health`, `/ready`.
//!
//! Everything is a function of the ledger's snapshot and of the journal. There is no patient data in it but
//! the names of requests. Whoever has the token may see the page and act on requests; metrics and health need
//! none. The page is three files in this program: nothing is loaded from elsewhere.
//!
//! | file | what |
//! |---|---|
//! | `metrics` | the snapshot in the text format of Prometheus |
//! | `api` | paths and their answers |
//! | `answers`, `openapi` | the answers as types, and the document that describes them |
//! | `changes` | the rows of the views and every change after them, as events |
//! | `access` | the token, and who may ask |
//! | `files` | the files of a response |
//! | `pausing` | pausing and resuming parts |
//! | `graph` | the steps of one request |
//! | `site` | `page` in a site's file |
//! | `server` | connections |
//! | `page.html`, `page.css`, `page.js` | the page |

mod access;
mod answers;
mod api;
mod changes;
mod files;
mod graph;
mod metrics;
mod openapi;
mod pausing;
mod server;
mod site;

pub use access::{MonitorToken, MonitorTokenError};
pub use answers::ReceivingStudy;
pub use api::MonitorApi;
pub use metrics::{StorageStatus, metrics_text};
pub use openapi::openapi;
pub use server::MonitorServer;
pub use site::{NameDisplay, PageSettings};
