//! Lines of samples: prediction, runs, and the sample that ends a run (T.87 A.3, A.4 and A.7).

use super::bits::JpegLsBits;
use super::context::SampleContext;
use super::parameters::ScanParameters;
use crate::imaging::codecs::PixelLayout;
use crate::imaging::codecs::stream::StreamError;

/// The table J: bits of a run's length (A.2.1).
const RUN_BITS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// A line of a component and the line above it, each with an additional sample at both ends.
pub struct SampleLine {
    current: Vec<u16>,
    above: Vec<u16>,
    /// The component's index in [`RUN_BITS`].
    run_index: usize,
}

/// The neighbours of a sample: left, above, above left and above right.
#[derive(Clone, Copy)]
struct SampleNeighbours {
    a: i32,
    b: i32,
    c: i32,
    d: i32,
}

impl SampleLine {
    pub fn new(columns: usize) -> SampleLine {
        SampleLine { current: vec![0; columns + 2], above: vec![0; columns + 2], run_index: 0 }
    }

    /// Begins the next line. The sample left of the line is taken from above, the one right of it repeats the
    /// last sample above.
    pub fn next(&mut self) {
        std::mem::swap(&mut self.current, &mut self.above);
        let last = self.above.len() - 1;
        self.above[last] = self.above[last - 1];
        self.current[0] = self.above[1];
    }

    fn columns(&self) -> usize {
        self.current.len() - 2
    }

    #[inline]
    fn neighbours(&self, x: usize) -> SampleNeighbours {
        let [c, b, d] = [self.above[x], self.above[x + 1], self.above[x + 2]].map(i32::from);
        SampleNeighbours { a: i32::from(self.current[x]), b, c, d }
    }

    fn repeat(&mut self, x: usize, count: usize) {
        let left = self.current[x];
        self.current[x + 1..x + 1 + count].fill(left);
    }

    /// Writes the line as one component of a row of pixels.
    pub fn write(&self, layout: &PixelLayout, component: usize, row: &mut [u8]) {
        let size = layout.bytes_per_sample();
        let places = row.chunks_exact_mut(size).skip(component).step_by(layout.samples_per_pixel);
        for (place, sample) in places.zip(&self.current[1..]) {
            let bytes = u32::from(*sample).to_le_bytes();
            place.copy_from_slice(&bytes[..size]);
        }
    }
}

/// Decodes the lines of a scan.
pub struct LineDecoder<'a> {
    parameters: &'a ScanParameters,
    bits: JpegLsBits<'a>,
    contexts: Vec<SampleContext>,
    /// Contexts of samples that end a run: for neighbours that differ, and for neighbours that are alike.
    after_run: [SampleContext; 2],
}

