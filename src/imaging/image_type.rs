//! Kinds of CT images by Image Type (0008,0008): which are no CT numbers of slices, and which are computed.
//!
//! Image Type has the same words in a frame of an enhanced object (Frame Type). Its fourth value says what a derived
//! image shows, in multi-energy CT the material or the energy (DICOM Supplement 188, Multi-energy CT Images). Beside
//! these, scanners write words of their own, alone or within a value, as in `CT_SOM5 MIP`.

use super::InstanceHeader;
use crate::step::StepReservation;

/// The kind of a CT image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// CT numbers of a slice as the scanner reconstructed it, or as a plain reformation or mean of such slices.
    Plain,
    /// CT numbers as of one photon energy, computed from several.
    Monoenergetic,
    /// CT numbers computed in another way.
    Derived,
    Localizer,
    /// The largest or least CT number along a slab.
    Projection,
    /// The amount of a material, or another quantity in the place of CT numbers.
    Quantity,
}

const PROJECTIONS: [&str; 9] =
    ["MIP", "MINIP", "MAXIP", "MIN IP", "MAX IP", "MINIMUM", "MAXIMUM", "PROJECTION", "VOLUME RENDERED"];
/// Projections in a description, which is written for people, and as Volume Based Calculation Technique.
const NAMED_PROJECTIONS: [&str; 8] =
    ["MIP", "MINIP", "MAXIP", "MIN IP", "MAX IP", "INTENSITY PROJECTION", "VOLUME RENDER", "SURFACE RENDER"];
/// Maps in a description.
const NAMED_QUANTITIES: [&str; 14] = [
    "IODINE WATER",
    "WATER IODINE",
    "IODINE MAP",
    "IODINE OVERLAY",
    "IOD OVERLAY",
    "IODINE DENSITY",
    "PBV",
    "PERFUSION MAP",
    "Z EFFECTIVE",
    "Z EFF",
    "ZEFF",
    "RHO Z",
    "ELECTRON DENSITY",
    "SUBTRACTION",
];
/// CT numbers computed from others in a description: means over breathing or time, images without a contrast agent,
/// bones or vessels that were there, and those of a planning or cone beam.
const NAMED_DERIVED: [&str; 21] = [
    "BONE REMOVAL",
    "BONE REMOVED",
    "BONE SUPPRESSION",
    "VESSEL SUPPRESSED",
    "VESSEL SUPPRESSION",
    "AIP",
    "AVEIP",
    "AVE IP",
    "AVE CT",
    "AVG",
    "AVERAGE CT",
    "AVERAGE IP",
    "AVERAGE INTENSITY",
    "MEAN IP",
    "VNC",
    "VIRTUAL UNENHANCED",
    "VIRTUAL NON CONTRAST",
    "VIRTUAL NATIVE",
    "SYNTHETIC CT",
    "CBCT",
    "XENON",
];
/// Words for the breath that is held in a description.
const NAMED_EXPIRATION: [&str; 6] =
    ["EXP", "EXPIRATION", "EXPIRATORY", "EXSPIRATION", "EXHALE", "EXHALATION"];
const NAMED_INSPIRATION: [&str; 6] = ["INSP", "INSPIRATION", "INSPIRATORY", "INSPIR", "INHALE", "INHALATION"];
const NAMED_ENERGIES: [&str; 4] = ["KEV", "MONOENERGETIC", "MONOCHROMATIC", "MONO E"];
const QUANTITIES: [&str; 15] = [
    "IODINE",
    "WATER",
    "MAT SPECIFIC",
    "MAT FRACTIONAL",
    "MAT VALUE BASED",
    "EFF ATOMIC NUM",
    "ELECTRON DENSITY",
    "Z EFF",
    "ZEFF",
    "RHO Z",
    "PBV",
    "SUBTRACTION",
    "DIVISION",
    "STD DEVIATION",
    "QUANTITY",
];
const ENERGIES: [&str; 4] = ["VMI", "MONO", "MONOENERGETIC", "MONOCHROMATIC"];
/// Reformations and means of CT numbers: densities stay what they are, but for the thickness of the slab.
const REFORMATIONS: [&str; 6] = ["MPR", "REFORMATTED", "RESAMPLED", "AVERAGE", "MEAN", "MULTI PLANAR"];

