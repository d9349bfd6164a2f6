//! Traces of answered requests for a collector of OpenTelemetry: one span for the request, and one below it for the
//! wait for a lane, for each run of a step and for each delivery.
//!
//! Spans are a function of the journal, so that nothing is measured twice and a request that survived a crash has
//! one whole trace. No patient data is in a span: a request is its number. Traces are no record: what a collector
//! does not take for some time is left out, and a process that is killed does not send its last ones.
//!
//! | file | what |
//! |---|---|
//! | `site` | `traces` in a site's file |
//! | `span` | the history of a request as spans |
//! | `otlp` | spans in the JSON of OTLP |
//! | `exporter` | the thread that sends them |

mod exporter;
mod otlp;
mod site;
mod span;

pub use exporter::{TraceExporter, TraceQueue};
pub use otlp::export_request;
pub use site::TraceSettings;
pub use span::{RequestTrace, SpanKind, TraceSpan};
