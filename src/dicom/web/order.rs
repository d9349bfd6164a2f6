//! The operation that an HTTP request asks for, decided from its head alone.

use std::net::IpAddr;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use crate::dicom::wire::caller::KnownCaller;
use crate::dicom_file::uid::is_uid;

use super::answer::HttpAnswer;
use super::media_type::MediaType;
use super::multipart::MultipartReader;

/// The order to store the instances of the body.
pub struct StoreOrder {
    /// The study to which all instances must belong, if the path names one.
    pub study_instance_uid: Option<String>,
    pub form: BodyForm,
}

/// The form of the body.
pub enum BodyForm {
    /// Each part is an instance.
    Parts(Box<MultipartReader>),
    /// The body is one instance.
    Whole,
}

pub const DICOM: &str = "application/dicom";

impl StoreOrder {
    /// The order of a request from `address`, or the refusal.
    pub fn read(
        head: &Parts,
        base_path: &str,
        callers: &[KnownCaller],
        address: IpAddr,
    ) -> Result<StoreOrder, HttpAnswer> {
        if !callers.is_empty() && !callers.iter().any(|caller| caller.is_at(address)) {
            return Err(HttpAnswer::refusal(
                StatusCode::FORBIDDEN,
                "this address is not that of a known caller",
            ));
        }
        let study_instance_uid = study(head.uri.path(), base_path)?;
        if head.method != Method::POST {
            let reason = "instances are stored with POST; nothing else is served here";
            return Err(HttpAnswer::refusal(StatusCode::METHOD_NOT_ALLOWED, reason));
        }
        Ok(StoreOrder { study_instance_uid, form: form(head)? })
    }
}

/// The study in a path, if there is one.
fn study(path: &str, base_path: &str) -> Result<Option<String>, HttpAnswer> {
    let unknown =
        || HttpAnswer::refusal(StatusCode::NOT_FOUND, "only BASE/studies and BASE/studies/UID are served");
    let below = path.strip_prefix(base_path.trim_end_matches('/')).ok_or_else(unknown)?;
    match below.trim_end_matches('/').strip_prefix("/studies").ok_or_else(unknown)? {
        "" => Ok(None),
        rest => {
            let uid = rest.strip_prefix('/').ok_or_else(unknown)?;
            if is_uid(uid) { Ok(Some(uid.to_owned())) } else { Err(unknown()) }
        }
    }
}

fn form(head: &Parts) -> Result<BodyForm, HttpAnswer> {
    let unsupported = |reason: &str| Err(HttpAnswer::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    let field = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    if field(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return unsupported("a compressed body is not taken");
    }
    let Some(media_type) = field(CONTENT_TYPE).and_then(MediaType::read) else {
        return unsupported("the request needs a Content-Type");
    };
    let root = media_type.parameter("type").unwrap_or(DICOM).to_ascii_lowercase();
    match (media_type.name.as_str(), root.as_str()) {
        (DICOM, _) => Ok(BodyForm::Whole),
        ("multipart/related", DICOM) => match MultipartReader::of(&media_type) {
            Ok(multipart) => Ok(BodyForm::Parts(Box::new(multipart))),
            Err(error) => Err(HttpAnswer::refusal(StatusCode::BAD_REQUEST, error.to_string())),
        },
        ("multipart/related", "application/dicom+json" | "application/dicom+xml") => {
            unsupported("metadata apart from bulk data is not taken, only instances as application/dicom")
        }
        _ => unsupported("only application/dicom is taken, alone or as parts of multipart/related"),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(method: &str, path: &str, content_type: &str) -> Parts {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type);
        request.body(()).unwrap().into_parts().0
    }

    fn refused(head: &Parts) -> u16 {
        let order = StoreOrder::read(head, "/dicom-web/", &[], [127, 0, 0, 1].into());
        order.err().map_or(200, |answer| answer.status.as_u16())
    }

    #[test]
    fn only_what_is_served_is_let_in() {
        let parts = "multipart/related; type=\"application/dicom\"; boundary=x";
        for (method, path, content_type, status) in [
            ("POST", "/dicom-web/studies", parts, 200),
            ("POST", "/dicom-web/studies/", parts, 200),
            ("POST", "/dicom-web/studies/1.2.3", "application/DICOM", 200),
            ("POST", "/dicom-web/studies?a=b", "multipart/related; boundary=x", 200),
            ("POST", "/dicom-web/studies/../x", parts, 404),
            ("POST", "/dicom-web/studies/1.2/series", parts, 404),
            ("POST", "/dicom-web/studies1", parts, 404),
            ("POST", "/studies", parts, 404),
            ("POST", "*", parts, 404),
            ("GET", "/dicom-web/studies", parts, 405),
            (
                "POST",
                "/dicom-web/studies",
                "multipart/related; type=\"application/dicom+json\"; boundary=x",
                415,
            ),
            ("POST", "/dicom-web/studies", "multipart/form-data; boundary=x", 415),
            ("POST", "/dicom-web/studies", "", 415),
            ("POST", "/dicom-web/studies", "multipart/related; type=\"application/dicom\"", 400),
        ] {
            assert_eq!(refused(&head(method, path, content_type)), status, "{method} {path} {content_type}");
        }
    }

    #[test]
    fn callers_are_known_by_address_alone() {
        let head = head("POST", "/studies/1.2", DICOM);
        let let_in = |callers: &[&str]| {
            let callers: Vec<KnownCaller> = callers.iter().map(|caller| caller.parse().unwrap()).collect();
            StoreOrder::read(&head, "", &callers, [10, 0, 0, 7].into()).is_ok()
        };
        assert!(let_in(&[]) && let_in(&["CT1", "*@10.0.0.0/24"]));
        assert!(!let_in(&["*@10.0.1.0/24"]) && !let_in(&["CT1@10.0.0.7"]));
    }
}
