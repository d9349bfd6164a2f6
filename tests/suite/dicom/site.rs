//! Who may call, and how: certificates, AE titles, networks, services and contexts, with DCMTK.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use dicom_dictionary_std::uids;
use dicom_ul::Pdu;
use dicom_ul::association::ClientAssociationOptions;
use dicom_ul::pdu::{AssociationRQ, PresentationContextProposed, write_pdu};
use flow::dicom::ReceiverEvent;

use crate::run::Place;
use crate::run::nodes::Listening;
use crate::support::certificates::Certificates;
use crate::support::peers::{DEADLINE, Receiving, run, tool};

const ECHOSCU: &str = "/usr/bin/echoscu";

/// What a program of DCMTK says, and whether it is content.
fn said(output: &Output) -> (bool, String) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.success(), text.concat())
}

/// A caller with a certificate.
fn identified(program: &str, certificates: &Certificates, title: &str, port: &str) -> Command {
    let identity = certificates.identity();
    let mut command = Command::new(program);
    command.arg("+tls").args([identity.key, identity.certificate]).arg("+cf").arg(certificates.authority());
    command.args(["-aet", title, "-aec", "FLOW", "127.0.0.1", port]);
    command
}

/// A site that shows its certificate and asks for one.
fn site(certificates: &Certificates, more: &str) -> String {
    let identity = certificates.identity();
    let [certificate, key, authorities] =
        [identity.certificate, identity.key, certificates.authority()].map(|path| path.display().to_string());
    format!("tls: {{certificate: {certificate}, key: {key}, authorities: {authorities}}}\n{more}\n")
}

#[test]
fn only_who_shows_a_certificate_and_is_known_is_served() {
    let (Some(echoscu), Some(storescu)) = (tool(ECHOSCU), tool("/usr/bin/storescu")) else { return };
    let (Some(ours), Some(others)) = (Certificates::make(), Certificates::make()) else { return };
    let place = Place::new();
    place.study("in", 1);
    let served = "dicom: {listen: '127.0.0.1:0', tls: mutual, callers: ['GOOD@127.0.0.0/8']}
complete: {at_once: [released], quiet_time: 1 h}";
    fs::write(place.path("site.yaml"), site(&ours, served)).unwrap();
    let mut flow = Listening::start(&place, &["--site", "site.yaml", "--quiet-time", "3600"]);
    let port = flow.port().to_owned();
    let echoed = |command: &mut Command| said(&run(command));

    let (content, text) = echoed(&mut identified(echoscu, &ours, "GOOD", &port));
    assert!(content, "{text}");
    let (content, text) = echoed(&mut identified(echoscu, &ours, "OTHER", &port));
    assert!(!content && text.contains("Calling AE Title Not Recognized"), "{text}");
    let mut without = Command::new(echoscu);
    without.args(["+tla", "-ic", "-aet", "GOOD", "-aec", "FLOW", "127.0.0.1", &port]);
    let mut plain = Command::new(echoscu);
    plain.args(["-aet", "GOOD", "-aec", "FLOW", "127.0.0.1", &port]);
    let foreign = identified(echoscu, &others, "GOOD", &port);
    for mut command in [foreign, without, plain] {
        let (content, text) = echoed(&mut command);
        assert!(!content, "{command:?}: {text}");
        let line = flow.line("connection");
        assert!(line.contains("rejected"), "{line}");
    }

    let (content, text) =
        said(&run(identified(storescu, &ours, "GOOD", &port).arg("+sd").arg(place.path("in"))));
    assert!(content, "{text}");
    assert!(flow.line("answered").contains("complete"), "it was complete when it was released");
    asks_as_a_client(&place, &ours, &others, &port);
}

/// We as the caller of somebody encrypted: ourselves.
fn asks_as_a_client(place: &Place, ours: &Certificates, others: &Certificates, port: &str) {
    let nodes = format!("nodes: {{SELF: {{address: 'FLOW@localhost:{port}', tls: true, wait: 5 s}}}}");
    fs::write(place.path("client.yaml"), site(ours, &nodes)).unwrap();
    fs::write(place.path("foreign.yaml"), site(others, &nodes)).unwrap();
    let echo = |site: &str, title: &str| {
        let ended = place.run(&["echo", "SELF", "--site", site, "--ae-title", title]);
        (ended.code, ended.out + &ended.err)
    };
    assert_eq!(echo("client.yaml", "GOOD").0, 0);
    let (code, told) = echo("client.yaml", "OTHER");
    assert!(code != 0 && told.contains("Make the calling AE title OTHER known"), "{told}");
    let (code, told) = echo("foreign.yaml", "GOOD");
    assert!(code != 0 && told.contains("Check the certificates of both sides"), "{told}");
}

#[test]
fn an_operator_completes_a_study_by_its_patient() {
    let Some(storescu) = tool("/usr/bin/storescu") else { return };
    let place = Place::new();
    place.study("in", 1);
    let mut flow = Listening::start(&place, &["--quiet-time", "3600"]);
    flow.send(storescu, &place.path("in"));
    let listed = place.run(&["complete"]);
    assert!(listed.code == 0 && listed.out.contains("40 instances"), "{}", listed.out);
    let unknown = place.run(&["complete", "NOBODY"]);
    assert!(
        unknown.code != 0 && unknown.err.contains("no study \"NOBODY\" is being received"),
        "{}",
        unknown.err
    );
    let completed = place.run(&["complete", "SAMPLE-1"]);
    assert!(completed.code == 0 && completed.out.contains("takes it up now"), "{}", completed.out);
    flow.line("answered");
    assert_eq!(place.run(&["complete"]).out, "", "none is being received");
    let explained = place.run(&["explain", "SAMPLE-1"]);
    assert_eq!(explained.code, 0, "{}", explained.err);
}

