//! NIfTI-1 and NIfTI-2 in one file (`.nii`, `.nii.gz`).
//!
//! The place is that of the `sform`, or of the `qform` where there is no `sform`: from indexes to
//! right-anterior-superior. <https://nifti.nimh.nih.gov/nifti-1>, <https://nifti.nimh.nih.gov/nifti-2>

use std::io::Read;

use super::affine::AffineMap;
use super::error::LabelError;
use super::map::{LabelMap, LabelRequest, OutsideMeaning};
use super::voxels::{NumberKind, VoxelByteOrder, VoxelFormat, opened, read_sets, unreadable};
use crate::printable::counted;

const FIRST_BYTES: usize = 348;
const SECOND_BYTES: usize = 540;
/// Extensions between header and voxels take less.
const OFFSET_MOST: f64 = 64e6;
/// Two places of a voxel further apart than this are not the same.
const SAME_PLACE_MM: f64 = 0.5;

pub fn read(bytes: &[u8], request: &LabelRequest) -> Result<LabelMap, LabelError> {
    let mut stream = opened(bytes);
    let mut header = vec![0; FIRST_BYTES];
    let is_gzip = bytes.starts_with(&[0x1F, 0x8B]);
    let begun = read_most(&mut *stream, &mut header)?;
    let Some(fields) = header.first_chunk().and_then(|size| HeaderFields::of(*size)) else {
        // Of a gzip file nothing else is known.
        let cut_off = is_gzip && begun < FIRST_BYTES;
        return Err(if cut_off { LabelError::HeaderCutOff } else { LabelError::UnknownFormat });
    };
    let length = if fields.is_second { SECOND_BYTES } else { FIRST_BYTES };
    header.resize(length, 0);
    let rest = read_most(&mut *stream, &mut header[FIRST_BYTES..])?;
    if begun + rest < length {
        return Err(LabelError::HeaderCutOff);
    }
    let header = fields.read(&header)?;
    let size = header.size()?;
    request.voxel_count(size)?;
    let size = size.map(|one| one as usize);
    let format = header.format()?;
    let (to_patient, remarks) = header.to_patient(size)?;
    let between = header.offset - length as f64;
    if !(0.0..=OFFSET_MOST).contains(&between) || between.fract() != 0.0 {
        return Err(LabelError::Header(format!("its voxels begin at byte {}", header.offset)));
    }
    let skipped = std::io::copy(&mut stream.by_ref().take(between as u64), &mut std::io::sink());
    if skipped.map_err(|error| unreadable(error, 0))? < between as u64 {
        return Err(LabelError::HeaderCutOff);
    }
    let (sets, labels) = read_sets(&mut *stream, size, &format, request.choice)?;
    Ok(LabelMap { to_patient, sets, labels, outside: OutsideMeaning::Unknown, remarks })
}

