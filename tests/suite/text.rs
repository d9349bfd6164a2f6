//! Names and descriptions in every character set, with pydicom as the judge: as they are read, and
//! through a whole run into what is written.

use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::open_file;
use flow::dicom::contents;

use crate::results::peers::{dciodvfy, peer, python};
use crate::run::Place;
use crate::support::data::Data;

/// Compares every text of a file, nested ones too, with what pydicom reads.
const SAME_TEXTS: &str = r#"
import sys, json, pydicom, warnings
warnings.simplefilter("ignore")
texts = 0
def plain(value):
    values = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
    # pydicom leaves out component groups that are empty at the end of a name.
    return [str(one if one is not None else "").rstrip(" \0").rstrip("=") for one in values] or [""]
def compare(name, data, tree):
    global texts
    for element in data:
        ours = tree.get(element.keyword)
        if element.VR == "SQ":
            assert len(ours) == len(element.value), (name, element.keyword)
            for item, branch in zip(element.value, ours):
                compare(name, item, branch)
        elif element.VR in ("SH", "LO", "ST", "LT", "UC", "UT", "PN") and not element.tag.is_private:
            assert plain(element.value) == plain(ours), (name, element, ours)
            texts += any(not text.isascii() for text in plain(ours))
for file, tree in zip(sys.argv[1::2], sys.argv[2::2]):
    compare(file, pydicom.dcmread(file), json.load(open(tree)))
assert texts >= 20, texts
"#;

#[test]
fn every_text_of_the_character_set_files_is_what_pydicom_reads() {
    let Some(data) = Data::unpack("odd-files") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut files = data.files("odd-files/charset");
    files.retain(|path| path.extension().is_some_and(|extension| extension == "dcm"));
    assert_eq!(files.len(), 17);
    let mut arguments = Vec::new();
    for path in files {
        let tree = folder.path().join(path.file_name().unwrap()).with_extension("json");
        let contents = contents(&std::fs::read(&path).unwrap()).unwrap();
        std::fs::write(&tree, serde_json::to_vec(&contents).unwrap()).unwrap();
        arguments.extend([path, tree]);
    }
    python(SAME_TEXTS, &arguments.iter().collect::<Vec<_>>());
}

const SETS: &str = "\\ISO 2022 IR 87";
const DESCRIPTION: &[u8] = b"\x1b$B6;It\x1b(BCT";
const NAME: &[u8] = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";

/// Makes the patient of a file Japanese, in the bytes of ISO 2022.
fn rename(path: &Path) {
    let mut file = open_file(path).unwrap();
    let mut put = |tag: Tag, vr, value: &[u8]| {
        file.put(DataElement::new(tag, vr, PrimitiveValue::U8(value.into())));
    };
    put(tags::SPECIFIC_CHARACTER_SET, VR::CS, SETS.as_bytes());
    put(tags::PATIENT_NAME, VR::PN, NAME);
    put(tags::STUDY_DESCRIPTION, VR::LO, DESCRIPTION);
    file.write_to_file(path).unwrap();
}

const JAPANESE: &str = r#"
import sys, pydicom
for name in sys.argv[1:]:
    file = pydicom.dcmread(name)
    assert file.SpecificCharacterSet == "ISO_IR 192", file.SpecificCharacterSet
    person = file.PatientName
    assert person.alphabetic == "Yamada^Tarou", person
    assert person.ideographic == "山田^太郎", person
    assert person.phonetic == "やまだ^たろう", person
    assert file.StudyDescription == "胸部CT", file.StudyDescription
"#;

#[test]
fn a_japanese_name_comes_through_a_run_into_everything_written() {
    let place = Place::new();
    place.study("good", 1).iter().for_each(|file| rename(file));
    let mut gap = place.study("gap", 2);
    gap.iter().for_each(|file| rename(file));
    std::fs::remove_file(gap.remove(20)).unwrap();
    let ended = place.run(&["run", "--input", "good", "gap"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    let mut written = Vec::new();
    for (name, _) in place.responses("flow-output") {
        let folder = place.path("flow-output").join(name);
        let files = [
            "report.dcm",
            "segmentation.dcm",
            "report-page.dcm",
            "capture/axial.dcm",
            "capture/histogram.dcm",
        ];
        let files = files.into_iter().chain(["error-report.dcm", "capture/error.dcm"]);
        written.extend(files.map(|file| folder.join(file)).filter(|path| path.is_file()));
    }
    assert_eq!(written.len(), 7);
    python(JAPANESE, &written.iter().collect::<Vec<_>>());
    for path in &written {
        dciodvfy(path);
        if let Some(dump) = peer("/usr/bin/dcmdump", &["+L", path.to_str().unwrap()]) {
            assert!(dump.contains("Yamada^Tarou=山田^太郎=やまだ^たろう"), "{dump}");
            assert!(dump.contains("[ISO_IR 192]") && dump.contains("[胸部CT]"), "{dump}");
        }
    }
}
