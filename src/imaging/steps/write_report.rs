//! `write-report`: writes the measurements as a structured report in the study of the request.
//!
//! The report is a Comprehensive SR with the template Measurement Report (PS3.16 TID 1500): a measurement
//! group for both lungs (TID 1501) and for each. Where a segmentation object shows the lung, its group is one of
//! a volume (TID 1411) that refers to the segment.

use dicom_dictionary_std::uids;

use crate::imaging::objects::{
    CodedConcept, ConceptName, ContentItem, ContentRelationship, EvidenceReference, GeneratedSeries,
    ReportDocument, codes, device_observer, qualitative_evaluations,
};
use crate::imaging::radiomics::ShapeFeatures;
use crate::imaging::study::request_remarks;
use crate::imaging::{
    LungDensities, LungFeatures, LungPart, LungRegion, Lungs, RegionDensity, SegmentKind,
    SegmentationReference, SortedSeries, density_g_l,
};
use crate::step::{
    BuiltIn, Call, Fault, Request, ResponseFile, ResponseFiles, Step, StepOutputs, StepReservations,
};

fn write_report(call: &Call) -> Result<ResponseFile, Fault> {
    let request = call.input::<Request>("request");
    let (source, densities) =
        (call.input::<SortedSeries>("series"), call.input::<LungDensities>("densities"));
    let study = source.study(request);
    let series = GeneratedSeries::of(call, "SR");
    let regions = densities.regions.iter().zip(2..);
    let shown = call.optional::<SegmentationReference>("segmentation");
    let features = call.optional::<LungFeatures>("features");
    let groups = regions.map(|(density, output)| {
        let segment = shown.and_then(|shown| segment(shown, density.lung, source));
        let of_lung = |features: &'_ LungFeatures| {
            let shape = features.0.iter().find(|features| features.lung == density.lung)?;
            Some(shape_measurements(&shape.shape))
        };
        let shape = features.and_then(of_lung).unwrap_or_default();
        group(density, call.uid(output), segment).contains_all(shape)
    });
    let document = ReportDocument {
        sop_class_uid: uids::COMPREHENSIVE_SR_STORAGE,
        uid: call.uid(1),
        study: &study,
        series,
        root: root(call, groups.collect()),
        evidence: evidence(source, shown),
    };
    document.into_instance().into_file("report.dcm")
}

/// The report's root (TID 1500).
fn root(call: &Call, groups: Vec<ContentItem>) -> ContentItem {
    let (source, lungs) = (call.input::<SortedSeries>("series"), call.input::<Lungs>("lungs"));
    let reservations = call.optional("reservations").unwrap_or(&lungs.reservations);
    let remarks = request_remarks(call.input("request")).chain(source.remarks.iter().map(String::as_str));
    let remarks = remarks.chain(lungs.remarks.iter().map(String::as_str));
    let comments = remarks.map(|remark| ContentItem::text(codes::COMMENT, remark));
    let series_uids =
        source.series().map(|slice| ContentItem::uid(codes::SERIES_UID, &slice.series_instance_uid));
    device_observer(ContentItem::template(codes::MEASUREMENT_REPORT, "1500"))
        .with(ContentRelationship::HasModifier, ContentItem::code(codes::PROCEDURE_REPORTED, codes::CT))
        .contains(ContentItem::container(codes::IMAGING_MEASUREMENTS).contains_all(groups))
        .contains(qualitative_evaluations(reservations))
        .contains_all(series_uids)
        .contains_all(comments)
}

