//! Decoders against the golden vectors of the real code.

use super::*;

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
        _ => panic!("not a float"),
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
