//! DICOM Segmentation objects (PS3.3 A.51), binary or label map, uncompressed: a label is a segment's number.
//!
//! Frames that lie on slices of the series are copied pixel by pixel, also those of a tilted gantry. Other
//! frames are a grid of their own, if they are evenly spaced.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::affine::{AffineMap, cross, dot};
use super::error::LabelError;
use super::map::{FoundLabels, LabelMap, LabelRequest, OutsideMeaning, SETS};
use super::placement::{PlacedLabels, PlacementExactness, place};
use super::voxels::{NumberKind, VoxelByteOrder, VoxelFormat};
use crate::imaging::elements::{HeaderElements, Part10File, PixelData};
use crate::imaging::upright::UprightFrame;
use crate::imaging::{InstanceHeader, VoxelSet};

const SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.4";
const LABEL_MAP_SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.7";

/// A frame for each of 100 segments in 1 000 slices.
const FRAMES_MOST: usize = 100_000;
/// Tolerance of directions and spacings, which are written with few digits.
const TOLERANCE: f64 = 1e-3;
/// Tolerance of the length and the angle of directions.
const DIRECTION_TOLERANCE: f64 = 0.02;
/// Two places are the same if they are closer than this share of a voxel's side.
const SAME_SHARE: f64 = 0.1;
/// Planes at least so far apart are different ones.
const PLANES_MM_LEAST: f64 = 0.01;

pub fn read(bytes: &[u8], request: &LabelRequest) -> Result<PlacedLabels, LabelError> {
    let file = Part10File::open(bytes).map_err(|_| LabelError::UnknownFormat)?;
    let elements = file.elements();
    let object = SegmentationFrames::read(&elements, &file.transfer_syntax_uid)?;
    let places: Option<Vec<usize>> = {
        let slices = SlicePlaces::of(request);
        object.planes.iter().map(|plane| slices.find(plane, object.size)).collect()
    };
    if let Some(places) = places {
        return object.on_slices(&places, request);
    }
    let own = elements.text(tags::FRAME_OF_REFERENCE_UID);
    let theirs = request.series.slices.first().map_or("", |slice| slice.frame_of_reference_uid.as_str());
    if !own.is_empty() && !theirs.is_empty() && own != theirs {
        return Err(LabelError::OtherFrameOfReference);
    }
    let spacing = elements.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).next().and_then(|shared| {
        let measures = shared.items(tags::PIXEL_MEASURES_SEQUENCE).next()?;
        measures.decimal(tags::SPACING_BETWEEN_SLICES).or(measures.decimal(tags::SLICE_THICKNESS))
    });
    place(object.as_grid(spacing, request)?, request.volume)
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug)]
struct SegmentPlane {
    /// The segment's number; none in a label map, whose pixels are the numbers.
    segment: Option<u16>,
    position: [f64; 3],
    row: [f64; 3],
    column: [f64; 3],
    /// Distance of rows, then of columns.
    spacing: [f64; 2],
}

struct SegmentationFrames<'a> {
    /// Columns and rows.
    size: [usize; 2],
    pixels: SegmentPixels,
    data: &'a [u8],
    planes: Vec<SegmentPlane>,
}

#[derive(Clone, Copy, Debug)]
enum SegmentPixels {
    /// One bit each, without gaps, the first one lowest.
    Bits,
    Numbers(VoxelFormat),
}

