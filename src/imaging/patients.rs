//! Whether the instances of a study tell of one patient.
//!
//! Patient ID decides, with its issuer (PS3.3 C.7.1.1): the name may be written in several ways. A PACS may give
//! another issuer to a part of a study, so that issuers alone are told, as is a birth date, a sex or a name that
//! differs: either the attribute or the patient is wrong. An issuer and a birth date or a sex are two patients.

use std::collections::{BTreeMap, BTreeSet};

use crate::printable::counted;
use crate::step::{Fault, StepReservation};

use super::InstanceHeader;

/// Differences that do not keep the instances from being one patient's.
#[derive(Debug, Default, PartialEq)]
pub struct PatientDifferences {
    pub remarks: Vec<String>,
    pub reservations: Vec<StepReservation>,
}

type PatientAttribute = (&'static str, fn(&InstanceHeader) -> &String);

const PATIENT_ID: PatientAttribute = ("Patient IDs", |header| &header.patient_id);
const ISSUER: PatientAttribute = ("Issuers of Patient ID", |header| &header.issuer_of_patient_id);
const PERSON: [PatientAttribute; 2] = [
    ("Patient's Birth Dates", |header| &header.patient_birth_date),
    ("values of Patient's Sex", |header| &header.patient_sex),
];

/// Differences of an attribute, in words that name no patient; `None` if all that have it agree.
fn difference(headers: &[&InstanceHeader], attribute: PatientAttribute) -> Option<String> {
    let (words, value) = attribute;
    let mut values: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for header in headers.iter().filter(|header| !value(header).is_empty()) {
        values.entry(value(header)).or_insert((0, &header.name)).0 += 1;
    }
    let each = values.values().map(|(count, name)| format!("{count}, for example {name}"));
    let each: Vec<String> = each.collect();
    (values.len() > 1).then(|| format!("{} different {words} ({})", values.len(), each.join("; ")))
}

/// Differences of the patient, each as a fragment, the gravest first.
pub fn patient_differences(headers: &[&InstanceHeader]) -> Vec<String> {
    let all = [PATIENT_ID, ISSUER].into_iter().chain(PERSON);
    all.filter_map(|attribute| difference(headers, attribute)).collect()
}

/// Checks that the instances tell of one patient.
///
/// # Errors
/// If they have several Patient IDs, or several issuers of it and differ in the person as well.
pub fn check_patient(headers: &[&InstanceHeader]) -> Result<PatientDifferences, Fault> {
    let mut found = PatientDifferences::default();
    let with_id = headers.iter().filter(|header| !header.patient_id.is_empty()).count();
    let mut without = headers.iter().filter(|header| header.patient_id.is_empty());
    if with_id > 0
        && let Some(first) = without.next()
    {
        let instances = counted(headers.len() - with_id, "instance");
        found
            .remarks
            .push(format!("{instances} of the study without a Patient ID, for example {}", first.name));
    }
    let issuers = difference(headers, ISSUER);
    let mut persons: Vec<String> = PERSON.into_iter().filter_map(|one| difference(headers, one)).collect();
    let two_patients = issuers.clone().filter(|_| !persons.is_empty());
    if let Some(difference) = difference(headers, PATIENT_ID).or(two_patients) {
        return Err(Fault::new(
            format!("the instances of the study have {difference}"),
            "Send the images of each patient under a Study Instance UID of their own.",
        ));
    }
    persons.extend(issuers);
    let names = headers.iter().map(|header| header.patient_name.as_str());
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    if with_id == 0 && names.len() > 1 {
        persons.push(format!("no Patient ID and {} different Patient's Names", names.len()));
    }
    for difference in persons {
        let text = format!(
            "the instances of the study have {difference}: check that all of them are of the patient named here"
        );
        found.reservations.push(StepReservation { code: "patient_differs".to_owned(), text });
    }
    if with_id > 0 && names.len() > 1 {
        found.add_names(&names);
    }
    Ok(found)
}

impl PatientDifferences {
    /// Tells of several names with one Patient ID.
    fn add_names(&mut self, names: &BTreeSet<&str>) {
        let first = names.first().copied().unwrap_or_default();
        if names.iter().all(|name| may_be_one_person(first, name)) {
            return self.remarks.push(format!(
                "the instances have the same Patient ID and {} different spellings of the patient's name",
                names.len()
            ));
        }
        let text = format!(
            "the instances of the study have the same Patient ID and {} different Patient's Names, not of one person as \
             it seems: the results carry that of the measured images, so check whose they are",
            names.len()
        );
        self.reservations.push(StepReservation { code: "patient_differs".to_owned(), text });
    }
}

/// Whether two values of Patient's Name can be spellings of one name: family and given name are alike, in one of their
/// representations (PS3.5 6.2.1), also in the other order.
fn may_be_one_person(one: &str, other: &str) -> bool {
    groups(one).any(|one| groups(other).any(|other| is_same_name(one, other)))
}

fn groups(name: &str) -> impl Iterator<Item = &str> {
    name.split('=').take(NAME_GROUPS)
}

fn is_same_name(one: &str, other: &str) -> bool {
    let ([family, given], [other_family, other_given]) = (name_parts(one), name_parts(other));
    let fit = |pairs: [(&String, &String); 2]| {
        let has_both = |(one, other): &(&String, &String)| !one.is_empty() && !other.is_empty();
        pairs.iter().any(has_both) && pairs.iter().all(|(one, other)| is_alike(one, other))
    };
    fit([(&family, &other_family), (&given, &other_given)])
        || fit([(&family, &other_given), (&given, &other_family)])
}

/// The letters of the family and of the given name, in lower case.
fn name_parts(name: &str) -> [String; 2] {
    let separators: &[char] = if name.contains('^') { &['^'] } else { &[' ', ','] };
    let mut parts = name.split(separators).map(letters).filter(|part| !part.is_empty());
    [parts.next().unwrap_or_default(), parts.next().unwrap_or_default()]
}

/// The representations of a name: alphabetic, ideographic and phonetic.
const NAME_GROUPS: usize = 3;

/// The most letters of a part of a name that are compared.
const NAME_LETTERS_MAX: usize = 64;

fn letters(part: &str) -> String {
    part.chars()
        .filter(|one| one.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .take(NAME_LETTERS_MAX)
        .collect()
}

/// Whether two parts are the same but for what is cut off, a slip, or an umlaut written as two letters.
fn is_alike(one: &str, other: &str) -> bool {
    let slips = match one.chars().count().max(other.chars().count()) {
        ..3 => 0,
        3..5 => 1,
        _ => 2,
    };
    one.starts_with(other) || other.starts_with(one) || strsim::damerau_levenshtein(one, other) <= slips
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample::header;

    type HeaderChange = fn(&mut InstanceHeader);

    fn checked(change: HeaderChange) -> Result<PatientDifferences, Fault> {
        let mut headers: Vec<InstanceHeader> = (0..4).map(header).collect();
        change(&mut headers[2]);
        check_patient(&headers.iter().collect::<Vec<_>>())
    }

    #[test]
    fn two_patients_are_never_one() {
        let changes: [(HeaderChange, &str); 2] = [
            (
                |one| one.patient_id = "P2".to_owned(),
                "2 different Patient IDs (3, for example slice-0; 1, for",
            ),
            (
                |one| {
                    one.issuer_of_patient_id = "EAST".to_owned();
                    one.patient_birth_date = "19610102".to_owned();
                },
                "2 different Issuers of Patient ID (1, for",
            ),
        ];
        for (change, reason) in changes {
            let fault = checked(change).unwrap_err();
            assert!(fault.reason.contains(reason), "{fault}");
        }
    }

    #[test]
    fn one_patient_with_two_birth_dates_sexes_or_issuers_is_a_reservation() {
        let changes: [(HeaderChange, &str); 3] = [
            (|one| one.issuer_of_patient_id = "EAST".to_owned(), "2 different Issuers of Patient ID (1, for"),
            (
                |one| one.patient_birth_date = "19610102".to_owned(),
                "2 different Patient's Birth Dates (3, for",
            ),
            (|one| one.patient_sex = "M".to_owned(), "2 different values of Patient's Sex (3, for"),
        ];
        for (change, reason) in changes {
            let reservation = checked(change).unwrap().reservations.remove(0);
            assert_eq!(reservation.code, "patient_differs");
            assert!(reservation.text.contains(reason), "{}", reservation.text);
            assert!(!reservation.text.contains("1961"), "no value of the patient is told");
        }
    }

    #[test]
    fn without_a_patient_id_two_names_are_a_reservation() {
        let mut headers: Vec<InstanceHeader> = (0..4).map(header).collect();
        headers.iter_mut().for_each(|header| header.patient_id.clear());
        headers[2].patient_name = "ROE^RICHARD".to_owned();
        let found = check_patient(&headers.iter().collect::<Vec<_>>()).unwrap();
        assert!(found.reservations[0].text.contains("no Patient ID and 2 different"), "{found:?}");
        assert!(found.remarks.is_empty(), "{found:?}");
    }

    #[test]
    fn what_is_absent_or_spelt_otherwise_is_at_most_a_remark() {
        let nothing = PatientDifferences::default();
        assert_eq!(checked(|_| {}).unwrap(), nothing);
        assert_eq!(checked(|one| one.patient_birth_date.clear()).unwrap(), nothing);
        let with_a_name: Vec<InstanceHeader> = (0..4)
            .map(|slice| InstanceHeader { patient_name: "Doe^Jane".to_owned(), ..header(slice) })
            .collect();
        let mut some_without = with_a_name.clone();
        some_without[2].patient_name.clear();
        assert_eq!(check_patient(&some_without.iter().collect::<Vec<_>>()).unwrap(), nothing);
        assert_eq!(checked(|one| one.issuer_of_patient_id.clear()).unwrap(), nothing);
        let remarks = |change| checked(change).unwrap().remarks;
        let without = remarks(|one| one.patient_id.clear());
        assert_eq!(without, ["1 instance of the study without a Patient ID, for example slice-2"]);
        let spelt = remarks(|one| one.patient_name = "DOE^JANE".to_owned());
        assert!(spelt[0].contains("2 different spellings"), "{spelt:?}");
    }

    #[test]
    fn another_name_is_a_reservation_and_another_spelling_is_not() {
        let spellings = [
            ("Müller^Anna", "MUELLER^ANNA^^Dr."),
            ("Meyer^Hans", "Maier^H"),
            ("Doe^Jane", "DOE JANE"),
            ("Doe^Jane", "Jane^Doe"),
            ("Doe^Jane", "Doe^"),
            ("Yamada^Tarou=山田^太郎", "山田^太郎"),
            ("Schmidt-Lang^Eva", "Schmidt^Eva"),
        ];
        for (one, other) in spellings {
            assert!(may_be_one_person(one, other), "{one} and {other}");
        }
        let others = [
            ("Alpha^A", "Beta^B"),
            ("Unknown^Emergency", "Meier^Anna"),
            ("Lee^Ann", "Lee^Bob"),
            ("Li", "Wu"),
        ];
        for (one, other) in others {
            assert!(!may_be_one_person(one, other), "{one} and {other}");
        }
        let found = checked(|one| one.patient_name = "Meier^Anna".to_owned()).unwrap();
        let [reservation] = &found.reservations[..] else { panic!("one reservation: {found:?}") };
        assert_eq!(reservation.code, "patient_differs");
        assert!(reservation.text.contains("2 different Patient's Names"), "{}", reservation.text);
        assert!(!reservation.text.contains("Meier"), "no value of the patient is told");
    }
}
