//! Orthanc as an archive of its own, to which we are known as `flow`.

use std::process::Command;

use flow::dicom::{DicomObject, DimseNode, send};
use serde_json::{Value, json};

use super::peers::{Background, answering, http, tool, until};
use super::ports::free_port;
use super::slices::Slice;

/// Ended when dropped, with what it stores.
pub struct Orthanc {
    /// As we reach it, with a title that it knows.
    pub node: DimseNode,
    web: u16,
    _peer: Background,
    _folder: tempfile::TempDir,
}

impl Orthanc {
    /// Knows AE title `FLOW` at a port of this host. Prints that the test skips where Orthanc is not
    /// installed.
    pub fn start(flow_port: u16) -> Option<Orthanc> {
        Orthanc::with(json!({ "DicomModalities": { "flow": ["FLOW", "127.0.0.1", flow_port] } }))
    }

    /// With more settings, or other ones.
    pub fn with(more: Value) -> Option<Orthanc> {
        let program = tool("/usr/sbin/Orthanc")?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (dicom, web) = (free_port(), free_port());
        let mut configuration = json!({
            "StorageDirectory": folder.path().join("storage"),
            "IndexDirectory": folder.path().join("storage"),
            "DicomAet": "ORTHANC",
            "DicomPort": dicom,
            "HttpPort": web,
            "RemoteAccessAllowed": false,
            "AuthenticationEnabled": false,
            "Plugins": [],
        });
        let settings = configuration.as_object_mut().expect("it is an object");
        settings.extend(more.as_object().expect("settings have names").clone());
        let port = |name: &str, otherwise: u16| {
            settings[name].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(otherwise)
        };
        let (dicom, web) = (port("DicomPort", dicom), port("HttpPort", web));
        let path = folder.path().join("orthanc.json");
        std::fs::write(&path, configuration.to_string()).expect("the folder is ours");
        let peer = Background::start(Command::new(program).arg(&path));
        let node = answering("ORTHANC", dicom);
        Some(Orthanc { node, web, _peer: peer, _folder: folder })
    }

    /// Puts slices into it.
    pub fn holding(self, slices: &[Slice]) -> Orthanc {
        let objects = slices.iter().map(|slice| DicomObject::read(slice.uid(), slice.file().into()));
        let objects: Vec<DicomObject> = objects.collect::<Result<_, _>>().expect("slices are DICOM");
        let sent = send(&self.node, &objects).expect("Orthanc takes them");
        assert!(sent.iter().all(|one| one.outcome.is_stored()), "{sent:?}");
        self
    }

    /// The port of its web server.
    pub fn web_port(&self) -> u16 {
        self.web
    }

    /// As `AETITLE@HOST:PORT`.
    pub fn address(&self) -> String {
        self.node.to_string()
    }

    pub fn get(&self, path: &str) -> Value {
        self.answer(path, self.bytes(path))
    }

    pub fn bytes(&self, path: &str) -> Vec<u8> {
        until("Orthanc answers", || http(self.web, "GET", path, ""))
    }

    /// Puts a file into it without DIMSE.
    ///
    /// # Panics
    /// If Orthanc does not take it.
    pub fn keep(&self, file: &[u8]) {
        until("Orthanc answers", || http(self.web, "POST", "/instances", file));
    }

    /// # Panics
    /// If Orthanc does not answer with success.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let answer = http(self.web, "POST", path, body.to_string());
        self.answer(path, answer.unwrap_or_else(|| panic!("{path} is not answered with success")))
    }

    fn answer(&self, path: &str, body: Vec<u8>) -> Value {
        serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{path} is not answered with JSON: {error}"))
    }
}
