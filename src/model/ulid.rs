//! Block identities.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Millis;
use crate::error::Error;

/// A ULID: 48 bits of time, 80 random bits, spelled as 26 Crockford base-32 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(ulid::Ulid);

impl Ulid {
    /// The all-zero ULID, which Prometheus names as parent of out-of-order blocks.
    pub const ZERO: Ulid = Ulid(ulid::Ulid::nil());

    /// Builds a ULID from its time (only 48 bits count) and random bits (only 80 count).
    pub fn from_parts(time: Millis, random: u128) -> Self {
        Ulid(ulid::Ulid::from_parts(
            time as u64 & 0xffff_ffff_ffff,
            random,
        ))
    }

    /// A new one: of this moment, and random.
    pub fn generate() -> Self {
        Ulid(ulid::Ulid::generate())
    }

    /// Reads `text` as Go reads ULIDs in JSON: 26 bytes of which the first is at most `7`. What is
    /// no character of the alphabet counts as eight set bits, of which some fall upon its
    /// neighbours.
    pub fn as_go_reads(text: &str) -> Option<Self> {
        const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let text = text.as_bytes();
        if text.len() != 26 || *text.first()? > b'7' {
            return None;
        }
        let mut bytes = [0_u8; 16];
        for (place, character) in text.iter().enumerate() {
            let upper = character.to_ascii_uppercase();
            let value = ALPHABET.iter().position(|known| *known == upper);
            let value = value.and_then(|value| u8::try_from(value).ok());
            let value = u32::from(value.unwrap_or(0xff));
            // Two bits of the first character lie before the first byte.
            let (first, last) = ((place * 5).saturating_sub(2), place * 5 + 2);
            for at in first / 8..=last / 8 {
                // The last bit of the character may lie behind the byte, by less than it has bits.
                let [_, byte, _, _] = (value << (23 + 8 * at - last)).to_be_bytes();
                if let Some(found) = bytes.get_mut(at) {
                    *found |= byte;
                }
            }
        }
        Some(Ulid(ulid::Ulid::from_bytes(bytes)))
    }

    /// All of its bits.
    pub fn bits(self) -> u128 {
        self.0.0
    }

    /// When it was made, in milliseconds since the Unix epoch.
    pub fn time(self) -> Millis {
        self.0.timestamp_ms() as Millis
    }
}

impl FromStr for Ulid {
    type Err = Error;

    /// Accepts what Go's `ulid.ParseStrict` accepts: 26 characters of the alphabet, either case, at
    /// most 128 bits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let strict = text.len() == 26 && text.bytes().next().is_some_and(|first| first <= b'7');
        ulid::Ulid::from_string(text)
            .ok()
            .filter(|parsed| strict && parsed.to_string().eq_ignore_ascii_case(text))
            .map(Ulid)
            .ok_or_else(|| Error::invalid(format!("expected a ULID, found {text:?}")))
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|e: Error| serde::de::Error::custom(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strict_ulids_parse() {
        let ulid: Ulid = "01M7ZTB71NJ67GWWE5SXTVHFTH".parse().unwrap();
        assert_eq!(ulid.to_string(), "01M7ZTB71NJ67GWWE5SXTVHFTH");
        assert_eq!(
            "01m7ztb71nj67gwwe5sxtvhfth".parse::<Ulid>().unwrap(),
            ulid,
            "either case"
        );
        for bad in [
            "",
            "01M7ZTB71NJ67GWWE5SXTVHFT",
            "01M7ZTB71NJ67GWWE5SXTVHFTHX",
            "81M7ZTB71NJ67GWWE5SXTVHFTH",
            "01M7ZTB71NJ67GWWE5SXTVHFTI",
            "01M7ZTB71NJ67GWWE5SXTVHF..",
            "lost+found",
        ] {
            assert!(bad.parse::<Ulid>().is_err(), "{bad}");
        }
    }
}
