//! Label values that look as if they never came back: ids, addresses, points in time.

/// Whether a value looks like something.
type Test = fn(&str) -> bool;

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// `123e4567-e89b-12d3-a456-426614174000`, with or without dashes at their places.
    Uuid,
    /// An IPv4 or IPv6 address, with or without a port.
    Address,
    /// Seconds or milliseconds since 1970, between 2001 and 2100, or a date with a time.
    Time,
    /// 16 or more hexadecimal digits, as hashes and trace ids have.
    Hash,
    /// A name that ends as Kubernetes ends the names of pods: `-7d4b9c6f5d-x2x9z` or `-x2x9z`.
    Pod,
    /// Six decimal digits or more.
    Number,
}

impl Look {
    /// All of them.
    pub const ALL: [Look; 6] = [
        Look::Uuid,
        Look::Address,
        Look::Time,
        Look::Hash,
        Look::Pod,
        Look::Number,
    ];

    /// A word for it, stable.
    pub fn id(self) -> &'static str {
        match self {
            Look::Uuid => "uuid",
            Look::Address => "address",
            Look::Time => "timestamp",
            Look::Hash => "hash",
            Look::Pod => "pod",
            Look::Number => "number",
        }
    }

    /// What `value` looks like, if like any.
    pub fn of(value: &[u8]) -> Option<Look> {
        let text = std::str::from_utf8(value).ok()?;
        let looks: [(Look, Test); 6] = [
            (Look::Uuid, is_uuid),
            (Look::Address, is_address),
            (Look::Time, is_time),
            (Look::Hash, is_hash),
            (Look::Pod, is_pod),
            (Look::Number, is_number),
        ];
        looks
            .into_iter()
            .find(|(_, is)| is(text))
            .map(|(look, _)| look)
    }
}

fn is_uuid(text: &str) -> bool {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| {
            if DASHES.contains(&i) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        })
}

fn is_address(text: &str) -> bool {
    let is_likely = text.bytes().filter(|byte| b".:".contains(byte)).count() >= 2;
    is_likely
        && (text.parse::<std::net::IpAddr>().is_ok()
            || text.parse::<std::net::SocketAddr>().is_ok())
}

fn is_time(text: &str) -> bool {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    if digits(whole) {
        // From 2001, where seconds get ten digits, to 2100.
        let range = match whole.len() {
            10 => 1_000_000_000..4_102_444_800,
            13 => 1_000_000_000_000..4_102_444_800_000u64,
            _ => return false,
        };
        return whole.parse().is_ok_and(|number| range.contains(&number));
    }
    let Some((date, time)) = text.split_once(['T', ' ']) else {
        return false;
    };
    let is_date = date.len() == 10
        && date.bytes().enumerate().all(|(i, byte)| match i {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date
        && time.len() >= 5
        && time
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_digit())
}

fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
    digits.len() >= 16
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Kubernetes draws random names from these letters and digits, without vowels and what looks
/// alike.
fn is_pod(text: &str) -> bool {
    const DRAWN: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let drawn = |part: &str| {
        part.bytes().all(|byte| DRAWN.contains(&byte))
            && part.bytes().any(|byte| byte.is_ascii_digit())
    };
    let Some((rest, last)) = text.rsplit_once('-') else {
        return false;
    };
    let replica_set = |part: &str| {
        (6..=10).contains(&part.len())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || DRAWN.contains(&byte))
            && part.bytes().any(|byte| byte.is_ascii_digit())
    };
    last.len() == 5
        && last.bytes().all(|byte| DRAWN.contains(&byte))
        && (drawn(last)
            || rest
                .rsplit_once('-')
                .is_some_and(|(_, set)| replica_set(set)))
}

fn is_number(text: &str) -> bool {
    text.len() >= 6 && digits(text)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_like_what_they_are() {
        for (value, look) in [
            ("123e4567-e89b-12d3-a456-426614174000", Some(Look::Uuid)),
            ("10.0.0.7", Some(Look::Address)),
            ("10.0.0.7:9100", Some(Look::Address)),
            ("fe80::1", Some(Look::Address)),
            ("[::1]:80", Some(Look::Address)),
            ("1795288080", Some(Look::Time)),
            ("1795288080000", Some(Look::Time)),
            ("2026-11-21T19:08:00Z", Some(Look::Time)),
            ("deadbeef00112233", Some(Look::Hash)),
            ("web-7d4b9c6f5d-x2x9z", Some(Look::Pod)),
            ("daemon-x2x9z", Some(Look::Pod)),
            ("123456", Some(Look::Number)),
            ("9999999999", Some(Look::Number)),
            ("", None),
            ("200", None),
            ("1.2.3", None),
            ("node:9100", None),
            ("le", None),
            ("0.005", None),
            ("eu-west-1", None),
            ("2026-11-21", None),
            ("facade", None),
            ("acceptance-tests", None),
            ("node-exporter", None),
        ] {
            assert_eq!(Look::of(value.as_bytes()), look, "{value}");
        }
        assert_eq!(Look::of(b"\xff123456"), None);
    }
}
