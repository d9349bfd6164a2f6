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
//! | `names`, `token` | names of users and conversations; who a client is |
//! | `message`, `event`, `outgoing` | what comes in, what appears in a conversation, what is said to a device |
//! | `intake`, `source`, `served_types`, `under_way`, `turn_queue`, `unrecorded_work` | messages become requests, in turn; which types are served; the bounds on both |
//! | `partial_receivers` | who may see the text of a model's answer while it grows |
//! | `log`, `log_reader`, `order`, `answer`, `sink` | answers become events of the conversation log |
//! | `hub`, `device`, `conversation_cursor`, `event_count`, `reply_count` | who is connected, how far each device is, and what waits for it |
//! | `server`, `http_answer`, `context`, `limits`, `settings` | connections and their limits; `chat` in a site's file |
//! | `web_socket` | the plain protocol |
//! | `engine_io`, `engine_session`, `socket_io` | Socket.IO |
//! | `page`, `trial` | the page for trying a chat in a browser, and tokens for it |
//! | `run` | all of it together |

mod answer;
mod context;
mod conversation_cursor;
mod device;
mod engine_io;
mod engine_session;
mod event;
mod event_count;
mod example_run;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http_answer;
mod hub;
mod intake;
mod limits;
mod log;
mod log_reader;
mod member_claims;
mod message;
mod message_section;
mod message_type;
mod message_types;
mod model_answer;
mod model_request;
mod names;
mod order;
mod outgoing;
mod page;
mod partial_receivers;
mod reply_count;
mod run;
mod sample_model;
mod served_types;
mod server;
mod settings;
mod sink;
mod socket_io;
mod source;
pub mod steps;
mod token;
mod trial;
mod turn_queue;
mod under_way;
mod unrecorded_work;
mod web_socket;

pub use example_run::{ExampleDifference, message_request};
pub use log::LogError;
pub use log_reader::{ConversationSummary, LogReader};
pub use message_type::{
    AnswerMode, ContentProblem, ContentSchema, ExampleOutcome, MessageExample, MessageOrder,
    MessageRetention, MessageType,
};
pub use message_types::{MessageTypeError, MessageTypes, built_in_files};
pub use model_request::{SiteModel, set_site_model};
pub use names::{is_name, is_role};
pub use page::page_html;
pub use run::{ChatRun, ChatRunError, ChatSetup};
pub use sample_model::{ModelCounts, ModelTroubles, SampleModel};
pub use served_types::selector;
pub use settings::{ChatLimits, ChatSettings};
pub use source::{ChatSource, TypeUpdates};
pub use token::{ChatKey, ChatKeyError, SigningKey};