/// The segment that shows a lung, and what it was made from; `None` if there is no segment for it. The template allows one
/// series or several images as the source.
fn segment(
    shown: &SegmentationReference,
    lung: LungRegion,
    source: &SortedSeries,
) -> Option<Vec<ContentItem>> {
    let number = shown.number(match lung {
        LungRegion::Both => return None,
        LungRegion::Right => SegmentKind::RightLung,
        LungRegion::Left => SegmentKind::LeftLung,
    })?;
    let object = [shown.sop_class_uid.as_str(), &shown.sop_instance_uid];
    let mut items = vec![ContentItem::segment(codes::REFERENCED_SEGMENT, object, number)];
    match source.series().collect::<Vec<_>>()[..] {
        [only] => items.push(ContentItem::uid(codes::SEGMENTATION_SERIES, &only.series_instance_uid)),
        _ => items.extend(source.instances().map(|slice| {
            ContentItem::image(codes::SEGMENTATION_IMAGE, [&slice.sop_class_uid, &slice.sop_instance_uid])
        })),
    }
    Some(items)
}

/// The measurements of one region (TID 1501), or of one segment (TID 1411).
fn group(density: &RegionDensity, tracking_uid: String, segment: Option<Vec<ContentItem>>) -> ContentItem {
    use ContentRelationship::{HasContext, HasModifier};
    let (name, site, side) = region(density.lung);
    let site = ContentItem::code(codes::FINDING_SITE, site)
        .with(HasModifier, ContentItem::code(codes::LATERALITY, side));
    let template = if segment.is_some() { "1411" } else { "1501" };
    ContentItem::template(codes::MEASUREMENT_GROUP, template)
        .with(HasContext, ContentItem::text(codes::TRACKING_IDENTIFIER, name))
        .with(HasContext, ContentItem::uid(codes::TRACKING_UID, tracking_uid))
        .contains_all(segment.into_iter().flatten())
        .with(HasModifier, site)
        .with(HasModifier, ContentItem::text(codes::ALGORITHM_NAME, "flow lung densitometry"))
        .with(HasModifier, ContentItem::text(codes::ALGORITHM_VERSION, env!("CARGO_PKG_VERSION")))
        .contains_all(measurements(density))
}

fn region(lung: LungRegion) -> (&'static str, ConceptName, ConceptName) {
    match lung {
        LungRegion::Both => ("both lungs", codes::LUNG, codes::BILATERAL),
        LungRegion::Right => ("right lung", codes::RIGHT_LUNG, codes::RIGHT),
        LungRegion::Left => ("left lung", codes::LEFT_LUNG, codes::LEFT),
    }
}

/// A measurement (TID 300) for each number. A region without voxels has no mean; values that are not numbers
/// are left out.
fn measurements(density: &RegionDensity) -> Vec<ContentItem> {
    let density_g_l = density_g_l(density.percentile_15_hu);
    let measured: [(ConceptName, Option<f64>, usize, ConceptName); 9] = [
        (codes::VOLUME, Some(density.volume_ml), 1, codes::MILLILITRE),
        (codes::MEAN, Some(density.mean_hu), 2, codes::HOUNSFIELD),
        (codes::DEVIATION, Some(density.standard_deviation_hu), 2, codes::HOUNSFIELD),
        (codes::MEDIAN, Some(density.median_hu), 1, codes::HOUNSFIELD),
        (codes::PERCENTILE_15, Some(density.percentile_15_hu), 1, codes::HOUNSFIELD),
        (codes::DENSITY_15, Some(density_g_l), 1, codes::GRAM_PER_LITRE),
        (codes::DENSITY_15_ADJUSTED, density.percentile_15_adjusted_g_l, 1, codes::GRAM_PER_LITRE),
        (codes::HIGH_ATTENUATION, Some(density.high_attenuation_percent), 4, codes::PERCENT),
        (codes::CLUSTER_SLOPE, density.clusters.slope, 3, codes::NO_UNITS),
    ];
    let number = |(name, number, decimals, unit): (ConceptName, Option<f64>, usize, ConceptName)| {
        let number = number.filter(|number| number.is_finite())?;
        Some(ContentItem::number(name, number, decimals, unit))
    };
    let parts = density.parts.iter();
    let of_parts = parts.flat_map(|part| part.below.iter().map(|below| (Some(part.part), below)));
    let below = density.below.iter().map(|below| (None, below)).chain(of_parts);
    let below = below.filter(|(_, (_, percent))| percent.is_finite()).map(|(part, (hu, percent))| {
        ContentItem::number(low_attenuation(*hu, part), *percent, 4, codes::PERCENT)
    });
    measured.into_iter().filter_map(number).chain(below).collect()
}

