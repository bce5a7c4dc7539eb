//! Sizes as people type and read them.

use crate::error::{Error, Result};

/// What `KB`, `MB`, `GB` … mean; `KiB`, `MiB`, `GiB` … and `Ki`, `Mi`, `Gi` … are powers of 1024
/// everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    /// Powers of 1000, as disks are sold.
    Decimal,
    /// Powers of 1024, as Prometheus takes them.
    Binary,
}

/// The smallest disk that is believed, in bytes: a number without a unit is mostly meant otherwise.
const LEAST_DISK: u64 = 1 << 20;

/// The size of a disk: `500GiB`, `500Gi`, `500GB` (powers of 1000), or a number of bytes, a
/// mebibyte at least.
///
/// # Errors
///
/// When `text` is none of these, or does not fit 64 bits.
pub fn parse_disk_size(text: &str) -> Result<u64> {
    let bytes = parse(text, Plain::Decimal)?;
    if bytes < LEAST_DISK {
        return Err(Error::invalid(format!(
            "expected the size of a disk such as 500GiB, found {text:?}, which is {bytes} bytes"
        )));
    }
    Ok(bytes)
}

/// A size as `--storage.tsdb.retention.size` takes it: `500GB` is `500GiB` there, and a unit is
/// required, but for 0, which is no limit.
///
/// Source: Prometheus `common`'s `alecthomas/units`, `Base2Bytes`; documentation: "units are powers
/// of 2", "a unit is required".
///
/// # Errors
///
/// When `text` is none, or does not fit 64 bits.
pub fn parse_retention_size(text: &str) -> Result<u64> {
    let bytes = parse(text, Plain::Binary)?;
    let has_unit = text.contains(|c: char| c.is_ascii_alphabetic());
    if bytes > 0 && !has_unit {
        return Err(Error::invalid(format!(
            "expected a size with a unit, such as 500GB, as Prometheus does, found {text:?}"
        )));
    }
    Ok(bytes)
}

/// A rate in bytes a second: `20MiB`, `500KiB`, `1MB` (powers of 1000). Other programs take a plain
/// number for kibibytes or for bits; here it is refused.
///
/// # Errors
///
/// When `text` is no size with a unit, or is nothing.
pub fn parse_rate(text: &str) -> Result<u64> {
    let bytes = parse(text, Plain::Decimal)?;
    let has_unit = text.contains(|c: char| c.is_ascii_alphabetic());
    if bytes == 0 || !has_unit {
        return Err(Error::invalid(format!(
            "expected bytes a second with their unit, such as 20MiB or 500KiB, found {text:?}"
        )));
    }
    Ok(bytes)
}

fn parse(text: &str, plain: Plain) -> Result<u64> {
    const PREFIXES: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    let wrong = || Error::invalid(format!("expected a size such as 500GiB, found {text:?}"));
    let typed = text.trim();
    let digits = typed
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.')
        .count();
    let (number, unit) = typed.split_at_checked(digits).ok_or_else(wrong)?;
    let unit = unit.trim_start();
    let mut letters = unit.chars();
    let power = match letters.next().map(|c| c.to_ascii_uppercase()) {
        None | Some('B') => 0,
        Some(prefix) => {
            PREFIXES
                .iter()
                .position(|p| *p == prefix)
                .ok_or_else(wrong)?
                + 1
        }
    };
    let base: u64 = match (power, letters.as_str()) {
        (0, "") | (1.., "i" | "iB") => 1024,
        (1.., "" | "B") if plain == Plain::Binary => 1024,
        (1.., "" | "B") => 1000,
        _ => return Err(wrong()),
    };
    let power = u32::try_from(power).map_err(|_| wrong())?;
    let unit = base.checked_pow(power).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if !number.bytes().any(|b| b.is_ascii_digit()) || fraction.contains('.') || fraction.len() > 9 {
        return Err(wrong());
    }
    let whole: u128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
    let bytes = whole.checked_mul(u128::from(unit)).ok_or_else(wrong)? / scale;
    u64::try_from(bytes).map_err(|_| wrong())
}

/// Bytes as people write them, in powers of 1024: `17 B`, `1.5 MiB`.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    for unit in UNITS {
        if size < 999.95 {
            return format!("{size:.1} {unit}");
        }
        size /= 1024.0;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gigabytes_are_decimal_on_disks_and_binary_for_prometheus() {
        for (text, disk, retention) in [
            ("2097152B", 2 << 20, 2 << 20),
            ("1GB", 1_000_000_000, 1 << 30),
            ("1G", 1_000_000_000, 1 << 30),
            ("1GiB", 1 << 30, 1 << 30),
            ("1.5Gi", 3 << 29, 3 << 29),
            (" 2 tib ", 2 << 40, 2 << 40),
            ("15EiB", 15 << 60, 15 << 60),
        ] {
            let text = text.replace("tib", "TiB");
            assert_eq!(parse_disk_size(&text).unwrap(), disk, "{text}");
            assert_eq!(parse_retention_size(&text).unwrap(), retention, "{text}");
        }
    }

    #[test]
    fn a_number_alone_is_no_size_of_a_server() {
        assert_eq!(parse_disk_size("500000000000").unwrap(), 500_000_000_000);
        assert_eq!(parse_retention_size("0").unwrap(), 0);
        assert_eq!(parse_retention_size("512B").unwrap(), 512);
        for bad in ["500", "0", "500 KB"] {
            let error = parse_disk_size(bad).unwrap_err().to_string();
            assert!(error.contains("500GiB"), "{error}");
        }
        let error = parse_retention_size("500").unwrap_err().to_string();
        assert!(error.contains("with a unit"), "{error}");
    }

    #[test]
    fn sizes_read_in_powers_of_1024() {
        assert_eq!(bytes_text(0), "0 B");
        assert_eq!(bytes_text(1536), "1.5 KiB");
        assert_eq!(bytes_text(1_048_575), "1.0 MiB");
        assert_eq!(bytes_text(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for bad in [
            "",
            "GiB",
            ".",
            "1.2.3GiB",
            "5XB",
            "-1GiB",
            "1Gib",
            "16EiB",
            "1BB",
            "1Bi",
            "ten",
            "1e9",
            "99999999999999999999999999999999999999999999999GiB",
            "1.0000000000GB",
            "é",
            "1é",
        ] {
            let error = parse_disk_size(bad).unwrap_err().to_string();
            assert!(error.contains("500GiB"), "{bad}: {error}");
        }
    }
}
