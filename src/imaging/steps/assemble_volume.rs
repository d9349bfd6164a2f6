//! `assemble-volume`: assembles the slices of a series to one volume of CT numbers.
//!
//! Slices are read and decoded in parallel, each straight into its place, and their part of the coarse grid is
//! computed at once. Beside the volume, memory holds one file per thread, or the file of an enhanced object, whose
//! frames are the slices. The first slice in order that cannot be decoded is the fault.
//!
//! A slice that shows nothing of the body between slices that do is as good as missing, and the fault names it.
//!
//! Slices that lie aside of each other, as with a tilted gantry, are moved upright by whole pixels: no
//! value is interpolated, so densities stay as they were measured. What the images do not show is air.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rayon::prelude::*;

use crate::imaging::blank::{SliceContent, gaps_in_body};
use crate::imaging::coarse::{CoarseLayer, CoarseLayers, ColumnSums};
use crate::imaging::slice_files::SharedFiles;
use crate::imaging::upright::UprightFrame;
use crate::imaging::{InstanceHeader, NumberBlock, SortedSeries, Volume, decode_slice};
use crate::step::{BuiltIn, CancelToken, Fault, Step, StepOutputs};

/// The most voxels of a volume: 4 GiB.
const VOXELS_MOST: usize = 1 << 31;
/// CT number of voxels outside a slice that was moved.
const OUTSIDE_HU: i16 = -1024;

fn step() -> Step {
    Step::new("assemble-volume", 4, "Decodes the slices of a series into one volume of CT numbers.")
        .takes::<SortedSeries>("series")
        .gives::<Volume>("volume")
        .recomputed()
        .runs(|call| Ok(StepOutputs::one("volume", assemble_volume(call.input("series"), call.token)?)))
}

inventory::submit! { BuiltIn(step) }

/// Decodes a series from `sort-series`, which has one size, one orientation and even spacing.
///
/// # Errors
/// A fault that names the slice that cannot be read or decoded, and why, or the slices that show nothing; or one without a
/// slice, if the token is set.
///
/// # Panics
/// If the series is empty or its slices lack their geometry.
pub fn assemble_volume(series: &SortedSeries, token: &CancelToken) -> Result<Volume, Fault> {
    let frame = UprightFrame::around(series)?;
    let mut volume = empty_volume(series, &frame)?;
    let pixels = volume.size[0] * volume.size[1];
    let files = SharedFiles::read(&series.slices).map_err(|(_, error)| unreadable(&error))?;
    let layers = CoarseLayers::of(volume.size, volume.spacing);
    let parts = volume.voxels.par_chunks_mut(pixels * layers.depth()).enumerate();
    let made: Vec<Result<DecodedLayer, (usize, Fault)>> = parts
        .map_init(Buffers::default, |buffers, (part, slices)| {
            let mut contents = Vec::with_capacity(layers.depth());
            for (offset, voxels) in slices.chunks_exact_mut(pixels).enumerate() {
                let index = part * layers.depth() + offset;
                let header = &series.slices[index];
                let filled = token.check().and_then(|()| match series.shifts.get(index) {
                    None => fill_slice(header, &files, &mut buffers.bytes, voxels),
                    Some(shift) => fill_moved(header, &files, buffers, voxels, &frame, *shift),
                });
                filled.map_err(|fault| (index, fault))?;
                contents.push(SliceContent::of(voxels));
            }
            Ok(DecodedLayer { cells: layers.layer(slices, &mut buffers.sums), contents })
        })
        .collect();
    token.check()?;
    let made: Result<Vec<DecodedLayer>, (usize, Fault)> = made.into_iter().collect();
    let made = made.map_err(|(index, fault)| at_slice(series, index, fault))?;
    let (cells, contents): (Vec<CoarseLayer>, Vec<Vec<SliceContent>>) =
        made.into_iter().map(|layer| (layer.cells, layer.contents)).unzip();
    check_contents(series, &contents.concat())?;
    volume.voxels.keep(layers.join(&cells));
    Ok(volume)
}

/// Decoded slices: their cells of the coarse grid, and what each shows.
struct DecodedLayer {
    cells: CoarseLayer,
    contents: Vec<SliceContent>,
}

