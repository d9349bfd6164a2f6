//! The calculations against numbers that other programs found on the same real studies.
//!
//! The plain method's numbers are from scipy and SimpleITK, decoding is compared with uncompressed
//! twins of the same images, and the lungs with a label map of the Chest Imaging Platform.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::support::data::Data;
use flow::imaging::steps::{assemble_volume, find_lungs, measure_densities, sort_series};
use flow::imaging::{
    HeaderError, InstanceHeader, LungDensities, LungRegion, Lungs, RegionDensity, Volume, VoxelSet,
    decode_slice, read_instance,
};
use flow::step::CancelToken;

pub fn volume(files: &[PathBuf]) -> Volume {
    let read = |path: &PathBuf| InstanceHeader::read(&path.display().to_string(), path).unwrap();
    let headers: Vec<InstanceHeader> = files.iter().map(read).collect();
    let series = sort_series::sort_series(&headers.iter().collect::<Vec<_>>(), 10).unwrap();
    assemble_volume::assemble_volume(&series, &CancelToken::default()).unwrap()
}

fn measured(volume: &Volume, lungs: &Lungs) -> LungDensities {
    measure_densities::measure_densities(volume, lungs, &measure_densities::DensitySettings::default())
        .unwrap()
}

/// The plain method's result, all as one lung.
fn plain(volume: &Volume) -> RegionDensity {
    let bits = find_lungs::plain_lungs(volume, -400, 0.2);
    let lungs = Lungs::of(bits, VoxelSet::empty(volume.size));
    measured(volume, &lungs).regions.remove(0)
}

fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, not {expected} ± {tolerance}");
}

#[test]
fn the_lidc_chest() {
    let Some(data) = Data::unpack("ct-chest-lidc0314") else { return };
    let volume = volume(&data.files("ct-chest-lidc0314"));
    assert_eq!(volume.size, [512, 512, 275]);

    let found = plain(&volume);
    assert_eq!(found.voxels, 4_575_126);
    near("volume", found.volume_ml, 2792.4353, 0.0001);
    near("mean", found.mean_hu, -824.6176402573394, 1e-9);
    near("standard deviation", found.standard_deviation_hu, 100.08815363302114, 1e-9);
    near("15th percentile", found.percentile_15_hu, -902.0, 0.0);
    near("LAA-950", found.below[0].1, 3.1995184394921585, 1e-9);
    near("LAA-910", found.below[1].1, 11.53339, 0.00001);

    let lungs =
        find_lungs::find_lungs(&volume, &find_lungs::LungSettings::default(), &CancelToken::default())
            .unwrap();
    let densities = measured(&volume, &lungs);
    let [both, right, left] = &densities.regions[..] else { panic!("two lungs") };
    assert_eq!([both.lung, right.lung, left.lung], [LungRegion::Both, LungRegion::Right, LungRegion::Left]);
    // The right lung is collapsed in part: seen in the images.
    near("right lung", right.volume_ml, 931.0, 15.0);
    near("left lung", left.volume_ml, 1910.0, 15.0);
    // The trachea is air: without it less is below −950 HU.
    assert!(both.below[0].1 < 2.5, "LAA-950 {}", both.below[0].1);
    assert!(lungs.remarks[0].contains("trachea"), "{:?}", lungs.remarks);
}

#[test]
fn the_chest_imaging_platforms_chest() {
    let Some(data) = Data::unpack("ct-chest-cip64") else { return };
    let volume = volume(&data.files("ct-chest-cip64/ct-64Dicom"));

    let found = plain(&volume);
    assert_eq!(found.voxels, 66_733);
    near("LAA-950", found.below[0].1, 19.555542235475702, 1e-9);
    near("15th percentile", found.percentile_15_hu, -955.0, 0.0);

    let lungs =
        find_lungs::find_lungs(&volume, &find_lungs::LungSettings::default(), &CancelToken::default())
            .unwrap();
    let expected = label_map(&data.path().join("ct-chest-cip64/wholeLung-64.nrrd"));
    let found: Vec<bool> = lungs.labels().map(|label| label != Lungs::NONE).collect();
    assert_eq!(found.len(), expected.len());
    let dice = dice(&found, &expected);
    println!("Dice coefficient with the label map: {dice:.4}");
    assert!(dice > 0.984, "Dice coefficient {dice}");
    let both = &measured(&volume, &lungs).regions[0];
    near("volume", both.volume_ml, 4554.16, 0.02 * 4554.16);
    near("mean", both.mean_hu, -873.81, 7.0);
    near("LAA-950", both.below[0].1, 19.662, 0.4);
}

