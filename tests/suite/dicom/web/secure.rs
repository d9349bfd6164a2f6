//! DICOMweb over TLS, with certificates made for the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flow::dicom::{PeerErrorCause, ReceiverEvent, web};
use flow::tls::{TlsClient, TlsIdentity, TlsServer};

use crate::support::peers::{run, tool};

use super::{MULTIPART, Serving, files, objects, parts, slices, store, stored};

const OPENSSL: &str = "/usr/bin/openssl";
const CURL: &str = "/usr/bin/curl";

/// An authority, and who it vouches for.
struct Authority(tempfile::TempDir);

impl Authority {
    fn new() -> Authority {
        let authority = Authority(tempfile::tempdir().unwrap());
        let (key, certificate) = (authority.path("ca.key"), authority.path("ca.pem"));
        openssl(
            &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
            &[("-subj", Path::new("/CN=Authority of a test")), ("-keyout", &key), ("-out", &certificate)],
        );
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Somebody at `localhost`.
    fn identity(&self, name: &str) -> TlsIdentity {
        let (key, certificate) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.pem")));
        let (asked, names) = (self.path(&format!("{name}.csr")), self.path("names"));
        fs::write(&names, "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
        let subject = PathBuf::from(format!("/CN={name}"));
        openssl(
            &["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
            &[("-subj", &subject), ("-keyout", &key), ("-out", &asked)],
        );
        openssl(
            &["x509", "-req", "-days", "2", "-CAcreateserial"],
            &[
                ("-in", &asked),
                ("-CA", &self.certificate()),
                ("-CAkey", &self.path("ca.key")),
                ("-extfile", &names),
                ("-out", &certificate),
            ],
        );
        TlsIdentity { certificate, key }
    }
}

fn openssl(arguments: &[&str], paths: &[(&str, &Path)]) {
    let mut command = Command::new(OPENSSL);
    command.args(arguments);
    paths.iter().for_each(|(option, path)| _ = command.arg(option).arg(path));
    let output = run(&mut command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn only_who_is_vouched_for_stores_over_tls() {
    let (Some(_), Some(curl)) = (tool(OPENSSL), tool(CURL)) else { return };
    let authority = Authority::new();
    let (ours, theirs) = (authority.identity("flow"), authority.identity("scanner"));
    let tls = TlsServer::open(&ours, Some(&authority.certificate())).unwrap();
    let serving = Serving::start(|_, web| web.tls = Some(tls));
    let body = authority.path("body");
    fs::write(&body, parts(&files(&slices("1.2.3", 1..4)))).unwrap();
    let post = |more: &[&Path]| {
        let mut command = Command::new(curl);
        command.args(["-sS", "-H", &format!("Content-Type: {MULTIPART}"), "--data-binary"]);
        command.arg(format!("@{}", body.display())).arg("--cacert").arg(authority.certificate());
        run(command.args(more).arg(format!("{}/studies", serving.url("https"))))
    };
    assert!(!post(&[]).status.success(), "a client without certificate");
    let event = serving.receiving.event("rejected", |event| matches!(event, ReceiverEvent::Rejected { .. }));
    assert!(event.to_string().contains("TLS handshake failed"), "{event}");
    let output = post(&[Path::new("--cert"), &theirs.certificate, Path::new("--key"), &theirs.key]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serving.receiving.study().items.len(), 3);
    let plain = serving.store(&files(&slices("1.2.3", 1..2)));
    assert_eq!(plain.status, 0, "what is not encrypted is not served");
}

#[test]
fn we_store_over_tls_when_both_certificates_are_trusted() {
    let Some(_) = tool(OPENSSL) else { return };
    let (authority, stranger) = (Authority::new(), Authority::new());
    let tls = TlsServer::open(&authority.identity("flow"), Some(&authority.certificate())).unwrap();
    let serving = Serving::start(|_, web| web.tls = Some(tls));
    let objects = objects(&slices("1.2.3", 1..4));
    let mut node: web::WebNode = serving.url("https").parse().unwrap();
    let why = |node: &web::WebNode| store(node, &objects).1.unwrap_err().cause;
    assert!(matches!(why(&node), PeerErrorCause::Tls(_)), "no authority is trusted unasked");
    let ours = authority.identity("us");
    node.tls = Some(TlsClient::open(&stranger.certificate(), Some(&ours)).unwrap());
    assert!(matches!(why(&node), PeerErrorCause::Tls(_)), "another authority");
    node.tls = Some(TlsClient::open(&authority.certificate(), None).unwrap());
    assert!(matches!(why(&node), PeerErrorCause::Tls(_) | PeerErrorCause::Broken(_)), "we show nothing");
    node.tls = Some(TlsClient::open(&authority.certificate(), Some(&ours)).unwrap());
    assert!(stored(&node, &objects).iter().all(|one| one.outcome.is_stored()));
    assert_eq!(serving.receiving.study().items.len(), 3);
}
