//! The audit record, as a repository gets it: the XML against the tables of PS3.15 A.5, and the trail
//! against receivers that go away and come back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, SystemTime};

use flow::audit::{
    ArrivalKind, AuditMessage, AuditNode, AuditPatient, AuditQuery, AuditSource, AuditStudy, AuditSubject,
    AuditTrail, AuditTransport, EventOutcome, SecurityAlert, TrailSettings, TransferInitiator, awake, dial,
    record, tcp, udp,
};
use flow::tls;

use crate::results::peers::python;
use crate::support::certificates::Certificates;
use crate::support::peers::{DEADLINE, until};
use crate::support::ports::free_port;

const AT: SystemTime = SystemTime::UNIX_EPOCH;

fn source() -> AuditSource {
    AuditSource {
        id: "flow at radiology".to_owned(),
        site: "St. Example".to_owned(),
        host: "127.0.0.1".to_owned(),
        process_id: 4711,
        ae_titles: vec!["FLOW".to_owned(), "LUNG".to_owned()],
    }
}

fn node() -> AuditNode {
    AuditNode { ae_title: "PACS".to_owned(), address: "pacs.example".to_owned() }
}

/// A patient whose name tries to break out of the XML.
fn subject() -> AuditSubject {
    let ct = "1.2.840.10008.5.1.4.1.1.2".to_owned();
    AuditSubject {
        patient: AuditPatient {
            id: "4711\"/><Evil>".to_owned(),
            name: "山田^<太郎> & \"Söhne'\n\u{0}\u{1b}[2J]]>".to_owned(),
        },
        studies: vec![
            AuditStudy {
                uid: "1.2.3".to_owned(),
                accession_number: "A&1".to_owned(),
                instances: BTreeMap::from([(ct, 275)]),
            },
            AuditStudy { uid: "1.2.4".to_owned(), ..AuditStudy::default() },
        ],
    }
}

fn messages() -> Vec<AuditMessage> {
    let (folder, what) = (Path::new("/in/a b%ü").to_owned(), subject());
    let failed = || EventOutcome::Minor("the peer said <no>".to_owned());
    let received = |asked_by, arrival| AuditMessage::Received {
        from: node(),
        asked_by,
        arrival,
        what: subject(),
        outcome: EventOutcome::Success,
    };
    let query = AuditQuery::Dimse {
        sop_class_uid: "1.2.840.10008.5.1.4.1.2.2.1".to_owned(),
        transfer_syntax_uid: "1.2.840.10008.1.2.1".to_owned(),
        identifier: vec![0, 255, b'<'],
    };
    let web = AuditQuery::Web { uri: "http://pacs/studies?PatientName=a&limit=1".to_owned() };
    let alert = |alert, about| AuditMessage::Alert {
        alert,
        about,
        description: "\"EVIL\" is not known".to_owned(),
        outcome: EventOutcome::Serious("rejected".to_owned()),
    };
    let nobody = AuditNode { ae_title: String::new(), address: "::1".to_owned() };
    vec![
        AuditMessage::Started,
        AuditMessage::Stopped,
        AuditMessage::Sending { to: node(), what: what.clone() },
        AuditMessage::Sent { to: node(), what: what.clone(), outcome: EventOutcome::Success },
        AuditMessage::Sent { to: node(), what: what.clone(), outcome: failed() },
        received(TransferInitiator::Sender, ArrivalKind::New),
        received(TransferInitiator::Us, ArrivalKind::Again),
        AuditMessage::Read { what: AuditSubject::default(), outcome: EventOutcome::Success },
        AuditMessage::Queried { at: node(), query, outcome: EventOutcome::Success },
        AuditMessage::Queried {
            at: node(),
            query: web,
            outcome: EventOutcome::Major("unreachable".to_owned()),
        },
        AuditMessage::Imported { folder: folder.clone(), what: what.clone(), outcome: EventOutcome::Success },
        AuditMessage::Exported { folder, what, outcome: failed() },
        alert(SecurityAlert::NodeAuthentication, Some(nobody)),
        alert(SecurityAlert::RestrictedFunction, Some(node())),
        alert(SecurityAlert::RecordingStopped, None),
    ]
}

