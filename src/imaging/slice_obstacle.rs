//! Why an instance cannot be a slice of a volume of CT numbers, and what that means for a study without any.

use super::codecs::DecodeError;
use super::frames::is_enhanced_ct;
use super::image_type::ImageKind;
use super::slices::{AxialSlice, geometry_obstacle, impossible_spacing, other_plane};
use super::{InstanceHeader, can_decode};

/// The kinds of obstacles, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SliceObstacle {
    /// Rescaled values are not in Hounsfield units, or cannot be rescaled.
    Units,
    /// The transfer syntax has no decoder.
    Decoder,
    /// A projection, or a quantity in the place of CT numbers.
    Computed,
    /// Nothing can refer to the instance.
    Uid,
    /// Pixel Spacing is impossible.
    PixelSize,
    /// Another plane than the axial one.
    Plane,
    /// Frames of an object, without attributes or without pixels of their own.
    Frames,
    /// Position, orientation or pixel spacing is absent.
    Place,
    /// Colours or bits per pixel that no CT image has.
    Samples,
    Localizer,
    /// Another object than a CT image.
    Other,
}

impl SliceObstacle {
    /// The slice of an instance, or why it cannot be part of a volume of CT numbers: the kind and a fragment.
    ///
    /// # Errors
    /// The obstacle.
    pub fn check(header: &InstanceHeader) -> Result<AxialSlice<'_>, (SliceObstacle, String)> {
        let because = |kind: SliceObstacle, reason: &str| Err((kind, reason.to_owned()));
        if !header.is_ct_image() {
            return because(SliceObstacle::Other, "not a CT image");
        }
        let kind = ImageKind::of(header);
        if let Some(obstacle) = kind.obstacle(header) {
            let is_localizer = kind == ImageKind::Localizer;
            return Err((
                if is_localizer { SliceObstacle::Localizer } else { SliceObstacle::Computed },
                obstacle,
            ));
        }
        if let Some(obstacle) = frames_obstacle(header) {
            return because(SliceObstacle::Frames, obstacle);
        }
        if header.samples_per_pixel != 1 {
            return because(SliceObstacle::Samples, "in colour");
        }
        if header.lacks_uid() {
            return because(SliceObstacle::Uid, "without a SOP Instance UID or a Series Instance UID");
        }
        if !matches!(header.bits_allocated, 8 | 16 | 32) {
            return because(SliceObstacle::Samples, "without 8, 16 or 32 bits per pixel");
        }
        let Some(slice) = AxialSlice::of(header) else {
            return Err((place_obstacle(header), geometry_obstacle(header)));
        };
        if let Some(obstacle) = header.units.obstacle() {
            return Err((SliceObstacle::Units, obstacle));
        }
        if !can_decode(&header.transfer_syntax_uid) {
            let error = DecodeError::no_decoder(&header.transfer_syntax_uid);
            return because(SliceObstacle::Decoder, &error.to_string());
        }
        Ok(slice)
    }

    /// What keeps a study whose CT images all have an obstacle from being measured, and the remedy; `None` where only
    /// the modalities tell.
    pub fn of_study(self) -> Option<[&'static str; 2]> {
        let send_axial = "Send a chest CT as single axial slices (CT Image Storage) with Image Position, Image \
                          Orientation and Pixel Spacing.";
        Some(match self {
            SliceObstacle::Units => [
                "the study has no CT slices in Hounsfield units",
                "Send the series as the scanner made it, with Rescale Slope, Rescale Intercept and Rescale Type HU.",
            ],
            SliceObstacle::Decoder => [
                "the CT slices of the study cannot be decoded",
                "Send the study uncompressed (Explicit VR Little Endian) or as JPEG 2000 or RLE lossless.",
            ],
            SliceObstacle::Computed => [
                "the study has no CT slices as they were reconstructed",
                "Send the axial series from which these images were computed.",
            ],
            SliceObstacle::Uid => [
                "the CT images of the study have no SOP Instance UID or no Series Instance UID",
                "Send them with the UIDs of the scanner: results could not refer to them.",
            ],
            SliceObstacle::PixelSize => [
                "the size of the study's pixels is not known",
                "Send the series with its Pixel Spacing as the scanner wrote it.",
            ],
            SliceObstacle::Plane => [
                "the study has no axial CT slices",
                "Send the axial series from which sagittal, coronal and oblique slices are made.",
            ],
            SliceObstacle::Frames => [
                "the CT objects of the study do not say what their frames are",
                "Send the series with functional groups for each frame, or as single slices (CT Image Storage).",
            ],
            SliceObstacle::Place => ["the CT images of the study do not say where they lie", send_axial],
            SliceObstacle::Samples => ["the CT images of the study are no images of CT numbers", send_axial],
            SliceObstacle::Localizer | SliceObstacle::Other => return None,
        })
    }
}

/// The obstacle of an object whose frames are unknown, or of a frame of it that is not there.
fn frames_obstacle(header: &InstanceHeader) -> Option<&'static str> {
    let is_placeless = header.position.is_none() && header.orientation.is_none() && header.spacing.is_none();
    match (header.frame, header.frames) {
        (Some(_), 0) => Some("without pixels: their object says that it has fewer frames"),
        (Some(_), _) if is_placeless => Some("without functional groups that say where they lie"),
        (Some(_), _) => None,
        (None, _) if is_enhanced_ct(&header.sop_class_uid) => {
            Some("without functional groups of their frames")
        }
        (None, 1) => None,
        (None, _) => Some("with several frames"),
    }
}

/// The kind of what is wrong with the place of a slice.
fn place_obstacle(header: &InstanceHeader) -> SliceObstacle {
    if impossible_spacing(header).is_some() {
        SliceObstacle::PixelSize
    } else if other_plane(header).is_some() {
        SliceObstacle::Plane
    } else {
        SliceObstacle::Place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;
    use dicom_dictionary_std::uids;

    fn obstacle(change: impl Fn(&mut InstanceHeader)) -> (SliceObstacle, String) {
        let mut header = sample::header(0);
        change(&mut header);
        SliceObstacle::check(&header).unwrap_err()
    }

    #[test]
    fn what_cannot_be_a_slice_is_told_by_its_true_reason() {
        let private = obstacle(|one| one.transfer_syntax_uid = "1.3.46.670589.33.1.4.1".to_owned());
        assert_eq!(private.0, SliceObstacle::Decoder);
        assert_eq!(private.1, "there is no decoder for the private transfer syntax 1.3.46.670589.33.1.4.1");
        let enhanced = |one: &mut InstanceHeader| {
            one.sop_class_uid = uids::ENHANCED_CT_IMAGE_STORAGE.to_owned();
            one.units = crate::imaging::PixelUnits::NotRescaled;
            one.frames = 100;
        };
        let (kind, reason) = obstacle(enhanced);
        assert_eq!(
            (kind, reason.as_str()),
            (SliceObstacle::Frames, "without functional groups of their frames")
        );
        let frame = |one: &mut InstanceHeader| {
            enhanced(one);
            (one.frame, one.frames) = (Some(3), 0);
        };
        assert!(obstacle(frame).1.starts_with("without pixels"));
        assert_eq!(obstacle(|one| one.spacing = None).0, SliceObstacle::Place);
        assert_eq!(obstacle(|one| one.spacing = Some([0.0; 2])).0, SliceObstacle::PixelSize);
    }
}