#[test]
fn a_caller_is_known_by_title_and_network() {
    let Some(echoscu) = tool(ECHOSCU) else { return };
    for (callers, is_served) in [
        (["GOOD@127.0.0.0/8", "X@10.0.0.1"], true),
        (["*@127.0.0.1", "X@10.0.0.1"], true),
        (["GOOD@10.0.0.0/8", "X@127.0.0.1"], false),
    ] {
        let receiving = Receiving::start(|settings| {
            settings.callers = callers.map(|caller| caller.parse().unwrap()).into();
        });
        let port = receiving.address.port().to_string();
        let arguments = ["-aet", "GOOD", "-aec", "FLOW", "127.0.0.1", &port];
        let (content, text) = said(&run(Command::new(echoscu).args(arguments)));
        assert_eq!(content, is_served, "{callers:?}: {text}");
        assert_eq!(text.contains("Calling AE Title Not Recognized"), !is_served, "{callers:?}: {text}");
    }
}

#[test]
fn a_service_that_is_not_there_is_refused_in_the_negotiation() {
    let Some(findscu) = tool("/usr/bin/findscu") else { return };
    let receiving = Receiving::start(|_| {});
    let query = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=1"];
    let (content, text) = said(&run(Command::new(findscu).args(query).args(receiving.arguments("FLOW"))));
    assert!(!content && text.contains("No Acceptable Presentation Contexts"), "{text}");
    receiving.event("closed", |event| matches!(event, ReceiverEvent::Closed { .. }));
}

#[test]
fn so_many_contexts_are_negotiated_and_no_more() {
    let receiving = Receiving::start(|settings| settings.contexts_max = 100);
    let asked = |count: usize| {
        let options = ClientAssociationOptions::new().calling_ae_title("SCANNER").called_ae_title("FLOW");
        let contexts = (0..count).fold(options, |options, _| {
            options.with_presentation_context(uids::CT_IMAGE_STORAGE, vec![uids::EXPLICIT_VR_LITTLE_ENDIAN])
        });
        contexts.establish(receiving.address)
    };
    assert_eq!(asked(100).unwrap().presentation_contexts().len(), 100);
    let error = asked(101).unwrap_err();
    assert!(format!("{error:?}").contains("LocalLimitExceeded"), "{error:?}");
    let all = Receiving::start(|_| {});
    let options = ClientAssociationOptions::new().calling_ae_title("SCANNER").called_ae_title("FLOW");
    let syntaxes = vec![uids::EXPLICIT_VR_LITTLE_ENDIAN; 16];
    let options = (0..128).fold(options, |options, _| {
        options.with_presentation_context(uids::MR_IMAGE_STORAGE, syntaxes.clone())
    });
    let association = options.establish(all.address).unwrap();
    assert_eq!(association.presentation_contexts().len(), 128);
}

/// A request for an association as it should be.
fn request() -> AssociationRQ {
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "SCANNER".to_owned(),
        called_ae_title: "FLOW".to_owned(),
        application_context_name: "1.2.840.10008.3.1.1.1".to_owned(),
        presentation_contexts: [1, 3].map(context).into(),
        user_variables: Vec::new(),
    }
}

fn context(id: u8) -> PresentationContextProposed {
    let transfer_syntaxes = vec![uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned()];
    PresentationContextProposed { id, abstract_syntax: uids::VERIFICATION.to_owned(), transfer_syntaxes }
}

const ACCEPTED: u8 = 2;
const REJECTED: u8 = 3;

/// The kind of the PDU with which a request is answered.
fn answer(receiving: &Receiving, asked: AssociationRQ) -> u8 {
    let mut stream = TcpStream::connect(receiving.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &Pdu::AssociationRQ(asked)).unwrap();
    stream.write_all(&bytes).unwrap();
    let mut kind = [0];
    stream.read_exact(&mut kind).unwrap();
    kind[0]
}

#[test]
fn a_title_may_end_with_a_zero_byte() {
    let receiving = Receiving::start(|settings| settings.callers = vec!["SCANNER".parse().unwrap()]);
    let answer = |calling: &str, called: &str| {
        let (calling_ae_title, called_ae_title) = (calling.to_owned(), called.to_owned());
        answer(&receiving, AssociationRQ { calling_ae_title, called_ae_title, ..request() })
    };
    assert_eq!(answer("SCANNER\0\0", "FLOW\0\0\0\0\0\0\0\0\0\0\0\0"), ACCEPTED);
    assert_eq!(answer("SCANNER\0left", " FLOW\0 over"), ACCEPTED);
    assert_eq!(answer("SCANNER", "FLO\0W"), REJECTED);
    assert_eq!(answer("SCANNER", "flow"), REJECTED, "titles are compared with their letters' case");
}

#[test]
fn a_request_that_is_not_as_it_must_be_is_rejected() {
    let receiving = Receiving::start(|_| {});
    let answer = |asked: AssociationRQ| answer(&receiving, asked);
    let with_contexts = |ids: &[u8]| AssociationRQ {
        presentation_contexts: ids.iter().copied().map(context).collect(),
        ..request()
    };
    assert_eq!(answer(request()), ACCEPTED);
    assert_eq!(answer(AssociationRQ { protocol_version: 2, ..request() }), REJECTED);
    let other = "1.2.840.10008.3.1.1.2".to_owned();
    assert_eq!(answer(AssociationRQ { application_context_name: other, ..request() }), REJECTED);
    assert_eq!(answer(with_contexts(&[2])), REJECTED, "an even number");
    assert_eq!(answer(with_contexts(&[1, 1])), REJECTED, "one number for two");
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(answer(with_contexts(&all)), REJECTED, "twice as many as there can be");
    assert_eq!(answer(request()), ACCEPTED);
}