/// The schema of A.5.1.1 (elements in their order, attributes, their values) and, of each event, the
/// action, the types, the roles and the objects that its table in A.5.3 demands.
const STANDARD: &str = r#"
import sys, re, base64, datetime
import xml.etree.ElementTree as ET
CODED = ({"csd-code", "codeSystemName", "originalText"}, set(), "")
SCHEMA = {  # attributes: mandatory, optional; children in order as a regular expression
  "AuditMessage": (set(), set(), "EventIdentification (ActiveParticipant )+AuditSourceIdentification (ParticipantObjectIdentification )*"),
  "EventIdentification": ({"EventDateTime", "EventOutcomeIndicator"}, {"EventActionCode"}, "EventID (EventTypeCode )*(EventOutcomeDescription )?"),
  "EventID": CODED, "EventTypeCode": CODED, "RoleIDCode": CODED, "MediaType": CODED, "ParticipantObjectIDTypeCode": CODED,
  "EventOutcomeDescription": (set(), set(), ""),
  "ActiveParticipant": ({"UserID", "UserIsRequestor"}, {"AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"}, "(RoleIDCode )*(MediaIdentifier )?"),
  "MediaIdentifier": (set(), set(), "MediaType "),
  "AuditSourceIdentification": ({"AuditSourceID"}, {"AuditEnterpriseSiteID"}, "(AuditSourceTypeCode )*"),
  "AuditSourceTypeCode": ({"csd-code"}, set(), ""),
  "ParticipantObjectIdentification": ({"ParticipantObjectID"}, {"ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole"},
     "ParticipantObjectIDTypeCode (ParticipantObjectName |ParticipantObjectQuery )(ParticipantObjectDetail )*(ParticipantObjectDescription )*"),
  "ParticipantObjectName": (set(), set(), ""), "ParticipantObjectQuery": (set(), set(), ""),
  "ParticipantObjectDetail": ({"type", "value"}, set(), ""),
  "ParticipantObjectDescription": (set(), set(), "(MPPS )*(Accession )*(SOPClass )*"),
  "Accession": ({"Number"}, set(), ""), "SOPClass": ({"NumberOfInstances"}, {"UID"}, ""),
}
TRANSFER = (["110153", "110152"], "(110180 )+2 ")
EVENTS = {  # action, types, roles of the participants in order, objects
  "110100": ("E", "110120|110121", ["110150"], ""),
  "110102": ("E", "", *TRANSFER), "110104": ("[CRU]", "", *TRANSFER),
  "110103": ("[CRUD]", "", [None], "(110180 )*2 "),
  "110106": ("R", "", ["110153", "110154"], "(110180 )*2 "), "110107": ("C", "", ["110152", "110155"], "(110180 )*2 "),
  "110112": ("E", "", ["110153", "110152"], "(110181|12) "),
  "110113": ("E", "110126|110132|110133", [None, None], "(12|110182) "),
}
OBJECTS = {"110180": ("2", "3"), "2": ("1", "1"), "110181": ("2", "3"), "12": ("2", "3"), "110182": ("2", "13")}
def schema(element):
    mandatory, optional, children = SCHEMA[element.tag]
    given = set(element.attrib)
    assert mandatory <= given <= mandatory | optional, (element.tag, given)
    names = "".join(child.tag + " " for child in element)
    assert re.fullmatch(children, names), (element.tag, names)
    for child in element: schema(child)
def code(element, name):
    found = element.find(name)
    return None if found is None else found.get("csd-code")
