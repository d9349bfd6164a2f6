//! Chat: messages as requests, each answered by events that go to the members of its conversation.
//!
//! | file | what it is |
//! |---|---|
//! | `message_type` | a message type: who sends it, what it holds, how it is answered and kept; the check of contents |
//! | `message_section` | the key `message` of a dataflow file |
//! | `message_types` | the types of a folder, and those that flow carries |
//! | `steps` | steps that read messages, make events and ask a model |

mod message_section;
mod message_type;
mod message_types;

pub use message_type::{
    AnswerMode, ContentProblem, ContentSchema, ExampleOutcome, MessageExample, MessageOrder,
    MessageRetention, MessageType,
};
pub use message_types::{MessageTypeError, MessageTypes, built_in_files};
