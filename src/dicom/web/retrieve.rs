//! WADO-RS, asking side (PS3.18 10.4): a study's instances, as the service has them.

use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};

use super::Node;
use super::ask_error::{AskError, Cause};
use super::client::{Pieces, Question, Reply, ask};
use super::find::encoded;
use super::media_type::MediaType;
use super::multipart::{Multipart, Piece};
use super::order::DICOM;

/// Any transfer syntax: nothing is to be converted on the way.
const ACCEPT: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";

/// Gives the instances of a study to `take` as they come: of each its head, its bytes, and its end,
/// without which it is not whole. Gives how many were whole.
///
/// # Errors
/// If the service cannot be asked or refuses, its answer breaks off, or `take` can take no more. What
/// was whole before is to be kept.
pub fn retrieve(
    node: &Node,
    study_instance_uid: &str,
    take: &mut dyn FnMut(Piece) -> Result<(), String>,
) -> Result<usize, AskError> {
    let path = format!("/studies/{}", encoded(study_instance_uid));
    let body = Pieces::new([]);
    let question = Question { method: Method::GET, path, accept: ACCEPT, content_type: None, body };
    let instances = ask(node, question).and_then(|reply| receive(reply, take));
    instances.map_err(|cause| AskError { node: Box::new(node.clone()), cause, sent: Vec::new() })
}

fn receive(mut reply: Reply, take: &mut dyn FnMut(Piece) -> Result<(), String>) -> Result<usize, Cause> {
    if reply.head.status != StatusCode::OK {
        return Err(reply.refusal());
    }
    let mut multipart = parts(&reply)?;
    let mut whole = 0;
    while let Some(bytes) = reply.next() {
        let mut taken = Ok(());
        let mut one = |piece: Piece| {
            whole += usize::from(piece == Piece::End);
            if taken.is_ok() {
                taken = take(piece);
            }
        };
        let read = multipart.push(&bytes?, &mut one);
        taken.map_err(Cause::NotTaken)?;
        read.map_err(|malformed| Cause::NotUnderstood(malformed.to_string()))?;
    }
    multipart.end().map_err(|malformed| Cause::Broken(malformed.to_string()))?;
    Ok(whole)
}

fn parts(reply: &Reply) -> Result<Multipart, Cause> {
    let field =
        reply.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = MediaType::read(field).unwrap_or_default();
    let of = media_type.parameter("type").unwrap_or(DICOM);
    if media_type.name != "multipart/related" || !of.eq_ignore_ascii_case(DICOM) {
        return Err(Cause::NotUnderstood("it is not multipart/related with application/dicom".to_owned()));
    }
    Multipart::of(&media_type).map_err(|malformed| Cause::NotUnderstood(malformed.to_string()))
}
