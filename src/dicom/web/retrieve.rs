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
use super::pace::Broken;

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
    let instances = ask_for(node, study_instance_uid).and_then(|reply| receive(reply, take));
    instances.map_err(|cause| AskError { node: Box::new(node.clone()), cause, sent: Vec::new() })
}

/// An answer with instances in it, of which none has come yet.
pub(super) fn ask_for(node: &Node, study_instance_uid: &str) -> Result<Reply, Cause> {
    let path = format!("/studies/{}", encoded(study_instance_uid));
    let body = Pieces::new([]);
    let reply = ask(node, Question { method: Method::GET, path, accept: ACCEPT, content_type: None, body })?;
    if reply.head.status == StatusCode::OK { Ok(reply) } else { Err(reply.refusal()) }
}

fn receive(mut reply: Reply, take: &mut dyn FnMut(Piece) -> Result<(), String>) -> Result<usize, Cause> {
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
        read.map_err(Broken::from)?;
    }
    multipart.end().map_err(Broken::from)?;
    Ok(whole)
}

pub(super) fn parts(reply: &Reply) -> Result<Multipart, Cause> {
    let field =
        reply.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = MediaType::read(field).unwrap_or_default();
    let of = media_type.parameter("type").unwrap_or(DICOM);
    if media_type.name != "multipart/related" || !of.eq_ignore_ascii_case(DICOM) {
        return Err(Cause::NotUnderstood("it is not multipart/related with application/dicom".to_owned()));
    }
    Ok(Multipart::of(&media_type).map_err(Broken::from)?)
}