/// Fills a buffer as far as the stream goes.
fn read_most(stream: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, LabelError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]).map_err(|error| unreadable(error, 0)) {
            Ok(0) | Err(LabelError::CutOff { .. }) => break,
            Ok(read) => filled += read,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Which form a header has: the byte order and the version.
#[derive(Clone, Copy)]
struct HeaderFields {
    order: VoxelByteOrder,
    is_second: bool,
}

/// A header in the units of its file.
struct NiftiHeader {
    order: VoxelByteOrder,
    dimensions: [i64; 8],
    data_type: i64,
    pixel: [f64; 8],
    offset: f64,
    slope: f64,
    intercept: f64,
    units: i64,
    qform_code: i64,
    sform_code: i64,
    quaternion: [f64; 3],
    quaternion_offset: [f64; 3],
    rows: [[f64; 4]; 3],
}

impl HeaderFields {
    fn of(size: [u8; 4]) -> Option<HeaderFields> {
        let found = |number: i32| match number {
            348 => Some(false),
            540 => Some(true),
            _ => None,
        };
        let little = found(i32::from_le_bytes(size)).map(|second| (VoxelByteOrder::Little, second));
        let big = || found(i32::from_be_bytes(size)).map(|second| (VoxelByteOrder::Big, second));
        little.or_else(big).map(|(order, is_second)| HeaderFields { order, is_second })
    }

    fn read(self, bytes: &[u8]) -> Result<NiftiHeader, LabelError> {
        let magic = if self.is_second { &bytes[4..12] } else { &bytes[344..348] };
        match magic {
            b"n+1\0" | b"n+2\0\r\n\x1A\n" => {}
            b"ni1\0" | b"ni2\0\r\n\x1A\n" => {
                return Err(LabelError::Unsupported("a pair of files (.hdr and .img)".to_owned()));
            }
            _ => return Err(LabelError::UnknownFormat),
        }
        let whole = |at: usize, width: usize| self.whole(&bytes[at..at + width]);
        let real = |at: usize, width: usize| self.real(&bytes[at..at + width]);
        let reals = |at: usize, width: usize| move |index: usize| real(at + index * width, width);
        Ok(if self.is_second {
            NiftiHeader {
                order: self.order,
                dimensions: std::array::from_fn(|index| whole(16 + 8 * index, 8)),
                data_type: whole(12, 2),
                pixel: std::array::from_fn(reals(104, 8)),
                offset: whole(168, 8) as f64,
                slope: real(176, 8),
                intercept: real(184, 8),
                units: whole(500, 4),
                qform_code: whole(344, 4),
                sform_code: whole(348, 4),
                quaternion: std::array::from_fn(reals(352, 8)),
                quaternion_offset: std::array::from_fn(reals(376, 8)),
                rows: std::array::from_fn(|row| std::array::from_fn(reals(400 + 32 * row, 8))),
            }
        } else {
            NiftiHeader {
                order: self.order,
                dimensions: std::array::from_fn(|index| whole(40 + 2 * index, 2)),
                data_type: whole(70, 2),
                pixel: std::array::from_fn(reals(76, 4)),
                offset: real(108, 4),
                slope: real(112, 4),
                intercept: real(116, 4),
                units: whole(123, 1),
                qform_code: whole(252, 2),
                sform_code: whole(254, 2),
                quaternion: std::array::from_fn(reals(256, 4)),
                quaternion_offset: std::array::from_fn(reals(268, 4)),
                rows: std::array::from_fn(|row| std::array::from_fn(reals(280 + 16 * row, 4))),
            }
        })
    }

    fn bits(self, bytes: &[u8]) -> u64 {
        let shifted = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self.order {
            VoxelByteOrder::Little => bytes.iter().rev().fold(0, shifted),
            VoxelByteOrder::Big => bytes.iter().fold(0, shifted),
        }
    }

    /// A signed whole number.
    fn whole(self, bytes: &[u8]) -> i64 {
        let beyond = 64 - 8 * bytes.len() as u32;
        (self.bits(bytes) << beyond) as i64 >> beyond
    }

    fn real(self, bytes: &[u8]) -> f64 {
        let bits = self.bits(bytes);
        if bytes.len() == 4 { f64::from(f32::from_bits(bits as u32)) } else { f64::from_bits(bits) }
    }
}

impl NiftiHeader {
    fn size(&self) -> Result<[u64; 3], LabelError> {
        let [count, ..] = self.dimensions;
        let invalid = || LabelError::Header(format!("its dimensions are {:?}", self.dimensions));
        if !(1..=7).contains(&count) {
            return Err(invalid());
        }
        let of = |axis: usize| if axis as i64 <= count { self.dimensions[axis] } else { 1 };
        if (1..=7).any(|axis| of(axis) < 1) {
            return Err(invalid());
        }
        if (4..=7).any(|axis| of(axis) != 1) {
            return Err(LabelError::Unsupported(format!("a map of {}", counted(count, "dimension"))));
        }
        Ok([1, 2, 3].map(|axis| of(axis) as u64))
    }

    fn format(&self) -> Result<VoxelFormat, LabelError> {
        let kind = match self.data_type {
            2 => NumberKind::U8,
            4 => NumberKind::I16,
            8 => NumberKind::I32,
            16 => NumberKind::F32,
            64 => NumberKind::F64,
            256 => NumberKind::I8,
            512 => NumberKind::U16,
            768 => NumberKind::U32,
            1024 => NumberKind::I64,
            1280 => NumberKind::U64,
            other => return Err(LabelError::Unsupported(format!("the NIfTI data type {other}"))),
        };
        // A slope of 0 means that numbers are not scaled.
        let is_scaled = self.slope != 0.0 && self.slope.is_finite() && self.intercept.is_finite();
        let (slope, intercept) = if is_scaled { (self.slope, self.intercept) } else { (1.0, 0.0) };
        Ok(VoxelFormat { kind, order: self.order, slope, intercept })
    }

    /// Where the map lies, and a remark if the header says two things.
    fn to_patient(&self, size: [usize; 3]) -> Result<(AffineMap, Vec<String>), LabelError> {
        let sform = (self.sform_code > 0).then(|| self.sform());
        let qform = (self.qform_code > 0).then(|| self.qform());
        let Some(chosen) = sform.or(qform) else {
            return Err(LabelError::NoPlace("both its qform_code and its sform_code are 0"));
        };
        let factor = match self.units & 7 {
            1 => 1000.0,
            3 => 0.001,
            _ => 1.0,
        };
        let to_patient = chosen.scaled(factor).negated(&[0, 1]);
        if !to_patient.is_grid() {
            return Err(LabelError::NoPlace("its axes are no grid of voxels"));
        }
        let mut remarks = Vec::new();
        if let (Some(sform), Some(qform)) = (sform, qform) {
            let apart =
                corners(size).map(|corner| distance(sform.apply(corner), qform.apply(corner)) * factor);
            let most = apart.fold(0.0, f64::max);
            if most > SAME_PLACE_MM {
                remarks.push(format!(
                    "the label map's sform and qform place it up to {most:.1} mm apart: the sform was used"
                ));
            }
        }
        Ok((to_patient, remarks))
    }

    fn sform(&self) -> AffineMap {
        let linear = self.rows.map(|row| [row[0], row[1], row[2]]);
        AffineMap { linear, offset: self.rows.map(|row| row[3]) }
    }

    fn qform(&self) -> AffineMap {
        let [b, c, d] = self.quaternion;
        let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
        let handed = if self.pixel[0] < 0.0 { -1.0 } else { 1.0 };
        let [x, y, z] = [self.pixel[1], self.pixel[2], handed * self.pixel[3]];
        let turned = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        AffineMap {
            linear: turned.map(|row| [row[0] * x, row[1] * y, row[2] * z]),
            offset: self.quaternion_offset,
        }
    }
}

fn corners(size: [usize; 3]) -> impl Iterator<Item = [f64; 3]> {
    (0..8).map(move |corner| {
        std::array::from_fn(|axis| if corner >> axis & 1 == 1 { (size[axis] - 1) as f64 } else { 0.0 })
    })
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}