/// 2 |A ∩ B| / (|A| + |B|).
fn dice(a: &[bool], b: &[bool]) -> f64 {
    let count = |bits: &mut dyn Iterator<Item = bool>| bits.filter(|bit| *bit).count() as f64;
    let both = count(&mut a.iter().zip(b).map(|(a, b)| *a && *b));
    2.0 * both / (count(&mut a.iter().copied()) + count(&mut b.iter().copied()))
}

/// An NRRD file: lines of text, an empty line, gzip data of 16-bit numbers.
fn label_map(path: &Path) -> Vec<bool> {
    let bytes = std::fs::read(path).unwrap();
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
    let mut labels = Vec::new();
    flate2::read::GzDecoder::new(&bytes[end + 2..]).read_to_end(&mut labels).unwrap();
    labels.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair) != 0).collect()
}

/// The decoded slice, or why not.
fn decoded(path: &Path) -> Result<Vec<i16>, String> {
    let bytes = std::fs::read(path).unwrap();
    let (header, _) = read_instance("slice", path, &bytes).map_err(|error| error.to_string())?;
    let mut voxels = vec![0; usize::from(header.rows) * usize::from(header.columns)];
    decode_slice(&header, &bytes, &mut voxels).map_err(|fault| fault.reason)?;
    Ok(voxels)
}

#[test]
fn every_transfer_syntax_gives_the_same_pixels() {
    let Some(data) = Data::unpack("odd-files") else { return };
    let folder = data.path().join("odd-files/pydicom");
    let twins = [
        ("MR_small.dcm", "MR_small_RLE.dcm"),
        ("MR_small.dcm", "MR_small_bigendian.dcm"),
        ("MR_small.dcm", "MR_small_implicit.dcm"),
        ("MR_small.dcm", "MR_small_jp2klossless.dcm"),
        ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm"),
        ("MR_small.dcm", "MR_small_padded.dcm"),
        ("693_UNCR.dcm", "693_J2KR.dcm"),
        ("MR2_UNCR.dcm", "MR2_J2KR.dcm"),
        ("JPEG2000_UNC.dcm", "JPEG2000.dcm"),
        ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),
        ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"),
    ];
    for (plain, other) in twins {
        let expected = decoded(&folder.join(plain)).unwrap();
        assert!(expected.iter().any(|voxel| *voxel != expected[0]), "{plain} has an image");
        assert!(decoded(&folder.join(other)).unwrap() == expected, "{plain} and {other} differ");
    }
    let sum =
        |name: &str| decoded(&folder.join(name)).unwrap().iter().map(|voxel| i64::from(*voxel)).sum::<i64>();
    // By pydicom.
    assert_eq!(sum("CT_small.dcm"), -1_950_906);
    assert_eq!(sum("image_dfl.dcm"), 33_322_688);
    let refused = |name: &str| decoded(&folder.join(name)).unwrap_err();
    assert!(refused("MR_truncated.dcm").contains("8192 bytes are needed, 8192 declared, 8130 there"));
    assert!(refused("rtplan_truncated.dcm").contains("declares 976 bytes, 711 are left"));
}

#[test]
fn any_file_is_read_or_refused() {
    for archive in ["odd-files", "known-good"] {
        let Some(data) = Data::unpack(archive) else { return };
        let mut readable = 0;
        for path in data.files("") {
            let bytes = std::fs::read(&path).unwrap();
            match read_instance("any", &path, &bytes) {
                Ok((header, _)) => readable += usize::from(!header.transfer_syntax_uid.is_empty()),
                Err(HeaderError::NotDicom) => assert_ne!(bytes.get(128..132), Some(b"DICM".as_slice())),
                Err(HeaderError::Damaged { study, .. }) => assert!(!study.study_instance_uid.is_empty()),
            }
        }
        assert!(readable >= 5, "{readable} readable files in {archive}");
    }
}
