//! Integers as change of their delta: times, counts and buckets of histogram chunks.

/// State of one column: the value before, and what it differed by from the one before that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeltaColumn {
    value: i64,
    delta: i64,
}

impl DeltaColumn {
    /// A column whose first value is `value`, reached from nowhere.
    pub(super) fn new(value: i64) -> Self {
        DeltaColumn { value, delta: 0 }
    }

    /// Goes on to `value`: by how much the delta changes.
    #[inline]
    pub(super) fn change_to(&mut self, value: i64) -> i64 {
        let delta = value.wrapping_sub(self.value);
        let change = delta.wrapping_sub(self.delta);
        *self = DeltaColumn { value, delta };
        change
    }
}
