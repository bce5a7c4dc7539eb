//! Decoders against the golden vectors of the real code.

use super::encode::ChunkEncoder;
use super::*;
use crate::model::{CounterReset, HistogramLayout, HistogramSample};

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn floats(encoding: Encoding, hex: &str) -> Vec<(i64, i64, u64)> {
    let mut samples = Vec::new();
    let shape = decode(encoding, &unhex(hex), 0, |sample| match sample {
        Sample::Float(float) => samples.push((float.start, float.time, float.bits)),
        Sample::Histogram(_) | Sample::FloatHistogram(_) => panic!("not a float"),
    })
    .unwrap();
    assert_eq!(shape.samples as usize, samples.len());
    assert_eq!(
        (shape.canonical, shape.tail),
        (true, Tail::Padding),
        "{hex}"
    );
    samples
}

const T: i64 = 1_700_000_000_000;

#[test]
fn mixed_floats_decode_in_both_encodings() {
    let stale = crate::model::STALE_NAN;
    let expected: Vec<_> = [
        (T, 1f64.to_bits()),
        (T + 15000, 2f64.to_bits()),
        (T + 30001, 3f64.to_bits()),
        (T + 44999, 2.5f64.to_bits()),
        (T + 59999, stale),
        (T + 75000, 3f64.to_bits()),
        (T + 9_000_000, (-0.1f64).to_bits()),
        (T + 9_015_000, 1e300f64.to_bits()),
    ]
    .map(|(t, v)| (0, t, v))
    .to_vec();
    let xor = "000880a0abfef9623ff00000000000009875c25fff8001d80efff7605c00162f7ff400000000000300037ff0000000000007c00000000021fd2bf07fff63333333333337ffffffffffde02d42c18e7da51199ec060";
    let xor2 = "00080080a0abfef9623ff00000000000009875c12fffe000e603dffdcc0bc002f80037e000000000087f4afc0fffec666666666666fbfffffffffde02d42c18e7da51199ec06";
    assert_eq!(floats(Encoding::Xor, xor), expected);
    assert_eq!(floats(Encoding::Xor2, xor2), expected);
}

#[test]
fn start_timestamps_decode() {
    let hex =
        "00068380a0abfef9620000000000000000d00f9875c22bffa12fffd603fbd8f0ab0bf83a98ad07f07530";
    let expected: Vec<_> = (0..6)
        .map(|k| {
            (
                if k < 3 { T - 1000 } else { T + 40000 },
                T + 15000 * k,
                (k as f64).to_bits(),
            )
        })
        .collect();
    assert_eq!(floats(Encoding::Xor2, hex), expected);
}

#[test]
fn integer_histograms_decode_up_to_the_stale_marker() {
    for (encoding, hex, start) in [
        (
            Encoding::Histogram,
            "000500749ca494631aff0000c5e7f2b40062a28064cccccccccccd18dd2f83a98c3477838888da1f0088062f3fc5666666666664",
            0,
        ),
        (
            Encoding::HistogramSt,
            "000580749ca494631aff0000c5e7f2b40062a28064cccccccccccd18dd20ef83a98c3477838888da1f0088062f3fc5666666666664",
            T - 7,
        ),
    ] {
        let mut seen = 0;
        let shape = decode(encoding, &unhex(hex), 0, |sample| {
            let Sample::Histogram(sample) = sample else {
                panic!("not an integer histogram")
            };
            let k = seen;
            seen += 1;
            assert_eq!((sample.time, sample.start), (T + 15000 * k, start));
            assert_eq!(sample.is_stale(), k == 4);
            assert_eq!(sample.layout.schema, 3);
            if k < 4 {
                assert_eq!(
                    (sample.count, sample.zero_count),
                    (10 + 6 * k as u64, 1 + k as u64)
                );
                assert_eq!(sample.positive, [1 + k, 1, -1, 0]);
                assert_eq!(sample.negative, [2 + k]);
            }
        })
        .unwrap();
        assert_eq!(
            (seen, shape.samples, shape.canonical),
            (5, 5, true),
            "{encoding}"
        );
    }
}

