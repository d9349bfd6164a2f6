//! Upsampling of colours at half the size: the triangle filter of the Independent JPEG Group (jdsample.c,
//! "fancy upsampling"), bit for bit. A sample has weight three, its nearer neighbour weight one.

/// Doubles the width of a row.
pub fn doubled(row: &[u16]) -> Vec<u16> {
    let sums: Vec<u32> = row.iter().map(|sample| u32::from(*sample)).collect();
    filtered(&sums, 2, [1, 2])
}

/// Doubles the width of a row that lies between two rows, of which `near` is nearer.
pub fn doubled_between(near: &[u16], far: &[u16]) -> Vec<u16> {
    let sums: Vec<u32> =
        near.iter().zip(far).map(|(near, far)| 3 * u32::from(*near) + u32::from(*far)).collect();
    filtered(&sums, 4, [8, 7])
}

/// Two samples for each sum, with its left and its right neighbour, divided by 2^`bits`. At the ends the sum
/// itself takes the neighbour's place. The rounding terms `add` alternate.
fn filtered(sums: &[u32], bits: u32, add: [u32; 2]) -> Vec<u16> {
    let last = sums.len() - 1;
    let pair = |(at, sum): (usize, &u32)| {
        let neighbours = [sums[at.saturating_sub(1)], sums[(at + 1).min(last)]];
        [0, 1].map(|side| ((3 * sum + neighbours[side] + add[side]) >> bits) as u16)
    };
    sums.iter().enumerate().flat_map(pair).collect()
}
