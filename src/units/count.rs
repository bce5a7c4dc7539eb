//! Numbers of things as people read them.

/// A number with a comma between groups of three digits: `27,389,718`.
pub fn count_text(count: u64) -> String {
    grouped(&count.to_string())
}

/// A number with a sign if it is negative: `-1,024`.
pub fn signed_count_text(count: i64) -> String {
    let sign = if count < 0 { "-" } else { "" };
    format!("{sign}{}", count_text(count.unsigned_abs()))
}

/// A number with two decimals: `1,234.50`.
pub fn decimal_text(number: f64) -> String {
    let text = format!("{number:.2}");
    let unsigned = text.strip_prefix('-').unwrap_or(&text);
    let sign = if unsigned.len() < text.len() { "-" } else { "" };
    match unsigned.split_once('.') {
        Some((whole, decimals)) => format!("{sign}{}.{decimals}", grouped(whole)),
        None => text,
    }
}

/// How many hundredths of `whole` the `part` is; nothing of nothing.
pub fn percent(part: f64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part * 100.0 / whole as f64)
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_nothing_has_no_percentage() {
        assert_eq!(percent(1.0, 8), Some(12.5));
        assert_eq!(percent(-6.0, 4), Some(-150.0));
        assert_eq!(percent(0.0, 0), None);
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (27_389_718, "27,389,718"),
        ] {
            assert_eq!(count_text(count), text);
        }
        assert_eq!(count_text(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(signed_count_text(-1024), "-1,024");
        assert_eq!(signed_count_text(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(decimal_text(1234.5), "1,234.50");
        assert_eq!(decimal_text(-0.004), "-0.00");
        assert_eq!(decimal_text(-43_415.51), "-43,415.51");
        assert_eq!(decimal_text(f64::NAN), "NaN");
        assert_eq!(decimal_text(f64::INFINITY), "inf");
    }
}