#[test]
fn float_histograms_decode() {
    for (encoding, hex, start) in [
        (
            Encoding::FloatHistogram,
            "000400749ca494631aff0000c5e7f2b40020120000000000001ff800000000000020193333333333331ff800000000000020000000000000001ff80000000000001ff800000000000020000000000000007c1d4c6b0ee12fffef0784bfffb01e12fffe12fffec06da17b01ed0fec07ac2f603d80f585b6077585c7585ed07ac2f585ed06",
            0,
        ),
        (
            Encoding::FloatHistogramSt,
            "000480749ca494631aff0000c5e7f2b40020120000000000001ff800000000000020193333333333331ff800000000000020000000000000001ff80000000000001ff80000000000002000000000000000077c1d4c6b0ee12fffef0784bfffb01e12fffe12fffec06da17b01ed0fec07ac2f603d80f585b6077585c7585ed07ac2f585ed06",
            T - 7,
        ),
    ] {
        let mut seen = 0u32;
        let shape = decode(encoding, &unhex(hex), 0, |sample| {
            let Sample::FloatHistogram(sample) = sample else {
                panic!("not a float histogram")
            };
            let k = f64::from(seen);
            assert_eq!(
                (sample.time, sample.start),
                (T + 15000 * i64::from(seen), start)
            );
            assert_eq!(f64::from_bits(sample.count), 10.0 + 6.0 * k);
            let absolute: Vec<_> = sample
                .positive
                .iter()
                .map(|bits| f64::from_bits(*bits))
                .collect();
            assert_eq!(absolute, [1.0 + k, 2.0 + k, 1.0 + k, 1.0 + k]);
            seen += 1;
        })
        .unwrap();
        assert_eq!(
            (seen, shape.canonical, shape.tail),
            (4, true, Tail::Padding),
            "{encoding}"
        );
    }
}

#[test]
fn custom_bounds_decode_whether_they_are_thousandths_or_not() {
    let hex = "00020000ee5c665ade3e9fdffffff20703126e56041892ffc00000000000007e346dc5d638865bfc0003179fcad00152006000000000000451f83a989110";
    let mut bounds = Vec::new();
    let shape = decode(Encoding::Histogram, &unhex(hex), 0, |sample| {
        if let Sample::Histogram(sample) = sample {
            bounds = sample
                .layout
                .custom_bounds
                .iter()
                .map(|bits| f64::from_bits(*bits))
                .collect();
        }
    })
    .unwrap();
    assert_eq!(bounds, [0.005, 1.0, 33554.43, 33554.431, -1.0, 0.0001]);
    assert!(shape.canonical);
}

#[test]
fn an_extra_zero_byte_of_old_writers_is_told_from_damage() {
    let shape = |hex: &str| decode(Encoding::Xor, &unhex(hex), 0, |_| {}).unwrap();
    let chunk = "000180a0abfef9623ff0000000000000";
    assert_eq!(shape(chunk).tail, Tail::Padding);
    assert_eq!(shape(&format!("{chunk}00")).tail, Tail::ExtraZeroByte);
    assert_eq!(
        shape(&format!("{chunk}01")).tail,
        Tail::Unexpected { bits: 8 }
    );
    assert_eq!(
        shape(&format!("{chunk}0000")).tail,
        Tail::Unexpected { bits: 16 }
    );
}

