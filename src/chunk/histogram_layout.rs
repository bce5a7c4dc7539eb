//! What stands once at the start of a histogram chunk: resolution, zero bucket, spans, custom
//! bounds.

use super::varbit::Varbit;
use super::{DATA, exhausted};
use crate::model::{CounterReset, HistogramLayout, Span};
use crate::raw::{BitReader, Malformed};

/// Schema of histograms with custom bucket bounds.
pub(super) const CUSTOM_SCHEMA: i64 = -53;

/// Most spans, and most buckets on a side, that a chunk may announce. All positive floats have
/// fewer buckets than half of this at the finest resolution, so only damage asks for more; it
/// bounds what decoding allocates.
const MAX_BUCKETS: u64 = 1 << 20;

/// The counter-reset header: the top two bits of `byte`.
pub(super) fn counter_reset(byte: u8) -> CounterReset {
    CounterReset::from_bits(byte >> 6)
}

/// The header of a histogram chunk, both forms: samples, counter reset, start-timestamp byte.
pub(super) struct Header {
    pub(super) samples: u32,
    pub(super) counter_reset: CounterReset,
    /// The start-timestamp byte; `None` in chunks without start timestamps.
    pub(super) start: Option<u8>,
    /// Whether all reserved bits are zero.
    pub(super) canonical: bool,
}

impl Header {
    /// Reads the three bytes of either form.
    pub(super) fn read(
        reader: &mut crate::raw::Reader<'_>,
        with_start: bool,
    ) -> Result<Self, Malformed> {
        let first = reader.u16()?;
        let third = reader.u8()?;
        let [high, _] = first.to_be_bytes();
        Ok(if with_start {
            Header {
                samples: u32::from(first) & super::start::COUNT_MASK,
                counter_reset: counter_reset(high),
                start: Some(third),
                canonical: true,
            }
        } else {
            Header {
                samples: u32::from(first),
                counter_reset: counter_reset(third),
                start: None,
                canonical: third << 2 == 0,
            }
        })
    }
}

/// A layout, the numbers of buckets its spans hold, and whether its codes were the shortest.
pub(super) struct ReadLayout {
    pub(super) layout: HistogramLayout,
    pub(super) positive: usize,
    pub(super) negative: usize,
    pub(super) canonical: bool,
}

/// Reads the layout from the start of the bit stream.
pub(super) fn read_layout(bits: &mut BitReader<'_>, base: u64) -> Result<ReadLayout, Malformed> {
    let mut varbit = Varbit::new();
    let mut layout = HistogramLayout::default();
    let (zero_threshold, exact) = read_threshold(bits).ok_or_else(|| exhausted(bits, base))?;
    layout.zero_threshold = zero_threshold;
    layout.schema = varbit.signed(bits).ok_or_else(|| exhausted(bits, base))?;
    if !(-9..=52).contains(&layout.schema) && layout.schema != CUSTOM_SCHEMA {
        let offset = base + bits.position() / 8;
        return Err(Malformed::unknown(
            DATA,
            offset,
            "histogram schema",
            layout.schema,
        ));
    }
    let positive = read_spans(bits, base, &mut varbit, &mut layout.positive)?;
    let negative = read_spans(bits, base, &mut varbit, &mut layout.negative)?;
    let mut canonical = exact;
    if layout.schema == CUSTOM_SCHEMA {
        let count = bounded(varbit.unsigned(bits), bits, base)?;
        for _ in 0..count {
            let code = varbit.unsigned(bits).ok_or_else(|| exhausted(bits, base))?;
            let bound = match code {
                0 => bits.bits(64).ok_or_else(|| exhausted(bits, base))?,
                code => ((code - 1) as f64 / 1000.0).to_bits(),
            };
            canonical &= bound_code(bound) == code;
            layout.custom_bounds.push(bound);
        }
    }
    canonical &= varbit.canonical;
    Ok(ReadLayout {
        layout,
        positive,
        negative,
        canonical,
    })
}

/// Reads the spans of one side; returns how many buckets they hold.
fn read_spans(
    bits: &mut BitReader<'_>,
    base: u64,
    varbit: &mut Varbit,
    spans: &mut Vec<Span>,
) -> Result<usize, Malformed> {
    let count = bounded(varbit.unsigned(bits), bits, base)?;
    let mut buckets = 0u64;
    for _ in 0..count {
        let length = varbit.unsigned(bits).ok_or_else(|| exhausted(bits, base))?;
        let offset = varbit.signed(bits).ok_or_else(|| exhausted(bits, base))?;
        spans.push(Span { offset, length });
        buckets = buckets.saturating_add(length);
    }
    bounded(Some(buckets), bits, base)
}

/// A count of things of at least one bit each that are still to come.
fn bounded(count: Option<u64>, bits: &BitReader<'_>, base: u64) -> Result<usize, Malformed> {
    let count = count.ok_or_else(|| exhausted(bits, base))?;
    let most = bits.remaining().min(MAX_BUCKETS);
    usize::try_from(count)
        .ok()
        .filter(|_| count <= most)
        .ok_or_else(|| {
            let offset = base + bits.position() / 8;
            Malformed::unexpected(
                DATA,
                offset,
                "number of spans or buckets",
                format!("of at most {most}"),
                count,
            )
        })
}

/// Reads the zero threshold, and whether its form was the one the encoder chooses.
fn read_threshold(bits: &mut BitReader<'_>) -> Option<(u64, bool)> {
    let code = bits.bits(8)?;
    let threshold = match code {
        0 => 0,
        255 => bits.bits(64)?,
        // 2^(code − 244), built from its exponent field: biased by 1023.
        code => (code + 1023 - 244) << 52,
    };
    Some((threshold, u64::from(threshold_code(threshold)) == code))
}

/// The byte that stands for a zero threshold: 0 for zero, `e + 244` for 2^e, else 255 before the
/// full value.
pub(super) fn threshold_code(bits: u64) -> u8 {
    let exponent = (bits >> 52).cast_signed() - 1023;
    let is_power_of_two = bits & ((1 << 52) - 1) == 0;
    match exponent {
        _ if bits << 1 == 0 => 0,
        -243..=10 if is_power_of_two => u8::try_from(exponent + 244).unwrap_or(255),
        _ => 255,
    }
}

/// The number that stands for a custom bound: thousandths plus one where that is exact, else 0
/// before the full value.
pub(super) fn bound_code(bits: u64) -> u64 {
    /// 2^25 − 2: the largest number of thousandths that keeps the code short.
    const MOST: f64 = 33_554_430.0;
    let bound = f64::from_bits(bits);
    let thousandths = bound * 1000.0;
    let is_out = !(0.0..=MOST).contains(&thousandths);
    let rounded = thousandths.round();
    #[expect(clippy::float_cmp, reason = "the format's own rule: exact or not")]
    let is_exact = rounded / 1000.0 == bound;
    if is_out || !is_exact {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 33,554,430")]
    let code = rounded as u64;
    code + 1
}
