//! The page of PDF and the object around it.

use std::fs;
use std::path::Path;

use flow::imaging::{Pictures, SortedSeries, read_instance};
use flow::step::{Request, ResponseFiles, StepReservations, Value};

use super::peers::{dciodvfy, peer, python};
use super::sample::{Values, deliver, study};

fn with_pictures() -> Values {
    study().and("pictures", "draw-pictures", "pictures")
}

fn text_of(pdf: &Path) -> Option<String> {
    peer("pdftotext", &["-layout", pdf.to_str().expect("Unicode"), "-"])
}

#[test]
fn the_page_can_be_read_searched_and_stored() {
    let values = with_pictures();
    assert_eq!(values.0["pictures"].get::<Pictures>().expect("pictures").0.len(), 5);
    let folder = deliver(&[values.run("write-pdf", "files")]);
    let (pdf, object) = (folder.path().join("report.pdf"), folder.path().join("report-page.dcm"));
    peer("qpdf", &["--check", pdf.to_str().expect("Unicode")]);
    if let Some(text) = text_of(&pdf) {
        let said = ["Complete", "Παπαδόπουλος, Άννα", "2026-01-02", "Thorax 5.0", "kernel B30f", "120 kV"];
        let more =
            ["right lung", "−870.2", "6.25 %", "1 duplicate slice dropped.", "not for diagnosis", "flow 0."];
        for words in said.into_iter().chain(more) {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
    }
    if let Some(text) = peer("pdfinfo", &[pdf.to_str().expect("Unicode")]) {
        assert!(text.contains("Pages:           1\n") && text.contains("(A4)"), "{text}");
        assert!(!text.contains("CreationDate"), "a clock was read: {text}");
    }
    if let Some(text) = peer("pdffonts", &[pdf.to_str().expect("Unicode")]) {
        let fonts: Vec<&str> = text.lines().skip(2).collect();
        assert!(!fonts.is_empty() && fonts.iter().all(|font| font.contains("yes yes yes")), "{text}");
    }
    dciodvfy(&object);
    python(
        r#"
import sys, pydicom
object, pdf = pydicom.dcmread(sys.argv[1]), open(sys.argv[2], "rb").read()
assert object.EncapsulatedDocument[:object.EncapsulatedDocumentLength] == pdf
assert object.MIMETypeOfEncapsulatedDocument == "application/pdf"
assert (object.Modality, object.StudyInstanceUID) == ("DOC", "1.2.3")
assert str(object.PatientName) == "Παπαδόπουλος^Άννα"
assert len(object.SourceInstanceSequence) == 20
assert b"<pdfaid:part>2</pdfaid:part>" in pdf
"#,
        &[&object, &pdf],
    );
    let bytes = fs::read(&object).expect("it is there");
    let (header, _) = read_instance("page", &object, &bytes).expect("it is DICOM");
    assert!(header.is_own_result);
}

#[test]
fn reservations_stand_in_the_verdict_and_below() {
    let mut values = with_pictures();
    let mut reservations = StepReservations::default();
    reservations.say("thick_slices", "slices 5.0 mm thick: the share of low attenuation is not comparable");
    reservations.say("noise", "a noise of 60 HU raises the share of low attenuation");
    values.0.insert("reservations", Value::new(reservations));
    let folder = deliver(&[values.run("write-pdf", "files")]);
    let Some(text) = text_of(&folder.path().join("report.pdf")) else { return };
    assert!(text.contains("Complete, with 2 reservations"), "{text}");
    assert!(text.contains("Slices 5.0 mm thick: the share of low attenuation is not comparable."), "{text}");
}

/// Unifont's characters are searched as DejaVu's are; many notes end in a count.
#[test]
fn any_name_is_shown_and_any_number_of_notes_fits() {
    let mut values = with_pictures();
    let mut request = values.0["request"].get::<Request>().expect("a request").clone();
    request.attributes.insert("patient_name".to_owned(), "Yamada^Tarou=山田^太郎=やまだ^たろう".into());
    values.0.insert("request", Value::new(request));
    let mut series = values.0["series"].get::<SortedSeries>().expect("a series").clone();
    series.remarks = (0..60).map(|number| format!("remark {number} of a series")).collect();
    values.0.insert("series", Value::new(series));
    let files = values.run("write-pdf", "files");
    let folder = deliver(std::slice::from_ref(&files));
    let pdf = folder.path().join("report.pdf");
    if let Some(text) = text_of(&pdf) {
        assert!(text.contains("山田, 太郎") && text.contains("やまだ, たろう"), "{text}");
        assert!(
            text.contains("Remark 3 of a series.") && text.contains("more in the structured report"),
            "{text}"
        );
    }
    peer("qpdf", &["--check", pdf.to_str().expect("Unicode")]);
    let again = values.run("write-pdf", "files");
    let bytes = |files: &Value| files.get::<ResponseFiles>().expect("files").0[0].digest();
    assert_eq!(bytes(&files), bytes(&again));
}
