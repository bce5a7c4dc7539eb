//! Instructions that not every processor has.
//!
//! Programs for all 64-bit x86 processors may use only what the first of them had. Shifting by a number of bits that is
//! known at run time only takes three steps there, and one on any processor since 2013; decoding bit streams
//! does little else.

/// Proof that this processor has the bit manipulation instructions (BMI2 and LZCNT).
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastBits(());

impl FastBits {
    /// The proof, if there is one. After the first call this costs a load and a comparison.
    #[inline]
    pub(crate) fn find() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("lzcnt")
        {
            return Some(FastBits(()));
        }
        None
    }

    /// Runs `work`, compiled with these instructions as far as it is inlined.
    #[inline]
    #[expect(clippy::unused_self, reason = "it is the proof")]
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        #[cfg(target_arch = "x86_64")]
        {
            #[expect(
                unsafe_code,
                reason = "the compiler cannot know the processor; see SAFETY"
            )]
            // SAFETY: only `find` makes the proof, and only where the processor has both features.
            unsafe {
                with_fast_bits(work)
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        work()
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2,lzcnt")]
fn with_fast_bits<T>(work: impl FnOnce() -> T) -> T {
    work()
}
