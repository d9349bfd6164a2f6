//! The trait [`Source`]: where requests come from, and the [`Admission`] that takes them.

use std::io;
use std::sync::Arc;

use crate::engine::RequestQueue;
use crate::journal::Journal;
use crate::step::{AttributeDeclaration, Digest, Request};

use super::left_requests::LeftRequests;
use super::{AdmissionObserver, DataflowSelector, StopSignal};

/// A kind of requests: how they come in, and what has to be known of them afterwards.
///
/// A request belongs to the source that its attribute `source` names. Only [`Source::name`] and
/// [`Source::feed`] must be written; what else there is has a meaning for sources that need nothing of it.
/// A source that people switch on in a site's file or with an option is one file that ends in
/// `inventory::submit! { BuiltInSource(…) }`, and in `inventory::submit! { BuiltInAttributes(…) }` if
/// conditions may ask of attributes.
///
/// ```
/// use flow::admission::{Admission, Intake, Source};
/// use flow::step::{AttributeDeclaration, AttributeValues, Item, Request};
///
/// /// A request for each line of a text: its item has the line as its name.
/// struct Lines(&'static str);
///
/// const ATTRIBUTES: &[AttributeDeclaration] = &[
///     AttributeDeclaration::text("source", "How it came in: here `lines`."),
///     AttributeDeclaration::number("length", "Bytes of the line."),
/// ];
///
/// impl Source for Lines {
///     fn name(&self) -> &'static str {
///         "lines"
///     }
///
///     fn attributes(&self) -> &'static [AttributeDeclaration] {
///         ATTRIBUTES
///     }
///
///     fn feed(&self, admission: &Admission) -> Intake {
///         admission.accept_all(self.0.lines().map(request))
///     }
///
///     fn lookup_texts(&self, request: &Request) -> Vec<String> {
///         request.items.iter().map(|item| item.name.clone()).collect()
///     }
/// }
///
/// fn request(line: &str) -> Request {
///     let attributes = [
///         ("source".to_owned(), AttributeValues::from("lines")),
///         ("length".to_owned(), AttributeValues::from(line.len().to_string())),
///     ];
///     let item = Item::inline(line, line.as_bytes());
///     Request::new(format!("line-{}", item.digest.short()), attributes.into(), vec![item])
/// }
///
/// assert_eq!(request("a line").attribute("length"), "6");
/// assert_eq!(Lines("").lookup_texts(&request("a line")), ["a line"]);
/// ```
pub trait Source: Send + Sync {
    /// The value of the attribute `source` of its requests. Names of sources differ.
    fn name(&self) -> &'static str;

    /// Brings requests until no more come, or [`Admission::stop`] asks for the end. May block.
    ///
    /// A request that [`Admission::accept`] has returned for is on the disk: only then may its sender be
    /// told so. After a restart the same request may be brought again; it is known by its items.
    fn feed(&self, admission: &Admission) -> Intake;

    /// The attributes that its requests may have; conditions and rules may name them.
    fn attributes(&self) -> &'static [AttributeDeclaration] {
        &[]
    }

    /// Texts by which a person may call a request, beside its number, name, id and subject. They are
    /// compared as a whole.
    fn lookup_texts(&self, _request: &Request) -> Vec<String> {
        Vec::new()
    }

    /// The request to run when `later` has come with the subject of `earlier`: by default `later` alone. If
    /// the result has the items of `earlier` it is that request again, otherwise it supersedes it.
    fn merge(&self, _earlier: &Request, later: Request) -> Request {
        later
    }

    /// Releases what the source keeps for requests that are forgotten. The default does nothing. `claims` are
    /// texts that the source itself put into its requests, for example the folder of a received file. A claim
    /// may be released twice after a crash, so one that is gone already is no error.
    ///
    /// # Errors
    /// If something could not be removed: it is called again later.
    fn release(&self, _claims: &[String]) -> io::Result<()> {
        Ok(())
    }
}

/// The functions with which a source has its requests recorded and run. [`super::Service`] makes one for each
/// run.
#[derive(Clone, Copy)]
pub struct Admission<'a> {
    /// The record of requests.
    pub journal: &'a Journal,
    /// The queue of the engine.
    pub queue: &'a RequestQueue,
    /// The choice of the dataflow of a request.
    pub dataflows: &'a DataflowSelector,
    /// All known sources.
    pub sources: &'a SourceTable,
    /// An observer of what is accepted.
    pub observer: &'a dyn AdmissionObserver,
    /// The signal that ends sources.
    pub stop: &'a StopSignal,
    /// The digest of this program. Results of another program are made again.
    pub program: Digest,
    /// The requests of earlier processes that are not resumed yet.
    pub left: &'a LeftRequests,
}

/// Whether a source has brought all of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Intake {
    /// All requests were brought.
    Whole,
    /// Some were not: a file could not be read, or a request not be recorded. The source has reported which.
    Partial,
}

impl Intake {
    /// Both together.
    pub fn and(self, other: Intake) -> Intake {
        if self == other { self } else { Intake::Partial }
    }
}

/// The registration of a source by its file. The source that it makes brings no requests: it serves lookups,
/// merges and releases.
pub struct BuiltInSource(pub fn() -> Arc<dyn Source>);

inventory::collect!(BuiltInSource);

/// The known sources, by name.
#[derive(Clone, Default)]
pub struct SourceTable(Vec<Arc<dyn Source>>);

impl SourceTable {
    /// The sources of flow itself, and those that a program linked with it registers.
    pub fn built_in() -> SourceTable {
        let sources = inventory::iter::<BuiltInSource>.into_iter();
        sources.fold(SourceTable::default(), |table, built_in| table.with((built_in.0)()))
    }

    /// Adds a source; it takes the place of one of the same name.
    #[must_use]
    pub fn with(mut self, source: Arc<dyn Source>) -> SourceTable {
        self.0.retain(|known| known.name() != source.name());
        self.0.push(source);
        self
    }

    /// The source of a request; `None` if it is not known.
    pub fn of(&self, request: &Request) -> Option<&dyn Source> {
        self.named(request.attribute("source"))
    }

    /// The source of a name; `None` if it is not known.
    pub fn named(&self, name: &str) -> Option<&dyn Source> {
        self.0.iter().find(|source| source.name() == name).map(|source| &**source)
    }

    /// All sources, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Source> {
        self.0.iter().map(|source| &**source)
    }

    pub(super) fn merge(&self, earlier: &Request, later: Request) -> Request {
        match self.of(&later) {
            Some(source) => source.merge(earlier, later),
            None => later,
        }
    }

    pub(super) fn lookup_texts(&self, request: &Request) -> Vec<String> {
        self.of(request).map(|source| source.lookup_texts(request)).unwrap_or_default()
    }
}
