//! The samples of one component, and the data between restart markers.

use std::borrow::Cow;

use super::frame::{JpegComponent, JpegFrame, JpegProcess};
use super::widen;

pub struct JpegPlane {
    samples: Vec<u16>,
    stride: usize,
    /// Columns and rows that belong to the image; the rest of the plane completes blocks.
    size: [usize; 2],
    /// Image samples per sample of this plane, across and down.
    step: [usize; 2],
    pub seen: bool,
}

impl JpegPlane {
    /// Allocates room for all blocks of all MCUs, or for the samples of a lossless image. The frame's size is
    /// the layout's, so memory stays within the limit that the layout has been checked by.
    pub fn new(frame: &JpegFrame, component: &JpegComponent) -> JpegPlane {
        let most = frame.mcu();
        let step = [most[0] / component.across, most[1] / component.down];
        let [columns, rows] = match frame.process {
            JpegProcess::Lossless => [frame.columns, frame.rows],
            JpegProcess::Sequential => [
                frame.columns.div_ceil(8 * most[0]) * 8 * component.across,
                frame.rows.div_ceil(8 * most[1]) * 8 * component.down,
            ],
        };
        let size = [frame.columns.div_ceil(step[0]), frame.rows.div_ceil(step[1])];
        JpegPlane { samples: vec![0; columns * rows], stride: columns, size, step, seen: false }
    }

    pub fn set_block(&mut self, x: usize, y: usize, block: &[u16; 64]) {
        let rows = self.samples.chunks_exact_mut(self.stride).skip(8 * y);
        for (row, samples) in rows.zip(block.as_chunks::<8>().0) {
            row[8 * x..8 * x + 8].copy_from_slice(samples);
        }
    }

    /// A row and the row above it, which is empty for the first row.
    pub fn row_and_above(&mut self, y: usize) -> (&mut [u16], &[u16]) {
        let (above, rest) = self.samples.split_at_mut(y * self.stride);
        (&mut rest[..self.stride], &above[above.len().saturating_sub(self.stride)..])
    }

    /// Reverses the point transform: shifts samples left.
    pub fn shift(&mut self, bits: u32) {
        if bits > 0 {
            self.samples.iter_mut().for_each(|sample| *sample <<= bits);
        }
    }

    /// A row of the image at full width. Samples at half the width, or at half of both width and height, are
    /// interpolated as the Independent JPEG Group does it; at any other ratio they are repeated.
    pub fn image_row(&self, y: usize) -> Cow<'_, [u16]> {
        let own = self.row(y / self.step[1]);
        match self.step {
            [1, _] => Cow::Borrowed(own),
            [2, 1] if self.size[0] > 2 => Cow::Owned(widen::doubled(own)),
            [2, 2] if self.size[0] > 2 => {
                let near = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 };
                Cow::Owned(widen::doubled_between(own, self.row(near.min(self.size[1] - 1))))
            }
            [across, _] => {
                Cow::Owned(own.iter().flat_map(|sample| std::iter::repeat_n(*sample, across)).collect())
            }
        }
    }

    fn row(&self, y: usize) -> &[u16] {
        &self.samples[y * self.stride..][..self.size[0]]
    }
}

/// The data of each restart interval: everything, or the parts between RST markers.
pub fn restarts(data: &[u8], restart: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let data = rest?;
        let is_restart = |pair: &[u8]| pair[0] == 0xFF && (0xD0..=0xD7).contains(&pair[1]);
        let end = if restart > 0 { data.windows(2).position(is_restart) } else { None };
        rest = end.map(|end| &data[end + 2..]);
        Some(&data[..end.unwrap_or(data.len())])
    })
}
