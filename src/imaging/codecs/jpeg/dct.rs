//! The inverse DCT, bit for bit the accurate integer version of the Independent JPEG Group (jidctint.c,
//! "islow", after Loeffler, Ligtenberg and Moschytz, ICASSP 1989), which DCMTK uses.
//!
//! The arithmetic has 64 bits, so that no coefficient or quantization table, however wrong, overflows.

const CONSTANT_BITS: u32 = 13;

/// Converts quantized coefficients in natural order, at most 16 bits each, to samples, row by row from the
/// top.
pub fn inverse(coefficients: &[i64; 64], precision: u32) -> [u16; 64] {
    // Fraction bits that the first pass keeps: as many as the original's 32 bits had room for.
    let kept = if precision == 8 { 2 } else { 1 };
    let mut columns = [0_i64; 64];
    for x in 0..8 {
        let column = std::array::from_fn(|y| coefficients[8 * y + x]);
        let column = pass(column).map(|sum| descale(sum, CONSTANT_BITS - kept));
        (0..8).for_each(|y| columns[8 * y + x] = column[y]);
    }
    let centre = 1 << (precision - 1);
    let most = (1 << precision) - 1;
    let mut samples = [0; 64];
    for (row, samples) in columns.as_chunks::<8>().0.iter().zip(samples.as_chunks_mut::<8>().0) {
        *samples =
            pass(*row).map(|sum| (descale(sum, CONSTANT_BITS + kept + 3) + centre).clamp(0, most) as u16);
    }
    samples
}

fn descale(sum: i64, bits: u32) -> i64 {
    (sum + (1 << (bits - 1))) >> bits
}

/// The transform in one dimension: eight values to eight sums, each too large by a factor of 2^13 √8.
#[inline]
fn pass([v0, v1, v2, v3, v4, v5, v6, v7]: [i64; 8]) -> [i64; 8] {
    if [v1, v2, v3, v4, v5, v6, v7] == [0; 7] {
        return [v0 << CONSTANT_BITS; 8];
    }
    let shared = (v2 + v6) * 4433;
    let [even2, even3] = [shared - v6 * 15137, shared + v2 * 6270];
    let [even0, even1] = [(v0 + v4) << CONSTANT_BITS, (v0 - v4) << CONSTANT_BITS];
    let even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];

    let shared = (v7 + v3 + v5 + v1) * 9633;
    let [z1, z2] = [(v7 + v1) * -7373, (v5 + v3) * -20995];
    let [z3, z4] = [shared - (v7 + v3) * 16069, shared - (v5 + v1) * 3196];
    let odd = [v1 * 12299 + z1 + z4, v3 * 25172 + z2 + z3, v5 * 16819 + z2 + z4, v7 * 2446 + z1 + z3];

    let sum = |at: usize| even[at] + odd[at];
    let difference = |at: usize| even[at] - odd[at];
    [sum(0), sum(1), sum(2), sum(3), difference(3), difference(2), difference(1), difference(0)]
}
