//! What the process may use of the system.

#![allow(unsafe_code, reason = "getrlimit and setrlimit")]

use core::mem::MaybeUninit;
use std::io;

use super::syscall::syscall;
use crate::supervision::ResourceLimit;

/// What is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limited {
    OpenFiles,
    Processes,
    AddressSpace,
    Data,
    Stack,
    CoreFile,
    FileSize,
    LockedMemory,
}

impl Limited {
    /// Returns the system's number, whose type the C libraries don't agree on.
    const fn number(self) -> i32 {
        (match self {
            Self::OpenFiles => libc::RLIMIT_NOFILE,
            Self::Processes => libc::RLIMIT_NPROC,
            Self::AddressSpace => libc::RLIMIT_AS,
            Self::Data => libc::RLIMIT_DATA,
            Self::Stack => libc::RLIMIT_STACK,
            Self::CoreFile => libc::RLIMIT_CORE,
            Self::FileSize => libc::RLIMIT_FSIZE,
            Self::LockedMemory => libc::RLIMIT_MEMLOCK,
        }) as i32
    }
}

/// Returns a limit.
pub(super) fn limit(limited: Limited) -> io::Result<ResourceLimit> {
    let mut found = MaybeUninit::<libc::rlimit64>::uninit();
    // SAFETY: `found` is good for writing a `rlimit64`.
    unsafe { syscall!(getrlimit64(limited.number() as _, found.as_mut_ptr())) }?;
    // SAFETY: the call has succeeded, so it has written all of it.
    let libc::rlimit64 { rlim_cur, rlim_max } = unsafe { found.assume_init() };
    let finite = |value| (value != libc::RLIM64_INFINITY).then_some(value);
    Ok(ResourceLimit { soft: finite(rlim_cur), hard: finite(rlim_max) })
}

/// Changes a limit.
pub(super) fn set_limit(limited: Limited, limit: ResourceLimit) -> io::Result<()> {
    let value = |bound: Option<u64>| bound.unwrap_or(libc::RLIM64_INFINITY);
    let limit = libc::rlimit64 { rlim_cur: value(limit.soft), rlim_max: value(limit.hard) };
    // SAFETY: `limit` is good for reading a `rlimit64`.
    unsafe { syscall!(setrlimit64(limited.number() as _, &raw const limit)) }.map(drop)
}