/// A decoder of XOR chunks that reads bit by bit and knows no tricks: what the fast one is held
/// against.
mod plain {
    pub(super) struct Bits<'a>(pub(super) &'a [u8], pub(super) usize);

    impl Bits<'_> {
        fn bit(&mut self) -> Option<u64> {
            let byte = *self.0.get(self.1 / 8)?;
            self.1 += 1;
            Some(u64::from(byte >> (7 - (self.1 - 1) % 8) & 1))
        }

        fn bits(&mut self, count: u32) -> Option<u64> {
            (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
        }

        fn uvarint(&mut self) -> Option<u64> {
            let mut value = 0u64;
            for i in 0..10 {
                let byte = self.bits(8)?;
                if i == 9 && byte > 1 {
                    return None;
                }
                value |= (byte & 0x7f) << (7 * i);
                if byte < 0x80 {
                    return Some(value);
                }
            }
            None
        }
    }

    /// The samples up to the first that cannot be read, and whether all were.
    pub(super) fn decode(data: &[u8]) -> (Vec<(i64, u64)>, bool) {
        let mut samples = Vec::new();
        let whole = run(data, &mut samples).is_some();
        (samples, whole)
    }

    fn run(data: &[u8], samples: &mut Vec<(i64, u64)>) -> Option<()> {
        let count = u16::from_be_bytes([*data.first()?, *data.get(1)?]);
        let mut bits = Bits(&data[2..], 0);
        let (mut time, mut delta, mut value) = (0i64, 0i64, 0u64);
        let mut window = None;
        for i in 0..count {
            match i {
                0 => {
                    let raw = bits.uvarint()?;
                    time = (raw >> 1) as i64 ^ -((raw & 1) as i64);
                    value = bits.bits(64)?;
                }
                1 => delta = bits.uvarint()? as i64,
                _ => {
                    let width = match () {
                        () if bits.bit()? == 0 => 0,
                        () if bits.bit()? == 0 => 14,
                        () if bits.bit()? == 0 => 17,
                        () if bits.bit()? == 0 => 20,
                        () => 64,
                    };
                    let raw = bits.bits(width)? as i64;
                    let short = width > 0 && width < 64;
                    let wrap = short && raw > 1 << (width - 1);
                    delta = delta.wrapping_add(if wrap { raw - (1 << width) } else { raw });
                }
            }
            if i > 0 {
                if bits.bit()? == 1 {
                    if bits.bit()? == 1 {
                        let leading = bits.bits(5)? as u32;
                        let width = match bits.bits(6)? as u32 {
                            0 => 64,
                            width => width,
                        };
                        if leading + width > 64 {
                            return None;
                        }
                        window = Some((width, 64 - leading - width));
                    }
                    // A Prometheus that goes on with a chunk of a head snapshot takes up no window
                    // before.
                    let (width, trailing) = window.unwrap_or((64, 0));
                    value ^= bits.bits(width)? << trailing;
                }
                time = time.wrapping_add(delta);
            }
            samples.push((time, value));
        }
        Some(())
    }
}

/// What the fast decoder says, in the terms of the plain one.
fn decode_fast(data: &[u8]) -> (Vec<(i64, u64)>, bool) {
    let mut samples = Vec::new();
    let whole = decode(Encoding::Xor, data, 0, |sample| {
        if let Sample::Float(float) = sample {
            samples.push((float.time, float.bits));
        }
    });
    (samples, whole.is_ok())
}

proptest::proptest! {
    #[test]
    fn any_bytes_decode_as_bit_by_bit(
        count in 0u16..400,
        stream in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
    ) {
        let data = [&count.to_be_bytes()[..], &stream].concat();
        proptest::prop_assert_eq!(decode_fast(&data), plain::decode(&data));
    }

    /// Mostly unchanged samples, as real chunks have them, cut and flipped anywhere.
    #[test]
    fn sparse_bits_decode_as_bit_by_bit(
        count in 0u16..3000,
        len in 0usize..400,
        flips in proptest::collection::vec((0usize..3200, 0u8..8), 0..12),
    ) {
        let mut data = [&count.to_be_bytes()[..], &[2], &[0; 8], &[30], &vec![0; len]].concat();
        for (byte, bit) in flips {
            if let Some(byte) = data.get_mut(2 + byte % (len + 12)) {
                *byte ^= 1 << bit;
            }
        }
        proptest::prop_assert_eq!(decode_fast(&data), plain::decode(&data));
    }

    #[test]
    fn any_bytes_in_any_encoding_do_not_panic(
        encoding in proptest::sample::select(Encoding::ALL.to_vec()),
        data in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
    ) {
        let mut visited = 0;
        let result = decode(encoding, &data, 0, |_| visited += 1);
        if let Ok(shape) = result {
            proptest::prop_assert_eq!(shape.samples, visited);
        }
    }
}

