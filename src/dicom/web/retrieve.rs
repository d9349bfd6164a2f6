//! The WADO-RS client (PS3.18 10.4): the instances of a study, as the service has them.

use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};

use crate::dicom::wire::peer_error::{PeerError, PeerErrorCause};

use super::WebNode;
use super::client::{BodyPieces, HttpQuestion, HttpReply, ask};
use super::find::encoded;
use super::media_type::MediaType;
use super::multipart::{MultipartPiece, MultipartReader};
use super::order::DICOM;
use super::pace::BodyError;

/// Any transfer syntax is accepted, so that the service converts nothing.
const ACCEPT: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";

/// Gives the instances of a study to `take` as they arrive: the head, the bytes, and the end, without which
/// an instance is incomplete. Gives the number of complete ones.
///
/// # Errors
/// If the service cannot be reached or refuses, its response breaks off, or `take` fails. Complete instances
/// are to be kept.
pub fn retrieve(
    node: &WebNode,
    study_instance_uid: &str,
    take: &mut dyn FnMut(MultipartPiece) -> Result<(), String>,
) -> Result<usize, PeerError> {
    let instances = ask_for(node, study_instance_uid).and_then(|reply| receive(reply, take));
    instances.map_err(|cause| PeerError::over_web(node.clone(), cause))
}

/// A response with instances, before the first of them is read.
pub(super) fn ask_for(node: &WebNode, study_instance_uid: &str) -> Result<HttpReply, PeerErrorCause> {
    let path = format!("/studies/{}", encoded(study_instance_uid));
    let body = BodyPieces::new([]);
    let reply =
        ask(node, HttpQuestion { method: Method::GET, path, accept: ACCEPT, content_type: None, body })?;
    if reply.head.status == StatusCode::OK { Ok(reply) } else { Err(reply.refusal()) }
}

fn receive(
    mut reply: HttpReply,
    take: &mut dyn FnMut(MultipartPiece) -> Result<(), String>,
) -> Result<usize, PeerErrorCause> {
    let mut multipart = parts(&reply)?;
    let mut whole = 0;
    while let Some(bytes) = reply.next() {
        let mut taken = Ok(());
        let mut one = |piece: MultipartPiece| {
            whole += usize::from(piece == MultipartPiece::End);
            if taken.is_ok() {
                taken = take(piece);
            }
        };
        let read = multipart.push(&bytes?, &mut one);
        taken.map_err(PeerErrorCause::NotTaken)?;
        read.map_err(BodyError::from)?;
    }
    multipart.end().map_err(BodyError::from)?;
    Ok(whole)
}

pub(super) fn parts(reply: &HttpReply) -> Result<MultipartReader, PeerErrorCause> {
    let field =
        reply.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = MediaType::read(field).unwrap_or_default();
    let of = media_type.parameter("type").unwrap_or(DICOM);
    if media_type.name != "multipart/related" || !of.eq_ignore_ascii_case(DICOM) {
        return Err(PeerErrorCause::NotUnderstood(
            "it is not multipart/related with application/dicom".to_owned(),
        ));
    }
    Ok(MultipartReader::of(&media_type).map_err(BodyError::from)?)
}
