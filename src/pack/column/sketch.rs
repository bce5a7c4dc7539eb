//! Which columns move together, at a glance.

/// Steps of a column that its sketch holds.
const STEPS: usize = 128;
/// Lanes of the sum of products: the compiler may compute them side by side.
const LANES: usize = 8;
/// Steps count as at most so many mean ones: what moves once, together or not, says little.
const MOST: f32 = 4.0;

/// Some steps of a column, so scaled that their squares add up to one.
#[derive(Clone, Debug)]
pub(super) struct Sketch([f32; STEPS]);

impl Sketch {
    /// Of steps spread evenly over `values`; none when there are fewer or nothing moves.
    pub(super) fn of(values: &[i64]) -> Option<Self> {
        let count = values
            .len()
            .checked_sub(1)
            .filter(|count| *count >= STEPS)?;
        let mut steps = [0.0; STEPS];
        let mut sum = 0.0;
        for (i, step) in steps.iter_mut().enumerate() {
            let at = i * count / STEPS;
            if let Some([a, b]) = values.get(at..at + 2) {
                #[expect(clippy::cast_possible_truncation, reason = "a few digits do")]
                let moved = b.wrapping_sub(*a) as f64 as f32;
                *step = moved;
                sum += moved.abs();
            }
        }
        let most = MOST * sum / STEPS as f32;
        let mut squares = 0.0;
        for step in &mut steps {
            *step = step.clamp(-most, most);
            squares += *step * *step;
        }
        if !(squares > 0.0 && f32::is_finite(squares)) {
            return None;
        }
        let scale = squares.sqrt().recip();
        for step in &mut steps {
            *step *= scale;
        }
        Some(Sketch(steps))
    }

    /// How far two columns move together: 1 always, 0 as if by chance, also when one moves against
    /// the other.
    pub(super) fn likeness(&self, other: &Self) -> f32 {
        let mut lanes = [0.0; LANES];
        let (a, b) = (self.0.chunks_exact(LANES), other.0.chunks_exact(LANES));
        for (a, b) in a.zip(b) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += a * b;
            }
        }
        lanes.iter().sum::<f32>().abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_move_together_look_alike() {
        let noise = |i: i64, seed: i64| (i * i * 31 + i * seed) % 101 - 50;
        let column =
            |f: &dyn Fn(i64) -> i64| Sketch::of(&(0..500).map(f).collect::<Vec<_>>()).unwrap();
        let a = column(&|i| noise(i, 7_919));
        let doubled = column(&|i| 1_000 - 2 * noise(i, 7_919));
        let another = column(&|i| noise(i, 104_729));
        assert!(a.likeness(&doubled) > 0.99);
        assert!(a.likeness(&another) < 0.5);
    }

    #[test]
    fn what_never_moves_or_is_short_has_none() {
        assert!(Sketch::of(&[5; 1_000]).is_none());
        assert!(Sketch::of(&(0..100).collect::<Vec<_>>()).is_none());
        assert!(Sketch::of(&[]).is_none());
        let extremes: Vec<i64> = (0..300)
            .map(|i| if i % 2 == 0 { i64::MIN } else { i64::MAX })
            .collect();
        Sketch::of(&extremes);
    }
}