/// Refuses a volume with slices that show nothing between slices of a body.
fn check_contents(series: &SortedSeries, contents: &[SliceContent]) -> Result<(), Fault> {
    let gaps = gaps_in_body(contents);
    let Some(first) = gaps.first().map(|index| &series.slices[*index]) else { return Ok(()) };
    let z = first.position.map_or(0.0, |position| position[2]);
    let [verb, place] = if gaps.len() == 1 { ["shows", "at"] } else { ["show", "the first at"] };
    Err(Fault::new(
        format!(
            "{} of the {} slices of {} {verb} nothing between slices that show the body, {place} z = {z:.1} mm",
            gaps.len(),
            series.slices.len(),
            first.series_label()
        ),
        "Send the series again once all of its slices have a picture.",
    ))
}

/// Buffers that a thread uses for one slice after the other.
#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    voxels: Vec<i16>,
    sums: ColumnSums,
}

fn empty_volume(series: &SortedSeries, frame: &UprightFrame) -> Result<Volume, Fault> {
    let first = series.slices.first().expect("a series has slices");
    let spacing = first.spacing.expect("sorted slices have a spacing");
    let orientation = first.orientation.expect("sorted slices have an orientation");
    let position = first.position.expect("sorted slices have a position");
    let [x, y] = [[0, 1, 2], [3, 4, 5]].map(|part| part.map(|index| orientation[index]));
    let size = [frame.size[0], frame.size[1], series.slices.len()];
    let [aside, below] = [f64::from(frame.start[0]) * spacing[1], f64::from(frame.start[1]) * spacing[0]];
    Ok(Volume {
        // Decoding either writes every voxel or fails.
        voxels: NumberBlock::unset(voxel_count(size)?).into(),
        size,
        spacing: [spacing[1], spacing[0], series.slice_spacing],
        origin: std::array::from_fn(|axis| position[axis] + aside * x[axis] + below * y[axis]),
        axes: [x, y, cross(x, y)],
    })
}

/// Decodes a slice, and copies it to where it lies in the frame.
fn fill_moved(
    header: &InstanceHeader,
    files: &SharedFiles,
    buffers: &mut Buffers,
    voxels: &mut [i16],
    frame: &UprightFrame,
    shift: [i32; 2],
) -> Result<(), Fault> {
    let [columns, rows] = [header.columns, header.rows].map(usize::from);
    buffers.voxels.resize(columns * rows, 0);
    fill_slice(header, files, &mut buffers.bytes, &mut buffers.voxels)?;
    voxels.fill(OUTSIDE_HU);
    let [left, top] = frame.corner(shift);
    for (row, line) in buffers.voxels.chunks_exact(columns).enumerate() {
        voxels[(top + row) * frame.size[0] + left..][..columns].copy_from_slice(line);
    }
    Ok(())
}

fn voxel_count([columns, rows, slices]: [usize; 3]) -> Result<usize, Fault> {
    let voxels = columns.saturating_mul(rows).saturating_mul(slices);
    if (1..=VOXELS_MOST).contains(&voxels) {
        return Ok(voxels);
    }
    Err(Fault::new(
        format!("a volume of {columns} × {rows} × {slices} voxels cannot be held"),
        "Send a series with a matrix of 512 × 512 or 1024 × 1024.",
    ))
}

fn fill_slice(
    header: &InstanceHeader,
    files: &SharedFiles,
    bytes: &mut Vec<u8>,
    voxels: &mut [i16],
) -> Result<(), Fault> {
    if let Some(bytes) = files.get(&header.path) {
        return decode_slice(header, bytes, voxels);
    }
    read_into(&header.path, bytes).map_err(|error| unreadable(&error))?;
    decode_slice(header, bytes, voxels)
}

fn unreadable(error: &io::Error) -> Fault {
    Fault::new(format!("the file could not be read: {error}"), "Check that the file is there and readable.")
}

/// Reads a file into a buffer that the thread uses again.
fn read_into(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    File::open(path)?.read_to_end(bytes)?;
    Ok(())
}

