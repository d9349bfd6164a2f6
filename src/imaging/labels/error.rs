//! Why a file cannot be used as a label map.

/// The most voxels of a map for each voxel of the volume: thin slices of a map for thick ones of a series.
pub const VOXELS_TO_VOLUME_MOST: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    #[error("it is neither NIfTI nor NRRD nor a DICOM Segmentation object")]
    UnknownFormat,
    #[error("it is cut off in its header")]
    HeaderCutOff,
    #[error("it is cut off: its header declares {declared} bytes of voxels")]
    CutOff { declared: u64 },
    #[error("its compressed data are damaged: {0}")]
    Compression(std::io::Error),
    #[error("it is longer than its header says")]
    TooLong,
    #[error("it declares {0}, and the series has {1} voxels: a map of at most {most} times as many is read", most = VOXELS_TO_VOLUME_MOST)]
    TooLarge(String, usize),
    #[error("its header is not valid: {0}")]
    Header(String),
    #[error("{0} is not supported")]
    Unsupported(String),
    #[error("it does not say where it lies in the patient: {0}")]
    NoPlace(&'static str),
    #[error("it has the value {0}, and labels are whole numbers: a map of probabilities is no label map")]
    NotWhole(f64),
    #[error("it does not cover the series: {0:.0} mm of the images lie outside of it")]
    NotCovered(f64),
    #[error("it belongs to another frame of reference than the series, and lies on none of its slices")]
    OtherFrameOfReference,
    #[error("the file {0:?} with its voxels is not there")]
    NoData(String),
}
