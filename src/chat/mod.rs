//! Chat: messages as requests, each answered by events that go to the members of its conversation.
//!
//! | file | what it is |
//! |---|---|
//! | `message_type` | a message type: who sends it, what it holds, how it is answered and kept; the check of contents |
//! | `message_section` | the key `message` of a dataflow file |
//! | `message_types` | the types of a folder, and those that flow carries |
//! | `steps` | steps that read messages, make events and ask a model |
//! | `names`, `token` | names of users and conversations; who a client is |
//! | `message`, `event`, `outgoing` | what comes in, what appears in a conversation, what is said to a device |
//! | `intake`, `source`, `served_types`, `under_way` | messages become requests; which types are served; the bound on both |
//! | `log`, `order`, `answer`, `sink` | answers become events of the conversation log |
//! | `hub`, `device` | who is connected, and how far each device is |
//! | `server`, `limits`, `settings` | connections and their limits; `chat` in a site's file |
//! | `web_socket`, `socket_io` | the two protocols |
//! | `run` | all of it together |

mod answer;
mod context;
mod device;
mod engine_io;
mod engine_session;
mod event;
mod hub;
mod intake;
mod limits;
mod log;
mod message;
mod message_section;
mod message_type;
mod message_types;
mod names;
mod order;
mod outgoing;
mod run;
mod served_types;
mod server;
mod settings;
mod sink;
mod socket_io;
mod source;
mod token;
mod trial;
mod under_way;
mod web_socket;

pub use log::LogError;
pub use message_type::{
    AnswerMode, ContentProblem, ContentSchema, ExampleOutcome, MessageExample, MessageOrder,
    MessageRetention, MessageType,
};
pub use message_types::{MessageTypeError, MessageTypes, built_in_files};
pub use names::{is_name, is_role};
pub use run::{ChatRun, ChatRunError, ChatSetup};
pub use served_types::selector;
pub use settings::{ChatLimits, ChatSettings};
pub use source::{ChatSource, TypeUpdates};
pub use token::{ChatKey, ChatKeyError, SigningKey};

/// The page to try a chat.
fn page_html() -> &'static str {
    include_str!("page/index.html")
}
