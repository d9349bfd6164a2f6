//! RLE lossless (PS3.5 annex G) for 16-bit samples: two byte planes, the high one first, packed.

/// Encodes one frame: the number and offsets of the segments, then the segments.
pub fn encode(samples: &[i16]) -> Vec<u8> {
    let planes =
        [1, 0].map(|byte| samples.iter().map(|sample| sample.to_le_bytes()[byte]).collect::<Vec<_>>());
    let [high, low] = planes.map(|plane| pack(&plane));
    let offsets = [2, 64, 64 + high.len() as u32];
    let header = (0..16).flat_map(|index| offsets.get(index).copied().unwrap_or(0).to_le_bytes());
    header.chain(high.iter().copied()).chain(low.iter().copied()).collect()
}

/// Packs bytes (PackBits): a byte n below 128 and n + 1 literal bytes, or 257 − n and a byte repeated n
/// times.
fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len() / 2);
    let mut literal = 0;
    let mut rest = bytes;
    while literal < rest.len() {
        let run = run_length(&rest[literal..]);
        if run < 3 {
            literal += run;
            continue;
        }
        push_literals(&mut packed, &rest[..literal]);
        packed.extend([(257 - run) as u8, rest[literal]]);
        rest = &rest[literal + run..];
        literal = 0;
    }
    push_literals(&mut packed, rest);
    if packed.len() % 2 == 1 {
        packed.push(0);
    }
    packed
}

/// The number of equal bytes at the beginning, at most 128.
fn run_length(bytes: &[u8]) -> usize {
    bytes.iter().take(128).take_while(|&&byte| byte == bytes[0]).count()
}

fn push_literals(packed: &mut Vec<u8>, bytes: &[u8]) {
    for piece in bytes.chunks(128) {
        packed.push((piece.len() - 1) as u8);
        packed.extend_from_slice(piece);
    }
}
