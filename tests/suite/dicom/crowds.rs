//! Many peers at once that mean harm: bombs from all sides, and callers that come again and again and say nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dicom_dictionary_std::uids;
use dicom_ul::association::{ClientAssociation, ClientAssociationOptions};
use flow::dicom::{DicomObject, SendOutcome, send};
use flow::dicom_file::part10::FileHead;

use super::raw::store;
use crate::run::Place;
use crate::support::peers::{Background, DEADLINE, Receiving, answering, until};
use crate::support::ports::free_port;
use crate::support::slices::{Slice, data_set};

/// What flow may take for requests in work, and all that it may take at any time.
const MEMORY: &str = "256MiB";
const PEAK_MAX: u64 = 256 << 20;

/// So much comes out of each bomb.
const BOMB_BYTES: u64 = 256 << 20;

/// The command itself, with both of its doors.
struct Doors {
    process: Background,
    dicom: SocketAddr,
    web: u16,
    _place: Place,
}

impl Doors {
    fn open() -> Doors {
        let place = Place::new();
        let (dicom, web) = (free_port(), free_port());
        let site = format!(
            "dicom: {{listen: 127.0.0.1:{dicom}, associations: 40}}\nweb: {{listen: 127.0.0.1:{web}, associations: 20}}\n\
             complete: {{quiet_time: 200 ms}}\n"
        );
        std::fs::write(place.path("site.yaml"), site).unwrap();
        let mut command = place.flow(&["run", "--site", "site.yaml", "--memory", MEMORY]);
        let process = Background::saying_to(&mut command, &place.path("said"));
        let node = answering("FLOW", dicom);
        Doors { process, dicom: node.address.parse().unwrap(), web, _place: place }
    }

    /// An association for deflated data sets.
    fn associated(&self) -> ClientAssociation<TcpStream> {
        ClientAssociationOptions::new()
            .calling_ae_title("SCANNER")
            .called_ae_title("FLOW")
            .with_presentation_context(uids::CT_IMAGE_STORAGE, vec![uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN])
            .read_timeout(DEADLINE)
            .establish(self.dicom)
            .expect("there is room for it")
    }

    /// Sends a body with these files; the status of the answer.
    fn post(&self, files: &[Vec<u8>]) -> u16 {
        let mut body = Vec::new();
        for file in files {
            body.extend_from_slice(b"\r\n--frontier\r\nContent-Type: application/dicom\r\n\r\n");
            body.extend_from_slice(file);
        }
        body.extend_from_slice(b"\r\n--frontier--\r\n");
        let head = format!(
            "POST /dicom-web/studies HTTP/1.1\r\nHost: flow\r\nConnection: close\r\nContent-Type: \
             multipart/related; type=\"application/dicom\"; boundary=frontier\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.web)).expect("somebody listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time limit can be set");
        // What is refused may not be taken to its end.
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Others are served, and it never took more than it may.
    fn assert_well(&self) {
        let honest = deflated(data_set(&Slice::new("1.2.77", 1).file()), 0);
        assert_eq!(store(&mut self.associated(), "1.2.77.1.1", &honest), 0, "others are served");
        let peak = self.process.peak_bytes().expect("it is running");
        println!("peak: {} MiB", peak >> 20);
        assert!(peak < PEAK_MAX, "{} MiB", peak >> 20);
    }
}

fn deflated(bytes: &[u8], zeros: u64) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(zeros), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// Data sets of a slice that inflate far beyond it: nothing but zeros, zeros behind its pixels, and a long element before
/// its pixels.
fn bombs(slice: &Slice) -> [Vec<u8>; 3] {
    let file = slice.file();
    let whole = data_set(&file);
    let at = whole.windows(6).position(|bytes| bytes == b"\xE0\x7F\x10\0OW").expect("there are pixels");
    let length = u32::try_from(BOMB_BYTES).unwrap().to_le_bytes();
    let long = [&whole[..at], b"\x01\x70\x10\x10OB\0\0".as_slice(), &length].concat();
    [deflated(&[], BOMB_BYTES), deflated(whole, BOMB_BYTES), deflated(&long, BOMB_BYTES)]
}

#[test]
fn bodies_over_http_that_all_inflate_at_once_stay_within_the_memory() {
    let doors = Doors::open();
    let bodies = 8;
    let together = Barrier::new(bodies);
    thread::scope(|scope| {
        for number in 0..bodies {
            let (doors, together) = (&doors, &together);
            scope.spawn(move || {
                let slice = Slice::new(&format!("1.2.{number}"), 1);
                let file = |data_set: Vec<u8>| {
                    let head = FileHead {
                        sop_class_uid: uids::CT_IMAGE_STORAGE.to_owned(),
                        sop_instance_uid: slice.uid(),
                        transfer_syntax_uid: uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN.to_owned(),
                    };
                    [head.encode(), data_set].concat()
                };
                let files = bombs(&slice).map(file);
                together.wait();
                let status = doors.post(&files);
                assert!([200, 202, 409, 413, 503].contains(&status), "{status}");
            });
        }
    });
    doors.assert_well();
}

#[test]
fn data_sets_that_all_inflate_at_once_stay_within_the_memory() {
    let doors = Doors::open();
    let peers = 24;
    let together = Barrier::new(peers);
    thread::scope(|scope| {
        for number in 0..peers {
            let (doors, together) = (&doors, &together);
            scope.spawn(move || {
                let slice = Slice::new(&format!("1.2.{number}"), 1);
                let bombs = bombs(&slice);
                let mut peer = doors.associated();
                together.wait();
                for bomb in bombs {
                    let status = store(&mut peer, &slice.uid(), &bomb);
                    assert!([0, 0xA700, 0xC000].contains(&status), "{status:04X}");
                }
            });
        }
    });
    doors.assert_well();
}

/// Ends the callers, whatever happens to the test.
struct CallersEnd<'a>(&'a AtomicBool);

impl Drop for CallersEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Says nothing until it is cut off, and is there again; `calls` counts.
fn call_and_say_nothing(address: SocketAddr, calls: &AtomicUsize, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        calls.fetch_add(1, Ordering::Relaxed);
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let is_open = |read: io::Result<usize>| match read {
            Ok(read) => read > 0,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        while !ends.load(Ordering::Relaxed) && is_open(stream.read(&mut [0; 64])) {}
        // As long as a call over a network takes.
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn callers_that_come_again_and_again_and_say_nothing_keep_no_sender_out() {
    let receiving = Receiving::start(|_| {});
    let (address, node) = (receiving.address, receiving.destination("FLOW"));
    let (ends, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _end = CallersEnd(&ends);
        for _ in 0..40 {
            scope.spawn(|| call_and_say_nothing(address, &calls, &ends));
        }
        until("all places are taken, and some are lost again", || {
            (calls.load(Ordering::Relaxed) > 40).then_some(())
        });
        let slice = Slice::new("1.2.3", 1);
        let object = DicomObject::read(slice.uid(), slice.file().into()).unwrap();
        until("a sender gets a place", || {
            let sent = send(&node, std::slice::from_ref(&object)).ok()?;
            (sent[0].outcome == SendOutcome::Stored).then_some(())
        });
        let before = calls.load(Ordering::Relaxed);
        until("while the others go on", || (calls.load(Ordering::Relaxed) > before).then_some(()));
    });
    assert_eq!(receiving.study().items.len(), 1);
}
