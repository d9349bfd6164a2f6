//! A chest as CT Image Storage files (PS3.3 A.3), with no attributes but those that the options determine.

use std::path::{Path, PathBuf};

use dicom_core::value::{PixelFragmentSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use rayon::prelude::*;

use super::chest::PhantomChest;
use super::rle;

/// Transfer syntax of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PhantomSyntax {
    #[default]
    Explicit,
    Implicit,
    /// RLE Lossless, one fragment per slice.
    Rle,
}

impl PhantomSyntax {
    fn uid(self) -> &'static str {
        match self {
            PhantomSyntax::Explicit => uids::EXPLICIT_VR_LITTLE_ENDIAN,
            PhantomSyntax::Implicit => uids::IMPLICIT_VR_LITTLE_ENDIAN,
            PhantomSyntax::Rle => uids::RLE_LOSSLESS,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("folder {}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("file {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("encoding of slice {slice}")]
    Encoding { slice: usize, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Stored values are HU + 1024, so that air is positive, as in most scanners' files.
const INTERCEPT_HU: i16 = -1024;

impl PhantomChest {
    /// Writes one file per slice into a folder, which is created. Returns the paths in the order of the
    /// slices.
    ///
    /// # Errors
    /// If the folder or a file cannot be written.
    pub fn write(&self, folder: &Path, syntax: PhantomSyntax) -> Result<Vec<PathBuf>, WriteError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| WriteError::Folder { path: folder.to_owned(), source })?;
        let common = self.common();
        self.slices()
            .into_par_iter()
            .map(|slice| {
                let bytes = self.encode(slice, common.clone(), syntax)?;
                let path = file(folder, slice);
                match std::fs::write(&path, bytes) {
                    Ok(()) => Ok(path),
                    Err(source) => Err(WriteError::File { path, source }),
                }
            })
            .collect()
    }

    /// Whether a folder has what [`PhantomChest::write`] writes into it, and nothing else.
    ///
    /// # Errors
    /// If a slice cannot be encoded. What cannot be read is not there.
    pub fn is_written(&self, folder: &Path, syntax: PhantomSyntax) -> Result<bool, WriteError> {
        let slices = self.slices();
        if std::fs::read_dir(folder).map_or(0, Iterator::count) != slices.len() {
            return Ok(false);
        }
        let common = self.common();
        let is_same = |slice: usize| -> Result<bool, WriteError> {
            let bytes = self.encode(slice, common.clone(), syntax)?;
            Ok(std::fs::read(file(folder, slice)).is_ok_and(|found| found == bytes))
        };
        let same: Vec<bool> = slices.into_par_iter().map(is_same).collect::<Result<_, WriteError>>()?;
        Ok(same.into_iter().all(|is_same| is_same))
    }

    fn encode(
        &self,
        slice: usize,
        mut object: InMemDicomObject,
        syntax: PhantomSyntax,
    ) -> Result<Vec<u8>, WriteError> {
        let fail = |source| WriteError::Encoding { slice, source };
        self.add_slice(slice, &mut object);
        add_pixels(&mut object, &self.ct_numbers(slice), syntax);
        let meta = FileMetaTableBuilder::new().transfer_syntax(syntax.uid());
        let file = object.with_meta(meta).map_err(|error| fail(error.into()))?;
        let mut bytes = Vec::with_capacity(2 * self.options.size[0] * self.options.size[1] + 4096);
        file.write_all(&mut bytes).map_err(|error| fail(error.into()))?;
        Ok(bytes)
    }

    /// The attributes that all slices share.
    fn common(&self) -> InMemDicomObject {
        let [columns, rows, _] = self.options.size;
        let [across, down, thickness] = self.spacing();
        let mut object = InMemDicomObject::new_empty();
        for &(tag, vr, value) in FIXED {
            object.put_str(tag, vr, value);
        }
        let seed = self.options.seed;
        let texts = [
            (tags::PATIENT_ID, VR::LO, format!("SAMPLE-{seed}")),
            (tags::ACCESSION_NUMBER, VR::SH, format!("S{}", seed % 1_000_000_000_000_000)),
            (tags::STUDY_INSTANCE_UID, VR::UI, self.uid("study")),
            (tags::SERIES_INSTANCE_UID, VR::UI, self.uid("series")),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, self.uid("frame of reference")),
            (tags::PIXEL_SPACING, VR::DS, format!("{down}\\{across}")),
            (tags::SLICE_THICKNESS, VR::DS, thickness.to_string()),
            (tags::RESCALE_INTERCEPT, VR::DS, INTERCEPT_HU.to_string()),
            (tags::RECONSTRUCTION_DIAMETER, VR::DS, format!("{:.2}", across * columns as f64)),
        ];
        for (tag, vr, value) in texts {
            object.put_str(tag, vr, value);
        }
        let shorts = [
            (tags::ROWS, rows as u16),
            (tags::COLUMNS, columns as u16),
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 16),
            (tags::HIGH_BIT, 15),
            (tags::PIXEL_REPRESENTATION, 1),
        ];
        for (tag, value) in shorts {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        }
        object
    }

