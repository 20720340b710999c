//! Clocks and scales: CPU time, memory, medians.
#![expect(unsafe_code, reason = "the clocks of the system")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// CPU seconds of all threads.
pub(crate) fn cpu() -> f64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID).as_secs_f64()
}

/// MiB that the process has for itself.
pub(crate) fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// The most that [`memory`] is while `work` is done, looked at fifty times a second.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = memory();
            while !done.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(20));
                most = most.max(memory());
            }
            most
        });
        let result = work();
        done.store(true, Ordering::Release);
        (result, watch.join().unwrap())
    })
}

/// CPU time of this thread.
pub(crate) fn thread_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// What a clock of the system says; what `/proc` says of a running thread is late by up to a tick.
fn clock(which: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is what the call fills.
    let failed = unsafe { libc::clock_gettime(which, &raw mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
