//! A DICOMweb service to call: its address, and our credentials there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;

use crate::tls;

/// A DICOMweb service. Read from `http://host:port/path` or `https://host:port/path`, where the path is the
/// part before `/studies`.
#[derive(Clone, Debug)]
pub struct WebNode {
    pub(in crate::dicom) is_encrypted: bool,
    /// `host:port` as it was written.
    pub(in crate::dicom) authority: String,
    /// Without a slash at its end.
    pub(in crate::dicom) path: String,
    /// The longest wait for the connection, and while no data move: 30 s.
    pub wait_max: Duration,
    /// Trusted certificates; without them, no server at an `https` address is trusted.
    pub tls: Option<tls::TlsClient>,
    pub authorization: Option<AuthorizationValue>,
    /// Most bytes in one STOW request: 64 MiB, or one instance if it is larger.
    pub batch_bytes_max: u64,
    /// Most instances in one STOW request: 200.
    pub batch_instances_max: usize,
}

/// The value of the header field `Authorization`, for example `Bearer …`. It appears in no log or message.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizationValue(pub String);

impl fmt::Debug for AuthorizationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WebNodeError {
    #[error("{0:?} is not of the form http(s)://host:port/path, for example http://127.0.0.1:8042/dicom-web")]
    Form(String),
    #[error("a URL must not have a name and a password in it; they belong into a file")]
    Secret,
}

impl WebNode {
    /// Without brackets around an IPv6 address.
    pub(in crate::dicom) fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(in crate::dicom) fn port(&self) -> u16 {
        self.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default()
    }
}

impl FromStr for WebNode {
    type Err = WebNodeError;

    fn from_str(text: &str) -> Result<WebNode, WebNodeError> {
        let form = || WebNodeError::Form(text.to_owned());
        let url: Uri = text.trim().parse().map_err(|_| form())?;
        let (is_encrypted, default_port) = match url.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(form()),
        };
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(WebNodeError::Secret);
        }
        let host = url.host().filter(|host| !host.is_empty()).ok_or_else(form)?;
        let has_port = url.authority().is_some_and(|authority| authority.as_str().len() > host.len());
        let port =
            if has_port { url.port_u16().filter(|port| *port > 0).ok_or_else(form)? } else { default_port };
        if url.query().is_some() {
            return Err(form());
        }
        Ok(WebNode {
            is_encrypted,
            authority: format!("{host}:{port}"),
            path: url.path().trim_end_matches('/').to_owned(),
            wait_max: Duration::from_secs(30),
            tls: None,
            authorization: None,
            batch_bytes_max: 64 << 20,
            batch_instances_max: 200,
        })
    }
}

impl fmt::Display for WebNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_from_text() {
        for (text, shown) in [
            ("http://127.0.0.1:8042/dicom-web/", "http://127.0.0.1:8042/dicom-web"),
            ("https://pacs", "https://pacs:443"),
            ("http://[::1]/a/b", "http://[::1]:80/a/b"),
            ("HTTPS://Pacs:8443/", "https://Pacs:8443"),
        ] {
            assert_eq!(text.parse::<WebNode>().unwrap().to_string(), shown, "{text}");
        }
        for wrong in [
            "",
            "pacs:80",
            "ftp://pacs/",
            "http://",
            "http:///x",
            "http://pacs:0/",
            "http://pacs:x/",
            "http://a/?b",
            "/x",
        ] {
            assert!(matches!(wrong.parse::<WebNode>(), Err(WebNodeError::Form(_))), "{wrong}");
        }
        assert!(matches!("http://a:b@pacs/".parse::<WebNode>(), Err(WebNodeError::Secret)));
        let node: WebNode = "http://[::1]:8042".parse().unwrap();
        assert_eq!((node.host(), node.port()), ("::1", 8042));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let mut node: WebNode = "http://pacs".parse().unwrap();
        node.authorization = Some(AuthorizationValue("Bearer hush".to_owned()));
        assert!(!format!("{node:?} {node}").contains("hush"));
    }
}
