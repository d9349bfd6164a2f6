//! YCbCr to RGB (JFIF; ITU-R BT.601 at full range), in the fixed point of the Independent JPEG Group
//! (jdcolor.c), bit for bit.

const HALF: i32 = 1 << 15;

/// 1.402, 1.772, 0.71414 and 0.34414, each times 65 536.
const RED_OF_CR: i32 = 91_881;
const BLUE_OF_CB: i32 = 116_130;
const GREEN_OF_CR: i32 = 46_802;
const GREEN_OF_CB: i32 = 22_554;

/// Converts a pixel; `precision` is 8 or 12 bits.
pub fn rgb([luma, cb, cr]: [u16; 3], precision: u32) -> [u16; 3] {
    let centre = 1 << (precision - 1);
    let [luma, cb, cr] = [i32::from(luma), i32::from(cb) - centre, i32::from(cr) - centre];
    let red = (RED_OF_CR * cr + HALF) >> 16;
    let green = (-GREEN_OF_CB * cb - GREEN_OF_CR * cr + HALF) >> 16;
    let blue = (BLUE_OF_CB * cb + HALF) >> 16;
    [red, green, blue].map(|colour| (luma + colour).clamp(0, (1 << precision) - 1) as u16)
}