impl ImageKind {
    pub fn of(header: &InstanceHeader) -> ImageKind {
        let values: Vec<String> = header.image_type.iter().map(|value| plain_words(value)).collect();
        let said = descriptions(header).map(|(_, value)| plain_words(value));
        let has = |words: &[&str]| values.iter().any(|value| has_one(value, words));
        let named = |words: &[&str]| said.iter().any(|value| has_one(value, words));
        if has(&["LOCALIZER"]) {
            ImageKind::Localizer
        } else if has(&PROJECTIONS) || named(&NAMED_PROJECTIONS) {
            ImageKind::Projection
        } else if has(&QUANTITIES) || named(&NAMED_QUANTITIES) {
            ImageKind::Quantity
        } else if has(&ENERGIES) || named(&NAMED_ENERGIES) {
            ImageKind::Monoenergetic
        } else if header.image_type.first().is_some_and(|value| value == "DERIVED") && !has(&REFORMATIONS)
            || named(&NAMED_DERIVED)
        {
            ImageKind::Derived
        } else {
            ImageKind::Plain
        }
    }

    /// The reason why such images cannot be a volume of CT numbers, as a fragment; `None` if they can.
    pub fn obstacle(self, header: &InstanceHeader) -> Option<String> {
        match self {
            ImageKind::Localizer => Some("a localizer".to_owned()),
            ImageKind::Projection => Some(format!(
                "a projection of the largest or least CT numbers ({})",
                said_by(header, &NAMED_PROJECTIONS)
            )),
            ImageKind::Quantity => Some(format!(
                "a map of a material or another quantity, not of CT numbers ({})",
                said_by(header, &NAMED_QUANTITIES)
            )),
            ImageKind::Plain | ImageKind::Monoenergetic | ImageKind::Derived => None,
        }
    }
}

/// The attribute that says by one of these words what the images are, or Image Type, with its value.
fn said_by(header: &InstanceHeader, words: &[&str]) -> String {
    let (name, value) = named(header, words)
        .map_or_else(|| ("Image Type", image_type(header)), |(name, value)| (name, value.to_owned()));
    format!("{name} {value}")
}

/// The attribute beside Image Type that has one of these words, and its value.
fn named<'a>(header: &'a InstanceHeader, words: &[&str]) -> Option<(&'static str, &'a str)> {
    descriptions(header).into_iter().find(|(_, value)| has_one(&plain_words(value), words))
}

