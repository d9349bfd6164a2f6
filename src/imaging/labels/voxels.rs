//! The voxels of a label map, read from a stream into sets.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

use super::error::LabelError;
use super::map::{FoundLabels, LabelChoice, SETS};
use crate::imaging::VoxelSet;

/// A number in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoxelByteOrder {
    Little,
    Big,
}

/// Numbers in a file: label = stored number × slope + intercept.
#[derive(Clone, Copy, Debug)]
pub struct VoxelFormat {
    pub kind: NumberKind,
    pub order: VoxelByteOrder,
    pub slope: f64,
    pub intercept: f64,
}

impl VoxelFormat {
    pub fn bytes(&self) -> usize {
        match self.kind {
            NumberKind::U8 | NumberKind::I8 => 1,
            NumberKind::U16 | NumberKind::I16 => 2,
            NumberKind::U32 | NumberKind::I32 | NumberKind::F32 => 4,
            NumberKind::U64 | NumberKind::I64 | NumberKind::F64 => 8,
        }
    }

    fn label(&self, stored: u64) -> f64 {
        let number = match self.kind {
            NumberKind::U8 | NumberKind::U16 | NumberKind::U32 | NumberKind::U64 => stored as f64,
            NumberKind::I8 => f64::from(stored as u8 as i8),
            NumberKind::I16 => f64::from(stored as u16 as i16),
            NumberKind::I32 => f64::from(stored as u32 as i32),
            NumberKind::I64 => stored as i64 as f64,
            NumberKind::F32 => f64::from(f32::from_bits(stored as u32)),
            NumberKind::F64 => f64::from_bits(stored),
        };
        number * self.slope + self.intercept
    }

    /// The label of a number as it is in the file.
    pub fn label_of(&self, bytes: &[u8]) -> f64 {
        self.label(self.stored(bytes))
    }

    fn stored(&self, bytes: &[u8]) -> u64 {
        let shifted = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self.order {
            VoxelByteOrder::Little => bytes.iter().rev().fold(0, shifted),
            VoxelByteOrder::Big => bytes.iter().fold(0, shifted),
        }
    }
}

/// The bytes of a file, decompressed if it begins as a gzip file does.
pub fn opened(bytes: &[u8]) -> Box<dyn Read + '_> {
    if bytes.starts_with(&[0x1F, 0x8B]) { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) }
}

/// The sets of the voxels of a grid, x fastest, to the end of the stream.
///
/// # Errors
/// If the stream is damaged, shorter or longer than the grid, or holds numbers that are not whole.
pub fn read_sets(
    stream: &mut dyn Read,
    size: [usize; 3],
    format: &VoxelFormat,
    choice: &LabelChoice,
) -> Result<([VoxelSet; SETS], FoundLabels), LabelError> {
    let mut sets: [VoxelSet; SETS] = std::array::from_fn(|_| VoxelSet::empty(size));
    let mut reader = LabelReader { format, choice, labels: FoundLabels::default(), last: None };
    let width = format.bytes();
    let mut row = vec![0; size[0] * width];
    let declared = (size.iter().product::<usize>() * width) as u64;
    let nothing = reader.sets_of(0)? == 0;
    for (y, z) in (0..size[2]).flat_map(|z| (0..size[1]).map(move |y| (y, z))) {
        stream.read_exact(&mut row).map_err(|error| unreadable(error, declared))?;
        if nothing && row.iter().all(|byte| *byte == 0) {
            continue;
        }
        for (x, number) in row.chunks_exact(width).enumerate() {
            let belongs = reader.sets_of(format.stored(number))?;
            if belongs != 0 {
                let into = sets.iter_mut().enumerate().filter(|(set, _)| belongs >> set & 1 == 1);
                into.for_each(|(_, set)| set.insert([x, y, z]));
            }
        }
    }
    match stream.read(&mut [0]) {
        Ok(0) => Ok((sets, reader.labels)),
        Ok(_) => Err(LabelError::TooLong),
        Err(error) => Err(unreadable(error, declared)),
    }
}

pub fn unreadable(error: io::Error, declared: u64) -> LabelError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => LabelError::CutOff { declared },
        _ => LabelError::Compression(error),
    }
}

/// Looks a label up once for all neighbours that share it.
struct LabelReader<'a> {
    format: &'a VoxelFormat,
    choice: &'a LabelChoice,
    labels: FoundLabels,
    last: Option<(u64, u8)>,
}

impl LabelReader<'_> {
    fn sets_of(&mut self, stored: u64) -> Result<u8, LabelError> {
        if let Some((last, sets)) = self.last
            && last == stored
        {
            return Ok(sets);
        }
        let label = self.format.label(stored);
        if !label.is_finite() || label.fract() != 0.0 {
            return Err(LabelError::NotWhole(label));
        }
        self.labels.add(label);
        let sets = self.choice.sets_of(label);
        self.last = Some((stored, sets));
        Ok(sets)
    }
}
