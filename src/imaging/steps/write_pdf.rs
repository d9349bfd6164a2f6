//! `write-pdf`: writes the results as a page of PDF, for a person, and the same as an Encapsulated PDF object.

use crate::imaging::objects::{EncapsulatedPdf, EvidenceReference, GeneratedSeries, codes};
use crate::imaging::paper::{LungReport, PAPER_SIZES};
use crate::imaging::study::request_remarks;
use crate::imaging::{LungDensities, Lungs, Pictures, SortedSeries, StudyAttributes};
use crate::step::{
    BuiltIn, Call, Fault, Parameter, Request, ResponseFile, ResponseFiles, Step, StepOutputs,
    StepReservations,
};

const TITLE: &str = "CT lung densitometry";

fn step() -> Step {
    let [number, description] = GeneratedSeries::parameters(9007, "flow: report page");
    Step::new(
        "write-pdf",
        3,
        "Writes the results as a page of PDF, also as an object in the request's study.",
    )
    .takes::<Request>("request")
    .takes::<SortedSeries>("series")
    .takes::<Lungs>("lungs")
    .takes::<LungDensities>("densities")
    .takes::<Pictures>("pictures")
    .takes_optional::<StepReservations>("reservations")
    .gives::<ResponseFiles>("files")
    .identifies()
    .parameter(Parameter::text("paper", "A4", &PAPER_SIZES.map(|(name, _)| name)).about("size of the page"))
    .parameter(Parameter::number("low_density", -950.0, -1024.0, 0.0, "HU").about("marked in the histogram"))
    .parameter(number)
    .parameter(description)
    .runs(|call| Ok(StepOutputs::one("files", ResponseFiles(write_pdf(call)?))))
}

inventory::submit! { BuiltIn(step) }

fn write_pdf(call: &Call) -> Result<Vec<ResponseFile>, Fault> {
    let source = call.input::<SortedSeries>("series");
    let study = source.study(call.input("request"));
    let pdf = page(call, &study, source)?;
    let object = EncapsulatedPdf {
        uid: call.uid(1),
        study: &study,
        series: GeneratedSeries::of(call, "DOC"),
        title: TITLE,
        concept: codes::MEASUREMENT_REPORT,
        sources: source.instances().map(EvidenceReference::of).collect(),
        pdf: pdf.clone(),
    };
    let object = object.into_instance().into_file("report-page.dcm")?;
    Ok(vec![ResponseFile::new("report.pdf", "application/pdf", pdf), object])
}

fn page(call: &Call, study: &StudyAttributes, series: &SortedSeries) -> Result<Vec<u8>, Fault> {
    let (request, lungs) = (call.input::<Request>("request"), call.input::<Lungs>("lungs"));
    let reservations = call.optional::<StepReservations>("reservations").unwrap_or(&lungs.reservations);
    let remarks = request_remarks(request).chain(series.remarks.iter().map(String::as_str));
    let id: String = request.id.to_string().chars().take(12).collect();
    let report = LungReport {
        study,
        series,
        densities: call.input("densities"),
        pictures: &call.input::<Pictures>("pictures").0,
        reservations: reservations.0.iter().map(|one| one.text.as_str()).collect(),
        remarks: remarks.chain(lungs.remarks.iter().map(String::as_str)).collect(),
        low_density_hu: call.number("low_density"),
        request: format!("request {id}"),
    };
    let paper = call.text("paper");
    let size = PAPER_SIZES.into_iter().find(|(name, _)| *name == paper).map(|(_, size)| size);
    report.into_pdf(size.expect("the parameter is one of these")).map_err(|error| {
        Fault::new(
            format!("a picture could not be placed on the page: {error}"),
            "This is a mistake in flow: please report it with the request's name.",
        )
    })
}
