//! DICOMweb, both sides: with curl and Orthanc, and with peers that misbehave.

mod asking;
mod hostile;
mod secure;
mod storing;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;

use flow::dicom::web::{self, WebNode};
use flow::dicom::{DicomObject, PeerError, ReceiveSettings, SentObject};
use flow::step::Request;

use crate::support::peers::{Background, DEADLINE, Receiving, answering, until};
use crate::support::ports::free_port;
use crate::support::slices::Slice;

const MULTIPART: &str = "multipart/related; type=\"application/dicom\"; boundary=frontier";

const ORTHANC: &str = "/usr/sbin/Orthanc";
const DICOMWEB: &str = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so";

/// Our receiver with its listener for HTTP.
pub struct Serving {
    pub receiving: Receiving,
    address: SocketAddr,
}

impl Serving {
    pub fn start(set: impl FnOnce(&mut ReceiveSettings, &mut web::WebSettings)) -> Serving {
        let (give, studies) = mpsc::channel();
        Serving::handing_to(set, studies, move |request| _ = give.send(request))
    }

    fn handing_to(
        set: impl FnOnce(&mut ReceiveSettings, &mut web::WebSettings),
        studies: mpsc::Receiver<Request>,
        on_study: impl FnMut(Request) + Send + 'static,
    ) -> Serving {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut web = web::WebSettings::new(listener);
        let set = |settings: &mut ReceiveSettings| {
            set(settings, &mut web);
            settings.web = Some(web);
        };
        Serving { receiving: Receiving::handing_to(set, studies, on_study), address }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}/dicom-web", self.address.port())
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("somebody listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time limit can be set");
        stream
    }

    fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let head = format!(
            "Host: flow\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {length}"
        );
        let mut stream = self.connect();
        // What is refused may not be taken to its end.
        let _ =
            stream.write_all(&[format!("POST {path} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes(), body].concat());
        Answer::of(&mut stream)
    }

    pub fn store(&self, files: &[Vec<u8>]) -> Answer {
        self.post("/dicom-web/studies", MULTIPART, &parts(files))
    }
}

pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// What comes until the connection is closed.
    fn of(stream: &mut TcpStream) -> Answer {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).expect("answers are text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// The SOP Instance UIDs in one of the sequences, and the reasons given there.
    fn sequence(&self, tag: &str) -> Vec<(String, u64)> {
        let body: serde_json::Value = serde_json::from_str(&self.body).expect("the body is JSON");
        let items = body[tag]["Value"].as_array().cloned().unwrap_or_default();
        let uid = |item: &serde_json::Value| item["00081155"]["Value"][0].as_str().unwrap_or("").to_owned();
        let reason = |item: &serde_json::Value| item["00081197"]["Value"][0].as_u64().unwrap_or(0);
        items.iter().map(|item| (uid(item), reason(item))).collect()
    }

    fn stored(&self) -> Vec<String> {
        self.sequence("00081199").into_iter().map(|(uid, _)| uid).collect()
    }

    pub fn failed(&self) -> Vec<(String, u64)> {
        self.sequence("00081198")
    }

    pub fn others(&self) -> Vec<u64> {
        self.sequence("0008119A").into_iter().map(|(_, reason)| reason).collect()
    }
}

/// A body of parts.
fn parts(files: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(b"\r\n--frontier\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(file);
    }
    body.extend_from_slice(b"\r\n--frontier--\r\n");
    body
}

fn files(slices: &[Slice]) -> Vec<Vec<u8>> {
    slices.iter().map(Slice::file).collect()
}

/// Sends objects: what was answered for each, and how it ended.
fn store(node: &WebNode, objects: &[DicomObject]) -> (Vec<SentObject>, Result<(), PeerError>) {
    let mut sent = Vec::new();
    let ended = web::store(node, objects, &mut |one| sent.push(one));
    (sent, ended)
}

/// Sends objects, all of which are answered.
fn stored(node: &WebNode, objects: &[DicomObject]) -> Vec<SentObject> {
    let (sent, ended) = store(node, objects);
    ended.unwrap();
    sent
}

fn objects(slices: &[Slice]) -> Vec<DicomObject> {
    slices
        .iter()
        .map(|slice| DicomObject::read(slice.uid(), slice.file().into()).expect("it is DICOM"))
        .collect()
}

fn slices(study: &str, numbers: std::ops::Range<u32>) -> Vec<Slice> {
    numbers.map(|number| Slice::new(study, number)).collect()
}

/// Orthanc with DICOMweb, to which we are known as `flow`.
struct Orthanc {
    web: u16,
    _peer: Background,
    _folder: tempfile::TempDir,
}

impl Orthanc {
    fn start(program: &str, plugin: &str, serving: &Serving) -> Orthanc {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (dicom, web) = (free_port(), free_port());
        let configuration = serde_json::json!({
            "StorageDirectory": folder.path().join("storage"),
            "IndexDirectory": folder.path().join("storage"),
            "DicomAet": "ORTHANC",
            "DicomPort": dicom,
            "HttpPort": web,
            "RemoteAccessAllowed": false,
            "AuthenticationEnabled": false,
            "Plugins": [plugin],
            "DicomWeb": { "Enable": true, "Servers": { "flow": { "Url": serving.url("http") + "/" } } },
        });
        let path = folder.path().join("orthanc.json");
        std::fs::write(&path, configuration.to_string()).expect("the folder is ours");
        let peer = Background::start(Command::new(program).arg(&path));
        answering("ORTHANC", dicom);
        // The HTTP server may begin after the other one.
        until("Orthanc listens for HTTP", || TcpStream::connect(("127.0.0.1", web)).ok());
        Orthanc { web, _peer: peer, _folder: folder }
    }

    fn node(&self) -> web::WebNode {
        format!("http://127.0.0.1:{}/dicom-web", self.web).parse().expect("it is one")
    }

    /// Puts a file into it and gives its name there.
    fn upload(&self, file: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.web)).expect("Orthanc listens");
        let length = file.len();
        write!(stream, "POST /instances HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
            .expect("the head is taken");
        stream.write_all(file).expect("the file is taken");
        let answer: serde_json::Value =
            serde_json::from_str(&Answer::of(&mut stream).body).expect("it answers with JSON");
        answer["ID"].as_str().expect("Orthanc has taken it").to_owned()
    }
}
