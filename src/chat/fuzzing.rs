//! Entry points for the targets in `fuzz`: what clients of the chat send, and what models answer.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::calls::data_of_events;
use crate::step::StepTable;

use super::device::{ConversationPlace, Device};
use super::engine_io::{EngineQuery, SEPARATOR};
use super::message::{MessageOrigin, MessageRefusal, SentMessage, is_same_message};
use super::message_types::MessageTypes;
use super::model_answer::{AnswerForm, GrowingAnswer, ModelAnswer};
use super::names::is_name;
use super::outgoing::Outgoing;
use super::socket_io::{self, ConnectAuth, SocketPacket};
use super::token::{ChatKey, ChatMember, MemberConversations};
use super::web_socket::{HelloFrame, SendFrame};

/// The secret that signs the token among the seeds.
const SECRET: &[u8] = b"a secret of the fuzzing target, which nobody uses\n";

/// Packets of Socket.IO, or a frame of the plain protocol, in UTF-8. Good is what a server takes: a message that it
/// accepts, and a token that it knows.
pub fn packets(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    EngineQuery::of(text);
    if let Ok(HelloFrame { hello }) = serde_json::from_str(text) {
        return enters(&hello.token, &hello.seen);
    }
    if let Ok(SendFrame { send }) = serde_json::from_str(text) {
        return sent(send, None);
    }
    text.split(SEPARATOR).all(|packet| match packet.strip_prefix('4').and_then(SocketPacket::read) {
        Some(SocketPacket::Connect { namespace, auth }) => {
            is_json(&socket_io::connect_error(&namespace, "no")[2..].replacen(
                &format!("{namespace},"),
                "",
                1,
            ));
            serde_json::from_value(auth).is_ok_and(|ConnectAuth { token, seen }| enters(&token, &seen))
        }
        Some(SocketPacket::Event { arguments, ack, .. }) => {
            sent(arguments.into_iter().next().unwrap_or_default(), ack)
        }
        Some(SocketPacket::Disconnect | SocketPacket::Acknowledgement) => true,
        Some(SocketPacket::Halved { .. }) | None => false,
    })
}

fn enters(token: &str, seen: &HashMap<String, u64>) -> bool {
    static KEY: OnceLock<ChatKey> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        file.write_all(SECRET).expect("it can be written");
        ChatKey::read(file.path()).expect("it is a key")
    });
    let Ok(member) = key.verify(token) else { return false };
    assert!(is_name(&member.user));
    let conversation: Arc<str> = Arc::from("c1");
    let place = ConversationPlace { seen: seen.get("c1").copied(), conversation, last: 7 };
    let device = Device::new(member, seen);
    device.begin([place]);
    device.take();
    true
}

/// Whether a message would be accepted. A refusal is valid JSON, whatever it quotes.
fn sent(message: Value, ack: Option<u64>) -> bool {
    static TYPES: OnceLock<MessageTypes> = OnceLock::new();
    let types = TYPES.get_or_init(|| MessageTypes::built_in(&StepTable::built_in()).expect("they are sound"));
    let refused = |refusal: MessageRefusal| {
        is_json(&Outgoing::Refused { refusal, ack }.frame(None));
        false
    };
    let message = match SentMessage::read(message) {
        Ok(message) => message,
        Err(refusal) => return refused(refusal),
    };
    let Some(one) = types.get(&message.message_type) else { return false };
    if let Err(problem) = one.check(&message.content) {
        return refused(MessageRefusal::new(Some(&message.id), problem.reason).at(problem.field));
    }
    let member = ChatMember {
        user: Arc::from("pat"),
        role: Arc::from("patient"),
        conversations: MemberConversations::All,
        expires_s: u64::MAX,
    };
    let request = message.to_request(&member, one, Vec::new());
    let origin = MessageOrigin::of(&request);
    assert_eq!((&*origin.conversation, &*origin.id), (&*message.conversation, &*message.id));
    assert!(is_same_message(&request, &request));
    assert!(origin.lookup_text().matches('/').count() == 3, "no name has a slash");
    is_json(&Outgoing::Accepted { id: message.id, ack }.frame(Some(&member)));
    true
}

fn is_json(text: &str) {
    assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
}

/// The answer of a language model, whole or as events.
pub fn model_answer(bytes: &[u8]) -> bool {
    let forms = [AnswerForm::Text, AnswerForm::Json];
    let whole = forms.map(|form| ModelAnswer::read(bytes, form)).into_iter().flatten();
    let events = data_of_events(bytes).unwrap_or_default();
    let grown = forms.into_iter().filter_map(|form| {
        let mut growing = GrowingAnswer::default();
        events.iter().try_for_each(|data| growing.add(data)).ok()?;
        assert!(growing.text().len() <= 1 << 20);
        growing.finish(form).ok()
    });
    let answers: Vec<ModelAnswer> = whole.chain(grown).collect();
    answers.iter().for_each(|answer| is_json(&answer.to_json("model", false).to_string()));
    !answers.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_clients_do_no_harm() {
        crate::fuzzed::check("chat", packets);
    }

    #[test]
    fn answers_of_models_do_no_harm() {
        crate::fuzzed::check("model_answer", model_answer);
    }
}
