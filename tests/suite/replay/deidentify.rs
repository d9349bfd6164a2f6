//! DICOM files without the patient's identity: nothing is left of it, and everything else works on.

use std::path::{Path, PathBuf};

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::value::{DataSetSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};

use crate::results::peers::{dciodvfy, python};
use crate::support::data::Data;
use flow::dicom::{BurnedIn, PseudonymKey, contents, deidentify};
use flow::imaging::{decode_slice, phantom, read_instance};

const SECRET: &str = "SECRET";
const SECRET_UID: &str = "1.2.3.666";

fn key() -> PseudonymKey {
    PseudonymKey::new([7; 32])
}

/// A file with these elements beside the identifiers.
fn file(syntax: &str, set: &InMemDicomObject) -> Vec<u8> {
    let mut set = set.clone();
    set.put(text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE));
    set.put(text(tags::SOP_INSTANCE_UID, VR::UI, SECRET_UID));
    let meta = FileMetaTableBuilder::new().transfer_syntax(syntax);
    let mut bytes = Vec::new();
    set.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

type Element = DataElement<InMemDicomObject>;

fn text(tag: Tag, vr: VR, text: &str) -> Element {
    DataElement::new(tag, vr, PrimitiveValue::from(text))
}

fn sequence(tag: Tag, item: InMemDicomObject) -> Element {
    DataElement::new(tag, VR::SQ, Value::from(DataSetSequence::from(vec![item])))
}

fn set(elements: impl IntoIterator<Item = Element>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

fn read(bytes: &[u8]) -> FileDicomObject<InMemDicomObject> {
    FileDicomObject::from_reader(bytes).unwrap()
}

fn value(bytes: &[u8], tag: Tag) -> String {
    read(bytes).element(tag).map(|element| element.to_str().unwrap().into_owned()).unwrap_or_default()
}

const TEXTS: [VR; 15] = [
    VR::AE,
    VR::AS,
    VR::CS,
    VR::DA,
    VR::DS,
    VR::DT,
    VR::IS,
    VR::LO,
    VR::LT,
    VR::PN,
    VR::SH,
    VR::ST,
    VR::TM,
    VR::UC,
    VR::UT,
];

/// An element that tells a secret, in whatever type it has.
fn telling(tag: Tag) -> Element {
    let known = StandardDataDictionary.by_tag(tag);
    match known.map_or(VR::LO, |known| known.vr().relaxed()) {
        VR::SQ if [tags::REFERENCED_IMAGE_SEQUENCE, tags::SOURCE_IMAGE_SEQUENCE].contains(&tag) => {
            sequence(tag, set([text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, SECRET_UID)]))
        }
        VR::SQ => sequence(tag, set([text(tags::MANUFACTURER, VR::LO, SECRET)])),
        VR::UI => text(tag, VR::UI, SECRET_UID),
        vr if TEXTS.contains(&vr) => text(tag, vr, SECRET),
        _ => DataElement::new(tag, VR::OB, PrimitiveValue::from(SECRET.as_bytes())),
    }
}

/// An element with a secret for every row of the profile's table, and for what is removed besides it.
fn secrets() -> Vec<Element> {
    let table = include_str!("../../../src/dicom/file/deidentify/basic-profile.txt");
    let rows = table.lines().filter(|line| !line.starts_with('#')).map(|line| &line[..9]);
    let others = ["0009,0010", "0009,1001", "5000,0022", "6000,3000", "6002,0022", "0008,FFF0", "0040,E0FF"];
    let tags = rows.chain(others).map(|tag| tag.parse::<Tag>().unwrap());
    tags.filter(|tag| tag.group() > 2).map(telling).collect()
}

fn count(bytes: &[u8], what: &str) -> usize {
    bytes.windows(what.len()).filter(|window| *window == what.as_bytes()).count()
}

#[test]
fn nothing_that_the_profile_names_is_left_in_any_encoding() {
    let nested = sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, set(secrets()));
    let all = set(secrets().into_iter().chain([nested]));
    for syntax in [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN] {
        let before = file(syntax, &all);
        assert!(count(&before, SECRET) + count(&before, SECRET_UID) > 1200, "{syntax} tells its secrets");
        let after = deidentify(&before, &key()).unwrap().bytes;
        assert_eq!((count(&after, SECRET), count(&after, SECRET_UID)), (0, 0), "{syntax}");
        assert!(read(&after).element(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).is_ok(), "{syntax}");
    }
}

const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

