//! What belongs to the process, and fails.

use std::io;

use super::FaultyKernel;
use crate::faults::Operation;
use crate::supervision::ResourceLimit;
use crate::sys::fd::Fd;
use crate::sys::kernel::Kernel;
use crate::sys::limits::Limited;
use crate::sys::processes::ProcessSource;
use crate::sys::threads::ThreadSource;

impl Kernel for FaultyKernel {
    fn processes(&self) -> ProcessSource<'_> {
        ProcessSource::Kernel(self)
    }

    fn threads(&self) -> ThreadSource {
        self.kernel.threads()
    }

    fn entropy(&self, buf: &mut [u8]) -> io::Result<()> {
        self.before(Operation::Entropy, Fd::NONE)?;
        self.kernel.entropy(buf)
    }

    fn limit(&self, limited: Limited) -> io::Result<ResourceLimit> {
        self.kernel.limit(limited)
    }

    fn set_limit(&self, limited: Limited, limit: ResourceLimit) -> io::Result<()> {
        self.kernel.set_limit(limited, limit)
    }

    fn catch_signal(&self, signal: i32) -> io::Result<()> {
        self.before(Operation::CatchSignal, Fd::NONE)?;
        self.kernel.catch_signal(signal)
    }

    fn release_signal(&self, signal: i32) {
        self.kernel.release_signal(signal);
    }

    fn unblock_signal(&self, signal: i32) -> io::Result<bool> {
        self.before(Operation::UnblockSignal, Fd::NONE)?;
        self.kernel.unblock_signal(signal)
    }

    fn block_signal(&self, signal: i32) -> io::Result<()> {
        self.kernel.block_signal(signal)
    }

    fn has_real_descriptors(&self) -> bool {
        self.kernel.has_real_descriptors()
    }
}