impl<'a> SegmentationFrames<'a> {
    fn read(elements: &HeaderElements<'a>, syntax: &str) -> Result<SegmentationFrames<'a>, LabelError> {
        let class = elements.text(tags::SOP_CLASS_UID);
        let is_label_map = class == LABEL_MAP_SEGMENTATION;
        if !is_label_map && class != SEGMENTATION {
            return Err(LabelError::UnknownFormat);
        }
        if let Some(damage) = &elements.damage {
            return Err(LabelError::Header(damage.to_string()));
        }
        let kind = elements.text(tags::SEGMENTATION_TYPE);
        let bits = elements.short(tags::BITS_ALLOCATED).unwrap_or(0);
        let pixels = match (kind.as_str(), bits) {
            ("BINARY", 1) => SegmentPixels::Bits,
            ("LABELMAP", 8) => SegmentPixels::Numbers(numbers(NumberKind::U8)),
            ("LABELMAP", 16) => SegmentPixels::Numbers(numbers(NumberKind::U16)),
            _ => {
                let kind: String = kind.chars().take(16).collect();
                let what = format!("a segmentation of type {kind:?} with {bits} bits per pixel");
                return Err(LabelError::Unsupported(what));
            }
        };
        let Some(PixelData::Native(native)) =
            elements.pixels.filter(|_| elements.short(tags::ROWS).is_some())
        else {
            return Err(LabelError::Unsupported(format!("a segmentation in the transfer syntax {syntax}")));
        };
        if native.big_endian {
            return Err(LabelError::Unsupported("a segmentation in big endian".to_owned()));
        }
        let size = [tags::COLUMNS, tags::ROWS].map(|tag| usize::from(elements.short(tag).unwrap_or(0)));
        let planes = planes(elements, is_label_map)?;
        let frame_bits = match pixels {
            SegmentPixels::Bits => size[0] * size[1],
            SegmentPixels::Numbers(format) => size[0] * size[1] * format.bytes() * 8,
        };
        let declared = (frame_bits as u64 * planes.len() as u64).div_ceil(8);
        if frame_bits == 0 {
            return Err(LabelError::Header("it has no rows or columns".to_owned()));
        }
        if (native.bytes.len() as u64) < declared {
            return Err(LabelError::CutOff { declared });
        }
        Ok(SegmentationFrames { size, pixels, data: native.bytes, planes })
    }

    /// Copies each frame to the slice that it lies on.
    fn on_slices(&self, places: &[usize], request: &LabelRequest) -> Result<PlacedLabels, LabelError> {
        let series = request.series;
        let upright = UprightFrame::around(series).map_err(|fault| LabelError::Unsupported(fault.reason))?;
        let mut target = FrameTarget::of(request.volume.size);
        for (frame, slice) in places.iter().enumerate() {
            let corner = upright.corner(series.shifts.get(*slice).copied().unwrap_or([0, 0]));
            self.copy(frame, request, &mut target, [corner[0], corner[1], *slice])?;
        }
        let FrameTarget { sets, labels } = target;
        Ok(PlacedLabels { sets, labels, exactness: PlacementExactness::Same, remarks: Vec::new() })
    }

    /// The frames as a grid of their own; planes without a frame have no labels.
    fn as_grid(&self, spacing: Option<f64>, request: &LabelRequest) -> Result<LabelMap, LabelError> {
        let first = self.planes[0];
        let normal = first.normal();
        if self.planes.iter().any(|plane| !plane.is_parallel(&first)) {
            return Err(LabelError::Unsupported("a segmentation whose frames are not parallel".to_owned()));
        }
        let along: Vec<f64> = self.planes.iter().map(|plane| dot(plane.position, normal)).collect();
        let mut sorted = along.clone();
        sorted.sort_by(f64::total_cmp);
        let lowest = sorted[0];
        let step =
            plane_distance(&sorted, spacing).ok_or(LabelError::NoPlace("its planes have no distance"))?;
        let index = |along: f64| ((along - lowest) / step).round();
        let count = index(sorted[sorted.len() - 1]) + 1.0;
        let origin: [f64; 3] =
            std::array::from_fn(|axis| first.position[axis] - (along[0] - lowest) * normal[axis]);
        let steps =
            [first.row.map(|one| one * first.spacing[1]), first.column.map(|one| one * first.spacing[0])];
        let to_patient = AffineMap::of_steps(origin, [steps[0], steps[1], normal.map(|one| one * step)]);
        if !to_patient.is_grid() || !(1.0..=1e6).contains(&count) {
            return Err(LabelError::NoPlace("its planes are no grid of voxels"));
        }
        request.voxel_count([self.size[0] as u64, self.size[1] as u64, count as u64])?;
        let mut target = FrameTarget::of([self.size[0], self.size[1], count as usize]);
        let to_index = to_patient.inverse();
        for (frame, plane) in self.planes.iter().enumerate() {
            let at = to_index.apply(plane.position);
            let z = at[2].round();
            let off = [at[0], at[1], at[2] - z];
            if off.iter().any(|off| off.abs() > SAME_SHARE) || !(0.0..count).contains(&z) {
                let what = "a segmentation whose frames are not evenly spaced above each other";
                return Err(LabelError::Unsupported(what.to_owned()));
            }
            self.copy(frame, request, &mut target, [0, 0, z as usize])?;
        }
        let FrameTarget { sets, labels } = target;
        Ok(LabelMap { to_patient, sets, labels, outside: OutsideMeaning::Background, remarks: Vec::new() })
    }

    /// Copies a frame, its first pixel to a voxel.
    fn copy(
        &self,
        frame: usize,
        request: &LabelRequest,
        target: &mut FrameTarget,
        [left, top, z]: [usize; 3],
    ) -> Result<(), LabelError> {
        let [columns, rows] = self.size;
        let segment = self.planes[frame].segment.map(f64::from);
        let of_segment = segment.map(|segment| request.choice.sets_of(segment));
        let mut found = Vec::new();
        for row in 0..rows {
            let start = (frame * rows + row) * columns;
            match self.pixels {
                SegmentPixels::Bits => {
                    let bytes = &self.data[start / 8..(start + columns).div_ceil(8)];
                    if bytes.iter().all(|byte| *byte == 0) {
                        continue;
                    }
                    let is_set = |x: &usize| self.data[(start + x) / 8] >> ((start + x) % 8) & 1 == 1;
                    for x in (0..columns).filter(is_set) {
                        found = segment.into_iter().collect();
                        target.mark(of_segment.unwrap_or(0), [left + x, top + row, z]);
                    }
                }
                SegmentPixels::Numbers(format) => {
                    let width = format.bytes();
                    let bytes = &self.data[start * width..(start + columns) * width];
                    if bytes.iter().all(|byte| *byte == 0) {
                        continue;
                    }
                    for (x, number) in bytes.chunks_exact(width).enumerate() {
                        let label = format.label_of(number);
                        if label != 0.0 && found.last() != Some(&label) {
                            found.push(label);
                        }
                        target.mark(request.choice.sets_of(label), [left + x, top + row, z]);
                    }
                }
            }
        }
        found.into_iter().for_each(|label| target.labels.add(label));
        Ok(())
    }
}

fn numbers(kind: NumberKind) -> VoxelFormat {
    VoxelFormat { kind, order: VoxelByteOrder::Little, slope: 1.0, intercept: 0.0 }
}

/// The grid into which frames are copied.
struct FrameTarget {
    sets: [VoxelSet; SETS],
    labels: FoundLabels,
}

impl FrameTarget {
    fn of(size: [usize; 3]) -> FrameTarget {
        FrameTarget { sets: std::array::from_fn(|_| VoxelSet::empty(size)), labels: FoundLabels::default() }
    }

