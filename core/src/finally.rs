//! What must happen also when user code panics.

/// Calls a closure when dropped: at the end of a block, or when a destructor,
/// waker or callback in it unwinds through a context that catches no panics.
pub(crate) struct Finally<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for Finally<F> {
    #[inline]
    fn drop(&mut self) {
        (self.0)();
    }
}
