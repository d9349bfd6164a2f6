//! Destinations: the trait of every kind of place that responses go to.
//!
//! A destination knows what it takes, sends it and looks whether it has arrived. When it is tried, how
//! often, and what was answered before is not its concern: the outbox keeps the queue, the retry policy and
//! the records of the journal, and asks for those parts only that nothing final is known of.

use std::path::PathBuf;

use crate::dataflow::Response;
use crate::printable::with_causes;
use crate::step::{Artifact, Request};
use crate::store::Store;

use super::{DeliveryRecord, PartAnswer};

/// The callback that takes a destination's answer to one part, as soon as it is there.
pub type PartAnswers<'a> = &'a mut dyn FnMut(PartAnswer);

/// A place where responses go.
///
/// Only [`name`](Destination::name) and [`send`](Destination::send) must be written. All methods are called
/// from several threads, for different responses at once; a panic counts as a passing trouble.
///
/// ```
/// use std::sync::Mutex;
///
/// use flow::admission::{DeliveryTrouble, Destination, OutgoingResponse, PartAnswer, PartAnswers};
/// # use flow::dataflow::{Response, ResponseVerdict};
/// # use flow::step::{Digest, ResponseFile, Request};
/// # use flow::store::Store;
///
/// /// Keeps the names of the files that it was sent.
/// #[derive(Default)]
/// struct NameList(Mutex<Vec<String>>);
///
/// impl Destination for NameList {
///     fn name(&self) -> String {
///         "names".to_owned()
///     }
///
///     fn send(
///         &self,
///         outgoing: &OutgoingResponse,
///         parts: &[&str],
///         answered: PartAnswers,
///     ) -> Result<(), DeliveryTrouble> {
///         for part in parts {
///             let Some(file) = outgoing.file(part) else { continue };
///             let size = std::fs::metadata(outgoing.path(file)).map_err(DeliveryTrouble::passing)?.len();
///             self.0.lock().unwrap().push(format!("{}: {part}, {size} bytes", outgoing.request.name));
///             answered(PartAnswer::stored(part));
///         }
///         Ok(())
///     }
/// }
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::at(folder.path())?;
/// # let request = Request::new("study", Default::default(), Vec::new());
/// # let file = ResponseFile::new("report.txt", "text/plain", b"all well".to_vec()).artifact();
/// # store.put(request.id, file.digest, b"all well")?;
/// # let response = Response {
/// #     request: request.id,
/// #     name: request.name.clone(),
/// #     dataflow: "reports".into(),
/// #     version: Digest::of(b""),
/// #     verdict: ResponseVerdict::Complete,
/// #     steps: Vec::new(),
/// #     reservations: Vec::new(),
/// #     streams: Vec::new(),
/// #     files: vec![file],
/// #     supersedes: None,
/// #     revises: None,
/// # };
/// let names = NameList::default();
/// let outgoing = OutgoingResponse { request: &request, response: &response, store: &store };
/// assert_eq!(names.parts(&response), ["report.txt"]);
/// let mut answers = Vec::new();
/// names.send(&outgoing, &["report.txt"], &mut |answer| answers.push(answer))?;
/// assert_eq!(answers, [PartAnswer::stored("report.txt")]);
/// assert_eq!(*names.0.lock().unwrap(), ["study: report.txt, 8 bytes"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Destination: Send + Sync {
    /// The name in messages and in the journal. What a destination has answered is remembered under this
    /// name, also by later versions of the program: a destination that changes its name is sent everything
    /// again that waits for it.
    fn name(&self) -> String;

    /// Whether the destination is on this machine. See [`DestinationReach`].
    fn reach(&self) -> DestinationReach {
        DestinationReach::Remote
    }

    /// Whether the response to a request goes there at all.
    fn takes(&self, _request: &Request) -> bool {
        true
    }

    /// The names of the parts of a response that are sent and answered one by one, in their order: unless
    /// said otherwise, the names of its files. A response without parts counts as delivered.
    fn parts(&self, response: &Response) -> Vec<String> {
        response.files.iter().map(|file| file.name.clone()).collect()
    }

    /// Whether the responses to both requests go to the same peer, so that a peer that is absent for one is
    /// absent for the other.
    fn shares_peer(&self, _one: &Request, _other: &Request) -> bool {
        true
    }

    /// Sends these parts in order, and tells each one's answer as soon as it is known. What was told is
    /// recorded at once and not sent again, however this ends.
    ///
    /// # Errors
    /// If not all parts were answered.
    fn send(
        &self,
        outgoing: &OutgoingResponse,
        parts: &[&str],
        answered: PartAnswers,
    ) -> Result<(), DeliveryTrouble>;

    /// Looks for parts that were answered with [`super::PartOutcome::Taken`], and tells what was found. A part of
    /// which `Ok(())` told nothing counts as missing. A part that is missing is looked for once more at the
    /// next try, and sent again if it is missing then. Unless said otherwise, what was taken is there.
    ///
    /// # Errors
    /// If it could not be looked for all parts. What was told counts.
    fn verify(
        &self,
        _outgoing: &OutgoingResponse,
        parts: &[&str],
        found: &mut dyn FnMut(PartFinding),
    ) -> Result<(), DeliveryTrouble> {
        parts.iter().for_each(|part| found(PartFinding { part: (*part).to_owned(), safe: Ok(()) }));
        Ok(())
    }

    /// The folder of the response of a dataflow to a request for a person to look at, if the destination has one on
    /// this machine.
    fn place(&self, _request: &Request, _dataflow: &str) -> Option<PathBuf> {
        None
    }

    /// Writes beside the response of a dataflow what became of it at the remote destinations. Called for a local destination
    /// that has the response, at each news.
    ///
    /// # Errors
    /// If that cannot be written.
    fn note(
        &self,
        _request: &Request,
        _dataflow: &str,
        _deliveries: &[DeliveryRecord],
    ) -> Result<(), DeliveryTrouble> {
        Ok(())
    }
}

