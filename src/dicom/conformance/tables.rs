//! The tables of the statement, each from the constants and functions that decide.

use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::dicom::ask::query::{QueryLevel, keyword};
use crate::dicom::ask::send::SendOutcome;
use crate::dicom::commitment::transaction::{CLASS_INSTANCE_CONFLICT, NO_SUCH_INSTANCE};
use crate::dicom::names::status::DimseStatus;
use crate::dicom::names::{sop_class, uid_name};
use crate::dicom::serve::settings::ReceiveSettings;
use crate::imaging::{CharacterSet, can_decode};
use crate::tls;
use crate::yaml::{duration, shown_size};

/// Names of classes or transfer syntaxes in a sentence.
pub fn named(uids: &[&str]) -> String {
    uids.iter().map(|uid| uid_name::name(uid).unwrap_or(uid)).collect::<Vec<_>>().join("; ")
}

fn rows<const CELLS: usize>(rows: impl IntoIterator<Item = [String; CELLS]>) -> String {
    rows.into_iter().map(|row| format!("| {} |", row.join(" | "))).collect::<Vec<_>>().join("\n")
}

fn table<const CELLS: usize>(head: [&str; CELLS], body: impl IntoIterator<Item = [String; CELLS]>) -> String {
    let head = [head.map(str::to_owned), head.map(|_| "---".to_owned())];
    // Markdown requires the line below the head to have no blanks.
    [rows(head).replace("| --- ", "|---").replace("--- |", "---|"), rows(body)].join("\n")
}

pub fn limits() -> String {
    let title = "FLOW".parse().expect("FLOW is an AE title");
    let settings = ReceiveSettings::new(title, "inbox".into());
    let limits = [
        ("associations at the same time", settings.associations_max.to_string(), "`associations`"),
        ("presentation contexts of one", settings.contexts_max.to_string(), "`contexts`"),
        ("PDU that is taken", shown_size(settings.pdu_bytes_max.into()), "`pdu`"),
        ("size of an instance", shown_size(settings.instance_bytes_max), "`instance`"),
        ("silence of a peer", duration::shown(settings.idle_time_max), "`idle_time`"),
        ("until its association request", duration::shown(settings.negotiation_time_max), "none"),
        ("received and waiting to be handed over", shown_size(settings.waiting_bytes_max), "none"),
    ];
    rows(limits.map(|(what, value, setting)| [what.to_owned(), value, setting.to_owned()]))
}

/// Of every storage class that has a UID of the standard.
pub fn storage_classes() -> String {
    let classes = sop_class::storage();
    let class =
        |uid: &'static str| [uid_name::name(uid).unwrap_or("(of a later edition)"), uid].map(str::to_owned);
    table(["name", "UID"], classes.map(class))
}

/// Of every transfer syntax in which an instance is taken.
pub fn accepted_syntaxes() -> String {
    let mut syntaxes: Vec<&str> = TransferSyntaxRegistry.iter().map(|syntax| syntax.uid()).collect();
    syntaxes.sort_by_key(|uid| number(uid));
    let row = |uid: &str| {
        let decoded = if can_decode(uid) { "yes" } else { "no" };
        [uid_name::name(uid).unwrap_or(uid), uid, decoded].map(str::to_owned)
    };
    table(["name", "UID", "decoded"], syntaxes.into_iter().map(row))
}

/// A UID by the numbers in it, in their order.
fn number(uid: &str) -> Vec<u64> {
    uid.split('.').map(|part| part.parse().unwrap_or(u64::MAX)).collect()
}

/// Statuses that flow returns, and when.
const GIVEN: [(DimseStatus, &str); 12] = [
    (DimseStatus::SUCCESS, "the instance is on the disk; the request is agreed to"),
    (DimseStatus::PROCESSING_FAILURE, "a report tells the outcome of a commitment that was not asked for"),
    (DimseStatus::INVALID_ARGUMENT, "storage commitment: no transaction, no objects, or no outcome in it"),
    (DimseStatus::INVALID_INSTANCE, "a SOP Class or Instance UID is missing, or is not a UID"),
    (DimseStatus::SOP_CLASS_NOT_SUPPORTED, "the class is not a storage class"),
    (DimseStatus::UNRECOGNISED_OPERATION, "an operation that is not provided"),
    (DimseStatus::MISTYPED_ARGUMENT, "C-STORE without a data set"),
    (DimseStatus::RESOURCE_LIMITATION, "too many requests for storage commitment wait"),
    (
        DimseStatus::OUT_OF_RESOURCES,
        "the disk is nearly full or cannot be written, too much waits, or the instance is too large",
    ),
    (
        DimseStatus::DATA_SET_MISMATCH,
        "SOP UIDs of command and data set differ; over STOW-RS: another study than announced",
    ),
    (
        DimseStatus::CANNOT_UNDERSTAND,
        "the data set is damaged or cut off, or has no Study or Series Instance UID; no such context",
    ),
    (DimseStatus::TRANSFER_SYNTAX_NOT_SUPPORTED, "over STOW-RS: the transfer syntax is not in annex B"),
];

