//! The processor's time of this process.

use std::time::Duration;

/// The time for which the processor's cores have worked for this process so far, in all threads together. Zero where
/// the system does not tell.
pub fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock_gettime` writes to the structure that it is given, which lives until it returns.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    if told == 0 { Duration::new(seconds, nanoseconds) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Digest;

    #[test]
    fn work_takes_time_of_the_processor() {
        let before = processor_time();
        std::hint::black_box(Digest::of(&vec![7; 1 << 20]));
        assert!(processor_time() > before);
    }
}
