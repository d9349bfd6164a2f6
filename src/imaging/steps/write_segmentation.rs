//! `write-segmentation`: writes the lungs, the airways and gas that is no lung as a Segmentation object.
//!
//! The object's frames have the pixels of the source's slices: where the volume holds the slices of a tilted
//! gantry upright, each frame is moved back. A frame refers to the instance, or the frame of an enhanced
//! object, that it lies on, and has its position. Frames without voxels are left out.

use crate::imaging::objects::{
    FrameSize, GeneratedSeries, PixelSource, SegmentDescription, SegmentFrame, SegmentMaker,
    SegmentationObject, SourcePlane, codes,
};
use crate::imaging::packed::{PackedFrames, SliceWindow};
use crate::imaging::upright::UprightFrame;
use crate::imaging::{Lungs, SegmentKind, SegmentationReference, SortedSeries, VoxelSet};
use crate::step::{BuiltIn, Call, Fault, Request, ResponseFile, ResponseFiles, Step, StepOutputs};
use dicom_dictionary_std::uids;

fn step() -> Step {
    let [number, description] = GeneratedSeries::parameters(9006, "flow: lung segments");
    let about = "Writes lungs, airways and gas as a Segmentation object in the request's study.";
    Step::new("write-segmentation", 2, about)
        .takes::<Request>("request")
        .takes::<SortedSeries>("series")
        .takes::<Lungs>("lungs")
        .gives::<ResponseFiles>("files")
        .gives::<SegmentationReference>("reference")
        .identifies()
        .parameter(number)
        .parameter(description)
        .runs(|call| {
            let (series, lungs) = (call.input("series"), call.input("lungs"));
            let planes = SegmentPlanes::of(series, lungs)?;
            let reference = SegmentationReference {
                sop_class_uid: uids::SEGMENTATION_STORAGE.to_owned(),
                sop_instance_uid: call.uid(1),
                series_instance_uid: call.uid(0),
                segments: planes.sets.iter().map(|(kind, _)| *kind).collect(),
            };
            let files = if planes.sets.is_empty() { Vec::new() } else { vec![planes.write(call)?] };
            Ok(StepOutputs::one("files", ResponseFiles(files)).with("reference", reference))
        })
}

inventory::submit! { BuiltIn(step) }

/// The sets of voxels that are segments, and the slices that show them.
struct SegmentPlanes<'a> {
    series: &'a SortedSeries,
    maker: SegmentMaker<'a>,
    sets: Vec<(SegmentKind, &'a VoxelSet)>,
    /// For each slice, the part of the volume's slice that it covers.
    windows: Vec<SliceWindow>,
    /// Segment, from 1, and slice of each frame.
    frames: Vec<(u16, usize)>,
}

impl<'a> SegmentPlanes<'a> {
    fn of(series: &'a SortedSeries, lungs: &'a Lungs) -> Result<SegmentPlanes<'a>, Fault> {
        let upright = UprightFrame::around(series)?;
        let windows = series.slices.iter().enumerate().map(|(index, slice)| SliceWindow {
            corner: upright.corner(series.shifts.get(index).copied().unwrap_or([0, 0])),
            columns: slice.columns.into(),
            rows: slice.rows.into(),
        });
        let windows: Vec<SliceWindow> = windows.collect();
        let all = [
            (SegmentKind::RightLung, &lungs.right),
            (SegmentKind::LeftLung, &lungs.left),
            (SegmentKind::Airways, &lungs.airways),
            (SegmentKind::Gas, &lungs.gas),
        ];
        let (mut sets, mut frames) = (Vec::new(), Vec::new());
        for (kind, set) in all {
            let number = sets.len() as u16 + 1;
            let shown = windows.iter().enumerate().filter(|(z, window)| window.shows(set, *z));
            let before = frames.len();
            frames.extend(shown.map(|(z, _)| (number, z)));
            if frames.len() > before {
                sets.push((kind, set));
            }
        }
        let maker = lungs.made_by.as_deref().map_or(SegmentMaker::FindLungs, SegmentMaker::Other);
        Ok(SegmentPlanes { series, maker, sets, windows, frames })
    }

    fn write(&self, call: &Call) -> Result<ResponseFile, Fault> {
        let study = self.series.study(call.input("request"));
        let mut slices: Vec<usize> = self.frames.iter().map(|(_, slice)| *slice).collect();
        slices.sort_unstable();
        slices.dedup();
        let first = &self.series.slices[slices[0]];
        let plane = |slice: usize| slices.binary_search(&slice).expect("the slice of a frame");
        let frame = |&(segment, slice): &(u16, usize)| SegmentFrame { segment, plane: plane(slice) };
        let source = |slice: &usize| SourcePlane::of(&self.series.slices[*slice], self.series.slice_spacing);
        let own_frame_of_reference = call.uid(3);
        let object = SegmentationObject {
            uid: call.uid(1),
            dimensions_uid: call.uid(2),
            study: &study,
            series: GeneratedSeries::of(call, "SEG"),
            frame_of_reference_uid: match first.frame_of_reference_uid.as_str() {
                "" => &own_frame_of_reference,
                uid => uid,
            },
            segments: self.sets.iter().map(|(kind, _)| description(*kind)).collect(),
            maker: self.maker,
            planes: slices.iter().map(source).collect(),
            frames: self.frames.iter().map(frame).collect(),
            size: FrameSize {
                rows: first.rows,
                columns: first.columns,
                plane_spacing: self.series.slice_spacing,
            },
            pixels: self.pixels(),
        };
        object.into_instance().into_file("segmentation.dcm")
    }

    fn pixels(&self) -> PixelSource<'_> {
        let pixels = self.windows.first().map_or(0, |window| window.rows * window.columns);
        PixelSource::new((self.frames.len() * pixels).div_ceil(8), |bytes| {
            let mut packed = PackedFrames::of(bytes);
            for (segment, slice) in &self.frames {
                let (_, set) = self.sets[usize::from(*segment) - 1];
                packed.push(&self.windows[*slice], set, *slice);
            }
            packed.finish();
        })
    }
}

/// Colours are those of the pictures.
fn description(kind: SegmentKind) -> SegmentDescription {
    let structure = codes::ANATOMICAL_STRUCTURE;
    let (label, category, property, modifier, colour) = match kind {
        SegmentKind::RightLung => {
            ("right lung", structure, codes::LUNG, Some(codes::RIGHT), [53000, 35839, 52565])
        }
        SegmentKind::LeftLung => {
            ("left lung", structure, codes::LUNG, Some(codes::LEFT), [47941, 29404, 23613])
        }
        SegmentKind::Airways => {
            ("airways", structure, codes::TRACHEA_AND_BRONCHUS, None, [37842, 21141, 36174])
        }
        SegmentKind::Gas => {
            ("gas that is no lung", codes::BODY_SUBSTANCE, codes::GAS, None, [40007, 42800, 30170])
        }
    };
    SegmentDescription { label, category, property, modifier, colour }
}