pub fn given_statuses() -> String {
    rows(GIVEN.map(|(status, when)| [code(status), status.meaning().to_owned(), when.to_owned()]))
}

/// Statuses that destinations return: the text of the table, and one number of each range.
const TAKEN: [(&str, u16); 19] = [
    ("0000", 0x0000),
    ("0001", 0x0001),
    ("0107", 0x0107),
    ("0110", 0x0110),
    ("0111", 0x0111),
    ("0116", 0x0116),
    ("0117", 0x0117),
    ("0118, 0122", 0x0122),
    ("0124", 0x0124),
    ("0210", 0x0210),
    ("0211", 0x0211),
    ("0212", 0x0212),
    ("0213, A700 to A7FF", 0xA700),
    ("A800 to A8FF", 0xA800),
    ("A900 to A9FF", 0xA900),
    ("B000", 0xB000),
    ("B001 to BFFF", 0xB001),
    ("C000 to CFFF", 0xC000),
    ("others", 0xFFFF),
];

pub fn taken_statuses() -> String {
    rows(TAKEN.map(|(codes, number)| {
        let status = DimseStatus(number);
        let then = match SendOutcome::of(status, "") {
            SendOutcome::Stored => "it is stored, and verified",
            SendOutcome::Warned { .. } => "the same; the warning is told",
            _ if status.may_pass() => "it is sent again",
            _ => "it is told, and not sent again unless `flow retry` asks for it",
        };
        [codes.to_owned(), status.meaning().to_owned(), then.to_owned()]
    }))
}

pub fn commitment_reasons() -> String {
    let reasons = [
        (NO_SUCH_INSTANCE, "the instance is not in the inbox: it never came, or was forgotten"),
        (CLASS_INSTANCE_CONFLICT, "it is there with another SOP class"),
    ];
    rows(reasons.map(|(reason, when)| [code(DimseStatus(reason)), when.to_owned()]))
}

fn code(DimseStatus(number): DimseStatus) -> String {
    format!("{number:04X}")
}

pub fn query_keys() -> String {
    let levels = [QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance];
    let keys =
        |level: QueryLevel| level.told().iter().map(|tag| keyword(*tag)).collect::<Vec<_>>().join(", ");
    rows(levels.map(|level| [level.code().to_owned(), keys(level)]))
}

/// The defined terms of PS3.3 C.12.1.1.2.
const TERMS: &str = "ISO_IR 6, ISO_IR 100, ISO_IR 101, ISO_IR 109, ISO_IR 110, ISO_IR 144, ISO_IR 127, ISO_IR 126, \
     ISO_IR 138, ISO_IR 148, ISO_IR 203, ISO_IR 13, ISO_IR 166, ISO_IR 192, GB18030, GBK, ISO 2022 IR 6, \
     ISO 2022 IR 100, ISO 2022 IR 101, ISO 2022 IR 109, ISO 2022 IR 110, ISO 2022 IR 144, ISO 2022 IR 127, \
     ISO 2022 IR 126, ISO 2022 IR 138, ISO 2022 IR 148, ISO 2022 IR 203, ISO 2022 IR 13, ISO 2022 IR 166, \
     ISO 2022 IR 87, ISO 2022 IR 159, ISO 2022 IR 149, ISO 2022 IR 58";

pub fn character_sets() -> String {
    let known = TERMS.split(", ").filter(|term| CharacterSet::declared(term) != CharacterSet::Undeclared);
    known.collect::<Vec<_>>().join(", ")
}

pub fn suites() -> String {
    tls::suites().iter().map(|suite| format!("* {suite}")).collect::<Vec<_>>().join("\n")
}
