//! Hashing gives way to answering.
//!
//! A hash keeps a core busy for milliseconds, and a login storm keeps all of them busy. If the scheduler weighs
//! those threads like the ones that serve requests, people who are already logged in wait behind strangers who
//! try to. Ten steps nicer, a hashing thread gets what is left over, which on an idle machine is everything.

/// How much nicer hashing threads are than the rest: about a tenth of the weight.
#[cfg(target_os = "linux")]
const NICER_BY: i32 = 10;

/// There is nothing nicer.
#[cfg(target_os = "linux")]
const NICEST: i32 = 19;

/// Lowers the calling thread's priority, and no other's.
#[cfg(target_os = "linux")]
pub(super) fn lower() -> std::io::Result<()> {
    // POSIX speaks of the process, but on Linux the priority belongs to the thread, and "none" means the caller's
    // (setpriority(2), "C library/kernel differences"). Counted from what it is: a process that was started nice
    // must not get a less nice thread.
    let now = rustix::process::getpriority_process(None)?;
    Ok(rustix::process::setpriority_process(
        None,
        (now + NICER_BY).min(NICEST),
    )?)
}

/// Other systems have no priority per thread that this program could set without `unsafe`.
#[cfg(not(target_os = "linux"))]
pub(super) fn lower() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    #[test]
    fn only_the_calling_thread_becomes_nicer() {
        let before = getpriority_process(None).unwrap();
        let inside = std::thread::spawn(|| {
            super::lower().unwrap();
            getpriority_process(None).unwrap()
        });
        assert_eq!(
            inside.join().unwrap(),
            (before + super::NICER_BY).min(super::NICEST)
        );
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
