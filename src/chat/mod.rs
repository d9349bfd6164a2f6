//! Chat: messages as requests, each answered by events that go to the members of its conversation.
//!
//! | file | what it is |
//! |---|---|
//! | `message_type` | a message type: who sends it, what it holds, how it is answered and kept; the check of contents |
//! | `message_section` | the key `message` of a dataflow file |
//! | `message_types` | the types of a folder, and those that flow carries |
//! | `example_run` | an example of a type, run as the dataflow means |
//! | `model_answer`, `model_request` | a question to a language model, and its answer |
//! | `sample_model` | a server that stands in for one |
//! | `steps` | steps that read messages, write events and ask a model |
//! | `page` | the page for trying a chat in a browser |

mod example_run;
mod message_section;
mod message_type;
mod message_types;
mod model_answer;
mod model_request;
mod page;
mod sample_model;
pub mod steps;

pub use example_run::{ExampleDifference, message_request};
pub use message_type::{
    AnswerMode, ContentProblem, ContentSchema, ExampleOutcome, MessageExample, MessageOrder,
    MessageRetention, MessageType,
};
pub use message_types::{MessageTypeError, MessageTypes, built_in_files};
pub use model_request::{SiteModel, set_site_model};
pub use page::page_html;
pub use sample_model::{ModelCounts, ModelTroubles, SampleModel};
