//! What a child is to be.

use core::ffi::CStr;
use core::fmt;
use core::ptr;
use std::ffi::CString;

/// Everything that a child needs to know, prepared so that between its creation and its program it
/// makes system calls and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Command {
    /// Are the files to try, in this order.
    pub(crate) programs: Vec<CString>,
    pub(crate) arguments: StringArray,
    pub(crate) environment: StringArray,
    pub(crate) directory: Option<CString>,
    /// Are the descriptors of the parent that become 0, 1 and 2.
    pub(crate) stdio: [i32; 3],
    /// Are further descriptors that the program gets, under the same numbers.
    pub(crate) passed: Vec<i32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) groups: Option<Vec<libc::gid_t>>,
    /// Is the group to join, 0 for one of its own.
    pub(crate) process_group: Option<i32>,
    pub(crate) has_new_session: bool,
    pub(crate) parent_death_signal: Option<i32>,
    /// Are the limits to set: which, and the soft and the hard value.
    pub(crate) limits: Vec<(u32, [u64; 2])>,
}

/// What a process may be limited in, as the system numbers it.
#[allow(clippy::unnecessary_cast, reason = "signed with musl")]
pub(crate) mod limit {
    pub(crate) const ADDRESS_SPACE: u32 = libc::RLIMIT_AS as u32;
    pub(crate) const CORE: u32 = libc::RLIMIT_CORE as u32;
    pub(crate) const CPU: u32 = libc::RLIMIT_CPU as u32;
    pub(crate) const DATA: u32 = libc::RLIMIT_DATA as u32;
    pub(crate) const FILE_SIZE: u32 = libc::RLIMIT_FSIZE as u32;
    pub(crate) const LOCKED_MEMORY: u32 = libc::RLIMIT_MEMLOCK as u32;
    pub(crate) const NICE: u32 = libc::RLIMIT_NICE as u32;
    pub(crate) const OPEN_FILES: u32 = libc::RLIMIT_NOFILE as u32;
    pub(crate) const PROCESSES: u32 = libc::RLIMIT_NPROC as u32;
    pub(crate) const STACK: u32 = libc::RLIMIT_STACK as u32;
}

/// Strings as `execve` takes them: pointers, and a null at the end.
pub(crate) struct StringArray {
    /// Invariant: `pointers` point into these, in their order.
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl StringArray {
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        let ends = strings.iter().map(|string| string.as_ptr());
        let pointers = ends.chain([ptr::null()]).collect();
        Self { strings, pointers }
    }

    /// Returns the pointers, which live as long as this does.
    pub(super) fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.strings.iter().map(CString::as_c_str)
    }
}

impl Default for StringArray {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl fmt::Debug for StringArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