/// Where a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationReach {
    /// On this machine: sending once more costs little and changes nothing. A response goes there before all
    /// remote destinations, and the journal has no records of it: each process sends it anew.
    Local,
    /// Somewhere else: the journal records each answer.
    Remote,
}

/// A response with what it answers, and the store that has its files.
#[derive(Clone, Copy)]
pub struct OutgoingResponse<'a> {
    /// The request that is answered.
    pub request: &'a Request,
    /// The response to it.
    pub response: &'a Response,
    /// The store that has the bytes of its files.
    pub store: &'a Store,
}

impl<'a> OutgoingResponse<'a> {
    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&'a Artifact> {
        self.response.files.iter().find(|file| file.name == name)
    }

    /// The path of a file in the store, to be read and never to be changed.
    pub fn path(&self, file: &Artifact) -> PathBuf {
        self.store.path(self.response.request, file)
    }
}

/// The result of verifying one part at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFinding {
    /// The name of the part.
    pub part: String,
    /// The reason why the part is not safe there, if it is not.
    pub safe: Result<(), String>,
}

/// The reason why not all parts were sent and answered, or verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryTrouble {
    /// The problem, and what to do.
    pub text: String,
    /// The meaning for further tries.
    pub kind: DeliveryErrorKind,
}

/// The meaning of a trouble for further tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryErrorKind {
    /// The peer cannot be reached, or refuses us. Other responses to the same peer wait, too.
    Absent,
    /// The exchange broke off, or the machine had trouble.
    Passing,
    /// Some parts could not be read on this machine; all others were sent.
    Partial,
    /// Trying again would change nothing.
    Lasting,
}

impl DeliveryTrouble {
    /// A trouble that may have passed at the next try, told with all causes of the error.
    pub fn passing(error: impl std::error::Error + 'static) -> DeliveryTrouble {
        DeliveryTrouble { text: with_causes(&error), kind: DeliveryErrorKind::Passing }
    }
}

impl std::fmt::Display for DeliveryTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for DeliveryTrouble {}
