//! `write-report`: writes the measurements as a structured report in the study of the request.
//!
//! The report is a Comprehensive SR with the template Measurement Report (PS3.16 TID 1500): a measurement
//! group (TID 1501) for both lungs and for each.

use dicom_dictionary_std::uids;

use crate::imaging::objects::{
    Code, Document, Name, Node, Reference, Relationship, SeriesOf, codes, device_observer,
};
use crate::imaging::{Densities, Density, Lung, Series, Study};
use crate::step::{BuiltIn, Call, Fault, File, Files, Outputs, Parameter, Request, Step};

fn write_report(call: &Call) -> Result<File, Fault> {
    let study = Study::of(call.input::<Request>("request"));
    let (source, densities) = (call.input::<Series>("series"), call.input::<Densities>("densities"));
    let series = SeriesOf {
        uid: call.uid(0),
        modality: "SR",
        number: call.number("series_number") as u32,
        description: call.text("series_description").to_owned(),
    };
    let regions = densities.regions.iter().zip(2..);
    let groups = regions.map(|(density, output)| group(density, call.uid(output)));
    let document = Document {
        sop_class_uid: uids::COMPREHENSIVE_SR_STORAGE,
        uid: call.uid(1),
        study: &study,
        series,
        root: root(source, groups.collect()),
        evidence: evidence(source),
    };
    document.into_instance().into_file("report.dcm")
}

/// The report's root (TID 1500).
fn root(source: &Series, groups: Vec<Node>) -> Node {
    let comments = source.remarks.iter().map(|remark| Node::text(codes::COMMENT, remark));
    let series_uid =
        source.slices.first().map(|slice| Node::uid(codes::SERIES_UID, &slice.series_instance_uid));
    device_observer(Node::template(codes::MEASUREMENT_REPORT, "1500"))
        .with(Relationship::HasModifier, Node::code(codes::PROCEDURE_REPORTED, codes::CT))
        .contains(Node::container(codes::IMAGING_MEASUREMENTS).contains_all(groups))
        .contains_all(series_uid)
        .contains_all(comments)
}

/// The measurements of one region (TID 1501).
fn group(density: &Density, tracking_uid: String) -> Node {
    use Relationship::{HasContext, HasModifier};
    let (name, site, side) = region(density.lung);
    let site = Node::code(codes::FINDING_SITE, site).with(HasModifier, Node::code(codes::LATERALITY, side));
    Node::template(codes::MEASUREMENT_GROUP, "1501")
        .with(HasContext, Node::text(codes::TRACKING_IDENTIFIER, name))
        .with(HasContext, Node::uid(codes::TRACKING_UID, tracking_uid))
        .with(HasModifier, site)
        .with(HasModifier, Node::text(codes::ALGORITHM_NAME, "flow lung densitometry"))
        .with(HasModifier, Node::text(codes::ALGORITHM_VERSION, env!("CARGO_PKG_VERSION")))
        .contains_all(measurements(density))
}

fn region(lung: Lung) -> (&'static str, Name, Name) {
    match lung {
        Lung::Both => ("both lungs", codes::LUNG, codes::BILATERAL),
        Lung::Right => ("right lung", codes::RIGHT_LUNG, codes::RIGHT),
        Lung::Left => ("left lung", codes::LEFT_LUNG, codes::LEFT),
    }
}

/// A measurement (TID 300) for each number. A region without voxels has no mean; values that are not numbers
/// are left out.
fn measurements(density: &Density) -> Vec<Node> {
    let measured: [(Name, f64, usize, Name); 5] = [
        (codes::VOLUME, density.volume_ml, 1, codes::MILLILITRE),
        (codes::MEAN, density.mean_hu, 2, codes::HOUNSFIELD),
        (codes::DEVIATION, density.standard_deviation_hu, 2, codes::HOUNSFIELD),
        (codes::MEDIAN, density.median_hu, 1, codes::HOUNSFIELD),
        (codes::PERCENTILE_15, density.percentile_15_hu, 1, codes::HOUNSFIELD),
    ];
    let measured = measured.into_iter().filter(|(_, number, ..)| number.is_finite());
    let below = density.below.iter().filter(|(_, percent)| percent.is_finite());
    measured
        .map(|(name, number, decimals, unit)| Node::number(name, number, decimals, unit))
        .chain(below.map(|&(hu, percent)| Node::number(low_attenuation(hu), percent, 4, codes::PERCENT)))
        .collect()
}

fn low_attenuation(threshold_hu: f64) -> Code {
    Code::private(format!("LAA{threshold_hu}"), format!("Lung voxels below {threshold_hu} HU"))
}

fn evidence(source: &Series) -> Vec<Reference<'_>> {
    let slices = source.slices.iter();
    slices
        .map(|slice| Reference {
            series_uid: &slice.series_instance_uid,
            sop_class_uid: &slice.sop_class_uid,
            sop_instance_uid: &slice.sop_instance_uid,
        })
        .collect()
}

fn step() -> Step {
    Step::new("write-report", 1, "Writes the measurements as a structured report in the request's study.")
        .takes::<Request>("request")
        .takes::<Series>("series")
        .takes::<Densities>("densities")
        .gives::<Files>("files")
        .identifies()
        .parameter(Parameter::number("series_number", 9002.0, 1.0, 99999.0, "").about("of the new series"))
        .parameter(
            Parameter::text("series_description", "flow: lung densities", &[]).about("of the new series"),
        )
        .runs(|call| Ok(Outputs::one("files", Files(vec![write_report(call)?]))))
}

inventory::submit! { BuiltIn(step) }