#[test]
fn it_says_what_was_done_and_keeps_what_it_may() {
    let kernel = text(tags::CONVOLUTION_KERNEL, VR::SH, "B30f");
    let name = text(tags::PATIENT_NAME, VR::PN, "Doe^Jane");
    let method = text(tags::DEIDENTIFICATION_METHOD, VR::LO, SECRET);
    let after =
        deidentify(&file(uids::EXPLICIT_VR_LITTLE_ENDIAN, &set([kernel, name, method])), &key()).unwrap();
    let value = |tag| value(&after.bytes, tag);
    assert_eq!(value(tags::CONVOLUTION_KERNEL), "B30f");
    assert_eq!(value(tags::SOP_CLASS_UID), uids::CT_IMAGE_STORAGE);
    assert!(value(tags::PATIENT_NAME).starts_with("ANON-"));
    assert_eq!(value(tags::PATIENT_IDENTITY_REMOVED), "YES");
    assert!(value(tags::DEIDENTIFICATION_METHOD).contains("Basic Application Level Confidentiality Profile"));
    assert_eq!(after.burned_in, BurnedIn::Unsaid);
    assert_eq!(read(&after.bytes).meta().media_storage_sop_instance_uid(), value(tags::SOP_INSTANCE_UID));

    let again = deidentify(&after.bytes, &key()).unwrap().bytes;
    assert_eq!(count(&again, "Confidentiality Profile"), count(&after.bytes, "Confidentiality Profile"));
    let drawn = set([text(tags::BURNED_IN_ANNOTATION, VR::CS, "YES")]);
    let drawn = deidentify(&file(uids::EXPLICIT_VR_LITTLE_ENDIAN, &drawn), &key()).unwrap();
    assert_eq!(drawn.burned_in, BurnedIn::Yes);
}

#[test]
fn references_stay_together_and_depend_on_the_key() {
    let study = text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3.4");
    let patient = text(tags::PATIENT_ID, VR::LO, "4711");
    let reference = set([text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, SECRET_UID)]);
    let reference = sequence(tags::REFERENCED_IMAGE_SEQUENCE, reference);
    let file = |elements: &[&Element]| {
        file(uids::EXPLICIT_VR_LITTLE_ENDIAN, &set(elements.iter().map(|element| (*element).clone())))
    };
    let one = deidentify(&file(&[&study, &patient]), &key()).unwrap().bytes;
    let other = deidentify(&file(&[&study, &patient, &reference]), &key()).unwrap().bytes;
    for tag in [tags::STUDY_INSTANCE_UID, tags::PATIENT_ID] {
        assert_eq!(value(&one, tag), value(&other, tag));
    }
    let other = read(&other);
    let items = other.element(tags::REFERENCED_IMAGE_SEQUENCE).unwrap().items().unwrap();
    let referenced = items[0].element(tags::REFERENCED_SOP_INSTANCE_UID).unwrap().to_str().unwrap();
    assert_eq!(referenced, value(&one, tags::SOP_INSTANCE_UID));

    let elsewhere = deidentify(&file(&[&study, &patient]), &PseudonymKey::new([8; 32])).unwrap().bytes;
    for tag in [tags::STUDY_INSTANCE_UID, tags::SOP_INSTANCE_UID, tags::PATIENT_ID] {
        assert_ne!(value(&one, tag), value(&elsewhere, tag));
    }
}

