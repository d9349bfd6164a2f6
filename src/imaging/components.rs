//! Connected components of a set of voxels, by runs.
//!
//! A run is a stretch of voxels along x; two runs are neighbours if they overlap in neighbouring rows
//! of a slice or in the same row of neighbouring slices (6-connectivity). Union-find works on runs,
//! first within slabs of slices in parallel, then across their faces. The smallest run of a component
//! is its root, so the numbering does not depend on threads.

use rayon::prelude::*;

use super::bits::{VoxelBounds, VoxelSet, WORD};

/// Slices per slab: enough to make shared faces rare, few enough to keep all threads busy.
const SLAB_SLICES: usize = 16;

/// The components of a set, numbered in the order of their first voxels.
pub struct VoxelComponents {
    size: [usize; 3],
    /// Index of each row's first run, and the number of runs.
    rows: Vec<u32>,
    runs: Vec<VoxelRun>,
    /// Number of the component of each run.
    labels: Vec<u32>,
    pub regions: Vec<VoxelRegion>,
}

/// A component of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoxelRegion {
    pub voxels: u64,
    pub bounds: VoxelBounds,
    /// Sums of the voxels' x, y and z, from which the centre is computed.
    sums: [u64; 3],
}

impl VoxelRegion {
    /// Whether the region reaches the first or last column or row of the grid.
    pub fn touches_sides(&self, size: [usize; 3]) -> bool {
        (0..2).any(|axis| self.bounds.low[axis] == 0 || self.bounds.high[axis] == size[axis])
    }

    /// Mean x, y and z.
    pub fn centre(&self) -> [f64; 3] {
        self.sums.map(|sum| sum as f64 / self.voxels as f64)
    }
}

/// A run of voxels from one column to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct VoxelRun {
    first: u16,
    last: u16,
}

impl VoxelComponents {
    /// # Panics
    /// If the grid has more than 65 536 columns or the set more than 2³² runs.
    pub fn of(bits: &VoxelSet) -> VoxelComponents {
        let size = bits.size();
        let starts: Vec<usize> = (0..size[2]).step_by(SLAB_SLICES).collect();
        let slabs: Vec<RunSlab> = starts
            .par_iter()
            .map(|start| RunSlab::of(bits, *start, size[2].min(start + SLAB_SLICES)))
            .collect();
        let mut all = RunSlab::joined(slabs);
        for start in &starts[1..] {
            for y in 0..size[1] {
                let row = start * size[1] + y;
                all.join_rows(row - size[1], row);
            }
        }
        let (labels, regions) = all.regions(size);
        VoxelComponents { size, rows: all.rows, runs: all.runs, labels, regions }
    }

    /// The numbers of the components that a rule accepts, the largest component first.
    pub fn by_size(&self, accept: impl Fn(&VoxelRegion) -> bool) -> Vec<usize> {
        let mut accepted: Vec<usize> =
            (0..self.regions.len()).filter(|index| accept(&self.regions[*index])).collect();
        accepted.sort_by_key(|index| (std::cmp::Reverse(self.regions[*index].voxels), *index));
        accepted
    }

    /// The largest of the components that a rule accepts, and the second largest if it has more than a share
    /// of the largest.
    pub fn largest_two(&self, share: f64, accept: impl Fn(&VoxelRegion) -> bool) -> Vec<usize> {
        let mut chosen = self.by_size(accept);
        chosen.truncate(2);
        if let [first, second] = chosen[..] {
            let voxels = |index: usize| self.regions[index].voxels as f64;
            chosen.truncate(if voxels(second) > share * voxels(first) { 2 } else { 1 });
        }
        chosen
    }

    /// The number of the component that a voxel belongs to.
    pub fn label(&self, [x, y, z]: [usize; 3]) -> Option<usize> {
        let row = z * self.size[1] + y;
        let (start, end) = (self.rows[row] as usize, self.rows[row + 1] as usize);
        let before = self.runs[start..end].partition_point(|run| usize::from(run.last) < x);
        let run = self.runs[start..end].get(before).filter(|run| usize::from(run.first) <= x)?;
        debug_assert!(usize::from(run.last) >= x);
        Some(self.labels[start + before] as usize)
    }