/// The attributes beside Image Type that say what an image is, with their values.
fn descriptions(header: &InstanceHeader) -> [(&'static str, &str); 3] {
    [
        ("Series Description", header.series_description.as_str()),
        ("Derivation Description", header.derivation_description.as_str()),
        ("Volume Based Calculation Technique", header.calculation_technique.as_str()),
    ]
}

/// Whether one of these words is among [`plain_words`].
fn has_one(plain: &str, words: &[&str]) -> bool {
    // Each word is between spaces, the first and the last one too.
    let is_whole = |start: usize, end: usize| plain[..start].ends_with(' ') && plain[end..].starts_with(' ');
    words.iter().any(|word| plain.match_indices(word).any(|(start, _)| is_whole(start, start + word.len())))
}

/// Reservations for slices that are computed from others, compressed with loss, not named CT, or named as of expiration.
pub fn computed_images(slices: &[InstanceHeader]) -> Vec<StepReservation> {
    let kinds: Vec<ImageKind> = slices.iter().map(ImageKind::of).collect();
    let of_kind = |kind| kinds.iter().position(|one| *one == kind).map(|index| &slices[index]);
    let mut reservations = Vec::new();
    let mut reserve = |code: &str, text: String| {
        reservations.push(StepReservation { code: code.to_owned(), text });
    };
    if let Some(slice) = of_kind(ImageKind::Monoenergetic) {
        let text = format!(
            "the images are computed for one photon energy ({}): densities depend on that energy, so \
             compare them only with images of the same one, or send the series of the tube voltage",
            said_by(slice, &NAMED_ENERGIES)
        );
        reserve("monoenergetic", text);
    }
    if let Some(slice) = of_kind(ImageKind::Derived) {
        let text = format!(
            "the images are derived from others ({}): their densities may not be those that the scanner \
             measured, so send the original series if there is one",
            said_by(slice, &NAMED_DERIVED)
        );
        reserve("derived_image", text);
    }
    if let Some(slice) = slices.iter().find(|slice| slice.is_lossy) {
        let ratio = slice.lossy_ratio.map_or(String::new(), |ratio| format!(", {ratio}:1"));
        let text = format!(
            "the images were compressed with loss{ratio}: noise and low attenuation areas are smoothed away, so send \
             the series as it was before"
        );
        reserve("lossy", text);
    }
    if let Some(slice) = slices.iter().find(|slice| !["", "CT"].contains(&slice.modality.as_str())) {
        let text = format!(
            "the images are CT images by their SOP Class, but name the Modality {}: if their values are no CT \
             numbers, all densities are wrong",
            slice.modality
        );
        reserve("modality", text);
    }
    if let Some(slice) = slices.first().filter(|slice| is_in_expiration(slice)) {
        let text = format!(
            "the series is one of expiration ({}): lungs are smaller and denser than in inspiration, so compare \
             volumes and densities only with those of expiration",
            said_by(slice, &NAMED_EXPIRATION)
        );
        reserve("expiration", text);
    }
    reservations
}

fn is_in_expiration(slice: &InstanceHeader) -> bool {
    named(slice, &NAMED_EXPIRATION).is_some() && named(slice, &NAMED_INSPIRATION).is_none()
}

/// Image Type as it is written.
fn image_type(header: &InstanceHeader) -> String {
    header.image_type.join("\\")
}

/// A value's letters and digits in upper case, each word between spaces. A width or an energy beside a word, as in
/// `MIP10` and `40keV`, is none of its letters.
fn plain_words(value: &str) -> String {
    let mut words = String::from(" ");
    for letter in value.chars() {
        let letter = letter.to_ascii_uppercase();
        let is_letter = letter.is_alphabetic();
        words.push(if is_letter { letter } else { ' ' });
    }
    let words: Vec<&str> = words.split_whitespace().collect();
    format!(" {} ", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    fn kind(image_type: &str) -> ImageKind {
        let image_type = image_type.split('\\').map(str::to_owned).collect();
        ImageKind::of(&InstanceHeader { image_type, ..sample::header(0) })
    }

    #[test]
    fn image_types_of_scanners_and_of_the_standard_are_told() {
        use ImageKind::{Derived, Localizer, Monoenergetic, Plain, Projection, Quantity};
        for (image_type, expected) in [
            ("", Plain),
            ("ORIGINAL\\PRIMARY\\AXIAL", Plain),
            ("ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI", Plain),
            ("ORIGINAL\\PRIMARY\\VOLUME\\NONE", Plain),
            ("DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE", Plain),
            ("DERIVED\\PRIMARY\\MPR", Plain),
            ("DERIVED\\SECONDARY\\AXIAL\\CT_SOM5 MPR", Plain),
            ("DERIVED\\SECONDARY", Derived),
            ("DERIVED\\SECONDARY\\AXIAL\\MAT_REMOVED", Derived),
            ("ORIGINAL\\PRIMARY\\LOCALIZER", Localizer),
            ("DERIVED\\SECONDARY\\AXIAL\\MIP", Projection),
            ("DERIVED\\SECONDARY\\AXIAL\\MinIP", Projection),
            ("DERIVED\\SECONDARY\\AXIAL\\CT_SOM5 MIP", Projection),
            ("DERIVED\\SECONDARY\\REFORMATTED\\MIN IP", Projection),
            ("DERIVED\\SECONDARY\\MAX_IP\\10MM", Projection),
            ("DERIVED\\SECONDARY\\PROJECTION IMAGE", Projection),
            ("DERIVED\\PRIMARY\\VOLUME\\MINIMUM", Projection),
            ("DERIVED\\PRIMARY\\AXIAL\\IODINE", Quantity),
            ("DERIVED\\PRIMARY\\AXIAL\\MAT_SPECIFIC", Quantity),
            ("DERIVED\\PRIMARY\\AXIAL\\EFF_ATOMIC_NUM", Quantity),
            ("DERIVED\\PRIMARY\\AXIAL\\ELECTRON_DENSITY", Quantity),
            ("DERIVED\\SECONDARY\\AXIAL\\VMI\\MONO 40keV", Monoenergetic),
            ("ORIGINAL\\PRIMARY\\AXIAL\\MONO_E", Monoenergetic),
        ] {
            assert_eq!(kind(image_type), expected, "{image_type}");
        }
    }

    #[test]
    fn projections_are_told_by_descriptions_too() {
        use ImageKind::{Plain, Projection};
        let kind = |change: &dyn Fn(&mut InstanceHeader)| {
            let mut header = sample::header(0);
            change(&mut header);
            let kind = ImageKind::of(&header);
            (kind, kind.obstacle(&header))
        };
        let (described, obstacle) = kind(&|header| header.series_description = "Thorax MinIP 8mm".to_owned());
        assert_eq!(described, Projection);
        assert!(obstacle.unwrap().ends_with("(Series Description Thorax MinIP 8mm)"));
        let derived = |text: &str| kind(&|header| header.derivation_description = text.to_owned()).0;
        assert_eq!(derived("slab of 5 slices, MIP"), Projection);
        assert_eq!(derived("Minimum intensity projection"), Projection);
        assert_eq!(derived("skipped, chimpanzee"), Plain);
        let kind_of = |text: &str| kind(&|header| header.series_description = text.to_owned()).0;
        use ImageKind::{Derived, Monoenergetic, Quantity};
        for (description, expected) in [
            ("AIP 0-90%", Derived),
            ("Thorax AVG 4D", Derived),
            ("VNC 1.0 Br40", Derived),
            ("Iodine Map 1.5", Quantity),
            ("DE_Lung PBV", Quantity),
            ("Mono+ 40 keV", Monoenergetic),
            ("Thorax 1.0 Br59 120 kV", Plain),
            ("Thorax average dose", Plain),
            ("Lung airspace", Plain),
        ] {
            assert_eq!(kind_of(description), expected, "{description}");
        }
        let technique = |text: &str| kind(&|header| header.calculation_technique = text.to_owned()).0;
        assert_eq!(["MIN_IP", "MAX_IP", "NONE", ""].map(technique), [Projection, Projection, Plain, Plain]);
    }

    /// The codes of the reservations for 12 slices with a change.
    fn codes(change: fn(&mut InstanceHeader)) -> Vec<(String, String)> {
        let mut slices: Vec<InstanceHeader> = (0..12).map(sample::header).collect();
        slices.iter_mut().for_each(change);
        computed_images(&slices).into_iter().map(|one| (one.code, one.text)).collect()
    }

    #[test]
    fn computed_and_lossy_images_are_reserved_by_name() {
        assert_eq!(codes(|_| {}), []);
        assert_eq!(codes(|slice| slice.modality.clear()), []);
        let check = |change: fn(&mut InstanceHeader), code: &str, words: &str| {
            let said = codes(change);
            let [(one, text)] = &said[..] else { panic!("one reservation, {code}: {said:?}") };
            assert!(one == code && text.contains(words), "{said:?}");
        };
        let derived = |slice: &mut InstanceHeader| slice.image_type[0] = "DERIVED".to_owned();
        check(derived, "derived_image", "(Image Type DERIVED\\PRIMARY\\AXIAL)");
        check(
            |slice: &mut InstanceHeader| slice.image_type.push("VMI".to_owned()),
            "monoenergetic",
            "one photon energy",
        );
        let lossy = |slice: &mut InstanceHeader| (slice.is_lossy, slice.lossy_ratio) = (true, Some(40.0));
        check(lossy, "lossy", "with loss, 40:1");
        check(|slice: &mut InstanceHeader| slice.is_lossy = true, "lossy", "with loss:");
        check(|slice: &mut InstanceHeader| slice.modality = "MR".to_owned(), "modality", "the Modality MR");
    }

    #[test]
    fn a_series_that_is_named_as_of_expiration_is_told() {
        let codes = |description: &str| {
            let header = InstanceHeader { series_description: description.to_owned(), ..sample::header(0) };
            computed_images(&[header]).into_iter().map(|one| one.code).collect::<Vec<_>>()
        };
        for description in ["EXP 1.5", "Lunge Exspiration", "THORAX expiratory 1.0 Br40"] {
            assert_eq!(codes(description), ["expiration"], "{description}");
        }
        for description in ["INSP 1.5", "Insp/Exp", "EXPERT THORAX", ""] {
            assert!(codes(description).is_empty(), "{description}");
        }
    }
}