/// A sample of this kind without counts, if there are such samples.
fn empty_sample(kind: ChunkKind, start: Millis, layout: &HistogramLayout) -> Option<Sample<'_>> {
    match kind {
        ChunkKind::Floats => Some(Sample::Float(FloatSample {
            time: 10,
            start,
            bits: 0,
        })),
        ChunkKind::Histograms => Some(Sample::Histogram(empty_histogram(start, layout))),
        ChunkKind::FloatHistograms => Some(Sample::FloatHistogram(empty_histogram(start, layout))),
        ChunkKind::Aggregates | ChunkKind::Unknown(_) => None,
    }
}

fn empty_histogram<B>(start: Millis, layout: &HistogramLayout) -> HistogramSample<'_, B> {
    HistogramSample {
        time: 10,
        start,
        counter_reset: CounterReset::Unknown,
        layout,
        sum: 0,
        count: 0,
        zero_count: 0,
        positive: &[],
        negative: &[],
    }
}

#[test]
fn decoders_and_encoders_know_the_encodings_that_the_table_says() {
    fn knows<T>(result: Result<T, Malformed>) -> bool {
        !result.is_err_and(|malformed| malformed.is_unsupported())
    }
    let data = [0; 3];
    for byte in 0..=255 {
        let encoding = Encoding::from_byte(byte);
        let found = [
            knows(decode(encoding, &data, 0, |_| ())),
            knows(decode_floats(encoding, &data, 0, Each(|_| ()))),
            knows(promised_samples(encoding, &data, 0)),
            knows(counts_per_sample(encoding, &data)),
        ];
        let wanted = [
            encoding.is_decodable(),
            encoding.is_decodable() && encoding.is_float(),
            encoding.is_decodable() || encoding.kind() == ChunkKind::Aggregates,
            encoding.is_decodable(),
        ];
        assert_eq!(
            found, wanted,
            "{encoding}: decode, decode_floats, promised_samples, counts_per_sample"
        );
        for writer in Xor2Writer::ALL {
            let found = ChunkEncoder::of_writer(encoding, writer);
            assert_eq!(
                found.is_ok(),
                encoding.encoder(writer).is_some(),
                "{encoding}: ChunkEncoder"
            );
        }
    }
}

#[test]
fn encoders_take_the_samples_that_the_table_says_and_decoders_lend_them() {
    let layout = HistogramLayout::default();
    let kinds = [
        ChunkKind::Floats,
        ChunkKind::Histograms,
        ChunkKind::FloatHistograms,
    ];
    for encoding in Encoding::encodable() {
        for (kind, start) in kinds.into_iter().flat_map(|kind| [(kind, 0), (kind, 7)]) {
            let sample = empty_sample(kind, start, &layout).unwrap();
            let mut encoder = ChunkEncoder::new(encoding).unwrap();
            let fits = kind == encoding.kind() && (start == 0 || encoding.has_starts());
            let is_taken = encoder.push(&sample).is_ok();
            assert_eq!(is_taken, fits, "{encoding}: {sample:?}");
            if !is_taken {
                continue;
            }
            let data = encoder.finish().data;
            let mut lent = Vec::new();
            decode(encoding, &data, 0, |sample| {
                lent.push(format!("{sample:?}"));
            })
            .unwrap();
            assert_eq!(lent, [format!("{sample:?}")], "{encoding}");
            if let Sample::Float(sample) = sample {
                let mut lent = Vec::new();
                decode_floats(encoding, &data, 0, Each(|sample| lent.push(sample))).unwrap();
                assert_eq!(lent, [sample], "{encoding}");
            }
        }
    }
}