/// The shape of a lung, by the codes that PS3.16 CID 7477 takes from the Image Biomarker Standardisation Initiative.
fn shape_measurements(shape: &ShapeFeatures) -> Vec<ContentItem> {
    let measured: [(ConceptName, f64, usize, ConceptName); 10] = [
        (codes::MESH_VOLUME, shape.mesh_volume_mm3, 0, codes::CUBIC_MILLIMETRE),
        (codes::MESH_AREA, shape.surface_area_mm2, 0, codes::SQUARE_MILLIMETRE),
        (codes::COMPACTNESS_2, shape.compactness_2, 5, codes::NO_UNITS),
        (codes::SPHERICITY, shape.sphericity, 5, codes::NO_UNITS),
        (codes::MAXIMUM_DIAMETER, shape.maximum_3d_diameter_mm, 2, codes::MILLIMETRE),
        (codes::MAJOR_AXIS, shape.major_axis_mm, 2, codes::MILLIMETRE),
        (codes::MINOR_AXIS, shape.minor_axis_mm, 2, codes::MILLIMETRE),
        (codes::LEAST_AXIS, shape.least_axis_mm, 2, codes::MILLIMETRE),
        (codes::ELONGATION, shape.elongation, 5, codes::NO_UNITS),
        (codes::FLATNESS, shape.flatness, 5, codes::NO_UNITS),
    ];
    let measured = measured.into_iter().filter(|(_, number, ..)| number.is_finite());
    measured.map(|(name, number, decimals, unit)| ContentItem::number(name, number, decimals, unit)).collect()
}

/// The share of voxels below a threshold, in a lung or a part of it.
fn low_attenuation(threshold_hu: f64, part: Option<LungPart>) -> CodedConcept {
    let (value, meaning) = (format!("LAA{threshold_hu}"), format!("Lung voxels below {threshold_hu} HU"));
    let Some(part) = part else { return CodedConcept::private(value, meaning) };
    let (short, name) = match part {
        LungPart::UpperThird => ("UPPER", "upper third"),
        LungPart::MiddleThird => ("MIDDLE", "middle third"),
        LungPart::LowerThird => ("LOWER", "lower third"),
        LungPart::Core => ("CORE", "core"),
        LungPart::Peel => ("PEEL", "peel"),
    };
    CodedConcept::private(format!("{value}-{short}"), format!("{meaning}, {name}"))
}

fn evidence<'a>(
    source: &'a SortedSeries,
    shown: Option<&'a SegmentationReference>,
) -> Vec<EvidenceReference<'a>> {
    let segmentation = shown.filter(|shown| !shown.segments.is_empty()).map(|shown| EvidenceReference {
        series_uid: &shown.series_instance_uid,
        sop_class_uid: &shown.sop_class_uid,
        sop_instance_uid: &shown.sop_instance_uid,
    });
    source.instances().map(EvidenceReference::of).chain(segmentation).collect()
}

fn step() -> Step {
    let [number, description] = GeneratedSeries::parameters(9002, "flow: lung densities");
    Step::new("write-report", 6, "Writes the measurements as a structured report in the request's study.")
        .takes::<Request>("request")
        .takes::<SortedSeries>("series")
        .takes::<Lungs>("lungs")
        .takes::<LungDensities>("densities")
        .takes_optional::<StepReservations>("reservations")
        .takes_optional::<SegmentationReference>("segmentation")
        .takes_optional::<LungFeatures>("features")
        .gives::<ResponseFiles>("files")
        .identifies()
        .parameter(number)
        .parameter(description)
        .runs(|call| Ok(StepOutputs::one("files", ResponseFiles(vec![write_report(call)?]))))
}

inventory::submit! { BuiltIn(step) }
