//! Large pages for the memory a hash walks through, and for nothing else.
//!
//! On pages of 2 MiB a hash is some 8 % quicker. But an allocator that gets them for everything takes 2 MiB of the
//! machine wherever a thread keeps a few kilobytes, which is most of what an idle house would take. The system can
//! refuse large pages to a whole process, and asks when a page is first touched; so they are refused but for the
//! moment in which a hashing thread first touches its memory.

#[cfg(target_os = "linux")]
mod system {
    use std::sync::atomic::{AtomicBool, Ordering};

    use parking_lot::Mutex;
    use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};

    /// Whether it was we who refused them.
    static REFUSED: AtomicBool = AtomicBool::new(false);
    /// Two threads that allow and refuse at once would undo each other.
    static TOUCHING: Mutex<()> = Mutex::new(());

    pub(super) fn only_for_hashing() {
        // Where somebody else has refused them, they mean it for hashes too. And where the system knows no large
        // pages, there is nothing to refuse.
        if let Ok(false) = transparent_huge_pages_are_disabled() {
            let refused = disable_transparent_huge_pages(true).is_ok();
            REFUSED.store(refused, Ordering::Relaxed);
        }
    }

    pub(super) fn touch<T>(memory: impl FnOnce() -> T) -> T {
        if !REFUSED.load(Ordering::Relaxed) {
            return memory();
        }
        let _alone = TOUCHING.lock();
        let _ = disable_transparent_huge_pages(false);
        let touched = memory();
        let _ = disable_transparent_huge_pages(true);
        touched
    }
}

/// Refuses large pages to the rest of this process. For a program that is only a house, when it starts: others may
/// want them for themselves.
pub fn only_for_hashing() {
    #[cfg(target_os = "linux")]
    system::only_for_hashing();
}

/// Runs what first touches the memory of a hash.
pub(super) fn touch<T>(memory: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    return system::touch(memory);
    #[cfg(not(target_os = "linux"))]
    memory()
}
