//! Plain WebSocket: text frames of JSON, as docs/src/reference/chat-protocol.md says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::context::{EntryRefusal, JoinedDevice, ServerContext, stopped};
use super::device::Device;
use super::intake::{TakeOutcome, now_s};
use super::limits::{MessageRate, RateVerdict};
use super::message::MessageRefusal;
use super::names::ID_BYTES_MAX;
use super::outgoing::Outgoing;

pub type ChatSocket = WebSocketStream<TokioIo<Upgraded>>;

/// The time between two pings.
const PING: Duration = Duration::from_secs(25);

/// A client of which nothing is heard for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The longest time for a client to take what is sent to it.
pub const SEND_TIME_MAX: Duration = Duration::from_secs(30);

/// The buffers of a connection: small, as most connections are idle.
const BUFFER_BYTES: usize = 2 << 10;

/// A connection ends at the latest after so long, whatever its token says: a timer cannot wait for ever.
const VALID_S_MAX: u64 = 365 * 24 * 60 * 60;

/// The code with which a connection ends that has no valid token (the range of applications, RFC 6455, 7.4.2).
const UNAUTHORISED: u16 = 4401;

const ENDING: &str = "the server is ending";

/// The first frame of a client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HelloFrame {
    pub hello: ClientHello,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientHello {
    pub token: String,
    #[serde(default)]
    pub seen: HashMap<String, u64>,
}

/// A further frame.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendFrame {
    pub send: Value,
}

/// A connection with WebSocket frames of a bounded size.
pub async fn socket_of(upgraded: Upgraded, frame_bytes_max: usize) -> ChatSocket {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(frame_bytes_max))
        .max_frame_size(Some(frame_bytes_max));
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await
}

/// Serves a client until it goes.
pub async fn serve(mut socket: ChatSocket, context: Arc<ServerContext>) {
    let entered = match timeout(context.limits.hello, enter(&mut socket, &context)).await {
        Ok(Some(entered)) => entered,
        Ok(None) => return,
        Err(_) => Err(EntryRefusal::Invalid("nobody has said hello in time".to_owned())),
    };
    let joined = match entered {
        Ok(joined) => joined,
        Err(refusal) => return refuse(&mut socket, refusal).await,
    };
    let mut stopping = context.stopping.clone();
    let (mut heard, mut beat) = (Instant::now(), interval(PING));
    beat.reset();
    let mut rate = MessageRate::new(context.limits.rate, heard);
    let valid_s = joined.device.member.expires_s.saturating_sub(now_s()).saturating_add(1);
    let mut expiry = std::pin::pin!(sleep(Duration::from_secs(valid_s.min(VALID_S_MAX))));
    loop {
        let goes_on = tokio::select! {
            frame = socket.next() => {
                heard = Instant::now();
                match receive(frame, &context, &joined.device, &mut rate).await {
                    Ok(()) => true,
                    Err(frame) => {
                        close(&mut socket, frame).await;
                        false
                    }
                }
            }
            outgoing = context.next(&joined.device) => match outgoing {
                Some(outgoing) => send_all(&mut socket, outgoing, &joined.device).await,
                None => {
                    close(&mut socket, Some((CloseCode::Policy, "the replies are not taken"))).await;
                    false
                }
            },
            () = &mut expiry => {
                let refusal = EntryRefusal::Invalid("the token has expired".to_owned());
                return refuse(&mut socket, refusal).await;
            }
            _ = beat.tick() => {
                heard.elapsed() < SILENCE_MAX && put(&mut socket, Message::Ping(Default::default())).await
            }
            () = stopped(&mut stopping) => {
                close(&mut socket, Some((CloseCode::Away, ENDING))).await;
                false
            }
        };
        if !goes_on {
            return;
        }
    }
}

/// The hello of a client; `None` if it has gone.
async fn enter(
    socket: &mut ChatSocket,
    context: &ServerContext,
) -> Option<Result<JoinedDevice, EntryRefusal>> {
    let invalid = |reason: &str| Some(Err(EntryRefusal::Invalid(reason.to_owned())));
    let text = loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => break text,
            Ok(Message::Binary(_)) => return invalid("a frame is a text of JSON"),
            Ok(Message::Close(_)) => return None,
            Ok(_) => {}
            Err(_) => return None,
        }
    };
    let hello = match serde_json::from_str::<HelloFrame>(&text) {
        Ok(frame) => frame.hello,
        Err(_) => return invalid("the first frame is {\"hello\": {\"token\": …}}"),
    };
    Some(match context.enter(&hello.token, hello.seen).await {
        Ok((joined, welcome)) => {
            let text = format!("{{\"welcome\":{}}}", welcome.object());
            if !put(socket, Message::text(text)).await {
                return None;
            }
            Ok(joined)
        }
        Err(refusal) => Err(refusal),
    })
}