seen = set()
for path in sys.argv[1:]:
    raw = open(path, encoding="utf-8").read()
    assert "\n" not in raw
    root = ET.fromstring(raw)
    schema(root)
    event = root.find("EventIdentification")
    action, kinds, roles, objects = EVENTS[code(event, "EventID")]
    assert re.fullmatch(action, event.get("EventActionCode")), path
    assert re.fullmatch(kinds, code(event, "EventTypeCode") or ""), path
    assert datetime.datetime.fromisoformat(event.get("EventDateTime").replace("Z", "+00:00")).tzinfo
    outcome = event.get("EventOutcomeIndicator")
    assert outcome in ("0", "4", "8", "12") and (outcome == "0") == (event.find("EventOutcomeDescription") is None)
    participants = root.findall("ActiveParticipant")
    assert [code(one, "RoleIDCode") for one in participants] == roles[:len(participants)], path
    assert roles[0] is None or len(participants) == len(roles)
    wanted = [one.get("UserIsRequestor") for one in participants]
    assert wanted.count("true") == (0 if code(event, "EventID") == "110100" else 1) and set(wanted) <= {"true", "false"}
    for one in participants:
        assert one.get("UserID") and one.get("NetworkAccessPointTypeCode") in ("1", "2"), path
        media = code(one, "RoleIDCode") in ("110154", "110155")
        assert media == (one.find("MediaIdentifier") is not None)
        assert not media or one.get("UserID") == "file://127.0.0.1/in/a%20b%25%C3%BC", one.attrib
    named = root.findall("ParticipantObjectIdentification")
    kinds = "".join(code(one, "ParticipantObjectIDTypeCode") + " " for one in named)
    assert re.fullmatch(objects, kinds), (path, kinds)
    for one in named:
        kind = code(one, "ParticipantObjectIDTypeCode")
        assert OBJECTS[kind] == (one.get("ParticipantObjectTypeCode"), one.get("ParticipantObjectTypeCodeRole")), path
        assert one.get("ParticipantObjectID")
        details = {detail.get("type"): base64.b64decode(detail.get("value"), validate=True) for detail in one.findall("ParticipantObjectDetail")}
        if kind == "110182": assert details == {"Alert Description": b'"EVIL" is not known'}
        if kind == "110181":
            assert details == {"TransferSyntax": b"1.2.840.10008.1.2.1"}
            assert base64.b64decode(one.find("ParticipantObjectQuery").text, validate=True) == b"\x00\xff<"
        if kind == "2" and one.get("ParticipantObjectID") != "<none>":
            assert one.get("ParticipantObjectID") == '4711"/><Evil>'
            assert one.find("ParticipantObjectName").text == "山田^<太郎> & \"Söhne'\n\ufffd\ufffd[2J]]>"
        if one.get("ParticipantObjectID") == "1.2.3":
            assert [c.attrib for c in one.iter("SOPClass")] == [{"UID": "1.2.840.10008.5.1.4.1.1.2", "NumberOfInstances": "275"}]
            assert one.find(".//Accession").get("Number") == "A&1"
    seen.add(code(event, "EventID"))
assert seen == set(EVENTS), seen
"#;

#[test]
fn every_event_is_what_the_standard_demands() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (number, message) in messages().iter().enumerate() {
        let path = folder.path().join(format!("{number}.xml"));
        std::fs::write(&path, record(&source(), message, AT)).unwrap();
        files.push(path);
    }
    python(STANDARD, &files.iter().collect::<Vec<_>>());
}

fn settings(folder: &Path) -> TrailSettings {
    TrailSettings { retry_after: Duration::from_millis(10), ..TrailSettings::new(folder.join("audit/spool")) }
}

/// What cannot be mistaken for another message.
fn numbered(number: usize) -> AuditMessage {
    let to = AuditNode { ae_title: format!("NUMBER{number}"), address: String::new() };
    AuditMessage::Sending { to, what: AuditSubject::default() }
}

fn number(message: &str) -> usize {
    let (_, rest) = message.split_once("AETITLES=NUMBER").unwrap_or_else(|| panic!("{message}"));
    rest.split('"').next().unwrap().parse().unwrap()
}

/// A receiver over TCP or TLS, which takes messages until it goes.
struct Repository {
    messages: Receiver<String>,
    address: String,
    listener: TcpListener,
    connections: Receiver<TcpStream>,
}