fn at_slice(series: &SortedSeries, index: usize, fault: Fault) -> Fault {
    let name = &series.slices[index].name;
    let place = format!("slice {} of {} ({name})", index + 1, series.slices.len());
    Fault::new(format!("{place}: {}", fault.reason), fault.remedy)
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::sample;

    /// A series of files in a folder; slice `z` holds the stored value `1000 + z` everywhere.
    fn series(folder: &Path) -> SortedSeries {
        let slices = (0..5).map(|z| {
            let header = InstanceHeader { path: folder.join(format!("{z}.dcm")), ..sample::header(z) };
            let pixels = (1000 + z as u16).to_le_bytes().repeat(12);
            std::fs::write(&header.path, sample::slice_file(&header, &pixels)).unwrap();
            header
        });
        SortedSeries {
            slices: slices.collect(),
            slice_spacing: 1.0,
            shifts: Vec::new(),
            remarks: Vec::new(),
            reservations: Vec::new(),
        }
    }

    #[test]
    fn slices_lie_one_behind_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let volume = assemble_volume(&series(folder.path()), &CancelToken::default()).unwrap();
        assert_eq!((volume.size, volume.spacing), ([4, 3, 5], [0.5, 0.5, 1.0]));
        assert_eq!((volume.origin, volume.axes[2]), ([-2.0, -1.5, 0.0], [0.0, 0.0, 1.0]));
        let expected: Vec<i16> = (0..60).map(|index| index / 12 - 24).collect();
        assert_eq!(*volume.voxels, expected);
    }

    #[test]
    fn slices_aside_of_each_other_are_moved_upright() {
        let folder = tempfile::tempdir().unwrap();
        let shifts = vec![[0, 0], [0, 1], [0, 2], [-1, 0], [0, 0]];
        let volume =
            assemble_volume(&SortedSeries { shifts, ..series(folder.path()) }, &CancelToken::default())
                .unwrap();
        assert_eq!((volume.size, volume.origin), ([5, 5, 5], [-2.5, -1.5, 0.0]));
        assert_eq!([volume.hu([1, 0, 0]), volume.hu([1, 0, 1]), volume.hu([1, 1, 1])], [-24, -1024, -23]);
        assert_eq!([volume.hu([0, 0, 3]), volume.hu([4, 0, 3]), volume.hu([4, 2, 3])], [-21, -1024, -1024]);
    }

    #[test]
    fn the_first_bad_slice_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let series = series(folder.path());
        let bytes = std::fs::read(&series.slices[2].path).unwrap();
        std::fs::write(&series.slices[2].path, &bytes[..bytes.len() - 4]).unwrap();
        std::fs::remove_file(&series.slices[4].path).unwrap();
        let fault = assemble_volume(&series, &CancelToken::default()).unwrap_err();
        assert!(fault.reason.starts_with("slice 3 of 5 (slice-2): the pixel data is cut off"), "{fault}");
        assert!(!fault.remedy.is_empty());
    }

    /// Slices of tissue in air, with one value where `blank` says so.
    fn body(folder: &Path, blank: fn(usize) -> bool) -> SortedSeries {
        let series = series(folder);
        for (z, header) in series.slices.iter().enumerate() {
            let stored = |at: u16| if blank(z) { 0_u16 } else { 1000 + at % 3 + 50 * (at % 2) };
            let pixels: Vec<u8> = (0..12).flat_map(|at| stored(at).to_le_bytes()).collect();
            std::fs::write(&header.path, sample::slice_file(header, &pixels)).unwrap();
        }
        series
    }

    #[test]
    fn a_slice_that_shows_nothing_within_the_body_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let assembled = |blank| assemble_volume(&body(folder.path(), blank), &CancelToken::default());
        assert_eq!(assembled(|_| false).unwrap().size, [4, 3, 5]);
        assert_eq!(assembled(|z| z == 0 || z == 4).unwrap().size, [4, 3, 5], "nothing lies beyond these");
        let one = assembled(|z| z == 3).unwrap_err();
        assert_eq!(
            one.reason,
            "1 of the 5 slices of series 3 (Thorax) shows nothing between slices that show the body, at z = 3.0 mm"
        );
        let two = assembled(|z| z == 1 || z == 2).unwrap_err();
        assert!(
            two.reason.contains("2 of the 5 slices") && two.reason.ends_with("the first at z = 1.0 mm"),
            "{two}"
        );
        assert!(two.remedy.starts_with("Send"));
    }

    #[test]
    fn a_volume_that_nobody_wants_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let series = series(folder.path());
        std::fs::remove_file(&series.slices[0].path).unwrap();
        let token = CancelToken::default();
        token.cancel();
        assert_eq!(assemble_volume(&series, &token).unwrap_err(), Fault::cancelled());
    }

    #[test]
    fn a_forged_size_is_refused() {
        let header = InstanceHeader { rows: u16::MAX, columns: u16::MAX, ..sample::header(0) };
        let series = SortedSeries {
            slices: vec![header],
            slice_spacing: 1.0,
            shifts: Vec::new(),
            remarks: Vec::new(),
            reservations: Vec::new(),
        };
        assert!(
            assemble_volume(&series, &CancelToken::default())
                .unwrap_err()
                .reason
                .contains("65535 × 65535 × 1")
        );
    }
}
