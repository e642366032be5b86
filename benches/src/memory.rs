//! How much memory this process has.
#![allow(unsafe_code, reason = "asks for the size of a page")]

use std::fs;

/// Returns how much memory the process has in use.
pub(crate) fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    // SAFETY: no pointers.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize
}