    /// The voxels of some components.
    pub fn select(&self, chosen: &[usize]) -> VoxelSet {
        let mut wanted = vec![false; self.regions.len()];
        chosen.iter().for_each(|index| wanted[*index] = true);
        let mut bits = VoxelSet::empty(self.size);
        let words = bits.words_per_row();
        bits.slices_mut().for_each(|(z, slice)| {
            for (y, row) in slice.chunks_exact_mut(words).enumerate() {
                let index = z * self.size[1] + y;
                for run in self.rows[index] as usize..self.rows[index + 1] as usize {
                    if wanted[self.labels[run] as usize] {
                        fill(row, self.runs[run]);
                    }
                }
            }
        });
        bits
    }
}

/// Runs of some slices with their union-find forest.
#[derive(Default)]
struct RunSlab {
    rows: Vec<u32>,
    runs: Vec<VoxelRun>,
    /// A run's parent has a smaller index, or is the run itself.
    parents: Vec<u32>,
}

impl RunSlab {
    fn of(bits: &VoxelSet, start: usize, end: usize) -> RunSlab {
        let rows = bits.size()[1];
        let mut slab = RunSlab { rows: vec![0], ..RunSlab::default() };
        for z in start..end {
            for y in 0..rows {
                push_runs(bits.row(y, z), &mut slab.runs);
                slab.parents.extend(slab.parents.len() as u32..slab.runs.len() as u32);
                slab.rows.push(slab.runs.len() as u32);
                let row = (z - start) * rows + y;
                if y > 0 {
                    slab.join_rows(row - 1, row);
                }
                if z > start {
                    slab.join_rows(row - rows, row);
                }
            }
        }
        slab
    }

    fn joined(slabs: Vec<RunSlab>) -> RunSlab {
        let runs = slabs.iter().map(|slab| slab.runs.len()).sum();
        assert!(u32::try_from(runs).is_ok(), "too many runs");
        let mut all =
            RunSlab { rows: vec![0], runs: Vec::with_capacity(runs), parents: Vec::with_capacity(runs) };
        for slab in slabs {
            let offset = all.runs.len() as u32;
            all.rows.extend(slab.rows[1..].iter().map(|row| row + offset));
            all.parents.extend(slab.parents.iter().map(|parent| parent + offset));
            all.runs.extend_from_slice(&slab.runs);
        }
        all
    }

    /// Joins the runs of two neighbouring rows where they overlap.
    fn join_rows(&mut self, a: usize, b: usize) {
        let (mut one, one_end) = (self.rows[a] as usize, self.rows[a + 1] as usize);
        let (mut other, other_end) = (self.rows[b] as usize, self.rows[b + 1] as usize);
        while one < one_end && other < other_end {
            let (left, right) = (self.runs[one], self.runs[other]);
            if left.first <= right.last && right.first <= left.last {
                self.join(one as u32, other as u32);
            }
            if left.last < right.last { one += 1 } else { other += 1 }
        }
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) as usize] = a.min(b);
    }

    /// The root of a run; halves the path to the root.
    fn root(&mut self, mut run: u32) -> u32 {
        while self.parents[run as usize] != run {
            let above = self.parents[self.parents[run as usize] as usize];
            self.parents[run as usize] = above;
            run = above;
        }
        run
    }

    /// Numbers the components. One pass suffices, as parents precede their children.
    fn regions(&self, size: [usize; 3]) -> (Vec<u32>, Vec<VoxelRegion>) {
        let mut labels: Vec<u32> = Vec::with_capacity(self.runs.len());
        let mut regions = Vec::new();
        for (index, row) in self.rows.windows(2).enumerate() {
            let (y, z) = (index % size[1], index / size[1]);
            for run in row[0] as usize..row[1] as usize {
                let parent = self.parents[run] as usize;
                let label = if parent == run { regions.len() as u32 } else { labels[parent] };
                labels.push(label);
                if parent == run {
                    let bounds = VoxelBounds { low: [usize::MAX; 3], high: [0; 3] };
                    regions.push(VoxelRegion { voxels: 0, bounds, sums: [0; 3] });
                }
                regions[label as usize].count(self.runs[run], y, z);
            }
        }
        (labels, regions)
    }
}

impl VoxelRegion {
    fn count(&mut self, run: VoxelRun, y: usize, z: usize) {
        let (first, last) = (usize::from(run.first), usize::from(run.last));
        let voxels = last - first + 1;
        self.voxels += voxels as u64;
        let sums = [(first + last) * voxels / 2, y * voxels, z * voxels];
        (0..3).for_each(|axis| self.sums[axis] += sums[axis] as u64);
        for (axis, low, high) in [(0, first, last), (1, y, y), (2, z, z)] {
            self.bounds.low[axis] = self.bounds.low[axis].min(low);
            self.bounds.high[axis] = self.bounds.high[axis].max(high + 1);
        }
    }
}

