//! What belongs to the process.

use std::io;

use super::RealDescriptors;
use crate::supervision::ResourceLimit;
use crate::sys::kernel::Kernel;
use crate::sys::limits::Limited;
use crate::sys::processes::ProcessSource;
use crate::sys::threads::ThreadSource;
use crate::sys::{entropy, limits, signals};

impl<K: RealDescriptors> Kernel for K {
    fn processes(&self) -> ProcessSource<'_> {
        ProcessSource::System
    }

    fn threads(&self) -> ThreadSource {
        ThreadSource::System
    }

    fn entropy(&self, buf: &mut [u8]) -> io::Result<()> {
        entropy::fill(buf)
    }

    fn limit(&self, limited: Limited) -> io::Result<ResourceLimit> {
        limits::limit(limited)
    }

    fn set_limit(&self, limited: Limited, limit: ResourceLimit) -> io::Result<()> {
        limits::set_limit(limited, limit)
    }

    fn catch_signal(&self, signal: i32) -> io::Result<()> {
        signals::catch(signal)
    }

    fn release_signal(&self, signal: i32) {
        signals::release(signal);
    }

    fn unblock_signal(&self, signal: i32) -> io::Result<bool> {
        signals::unblock(signal)
    }

    fn block_signal(&self, signal: i32) -> io::Result<()> {
        signals::block(signal)
    }

    fn has_real_descriptors(&self) -> bool {
        true
    }
}
