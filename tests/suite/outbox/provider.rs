//! A storage provider made by hand, which answers each object as a test wants.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use dicom_ul::Pdu;
use dicom_ul::pdu::{
    AssociationAC, PDataValue, PDataValueType, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason as Reason, UserVariableItem, read_pdu, write_pdu,
};
use flow::dicom::DimseNode;

use crate::support::peers::until;

/// What is done when an object has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// Nothing: the connection stays open.
    Silence,
    Abort,
    Close,
    /// Nothing more is sent, and all is still read.
    HalfClose,
}

/// Listens until it is dropped; associations under way go on until the peer ends them.
pub struct Provider {
    pub address: SocketAddr,
    /// The UIDs of the objects that arrived, in their order.
    arrived: Arc<Mutex<Vec<String>>>,
    /// Dropped to end what is silent.
    _silent: mpsc::Sender<()>,
}

type Script = dyn Fn(&str, usize) -> Answer + Send + Sync;

impl Provider {
    /// `answer` is asked with the UID of an object, and how many times it has arrived.
    pub fn start(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Provider {
        Provider::at("127.0.0.1:0".parse().unwrap(), answer)
    }

    pub fn at(
        address: SocketAddr,
        answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    ) -> Provider {
        Provider::choosy(address, |_| true, answer)
    }

    /// `takes` is asked for each connection, with how many there were before; the others are hung up.
    pub fn choosy(
        address: SocketAddr,
        takes: impl Fn(usize) -> bool + Send + 'static,
        answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    ) -> Provider {
        let listener = until("the port is free", || TcpListener::bind(address).ok());
        let address = listener.local_addr().unwrap();
        let arrived = Arc::<Mutex<Vec<String>>>::default();
        let (silent, end) = mpsc::channel();
        let end = Arc::new(Mutex::new(end));
        let (log, answer) = (Arc::clone(&arrived), Arc::<Script>::from(Box::new(answer) as Box<Script>));
        thread::spawn(move || {
            for (before, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                if let Err(mpsc::TryRecvError::Disconnected) = end.lock().unwrap().try_recv() {
                    return;
                }
                if !takes(before) {
                    continue;
                }
                let talk = Talk { stream, arrived: Arc::clone(&log), answer: Arc::clone(&answer) };
                // A connection that breaks is what some tests are about.
                thread::spawn(move || talk.serve().ok());
            }
        });
        Provider { address, arrived, _silent: silent }
    }

    pub fn destination(&self) -> DimseNode {
        format!("PACS@{}", self.address).parse().unwrap()
    }

    /// How many times each object arrived.
    pub fn arrived(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.arrived.lock().unwrap().iter().for_each(|uid| *counts.entry(uid.clone()).or_default() += 1);
        counts
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let (gone, _) = mpsc::channel();
        self._silent = gone;
        // So that it sees that it is to end.
        let _ = TcpStream::connect(self.address);
    }
}

struct Talk {
    stream: TcpStream,
    arrived: Arc<Mutex<Vec<String>>>,
    answer: Arc<Script>,
}

impl Talk {
    fn serve(mut self) -> std::io::Result<()> {
        let mut command = Vec::new();
        loop {
            match self.receive()? {
                Pdu::AssociationRQ(asked) => {
                    // It stores, and answers no questions.
                    let reason = |one: &PresentationContextProposed| {
                        let is_storage = one.abstract_syntax.starts_with("1.2.840.10008.5.1.4.1.1.");
                        if is_storage { Reason::Acceptance } else { Reason::AbstractSyntaxNotSupported }
                    };
                    let accept = |one: &PresentationContextProposed| PresentationContextResult {
                        id: one.id,
                        reason: reason(one),
                        transfer_syntax: one.transfer_syntaxes[0].clone(),
                    };
                    self.send(&Pdu::AssociationAC(AssociationAC {
                        protocol_version: 1,
                        calling_ae_title: asked.calling_ae_title.clone(),
                        called_ae_title: asked.called_ae_title.clone(),
                        application_context_name: asked.application_context_name.clone(),
                        presentation_contexts: asked.presentation_contexts.iter().map(accept).collect(),
                        user_variables: vec![UserVariableItem::MaxLength(16384)],
                    }))?;
                }
                Pdu::PData { data } => {
                    for value in data {
                        if value.value_type == PDataValueType::Command {
                            command.extend_from_slice(&value.data);
                        } else if value.is_last {
                            self.stored(value.presentation_context_id, &std::mem::take(&mut command))?;
                        }
                    }
                }
                Pdu::ReleaseRQ => return self.send(&Pdu::ReleaseRP),
                _ => return Ok(()),
            }
        }
    }

    fn stored(&mut self, context: u8, command: &[u8]) -> std::io::Result<()> {
        let uid = String::from_utf8_lossy(&element(command, 0x1000)).trim_end_matches('\0').to_owned();
        let times = {
            let mut arrived = self.arrived.lock().unwrap();
            arrived.push(uid.clone());
            arrived.iter().filter(|one| **one == uid).count()
        };
        match (self.answer)(&uid, times) {
            Answer::Status(status) => self.send(&answered(context, command, status)),
            Answer::Silence => Ok(()),
            Answer::Abort => self.send(&Pdu::AbortRQ { source: dicom_ul::pdu::AbortRQSource::ServiceUser }),
            Answer::Close => self.stream.shutdown(Shutdown::Both),
            Answer::HalfClose => self.stream.shutdown(Shutdown::Write),
        }
    }

    fn receive(&mut self) -> std::io::Result<Pdu> {
        let mut pdu = vec![0; 6];
        self.stream.read_exact(&mut pdu)?;
        let length = u32::from_be_bytes(pdu[2..6].try_into().unwrap());
        pdu.resize(6 + length as usize, 0);
        self.stream.read_exact(&mut pdu[6..])?;
        Ok(read_pdu(pdu.as_slice(), 1 << 20, false).unwrap().unwrap())
    }

    fn send(&mut self, pdu: &Pdu) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, pdu).unwrap();
        self.stream.write_all(&bytes)
    }
}

/// The value of an element of group 0000.
fn element(mut command: &[u8], number: u16) -> Vec<u8> {
    while let Some((head, rest)) = command.split_at_checked(8) {
        let length = u32::from_le_bytes(head[4..8].try_into().unwrap()) as usize;
        if head[2..4] == number.to_le_bytes() {
            return rest[..length].to_vec();
        }
        command = &rest[length..];
    }
    Vec::new()
}

/// A C-STORE-RSP.
fn answered(context: u8, request: &[u8], status: u16) -> Pdu {
    let mut command = Vec::new();
    for (number, value) in [
        (0x0002_u16, element(request, 0x0002)),
        (0x0100, 0x8001_u16.to_le_bytes().into()),
        (0x0120, element(request, 0x0110)),
        (0x0800, 0x0101_u16.to_le_bytes().into()),
        (0x0900, status.to_le_bytes().into()),
        (0x1000, element(request, 0x1000)),
    ] {
        command.extend([0, 0]);
        command.extend(number.to_le_bytes());
        command.extend((value.len() as u32).to_le_bytes());
        command.extend(value);
    }
    let mut whole = vec![0, 0, 0, 0, 4, 0, 0, 0];
    whole.extend((command.len() as u32).to_le_bytes());
    whole.extend(command);
    let (value_type, is_last) = (PDataValueType::Command, true);
    Pdu::PData {
        data: vec![PDataValue { presentation_context_id: context, value_type, is_last, data: whole }],
    }
}