/// Appends the runs of a row: a bit that differs from the one before it starts or ends a run.
fn push_runs(row: &[u64], runs: &mut Vec<VoxelRun>) {
    let mut before = 0;
    let mut first = None;
    for (index, word) in row.iter().enumerate() {
        let mut edges = word ^ (word << 1 | before);
        before = word >> (WORD - 1);
        while edges != 0 {
            let at = index * WORD + edges.trailing_zeros() as usize;
            edges &= edges - 1;
            first = match first {
                None => Some(at as u16),
                Some(first) => {
                    runs.push(VoxelRun { first, last: (at - 1) as u16 });
                    None
                }
            };
        }
    }
    if let Some(first) = first {
        runs.push(VoxelRun { first, last: (row.len() * WORD - 1) as u16 });
    }
}

fn fill(row: &mut [u64], run: VoxelRun) {
    let (first, last) = (usize::from(run.first), usize::from(run.last));
    let from = u64::MAX << (first % WORD);
    let to = u64::MAX >> (WORD - 1 - last % WORD);
    match &mut row[first / WORD..=last / WORD] {
        [] => unreachable!("a run has voxels"),
        [word] => *word |= from & to,
        [start, middle @ .., end] => {
            *start |= from;
            middle.fill(u64::MAX);
            *end |= to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed scatter of voxels: about `share` of every 256.
    fn scatter(size: [usize; 3], share: u32) -> VoxelSet {
        let mut bits = VoxelSet::empty(size);
        let mut state = 1_u32;
        for index in 0..size.iter().product() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 24 < share {
                bits.insert([index % size[0], index / size[0] % size[1], index / size[0] / size[1]]);
            }
        }
        bits
    }

    /// The sizes of all components, sorted, found voxel by voxel with a stack.
    fn flooded(bits: &VoxelSet) -> Vec<u64> {
        let size = bits.size();
        let mut left = bits.clone();
        let mut sizes = Vec::new();
        for start in 0..size.iter().product() {
            let mut stack = vec![[start % size[0], start / size[0] % size[1], start / size[0] / size[1]]];
            let mut count = 0;
            while let Some(at) = stack.pop() {
                if !left.contains(at) {
                    continue;
                }
                count += 1;
                let mut one = VoxelSet::empty(size);
                one.insert(at);
                left.remove(&one);
                for axis in 0..3 {
                    for step in [-1, 1] {
                        let Some(next) = at[axis].checked_add_signed(step) else { continue };
                        if next < size[axis] {
                            let mut neighbour = at;
                            neighbour[axis] = next;
                            stack.push(neighbour);
                        }
                    }
                }
            }
            if count > 0 {
                sizes.push(count);
            }
        }
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn runs_find_what_flooding_finds() {
        // More slices than a slab, rows longer than a word and not a multiple of it.
        for share in [20, 80, 110, 200] {
            let bits = scatter([70, 5, 20], share);
            let components = VoxelComponents::of(&bits);
            let mut sizes: Vec<u64> = components.regions.iter().map(|region| region.voxels).collect();
            sizes.sort_unstable();
            assert_eq!(sizes, flooded(&bits), "share {share}");
            let all: Vec<usize> = (0..components.regions.len()).collect();
            assert_eq!(components.select(&all), bits);
        }
    }

    #[test]
    fn regions_know_their_bounds() {
        let mut bits = VoxelSet::empty([130, 4, 3]);
        (60..=129).for_each(|x| bits.insert([x, 2, 1]));
        bits.insert([5, 1, 1]);
        let components = VoxelComponents::of(&bits);
        let [small, long] = &components.regions[..] else { panic!("two components") };
        assert_eq!(small.bounds, VoxelBounds { low: [5, 1, 1], high: [6, 2, 2] });
        assert_eq!(long.bounds, VoxelBounds { low: [60, 2, 1], high: [130, 3, 2] });
        assert_eq!(long.centre(), [94.5, 2.0, 1.0]);
        assert!(long.touches_sides(bits.size()) && !small.touches_sides(bits.size()));
        assert_eq!(components.by_size(|_| true), [1, 0]);
    }
}
