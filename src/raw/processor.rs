//! Instructions that not every processor has.
//!
//! Programs for all 64-bit x86 processors may use only what the first of them had. Shifting by a
//! number of bits that is known at run time only takes three steps there, and one on any processor
//! since 2013; decoding bit streams does little else.

/// Work that is compiled twice: for any processor, and for those with [`FastBits`].
///
/// A closure would do, but for one thing: the compiler does not always inline it, and then compiles
/// it once only.
pub(crate) trait Work {
    /// What comes of it.
    type Done;

    /// Does it. Implementations are `#[inline(always)]`, and so is the loop they consist of.
    fn work(self) -> Self::Done;
}

/// Does `work` with the instructions that this processor has.
#[inline]
pub(crate) fn run<W: Work>(work: W) -> W::Done {
    match FastBits::find() {
        Some(fast) => fast.run(work),
        None => work.work(),
    }
}

/// Proof that this processor has the bit manipulation instructions (BMI2 and LZCNT).
#[derive(Clone, Copy, Debug)]
struct FastBits(());

impl FastBits {
    /// The proof, if there is one. After the first call this costs a load and a comparison.
    #[inline]
    fn find() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("lzcnt")
        {
            return Some(FastBits(()));
        }
        None
    }

    /// Does `work`, compiled with these instructions as far as it is inlined.
    #[inline]
    #[expect(clippy::unused_self, reason = "it is the proof")]
    fn run<W: Work>(self, work: W) -> W::Done {
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
        work.work()
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2,lzcnt")]
fn with_fast_bits<W: Work>(work: W) -> W::Done {
    work.work()
}