    fn mark(&mut self, sets: u8, at: [usize; 3]) {
        let into = self.sets.iter_mut().enumerate().filter(|(set, _)| sets >> set & 1 == 1);
        into.for_each(|(_, set)| set.insert(at));
    }
}

/// The distance of planes, by their sorted places, of which some may be missing.
fn plane_distance(sorted: &[f64], declared: Option<f64>) -> Option<f64> {
    let distances = sorted.windows(2).map(|pair| pair[1] - pair[0]);
    let least = distances.filter(|mm| *mm >= PLANES_MM_LEAST).fold(f64::INFINITY, f64::min);
    let fits = |step: &f64| *step >= PLANES_MM_LEAST && *step <= least * (1.0 + SAME_SHARE);
    let step = declared.filter(fits).or(Some(least).filter(|least| least.is_finite()))?;
    let whole = sorted[sorted.len() - 1] - sorted[0];
    let count = (whole / step).round();
    Some(if count >= 1.0 { whole / count } else { step })
}

/// Where each frame lies: its own functional groups, then the shared ones.
fn planes(elements: &HeaderElements, is_label_map: bool) -> Result<Vec<SegmentPlane>, LabelError> {
    let shared = elements.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).next();
    let mut planes = Vec::new();
    for own in elements.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE) {
        if planes.len() == FRAMES_MOST {
            return Err(LabelError::Unsupported(format!("a segmentation of more than {FRAMES_MOST} frames")));
        }
        let plane = plane(&own, shared.as_ref(), is_label_map);
        let plane = plane
            .ok_or(LabelError::NoPlace("a frame lacks its segment, position, orientation or spacing"))?;
        if !plane.has_directions() {
            return Err(LabelError::NoPlace("the orientation of a frame is not that of rows and columns"));
        }
        planes.push(plane);
    }
    let frames = elements.integer(tags::NUMBER_OF_FRAMES).unwrap_or(1);
    if planes.is_empty() || i64::from(frames) != planes.len() as i64 {
        let what = format!("it has {frames} frames and {} functional groups of frames", planes.len());
        return Err(LabelError::Header(what));
    }
    Ok(planes)
}