impl<'a> LineDecoder<'a> {
    pub fn new(parameters: &'a ScanParameters, bits: JpegLsBits<'a>) -> LineDecoder<'a> {
        let fresh = SampleContext::new(parameters);
        LineDecoder { parameters, bits, contexts: vec![fresh; 365], after_run: [fresh; 2] }
    }

    pub fn line(&mut self, line: &mut SampleLine) -> Result<(), StreamError> {
        let columns = line.columns();
        let mut x = 0;
        while x < columns {
            let neighbours = line.neighbours(x);
            let surroundings = self.surroundings(neighbours);
            if surroundings != 0 {
                line.current[x + 1] = self.sample(neighbours, surroundings)?;
                x += 1;
                continue;
            }
            let run = self.run(&mut line.run_index, columns - x)?;
            line.repeat(x, run);
            x += run;
            if x < columns {
                line.current[x + 1] = self.end_of_run(line.neighbours(x), line.run_index)?;
                line.run_index = line.run_index.saturating_sub(1);
                x += 1;
            }
        }
        Ok(())
    }

    /// Decodes three components whose samples alternate: a run covers all of them, and the first line counts
    /// it.
    pub fn triplets(&mut self, mut lines: [&mut SampleLine; 3]) -> Result<(), StreamError> {
        let columns = lines[0].columns();
        let mut x = 0;
        while x < columns {
            let neighbours = lines.each_ref().map(|line| line.neighbours(x));
            let surroundings = neighbours.map(|neighbours| self.surroundings(neighbours));
            if surroundings != [0; 3] {
                for (line, (neighbours, surroundings)) in
                    lines.iter_mut().zip(neighbours.into_iter().zip(surroundings))
                {
                    line.current[x + 1] = self.sample(neighbours, surroundings)?;
                }
                x += 1;
                continue;
            }
            let run = self.run(&mut lines[0].run_index, columns - x)?;
            lines.iter_mut().for_each(|line| line.repeat(x, run));
            x += run;
            if x < columns {
                let run_index = lines[0].run_index;
                for line in &mut lines {
                    line.current[x + 1] = self.end_of_triplet(line.neighbours(x), run_index)?;
                }
                lines[0].run_index = run_index.saturating_sub(1);
                x += 1;
            }
        }
        Ok(())
    }

    /// The gradients around a sample as one number; a mirrored pattern has the negative number. 0 stands for
    /// no gradient, where a run begins.
    #[inline]
    fn surroundings(&self, SampleNeighbours { a, b, c, d }: SampleNeighbours) -> i32 {
        let [first, second, third] =
            [d - b, b - c, c - a].map(|gradient| self.parameters.quantized(gradient));
        81 * first + 9 * second + third
    }

    #[inline]
    fn sample(
        &mut self,
        SampleNeighbours { a, b, c, .. }: SampleNeighbours,
        surroundings: i32,
    ) -> Result<u16, StreamError> {
        let sign = if surroundings < 0 { -1 } else { 1 };
        let context = &mut self.contexts[surroundings.unsigned_abs() as usize];
        let predicted = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let predicted = (predicted + sign * context.correction).clamp(0, self.parameters.largest);
        let error = context.error(self.parameters, &mut self.bits)?;
        Ok(self.parameters.corrected(predicted, sign * error))
    }

    /// Reads the length of a run, at most to the end of the line.
    fn run(&mut self, run_index: &mut usize, columns: usize) -> Result<usize, StreamError> {
        let mut run = 0;
        while run < columns && self.bits.number(1)? == 1 {
            let whole = 1 << RUN_BITS[*run_index];
            if whole <= columns - run {
                *run_index = (*run_index + 1).min(RUN_BITS.len() - 1);
            }
            run += whole.min(columns - run);
            if run == columns {
                return Ok(run);
            }
        }
        run += self.bits.number(RUN_BITS[*run_index])? as usize;
        if run < columns { Ok(run) } else { Err(StreamError::Wrong("run")) }
    }

    fn end_of_run(&mut self, neighbours: SampleNeighbours, run_index: usize) -> Result<u16, StreamError> {
        let SampleNeighbours { a, b, .. } = neighbours;
        if (a - b).abs() > self.parameters.near {
            return self.end_of_triplet(neighbours, run_index);
        }
        let limit = self.parameters.limit - RUN_BITS[run_index] - 1;
        let error = self.after_run[1].error_after_run(self.parameters, &mut self.bits, 1, limit)?;
        Ok(self.parameters.corrected(a, error))
    }

    /// Decodes the sample of each component after a run; where components alternate, each counts as one whose
    /// neighbours differ.
    fn end_of_triplet(
        &mut self,
        SampleNeighbours { a, b, .. }: SampleNeighbours,
        run_index: usize,
    ) -> Result<u16, StreamError> {
        let limit = self.parameters.limit - RUN_BITS[run_index] - 1;
        let error = self.after_run[0].error_after_run(self.parameters, &mut self.bits, 0, limit)?;
        Ok(self.parameters.corrected(b, if a > b { -error } else { error }))
    }
}