/// One patient in several character sets stays one, and two whose names differ in a letter beyond ASCII
/// stay two.
#[test]
fn a_pseudonym_is_made_of_what_a_name_says() {
    let named = |declared: &str, name: &[u8]| {
        let name = DataElement::new(tags::PATIENT_NAME, VR::PN, PrimitiveValue::U8(name.into()));
        let set = set([text(tags::SPECIFIC_CHARACTER_SET, VR::CS, declared), name]);
        let item = sequence(tags::REFERENCED_IMAGE_SEQUENCE, set.clone());
        let whole = set.into_iter().chain([item]);
        deidentify(&file(uids::EXPLICIT_VR_LITTLE_ENDIAN, &self::set(whole)), &key()).unwrap().bytes
    };
    let pseudonym = |declared, name: &[u8]| value(&named(declared, name), tags::PATIENT_NAME);
    let latin = pseudonym("ISO_IR 100", b"M\xFCller");
    assert_eq!(pseudonym("ISO_IR 192", "Müller".as_bytes()), latin);
    assert_eq!(pseudonym("\\ISO 2022 IR 100", b"\x1b-AM\xFCller"), latin);
    assert_ne!(pseudonym("ISO_IR 100", b"M\xF6ller"), latin);
    assert_eq!(count(&named("ISO_IR 144", b"\xBB"), "ANON-"), 2);
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_is_refused() {
    let inner = set([text(tags::MANUFACTURER, VR::LO, "M")]);
    let last = sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, inner);
    let whole = file(uids::EXPLICIT_VR_LITTLE_ENDIAN, &set([last]));
    assert!(deidentify(&whole, &key()).is_ok() && contents(&whole).is_ok());
    let start = whole.len() - 40;
    for length in start..whole.len() {
        assert!(deidentify(&whole[..length], &key()).is_err(), "{length} of {} bytes", whole.len());
        assert!(contents(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    assert!(deidentify(b"no DICOM", &key()).is_err());
}

#[test]
fn deep_nesting_costs_no_more_than_its_bytes() {
    let plain = file(uids::EXPLICIT_VR_LITTLE_ENDIAN, &set([]));
    let (groups, undefined) = ([0x00, 0x52, 0x29, 0x92, b'S', b'Q', 0, 0], [0xFF; 4]);
    let level = [&groups[..], &undefined, &[0xFE, 0xFF, 0x00, 0xE0], &undefined].concat();
    let ends = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
    let deep = |levels| [plain.clone(), level.repeat(levels), ends.repeat(levels)].concat();
    let after = deidentify(&deep(200_000), &key()).unwrap().bytes;
    assert!(after.len() > 200_000 * 36);
    assert!(contents(&deep(30)).is_ok());
    let error = contents(&deep(200_000)).unwrap_err().to_string();
    assert!(error.contains("nested"), "{error}");
}

#[test]
fn the_pixels_of_every_transfer_syntax_stay() {
    let Some(data) = Data::unpack("odd-files") else { return };
    let mut same = 0;
    for path in data.files("") {
        let before = std::fs::read(&path).unwrap();
        let Ok(after) = deidentify(&before, &key()) else { continue };
        contents(&after.bytes).unwrap();
        let slice = |bytes: &[u8]| {
            let (header, _) = read_instance("slice", &path, bytes).ok()?;
            if header.frames != 1
                || header.samples_per_pixel != 1
                || ![8, 16].contains(&header.bits_allocated)
            {
                return None;
            }
            let mut voxels = vec![0; usize::from(header.rows) * usize::from(header.columns)];
            decode_slice(&header, bytes, &mut voxels).ok()?;
            let geometry = (header.position, header.orientation, header.spacing, header.slice_thickness);
            Some((voxels, geometry, header.slope, header.intercept, header.kernel))
        };
        if let Some(expected) = slice(&before) {
            assert!(slice(&after.bytes) == Some(expected), "{}", path.display());
            same += 1;
        }
    }
    assert!(same > 20, "{same} pictures");
}

const READABLE: &str = "
import sys, pydicom
for path in sys.argv[1:]:
    data = pydicom.dcmread(path)
    assert data.PatientIdentityRemoved == 'YES' and str(data.PatientName).startswith('ANON-')
    assert data.DeidentificationMethodCodeSequence[0].CodeValue == '113100'
    assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
    assert data.pixel_array.shape == (data.Rows, data.Columns) and 'SeriesDescription' not in data
    assert not any(element.tag.is_private for element in data.iterall())
";

/// De-identifies files into a folder.
fn deidentified(files: &[PathBuf], folder: &Path) -> Vec<PathBuf> {
    let one = |path: &PathBuf| {
        let after = deidentify(&std::fs::read(path).unwrap(), &key()).unwrap().bytes;
        let place = folder.join(path.file_name().unwrap());
        std::fs::write(&place, after).unwrap();
        place
    };
    files.iter().map(one).collect()
}

#[test]
fn others_can_read_a_real_study_without_its_patient() {
    let Some(data) = Data::unpack("ct-chest-cip64") else { return };
    let folder = tempfile::tempdir().unwrap();
    let slices = deidentified(&data.files("ct-chest-cip64/ct-64Dicom")[..2], folder.path());
    python(READABLE, &slices.iter().map(PathBuf::as_path).collect::<Vec<_>>());
}

#[test]
fn a_valid_object_stays_valid() {
    let folder = tempfile::tempdir().unwrap();
    let options = phantom::PhantomOptions { size: [32, 32, 2], ..phantom::PhantomOptions::default() };
    let slices =
        phantom::PhantomChest::new(&options).write(folder.path(), phantom::PhantomSyntax::Rle).unwrap();
    slices.iter().for_each(|path| dciodvfy(path));
    deidentified(&slices, folder.path()).iter().for_each(|path| dciodvfy(path));
}
