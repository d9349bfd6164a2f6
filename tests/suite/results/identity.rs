//! Whose results they are, where instances of the study name different patients.

use dicom_dictionary_std::tags;
use flow::step::Value;

use super::sample::{deliver, series, study};
use crate::support::data::files_below;

#[test]
fn objects_name_the_patient_of_the_measured_images() {
    let mut measured = series();
    measured.slices.iter_mut().for_each(|slice| slice.patient_name = "Beta^B".to_owned());
    let mut values = study();
    values.0.insert("series", Value::new(measured));
    let values = values.and("pictures", "draw-pictures", "pictures");
    let steps = ["write-report", "write-segmentation", "write-pdf", "write-capture", "write-overlay"];
    let folder = deliver(&steps.map(|step| values.run(step, "files")));
    let objects = files_below(folder.path())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "dcm"));
    let mut count = 0;
    for path in objects {
        let object = dicom_object::open_file(&path).expect("it is a DICOM file");
        let text = |tag| object.element(tag).expect("it is there").to_str().expect("a text").into_owned();
        assert_eq!(text(tags::PATIENT_NAME), "Beta^B", "{}", path.display());
        // What the images lack is taken from the request.
        assert_eq!(text(tags::PATIENT_BIRTH_DATE).trim(), "19700101", "{}", path.display());
        count += 1;
    }
    assert_eq!(count, 1 + 1 + 1 + 5 + 14, "an object of each kind, five pictures and the slices with lungs");
}