/// Takes a frame of a client; with an error the connection ends.
async fn receive(
    frame: Option<Result<Message, SocketError>>,
    context: &ServerContext,
    device: &Arc<Device>,
    rate: &mut MessageRate,
) -> Result<(), Option<(CloseCode, &'static str)>> {
    let text = match frame {
        Some(Ok(Message::Text(text))) => text,
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
            return match rate.count(Instant::now()) {
                RateVerdict::Flood => Err(Some((CloseCode::Policy, "too many frames"))),
                RateVerdict::Fits | RateVerdict::TooMany => Ok(()),
            };
        }
        Some(Ok(Message::Binary(_))) => {
            return Err(Some((CloseCode::Unsupported, "a frame is a text of JSON")));
        }
        Some(Err(SocketError::Capacity(_))) => return Err(Some((CloseCode::Size, "the frame is too long"))),
        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(None),
    };
    let message = serde_json::from_str::<SendFrame>(&text).map(|frame| frame.send);
    match rate.count(Instant::now()) {
        RateVerdict::Fits => {}
        RateVerdict::TooMany => {
            let id = message.as_ref().ok().and_then(|message| message["id"].as_str());
            device.reply(Outgoing::Refused { refusal: too_many(id), ack: None });
            return Ok(());
        }
        RateVerdict::Flood => return Err(Some((CloseCode::Policy, "too many messages"))),
    }
    match message {
        Ok(message) => {
            device.has_room().await;
            if context.intake.send(device, message, None) == TakeOutcome::Ended {
                return Err(Some((CloseCode::Away, ENDING)));
            }
        }
        Err(_) => {
            let refusal = MessageRefusal::new(None, "the frame is not understood");
            let refusal =
                refusal.remedy("send {\"send\": {\"id\", \"conversation\", \"type\", \"content\"}}");
            device.reply(Outgoing::Refused { refusal, ack: None });
        }
    }
    Ok(())
}

/// The refusal of a message that comes too soon.
pub fn too_many(id: Option<&str>) -> MessageRefusal {
    let id = id.filter(|id| id.len() <= ID_BYTES_MAX);
    MessageRefusal::new(id, "too many messages a second").remedy("send it again in a moment")
}

/// Sends what there is for a device, all in one piece. Gives whether the client took it.
async fn send_all(socket: &mut ChatSocket, first: Outgoing, device: &Device) -> bool {
    let send = async {
        let mut next = Some(first);
        while let Some(outgoing) = next {
            socket.feed(Message::text(outgoing.frame(Some(&device.member)))).await?;
            next = device.take_ready();
        }
        socket.flush().await
    };
    matches!(timeout(SEND_TIME_MAX, send).await, Ok(Ok(())))
}

async fn refuse(socket: &mut ChatSocket, refusal: EntryRefusal) {
    let end = refusal_end(&refusal);
    let outgoing = Outgoing::Refused { refusal: MessageRefusal::new(None, refusal.reason()), ack: None };
    if put(socket, Message::text(outgoing.frame(None))).await {
        close(socket, Some(end)).await;
    }
}

/// The code with which a connection ends: only without a valid token is it of no use to connect again.
fn refusal_end(refusal: &EntryRefusal) -> (CloseCode, &'static str) {
    match refusal {
        EntryRefusal::Invalid(_) => (CloseCode::from(UNAUTHORISED), "no valid token"),
        EntryRefusal::Unready => (CloseCode::Again, "try again later"),
        EntryRefusal::Ending => (CloseCode::Restart, ENDING),
    }
}

/// Sends a frame. Gives whether the client took it.
pub async fn put(socket: &mut ChatSocket, message: Message) -> bool {
    matches!(timeout(SEND_TIME_MAX, socket.send(message)).await, Ok(Ok(())))
}

/// Ends a connection, with a reason if there is one.
pub async fn close(socket: &mut ChatSocket, reason: Option<(CloseCode, &'static str)>) {
    let frame = reason.map(|(code, reason)| CloseFrame { code, reason: reason.into() });
    // The client may be gone.
    let _ = timeout(Duration::from_secs(1), socket.close(frame)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_without_a_valid_token_is_told_so() {
        let code = |refusal| u16::from(refusal_end(&refusal).0);
        assert_eq!(code(EntryRefusal::Invalid("it has expired".to_owned())), UNAUTHORISED);
        assert_eq!((code(EntryRefusal::Unready), code(EntryRefusal::Ending)), (1013, 1012));
    }
}