impl Repository {
    fn at(address: &str, tls: Option<&tls::TlsServer>) -> Repository {
        // The port of one that has just gone may still be in use for a moment.
        let listener = until("the port is free", || TcpListener::bind(address).ok());
        let address = listener.local_addr().unwrap().to_string();
        let ((give, messages), (tell, connections)) = (mpsc::channel(), mpsc::channel());
        let (accepting, tls) = (listener.try_clone().unwrap(), tls.cloned());
        thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                if tell.send(stream.try_clone().unwrap()).is_err() {
                    return;
                }
                let (give, tls) = (give.clone(), tls.clone());
                thread::spawn(move || match tls {
                    None => take(stream, &give),
                    Some(tls) => take(tls.accept(stream).unwrap(), &give),
                });
            }
        });
        Repository { messages, address, listener, connections }
    }

    fn next(&self) -> String {
        self.messages.recv_timeout(DEADLINE).expect("a message comes")
    }

    /// Closes everything; its address, for the next one.
    fn go(self) -> String {
        let Repository { address, listener, connections, .. } = self;
        for stream in connections.try_iter() {
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        }
        drop((connections, listener));
        // Ends the thread that accepts, which looks only when somebody comes.
        _ = TcpStream::connect(&address);
        address
    }
}

/// Octet counting: a number, a space, and as many bytes.
fn take(stream: impl Read, give: &Sender<String>) {
    let mut reader = BufReader::new(stream);
    let mut length = Vec::new();
    while let Ok(1..) = reader.read_until(b' ', &mut length) {
        let count = str::from_utf8(&length).unwrap().trim_end().parse().unwrap();
        let mut message = vec![0; count];
        if reader.read_exact(&mut message).is_err() || give.send(String::from_utf8(message).unwrap()).is_err()
        {
            return;
        }
        length.clear();
    }
}

#[test]
fn over_udp_a_message_is_a_datagram() {
    let folder = tempfile::tempdir().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let trail = AuditTrail::start(source(), udp(address), &settings(folder.path())).unwrap();
    let too_long = AuditSubject {
        patient: AuditPatient { id: "x".repeat(70_000), name: String::new() },
        studies: vec![],
    };
    trail.record(AuditMessage::Read { what: too_long, outcome: EventOutcome::Success }, AT);
    trail.record(AuditMessage::Stopped, AT + Duration::from_millis(1500));
    drop(trail);
    let mut texts = Vec::new();
    for _ in 0..2 {
        let mut bytes = vec![0; 65_536];
        let length = socket.recv(&mut bytes).unwrap();
        texts.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
    }
    texts.sort();
    let head = "<84>1 1970-01-01T00:00:0";
    assert!(texts[0].starts_with(head) && texts[0].contains("Audit Recording Stopped"), "{texts:?}");
    let start = "<85>1 1970-01-01T00:00:01.500Z 127.0.0.1 flow 4711 DICOM+RFC3881 - \u{feff}<?xml ";
    assert!(texts[1].starts_with(start) && texts[1].contains("Application Stop"), "{texts:?}");
}

#[test]
fn while_the_receiver_is_away_messages_wait_also_across_a_restart() {
    waits(None, |address| tcp(address));
}

#[test]
fn it_is_the_same_over_tls() {
    let Some(certificates) = Certificates::make() else { return };
    let server = tls::TlsServer::open(&certificates.identity(), None).unwrap();
    let client = tls::TlsClient::open(&certificates.authority(), None).unwrap();
    waits(Some(&server), |address| {
        let (address, client) = (address.to_owned(), client.clone());
        AuditTransport::Stream(Box::new(move || {
            let tcp = dial(&address)?;
            let stream = client.connect("localhost", tcp.try_clone()?).map_err(Error::other)?;
            Ok(awake(stream, tcp))
        }))
    });
}

