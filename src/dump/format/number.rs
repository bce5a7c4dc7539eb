//! Numbers as Go prints them.

/// The power of ten from which on Go's `%g` writes an exponent.
const EXPONENT_FROM: usize = 6;
/// As many zeros behind the point and Go's `%g` still writes no exponent.
const LEADING_ZEROS: usize = 3;

/// A signed whole number.
#[inline]
pub(super) fn push_int(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// An unsigned whole number.
#[inline]
pub(super) fn push_uint(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The float with these bits as Go's `%g` prints it: the fewest digits that name it, an exponent
/// for powers of ten below −4 and from 6 on (Go `strconv/ftoa.go`).
pub(super) fn push_float(out: &mut Vec<u8>, bits: u64) {
    let value = f64::from_bits(bits);
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if let Some(whole) = small_whole(value) {
        push_int(out, whole);
    } else {
        push_finite(out, value);
    }
}

/// Most samples are small whole numbers, which need no search for the shortest digits.
#[inline]
fn small_whole(value: f64) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "compared with the original"
    )]
    let whole = value as i32;
    let exact = f64::from(whole).to_bits() == value.to_bits();
    (exact && whole.unsigned_abs() < 1_000_000).then_some(i64::from(whole))
}

fn push_finite(out: &mut Vec<u8>, value: f64) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let mut buffer = zmij::Buffer::new();
    let decimal = Decimal::of(buffer.format_finite(value.abs()));
    decimal.push(out);
}

/// A positive number as `0.DIGITS × 10^point`, or zero without digits. 17 digits name every float.
struct Decimal {
    digits: [u8; 24],
    len: usize,
    point: i32,
}

impl Decimal {
    /// Takes apart what a printer of shortest floats wrote, in whichever notation: `1.0`, `0.001`,
    /// `1.5e-7`.
    fn of(printed: &str) -> Self {
        let (mantissa, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut decimal = Decimal {
            digits: [0; 24],
            len: 0,
            point: exponent.parse().unwrap_or(0),
        };
        decimal.point += i32::try_from(whole.len()).unwrap_or(0);
        for digit in whole.bytes().chain(fraction.bytes()) {
            if decimal.len == 0 && digit == b'0' {
                decimal.point -= 1;
            } else if let Some(slot) = decimal.digits.get_mut(decimal.len) {
                *slot = digit;
                decimal.len += 1;
            }
        }
        while decimal.len > 0 && decimal.digits.get(decimal.len - 1) == Some(&b'0') {
            decimal.len -= 1;
        }
        decimal
    }

    fn push(&self, out: &mut Vec<u8>) {
        let digits = self.digits.get(..self.len).unwrap_or_default();
        if digits.is_empty() {
            out.push(b'0');
            return;
        }
        match usize::try_from(self.point) {
            Ok(point @ 1..=EXPONENT_FROM) => match digits.split_at_checked(point) {
                Some((whole, fraction)) if !fraction.is_empty() => {
                    out.extend_from_slice(whole);
                    out.push(b'.');
                    out.extend_from_slice(fraction);
                }
                _ => {
                    out.extend_from_slice(digits);
                    out.resize(out.len() + point - digits.len(), b'0');
                }
            },
            _ if self.point <= 0 && self.point.unsigned_abs() as usize <= LEADING_ZEROS => {
                out.extend_from_slice(b"0.");
                out.resize(out.len() + self.point.unsigned_abs() as usize, b'0');
                out.extend_from_slice(digits);
            }
            _ => self.push_with_exponent(digits, out),
        }
    }

    fn push_with_exponent(&self, digits: &[u8], out: &mut Vec<u8>) {
        if let Some((first, more)) = digits.split_first() {
            out.push(*first);
            if !more.is_empty() {
                out.push(b'.');
                out.extend_from_slice(more);
            }
        }
        let exponent = self.point - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.unsigned_abs() < 10 {
            out.push(b'0');
        }
        push_uint(out, u64::from(exponent.unsigned_abs()));
    }
}

/// Milliseconds as seconds with three decimals.
pub(super) fn push_seconds(out: &mut Vec<u8>, millis: i64) {
    if millis < 0 {
        out.push(b'-');
    }
    let magnitude = millis.unsigned_abs();
    push_uint(out, magnitude / 1000);
    let fraction = magnitude % 1000;
    out.push(b'.');
    if fraction < 100 {
        out.push(b'0');
    }
    if fraction < 10 {
        out.push(b'0');
    }
    push_uint(out, fraction);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::STALE_NAN;

    fn float(bits: u64) -> String {
        let mut out = Vec::new();
        push_float(&mut out, bits);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-2.25, "-2.25"),
            (100_000.0, "100000"),
            (123_456.0, "123456"),
            (999_999.0, "999999"),
            (-999_999.0, "-999999"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (1_234_567.89, "1.23456789e+06"),
            (123_456.789, "123456.789"),
            (100_000.5, "100000.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_123_45, "0.00012345"),
            (0.000_01, "1e-05"),
            (2.5e-5, "2.5e-05"),
            (1e20, "1e+20"),
            (1e100, "1e+100"),
            (1e-100, "1e-100"),
            (9_007_199_254_740_992.0, "9.007199254740992e+15"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value.to_bits()), text);
        }
        assert_eq!(float(STALE_NAN), "NaN");
    }

    #[test]
    fn seconds_have_three_decimals() {
        for (millis, text) in [
            (0, "0.000"),
            (1_700_000_000_007, "1700000000.007"),
            (60, "0.060"),
            (-1, "-0.001"),
            (-1500, "-1.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            let mut out = Vec::new();
            push_seconds(&mut out, millis);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn floats_read_back_and_use_the_fewest_digits(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = float(bits);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
            let digits = |text: &str| {
                let mantissa: String = text.split('e').next().unwrap().chars().filter(char::is_ascii_digit).collect();
                mantissa.trim_matches('0').len()
            };
            prop_assert_eq!(digits(&text), digits(&format!("{value:e}")));
        }

        #[test]
        fn decimals_of_every_size_read_back(mantissa in -99_999_999i64..99_999_999, exponent in -12i32..12) {
            let value: f64 = format!("{mantissa}e{exponent}").parse().unwrap();
            prop_assert_eq!(float(value.to_bits()).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }
}
