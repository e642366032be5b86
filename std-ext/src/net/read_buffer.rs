//! The buffer that the reads of a loop share.

use crate::EventLoopHandle;

/// Is the size of the buffer of a read within a read.
const READ_MIN: usize = 1024;

/// The buffer that all reads of a loop share, for the time of one read.
///
/// It is taken out of the loop: who reads from another stream meanwhile finds
/// none, and makes a small one for the moment.
pub(crate) struct SharedBuffer<'a> {
    event_loop: &'a EventLoopHandle,
    pub(crate) bytes: Box<[u8]>,
}

impl<'a> SharedBuffer<'a> {
    #[inline]
    pub(crate) fn take(event_loop: &'a EventLoopHandle) -> Self {
        let mut bytes = event_loop.inner.read_buffer.take();
        if bytes.is_empty() {
            bytes = vec![0; READ_MIN].into();
        }
        Self { event_loop, bytes }
    }
}

impl Drop for SharedBuffer<'_> {
    /// Puts the buffer back, unless a larger one is there.
    #[inline]
    fn drop(&mut self) {
        let place = &self.event_loop.inner.read_buffer;
        let bytes = core::mem::take(&mut self.bytes);
        let other = place.replace(bytes);
        if !other.is_empty() {
            self.put_larger(other);
        }
    }
}

impl SharedBuffer<'_> {
    #[cold]
    fn put_larger(&self, other: Box<[u8]>) {
        let place = &self.event_loop.inner.read_buffer;
        let bytes = place.take();
        place.set(if bytes.len() < other.len() { other } else { bytes });
    }
}
