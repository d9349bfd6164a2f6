//! The conformance statement: what it lists is negotiated, what it does not list is refused, and its
//! copy in the book is current.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::Path;

use dicom_dictionary_std::uids;
use dicom_ul::association::{ClientAssociation, ClientAssociationOptions};
use dicom_ul::pdu::{PresentationContextResultReason, UserVariableItem};
use flow::dicom::conformance;

use crate::support::peers::{DEADLINE, Receiving};

/// An association has room for so many contexts beside Verification.
const CONTEXTS: usize = 127;

/// The UIDs in the second column of an annex's table.
fn listed(annex: &str) -> Vec<String> {
    let statement = conformance();
    let section = statement.split("\n## ").find(|section| section.starts_with(annex));
    let section = section.unwrap_or_else(|| panic!("there is no {annex}"));
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(1));
    let uids = rows.map(|cell| cell.trim_end_matches(" |").to_owned());
    uids.filter(|cell| cell.starts_with(|letter: char| letter.is_ascii_digit())).collect()
}

/// With Verification first, which is accepted whatever becomes of the rest.
fn associated(receiving: &Receiving, proposed: &[(&str, &str)]) -> ClientAssociation<TcpStream> {
    let options = ClientAssociationOptions::new()
        .calling_ae_title("SCANNER")
        .called_ae_title("FLOW")
        .read_timeout(DEADLINE)
        .with_presentation_context(uids::VERIFICATION, vec![uids::IMPLICIT_VR_LITTLE_ENDIAN]);
    let contexts = proposed.iter().map(|(class, syntax)| ((*class).to_owned(), (*syntax).to_owned()));
    let options = contexts
        .fold(options, |options, (class, syntax)| options.with_presentation_context(class, vec![syntax]));
    options.establish(receiving.address).expect("the association is accepted")
}

/// Which of the classes and syntaxes are accepted, each in a context of its own.
fn accepted<'a>(receiving: &Receiving, proposed: &[(&'a str, &'a str)]) -> BTreeSet<(&'a str, &'a str)> {
    let mut accepted = BTreeSet::new();
    for batch in proposed.chunks(CONTEXTS) {
        let association = associated(receiving, batch);
        for context in association.presentation_contexts() {
            if context.reason == PresentationContextResultReason::Acceptance && context.id > 1 {
                let asked = batch[usize::from(context.id) / 2 - 1];
                assert_eq!(context.transfer_syntax, asked.1, "the only syntax that was proposed");
                accepted.insert(asked);
            }
        }
        association.release().expect("it is released");
    }
    accepted
}

fn pairs<'a>(classes: &'a [String], syntaxes: &'a [String]) -> Vec<(&'a str, &'a str)> {
    let of = |class: &'a str| syntaxes.iter().map(move |syntax| (class, syntax.as_str()));
    classes.iter().flat_map(|class| of(class)).collect()
}

#[test]
fn every_listed_class_is_accepted_in_every_listed_syntax() {
    let receiving = Receiving::start(|_| {});
    let mut classes = listed("Annex A");
    let syntaxes = listed("Annex B");
    assert!(classes.len() > 150 && syntaxes.len() > 20, "{} and {}", classes.len(), syntaxes.len());
    classes.push(uids::STORAGE_COMMITMENT_PUSH_MODEL.to_owned());
    classes.push("1.3.12.2.1107.5.9.1".to_owned());
    let proposed = pairs(&classes, &syntaxes);
    let accepted = accepted(&receiving, &proposed);
    let missing: Vec<_> = proposed.iter().filter(|pair| !accepted.contains(*pair)).collect();
    assert!(missing.is_empty(), "{} are listed and refused, such as {:?}", missing.len(), missing[0]);
}

#[test]
fn what_is_not_listed_is_refused() {
    let receiving = Receiving::start(|_| {});
    let classes = [
        uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
        uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
        uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
        uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
        uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND,
        uids::MODALITY_PERFORMED_PROCEDURE_STEP,
        uids::BASIC_GRAYSCALE_PRINT_MANAGEMENT_META,
        uids::UNIFIED_PROCEDURE_STEP_PUSH,
        uids::INSTANCE_AVAILABILITY_NOTIFICATION,
        uids::MEDIA_STORAGE_DIRECTORY_STORAGE,
        "1.2.840.10008.1.20.2",
    ];
    let listed = listed("Annex A");
    assert!(classes.iter().all(|class| !listed.iter().any(|one| one == class)));
    let others = classes.map(|class| (class, uids::IMPLICIT_VR_LITTLE_ENDIAN));
    // JPEG full progression, which is retired, and one that there is not.
    let strange = ["1.2.840.10008.1.2.4.55", "1.2.840.10008.1.2.4.987"];
    let strange = strange.map(|syntax| (uids::CT_IMAGE_STORAGE, syntax));
    let listed = (uids::CT_IMAGE_STORAGE, uids::IMPLICIT_VR_LITTLE_ENDIAN);
    let proposed = [others.as_slice(), &strange, &[listed]].concat();
    assert_eq!(accepted(&receiving, &proposed), [listed].into());
}

#[test]
fn what_it_says_of_our_implementation_is_what_peers_are_told() {
    let receiving = Receiving::start(|_| {});
    let association = associated(&receiving, &[]);
    let statement = conformance();
    let said = |name: &str, value: &str| {
        assert!(statement.contains(&format!("| {name} | {value} |")), "{name} is {value}");
    };
    let mut told = 0;
    for variable in association.user_variables() {
        told += 1;
        match variable {
            UserVariableItem::ImplementationClassUID(uid) => {
                said("implementation class UID", uid.trim_end_matches('\0'));
            }
            UserVariableItem::ImplementationVersionName(name) => said("implementation version name", name),
            UserVariableItem::MaxLength(bytes) => {
                said("PDU that is taken", &format!("{} KiB | `pdu`", bytes / 1024));
            }
            other => panic!("the statement does not tell of {other:?}"),
        }
    }
    assert_eq!(told, 3);
    association.release().expect("it is released");
}

#[test]
fn the_chapter_of_the_book_is_current() {
    let path = "docs/src/reference/conformance.md";
    let chapter =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("it can be read");
    let printed = conformance();
    let differing = chapter.lines().zip(printed.lines()).find(|(old, new)| old != new);
    assert!(chapter == printed, "renew it: flow conformance > {path}\n{differing:?}");
}
