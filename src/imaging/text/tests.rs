//! The examples of PS3.5 annexes H to K, byte by byte, and cases from real files beyond them.

use super::*;

#[track_caller]
fn check(declared: &str, vr: VR, value: &[u8], expected: &str) {
    assert_eq!(CharacterSet::declared(declared).decode(vr, value), expected, "{declared:?}");
}

#[test]
fn annex_h_japanese() {
    check(
        "\\ISO 2022 IR 87",
        VR::PN,
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    );
    check(
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        VR::PN,
        b"\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    );
    check("\\ISO 2022 IR 87\\ISO 2022 IR 159", VR::LO, b"\x1b$(Dl?0!\x1b(B a", "鷗丂 a");
}

#[test]
fn annex_i_korean() {
    check(
        "\\ISO 2022 IR 149",
        VR::PN,
        b"Hong^Gildong=\x1b$)C\xFB\xF3^\x1b$)C\xD1\xCE\xD4\xD7=\x1b$)C\xC8\xAB^\x1b$)C\xB1\xE6\xB5\xBF",
        "Hong^Gildong=洪^吉洞=홍^길동",
    );
    check(
        "\\ISO 2022 IR 149",
        VR::LT,
        b"\x1b$)CThe 1st line includes \xB1\xE6\xB5\xBF.\r\n\
          \x1b$)CThe 2nd line includes \xB1\xE6\xB5\xBF, too.\r\nThe 3rd line.",
        "The 1st line includes 길동.\r\nThe 2nd line includes 길동, too.\r\nThe 3rd line.",
    );
}

#[test]
fn annex_j_chinese_without_escapes() {
    check(
        "ISO_IR 192",
        VR::PN,
        b"Wang^XiaoDong=\xE7\x8E\x8B^\xE5\xB0\x8F\xE6\x9D\xB1=",
        "Wang^XiaoDong=王^小東=",
    );
    check("GB18030", VR::PN, b"Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB=", "Wang^XiaoDong=王^小东=");
}

#[test]
fn annex_k_chinese_with_escapes() {
    let name = b"Zhang^XiaoDong=\x1b$)A\xD5\xC5^\x1b$)A\xD0\xA1\xB6\xAB=";
    check("\\ISO 2022 IR 58", VR::PN, name, "Zhang^XiaoDong=张^小东=");
    check(
        "\\ISO 2022 IR 58",
        VR::UT,
        b"\x1b$)A1. \xB5\xDA\xD2\xBB\xD0\xD0\r\n\x1b$)A2. \xB5\xDA\xB6\xFE\xD0\xD0\r\n",
        "1. 第一行\r\n2. 第二行\r\n",
    );
}

#[test]
fn sets_of_one_byte() {
    for (number, escape, value, expected) in [
        (100, b'A', b"M\xFCller".as_slice(), "Müller"),
        (101, b'B', b"\xA3ukasz", "Łukasz"),
        (109, b'C', b"\xA1amrun", "Ħamrun"),
        (110, b'D', b"\xD3ekava", "Ķekava"),
        (126, b'F', b"\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2", "Διονυσιος"),
        (127, b'G', b"\xD3\xC7\xD1\xC9", "سارة"),
        (138, b'H', b"\xF9\xF8\xE5\xEF", "שרון"),
        (144, b'L', b"\xBB\xEE\xD4\xDC\xD8\xDB\xD0", "Людмила"),
        (148, b'M', b"\xDE\xFCkr\xFC", "Şükrü"),
        (166, b'T', b"\xCA\xC1\xAA\xD2\xC2", "สมชาย"),
        (203, b'b', b"\xA4 5", "€ 5"),
    ] {
        check(&format!("ISO_IR {number}"), VR::LO, value, expected);
        let escaped = [b"Latin\xE9 \x1b-", [escape].as_slice(), value, b"^\xE9"].concat();
        let declared = format!("ISO 2022 IR 100\\ISO 2022 IR {number}");
        check(&declared, VR::PN, &escaped, &format!("Latiné {expected}^é"));
    }
    check("ISO_IR 13", VR::LO, b"\xD4\xCF\xC0\xDE", "ﾔﾏﾀﾞ");
    check("ISO_IR 6", VR::LO, b"plain ", "plain ");
}

#[test]
fn separators_inside_a_sign_of_two_bytes_are_none() {
    check("\\ISO 2022 IR 87", VR::PN, b"\x1b$B\\\\^^==\x1b(B^a\\b", "樛湎十^a\\b");
    check("GB18030", VR::PN, b"\x81\\\x81^^\x82\\\\a", "乗乛^俓\\a");
    check("GBK", VR::LO, b"\x81\\\\\x82\\", "乗\\俓");
    // A character of the rest of Shift_JIS, which is no DICOM set.
    check("ISO_IR 13", VR::LO, b"\x95\\\\\x82\xA0", "表\\あ");
}

#[test]
fn a_new_part_begins_with_the_first_sets() {
    let greek = |end: &[u8]| [b"\x1b-F\xC4".as_slice(), end, b"\xC4"].concat();
    for (vr, end, last) in [
        (VR::PN, b"^".as_slice(), "Ä"),
        (VR::PN, b"=", "Ä"),
        (VR::PN, b"\\", "Ä"),
        (VR::LO, b"\\", "Ä"),
        (VR::LO, b"^", "Δ"),
        (VR::LO, b"=", "Δ"),
        (VR::LT, b"\\", "Δ"),
        (VR::LT, b"\r\n", "Ä"),
        (VR::LT, b"\t", "Ä"),
        (VR::LT, b"\x0C", "Ä"),
    ] {
        let end_text = String::from_utf8_lossy(end);
        check("ISO 2022 IR 100\\ISO 2022 IR 126", vr, &greek(end), &format!("Δ{end_text}{last}"));
    }
}

#[test]
fn the_yen_sign_separates_where_values_are_separated() {
    check("ISO_IR 13", VR::LO, b"a\\b~", "a\\b‾");
    check("ISO_IR 13", VR::ST, b"100\\", "100¥");
    check("ISO_IR 6", VR::ST, b"C:\\~", "C:\\~");
}

#[test]
fn what_is_undeclared_misspelt_or_unknown_is_read_as_well_as_can_be() {
    check("", VR::PN, "Łukasz".as_bytes(), "Łukasz");
    check("", VR::PN, b"M\xFCller", "Müller");
    check("ISO_IR 999", VR::PN, b"M\xFCller", "Müller");
    check("", VR::PN, b"\x1b$B;3ED\x1b(B", "山田");
    check("ISO IR 144", VR::LO, b"\xBB", "Л");
    check("ISO-2022-IR 100\\ISO_2022_IR_144", VR::LO, b"\xE9\x1b-L\xBB", "éЛ");
    // Without the escape sequence that the standard requires at the beginning.
    check("\\ISO 2022 IR 149", VR::PN, b"\xC8\xAB^\xB1\xE6\xB5\xBF", "홍^길동");
    check("ISO 2022 IR 149", VR::PN, b"\xC8\xAB", "홍");
    // Without the escape sequence that the standard requires at the end.
    check("\\ISO 2022 IR 87", VR::PN, b"\x1b$B;3ED^\x1b$BB@O:", "山田^太郎");
}

#[test]
fn what_cannot_be_read_is_marked_and_the_ascii_around_it_stays() {
    check("ISO_IR 192", VR::LO, b"a\xFFb", "a\u{FFFD}b");
    check("ISO_IR 100", VR::LO, b"a\x1b(Zb\x1b", "a\u{FFFD}b\u{FFFD}");
    check("\\ISO 2022 IR 149", VR::LO, b"a\xC8b\xC8", "a\u{FFFD}b\u{FFFD}");
    check("\\ISO 2022 IR 87", VR::LO, b"\x1b$B;3E \x1b(Bb", "山E b");
    check("ISO_IR 192", VR::CS, b"\xE9CT", "\u{FFFD}CT");
}

#[test]
fn no_bytes_do_harm() {
    let alphabet = b"\x1b$()-ABCDIJa^=\\\n \x00\x5C\x7E\x80\x95\xA4\xB1\xC8\xD0\xFF";
    let declared = ["", "ISO_IR 13\\ISO 2022 IR 87", "\\ISO 2022 IR 149", "GB18030", "ISO_IR 192"];
    let mut state = 1_u64;
    let mut letters = 0;
    for round in 0..2000 {
        let value: Vec<u8> = (0..40)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                alphabet[(state >> 33) as usize % alphabet.len()]
            })
            .collect();
        let text = CharacterSet::declared(declared[round % declared.len()]).decode(VR::PN, &value);
        letters += text.matches('a').count();
    }
    assert!(letters > 1000, "{letters}");
}
