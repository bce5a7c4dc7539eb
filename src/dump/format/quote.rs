//! Strings in quotes: as Go, OpenMetrics and JSON want them.

use crate::select::LabelSlices;

/// The bytes in double quotes as Go's `strconv.Quote` writes them.
pub(super) fn push_go(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_go_char(out, c);
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
    out.push(b'"');
}

fn push_go_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\x07' => out.extend_from_slice(b"\\a"),
        '\x08' => out.extend_from_slice(b"\\b"),
        '\x0c' => out.extend_from_slice(b"\\f"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\x0b' => out.extend_from_slice(b"\\v"),
        c if is_printable(c) => push_char(out, c),
        c => {
            let code = u32::from(c);
            let escape = match code {
                0..0x80 => format!("\\x{code:02x}"),
                0x80..0x1_0000 => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            };
            out.extend_from_slice(escape.as_bytes());
        }
    }
}

/// Whether Go's `strconv.IsPrint` accepts the character: letters, marks, numbers, punctuation,
/// symbols and the plain space. Rust's debug form of strings draws the same line, after a first
/// character.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut bytes = [b'a'; 5];
    let len = 1 + bytes
        .get_mut(1..)
        .map_or(0, |tail| c.encode_utf8(tail).len());
    let text = bytes
        .get(..len)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.is_some_and(|text| text.escape_debug().nth(1) == Some(c))
}

/// The bytes in double quotes with the three escapes that OpenMetrics has. What is not UTF-8
/// becomes U+FFFD.
pub(super) fn push_openmetrics(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            c => push_char(out, c),
        }
    }
    out.push(b'"');
}

/// The bytes as a JSON string. What is not UTF-8 becomes U+FFFD.
pub(super) fn push_json(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            c if c.is_control() => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => push_char(out, c),
        }
    }
    out.push(b'"');
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Whether Prometheus wrote label names like this before it allowed any UTF-8; others are quoted.
pub(super) fn is_plain_name(name: &[u8]) -> bool {
    name.first().is_some_and(|first| !first.is_ascii_digit())
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether all names and values are UTF-8.
pub(in crate::dump) fn are_utf8(labels: &LabelSlices<'_>) -> bool {
    let utf8 = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    labels.iter().all(|(name, value)| utf8(name) && utf8(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(push: fn(&mut Vec<u8>, &[u8]), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn go_escapes_what_is_not_printable() {
        for (bytes, text) in [
            (&b"a\tb"[..], r#""a\tb""#),
            (b"\x00\x7f\xff", r#""\x00\x7f\xff""#),
            (
                "\u{a0}\u{ad}\u{200b}\u{2003}\u{2028}".as_bytes(),
                r#""\u00a0\u00ad\u200b\u2003\u2028""#,
            ),
            ("e\u{301}ü😀\u{fffd}".as_bytes(), "\"e\u{301}ü😀\u{fffd}\""),
            ("\u{301}".as_bytes(), "\"\u{301}\""),
            (
                "\u{e000}\u{e0001}\u{378}".as_bytes(),
                r#""\ue000\U000e0001\u0378""#,
            ),
            (b"\"\\'", r#""\"\\'""#),
            (b"\x07\x08\x0c\x0b\r\n", r#""\a\b\f\v\r\n""#),
        ] {
            assert_eq!(quoted(push_go, bytes), text);
        }
    }

    #[test]
    fn openmetrics_escapes_three_characters() {
        let text = quoted(push_openmetrics, b"a\"b\\c\nd\te\xff");
        assert_eq!(text, "\"a\\\"b\\\\c\\nd\te\u{fffd}\"");
    }

    proptest! {
        #[test]
        fn any_string_is_legal_json(text in any::<String>()) {
            let json = quoted(push_json, text.as_bytes());
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