fn waits(tls: Option<&tls::TlsServer>, transport: impl Fn(&str) -> AuditTransport) {
    let folder = tempfile::tempdir().unwrap();
    // Nobody else takes the port while the receiver is away.
    let repository = Repository::at(&format!("127.0.0.1:{}", free_port()), tls);
    let address = repository.address.clone();
    let start = || AuditTrail::start(source(), transport(&address), &settings(folder.path())).unwrap();
    let trail = start();
    trail.record(numbered(0), AT);
    assert_eq!(number(&repository.next()), 0);

    // The receiver closes a connection that is not in use: the next message must not be lost in it.
    let address = repository.go();
    (1..4).for_each(|number| trail.record(numbered(number), AT));
    drop(trail);
    assert!(std::fs::metadata(folder.path().join("audit/spool")).unwrap().len() > 0);

    let trail = start();
    (4..6).for_each(|number| trail.record(numbered(number), AT));
    let repository = Repository::at(&address, tls);
    for expected in 1..6 {
        assert_eq!(number(&repository.next()), expected);
    }
    trail.record(numbered(6), AT);
    assert_eq!(number(&repository.next()), 6);
    drop(trail);
    assert_eq!(std::fs::metadata(folder.path().join("audit/spool")).unwrap().len(), 0);
}

#[test]
fn what_there_was_no_room_for_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let settings = TrailSettings { spool_bytes_max: 8_000, ..settings(folder.path()) };
    let trail = AuditTrail::start(source(), tcp(address.clone()), &settings).unwrap();
    (0..100).for_each(|number| trail.record(numbered(number), AT));
    drop(trail);
    assert!(std::fs::metadata(&settings.spool).unwrap().len() < 10_000);

    let repository = Repository::at(&address, None);
    let trail = AuditTrail::start(source(), tcp(address), &settings).unwrap();
    let mut kept = 0;
    let alert = loop {
        let message = repository.next();
        if message.contains("Security Alert") {
            break message;
        }
        assert_eq!(number(&message), kept);
        kept += 1;
    };
    drop(trail);
    assert!((3..20).contains(&kept), "{kept}");
    let words = format!("{} audit messages were lost before this one", 100 - kept);
    let words = base64(&words);
    assert!(alert.contains(&words), "{words} in {alert}");
}

/// As RFC 4648 has it, written anew to judge by.
fn base64(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut coded = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index)) as usize & 63];
            coded.push(if index <= three.len() { char::from(letter) } else { '=' });
        }
    }
    coded
}

/// A receiver that takes the connection and then nothing, until it is let go.
struct Stuck(Receiver<()>, Sender<String>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Told once, or nobody is left to tell.
        _ = self.0.recv();
        _ = self.1.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn recording_never_waits_for_the_receiver() {
    let folder = tempfile::tempdir().unwrap();
    let (release, held) = mpsc::channel();
    let (give, messages) = mpsc::channel();
    let stuck = std::sync::Mutex::new(Some(Stuck(held, give)));
    let connect = move || {
        let stream = stuck.lock().unwrap().take().expect("it connects once");
        Ok(Box::new(stream) as Box<dyn Write + Send>)
    };
    let settings = TrailSettings { queue_max: 4, ..settings(folder.path()) };
    let trail = AuditTrail::start(source(), AuditTransport::Stream(Box::new(connect)), &settings).unwrap();
    // Of these at most one is with the receiver and four are in the queue.
    let (tell, recorded) = mpsc::channel();
    let recording = std::thread::spawn(move || {
        (0..50).for_each(|number| trail.record(numbered(number), AT));
        tell.send(()).unwrap();
        trail
    });
    recorded.recv_timeout(DEADLINE).expect("recording does not wait for the receiver");
    drop(release);
    drop(recording.join().unwrap());
    let messages: Vec<String> = messages.iter().collect();
    let kept = messages.iter().filter(|message| message.contains("AETITLES=NUMBER")).count();
    let told = messages.iter().filter(|message| message.contains("Audit Recording Stopped")).count();
    assert!((4..50).contains(&kept) && told >= 1, "{kept} kept, told {told} times");
}