fn plane(own: &HeaderElements, shared: Option<&HeaderElements>, is_label_map: bool) -> Option<SegmentPlane> {
    let group = |sequence: Tag| {
        let shared = || shared.and_then(|shared| shared.items(sequence).next());
        own.items(sequence).next().or_else(shared)
    };
    let segment = || group(tags::SEGMENT_IDENTIFICATION_SEQUENCE)?.short(tags::REFERENCED_SEGMENT_NUMBER);
    let segment = if is_label_map { None } else { Some(segment()?) };
    let position = group(tags::PLANE_POSITION_SEQUENCE)?.decimals(tags::IMAGE_POSITION_PATIENT)?;
    let turned = group(tags::PLANE_ORIENTATION_SEQUENCE)?;
    let orientation: [f64; 6] = turned.decimals(tags::IMAGE_ORIENTATION_PATIENT)?;
    let spacing = group(tags::PIXEL_MEASURES_SEQUENCE)?.decimals(tags::PIXEL_SPACING)?;
    let [row, column] = [[0, 1, 2], [3, 4, 5]].map(|part| part.map(|index| orientation[index]));
    Some(SegmentPlane { segment, position, row, column, spacing })
}

impl SegmentPlane {
    /// The plane of a slice.
    fn of(slice: &InstanceHeader) -> Option<SegmentPlane> {
        let orientation = slice.orientation?;
        let [row, column] = [[0, 1, 2], [3, 4, 5]].map(|part| part.map(|index| orientation[index]));
        Some(SegmentPlane { segment: None, position: slice.position?, row, column, spacing: slice.spacing? })
    }

    fn is_parallel(&self, other: &SegmentPlane) -> bool {
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= TOLERANCE);
        near(&self.row, &other.row)
            && near(&self.column, &other.column)
            && near(&self.spacing, &other.spacing)
    }

    /// Whether rows and columns have directions, and stand upright on each other.
    fn has_directions(&self) -> bool {
        let is_one = |direction: [f64; 3]| (dot(direction, direction) - 1.0).abs() <= DIRECTION_TOLERANCE;
        is_one(self.row) && is_one(self.column) && dot(self.row, self.column).abs() <= DIRECTION_TOLERANCE
    }

    /// The direction of the slices, of length 1 also where rows and columns have too few digits for that.
    fn normal(&self) -> [f64; 3] {
        let normal = cross(self.row, self.column);
        let length = dot(normal, normal).sqrt();
        normal.map(|part| part / length)
    }

    fn along(&self) -> f64 {
        dot(self.position, self.normal())
    }
}

/// The slices of the series by their places.
struct SlicePlaces<'a> {
    slices: &'a [InstanceHeader],
    /// Along the normal, ascending, with the tolerance of a place in mm.
    along: Vec<f64>,
    tolerance_mm: f64,
}

impl<'a> SlicePlaces<'a> {
    fn of(request: &LabelRequest<'a>) -> SlicePlaces<'a> {
        let series = request.series;
        let along =
            series.slices.iter().map(|slice| SegmentPlane::of(slice).map_or(f64::NAN, |one| one.along()));
        let side = request.volume.spacing.iter().copied().fold(f64::INFINITY, f64::min);
        SlicePlaces { slices: &series.slices, along: along.collect(), tolerance_mm: SAME_SHARE * side }
    }

    /// The slice that a frame of a size, in columns and rows, lies on pixel by pixel.
    fn find(&self, plane: &SegmentPlane, size: [usize; 2]) -> Option<usize> {
        let at = plane.along() - self.tolerance_mm;
        let index = self.along.partition_point(|along| *along < at);
        let slice = self.slices.get(index)?;
        let found = SegmentPlane::of(slice)?;
        let is_near =
            plane.position.iter().zip(found.position).all(|(a, b)| (a - b).abs() <= self.tolerance_mm);
        let same_size = [slice.columns, slice.rows].map(usize::from) == size;
        (is_near && same_size && plane.is_parallel(&found)).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_whose_orientation_is_no_pair_of_directions_has_no_place() {
        let plane = |row: [f64; 3], column: [f64; 3]| SegmentPlane {
            segment: None,
            position: [0.0, 0.0, 7.0],
            row,
            column,
            spacing: [1.0, 1.0],
        };
        let few_digits = plane([0.866, 0.5, 0.0], [-0.5, 0.866, 0.0]);
        assert!(few_digits.has_directions());
        assert!(
            (few_digits.along() - 7.0).abs() < 1e-9,
            "a place is not scaled by the lengths of directions"
        );
        for (row, column) in [
            ([0.5, 0.0, 0.0], [0.0, 0.5, 0.0]),
            ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
            ([0.0; 3], [0.0, 1.0, 0.0]),
            ([f64::NAN, 0.0, 0.0], [0.0, 1.0, 0.0]),
        ] {
            assert!(!plane(row, column).has_directions(), "{row:?} {column:?}");
        }
    }
}