    fn add_slice(&self, slice: usize, object: &mut InMemDicomObject) {
        let [x, y, z] = self.position(slice);
        object.put_str(tags::SOP_INSTANCE_UID, VR::UI, self.uid(&format!("slice {slice}")));
        object.put_str(tags::INSTANCE_NUMBER, VR::IS, (slice + 1).to_string());
        object.put_str(tags::IMAGE_POSITION_PATIENT, VR::DS, format!("{x}\\{y}\\{z}"));
        object.put_str(tags::SLICE_LOCATION, VR::DS, z.to_string());
    }
}

/// The file of a slice.
fn file(folder: &Path, slice: usize) -> PathBuf {
    folder.join(format!("{:04}.dcm", slice + 1))
}

fn add_pixels(object: &mut InMemDicomObject, ct_numbers: &[i16], syntax: PhantomSyntax) {
    let stored = ct_numbers.iter().map(|hu| hu - INTERCEPT_HU);
    let element = match syntax {
        PhantomSyntax::Explicit | PhantomSyntax::Implicit => {
            let bytes: Vec<u8> = stored.flat_map(i16::to_le_bytes).collect();
            DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::from(bytes))
        }
        PhantomSyntax::Rle => {
            let frame = rle::encode(&stored.collect::<Vec<i16>>());
            DataElement::new(tags::PIXEL_DATA, VR::OB, PixelFragmentSequence::new(vec![0], vec![frame]))
        }
    };
    object.put(element);
}

/// Attributes that are the same in every study. The date is fixed, so that the files depend on the options
/// alone.
const FIXED: &[(Tag, VR, &str)] = &[
    (tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
    (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL"),
    (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
    (tags::STUDY_DATE, VR::DA, "20240229"),
    (tags::STUDY_TIME, VR::TM, "120000"),
    (tags::SERIES_DATE, VR::DA, "20240229"),
    (tags::SERIES_TIME, VR::TM, "120100"),
    (tags::ACQUISITION_DATE, VR::DA, "20240229"),
    (tags::ACQUISITION_TIME, VR::TM, "120100"),
    (tags::CONTENT_DATE, VR::DA, "20240229"),
    (tags::CONTENT_TIME, VR::TM, "120100"),
    (tags::MODALITY, VR::CS, "CT"),
    (tags::MANUFACTURER, VR::LO, "flow sample"),
    (tags::MANUFACTURER_MODEL_NAME, VR::LO, "Synthetic chest"),
    (tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION")),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
    (tags::STUDY_DESCRIPTION, VR::LO, "Synthetic chest CT with known truth"),
    (tags::SERIES_DESCRIPTION, VR::LO, "Chest, axial"),
    (tags::PATIENT_NAME, VR::PN, "SAMPLE^CHEST"),
    (tags::PATIENT_BIRTH_DATE, VR::DA, "19640229"),
    (tags::PATIENT_SEX, VR::CS, "O"),
    (tags::PATIENT_AGE, VR::AS, "060Y"),
    (tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
    (tags::KVP, VR::DS, "120"),
    (tags::CONVOLUTION_KERNEL, VR::SH, "SYNTHETIC"),
    (tags::PATIENT_POSITION, VR::CS, "HFS"),
    (tags::STUDY_ID, VR::SH, "1"),
    (tags::SERIES_NUMBER, VR::IS, "1"),
    (tags::ACQUISITION_NUMBER, VR::IS, "1"),
    (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
    (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
    (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    (tags::WINDOW_CENTER, VR::DS, "-500"),
    (tags::WINDOW_WIDTH, VR::DS, "1500"),
    (tags::RESCALE_SLOPE, VR::DS, "1"),
    (tags::RESCALE_TYPE, VR::LO, "HU"),
];
