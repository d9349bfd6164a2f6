//! `assemble-volume`: assembles the slices of a series to one volume of CT numbers.
//!
//! Slices are read and decoded in parallel, each directly into its part of the volume. Besides the volume,
//! memory holds one file per thread. The fault is that of the first slice, in order, that cannot be decoded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rayon::prelude::*;

use crate::imaging::{Block, Header, Series, Volume, decode_slice};
use crate::step::{BuiltIn, Fault, Outputs, Step, Token};

/// The most voxels of a volume: 4 GiB.
const VOXELS_MOST: usize = 1 << 31;

fn step() -> Step {
    Step::new("assemble-volume", 1, "Decodes the slices of a series into one volume of CT numbers.")
        .takes::<Series>("series")
        .gives::<Volume>("volume")
        .recomputed()
        .runs(|call| Ok(Outputs::one("volume", assemble_volume(call.input("series"), call.token)?)))
}

inventory::submit! { BuiltIn(step) }

/// Decodes a series from `sort-series`, which has one size, one orientation and even spacing.
///
/// # Errors
/// A fault that names the slice that cannot be read or decoded, and why; or one without a slice, if the token
/// is set.
///
/// # Panics
/// If the series is empty or its slices lack their geometry.
pub fn assemble_volume(series: &Series, token: &Token) -> Result<Volume, Fault> {
    let mut volume = empty_volume(series)?;
    let pixels = volume.size[0] * volume.size[1];
    let slices = volume.voxels.par_chunks_exact_mut(pixels).zip(&series.slices).enumerate();
    let faults: Vec<(usize, Fault)> = slices
        .map_init(Vec::new, |bytes, (index, (voxels, header))| {
            let filled = token.check().and_then(|()| fill_slice(header, bytes, voxels));
            filled.err().map(|fault| (index, fault))
        })
        .flatten()
        .collect();
    token.check()?;
    match faults.into_iter().next() {
        None => Ok(volume),
        Some((index, fault)) => Err(at_slice(series, index, fault)),
    }
}

fn empty_volume(series: &Series) -> Result<Volume, Fault> {
    let first = series.slices.first().expect("a series has slices");
    let spacing = first.spacing.expect("sorted slices have a spacing");
    let orientation = first.orientation.expect("sorted slices have an orientation");
    let [x, y] = [[0, 1, 2], [3, 4, 5]].map(|part| part.map(|index| orientation[index]));
    let size = [usize::from(first.columns), usize::from(first.rows), series.slices.len()];
    Ok(Volume {
        // Decoding either writes every voxel or fails.
        voxels: Block::unset(voxel_count(size)?),
        size,
        spacing: [spacing[1], spacing[0], series.slice_spacing],
        origin: first.position.expect("sorted slices have a position"),
        axes: [x, y, cross(x, y)],
    })
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

fn fill_slice(header: &Header, bytes: &mut Vec<u8>, voxels: &mut [i16]) -> Result<(), Fault> {
    read_into(&header.path, bytes).map_err(|error| {
        Fault::new(
            format!("the file could not be read: {error}"),
            "Check that the file is there and readable.",
        )
    })?;
    decode_slice(header, bytes, voxels)
}

/// Reads a file into a buffer that the thread uses again.
fn read_into(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    File::open(path)?.read_to_end(bytes)?;
    Ok(())
}

fn at_slice(series: &Series, index: usize, fault: Fault) -> Fault {
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
    fn series(folder: &Path) -> Series {
        let slices = (0..5).map(|z| {
            let header = Header { path: folder.join(format!("{z}.dcm")), ..sample::header(z) };
            let pixels = (1000 + z as u16).to_le_bytes().repeat(12);
            std::fs::write(&header.path, sample::slice_file(&header, &pixels)).unwrap();
            header
        });
        Series { slices: slices.collect(), slice_spacing: 1.0, remarks: Vec::new() }
    }

    #[test]
    fn slices_lie_one_behind_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let volume = assemble_volume(&series(folder.path()), &Token::default()).unwrap();
        assert_eq!((volume.size, volume.spacing), ([4, 3, 5], [0.5, 0.5, 1.0]));
        assert_eq!((volume.origin, volume.axes[2]), ([-2.0, -1.5, 0.0], [0.0, 0.0, 1.0]));
        let expected: Vec<i16> = (0..60).map(|index| index / 12 - 24).collect();
        assert_eq!(*volume.voxels, expected);
    }

    #[test]
    fn the_first_bad_slice_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let series = series(folder.path());
        let bytes = std::fs::read(&series.slices[2].path).unwrap();
        std::fs::write(&series.slices[2].path, &bytes[..bytes.len() - 4]).unwrap();
        std::fs::remove_file(&series.slices[4].path).unwrap();
        let fault = assemble_volume(&series, &Token::default()).unwrap_err();
        assert!(fault.reason.starts_with("slice 3 of 5 (slice-2): the pixel data is cut off"), "{fault}");
        assert!(!fault.remedy.is_empty());
    }

    #[test]
    fn a_volume_that_nobody_wants_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let series = series(folder.path());
        std::fs::remove_file(&series.slices[0].path).unwrap();
        let token = Token::default();
        token.cancel();
        assert_eq!(assemble_volume(&series, &token).unwrap_err(), Fault::cancelled());
    }

    #[test]
    fn a_forged_size_is_refused() {
        let header = Header { rows: u16::MAX, columns: u16::MAX, ..sample::header(0) };
        let series = Series { slices: vec![header], slice_spacing: 1.0, remarks: Vec::new() };
        assert!(
            assemble_volume(&series, &Token::default()).unwrap_err().reason.contains("65535 × 65535 × 1")
        );
    }
}
