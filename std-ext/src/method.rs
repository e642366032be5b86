//! The methods of protocols, by name, and which of them runs.

use core::fmt;
use std::rc::Rc;

use crate::EventLoopHandle;

/// A method of a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    ConnectionMade,
    DataReceived,
    BufferUpdated,
    EofReceived,
    PauseWriting,
    ResumeWriting,
    DatagramReceived,
    DatagramTruncated,
    ErrorReceived,
    ConnectionLost,
}

/// Returns the texts about a method.
macro_rules! texts {
    ($self:ident, $($method:ident = $name:literal),*) => {
        match $self {
            $(Self::$method => Texts {
                name: $name,
                failed: concat!("protocol.", $name, "() failed"),
                panicked: concat!("protocol.", $name, "() panicked"),
            }),*
        }
    };
}

struct Texts {
    name: &'static str,
    failed: &'static str,
    panicked: &'static str,
}

impl Method {
    const fn texts(self) -> Texts {
        texts!(
            self,
            ConnectionMade = "connection_made",
            DataReceived = "data_received",
            BufferUpdated = "buffer_updated",
            EofReceived = "eof_received",
            PauseWriting = "pause_writing",
            ResumeWriting = "resume_writing",
            DatagramReceived = "datagram_received",
            DatagramTruncated = "datagram_truncated",
            ErrorReceived = "error_received",
            ConnectionLost = "connection_lost"
        )
    }

    pub(crate) const fn name(self) -> &'static str {
        self.texts().name
    }

    pub(crate) const fn failed(self) -> &'static str {
        self.texts().failed
    }

    pub(crate) const fn panicked(self) -> &'static str {
        self.texts().panicked
    }
}

/// Which method of whose runs: what a report says about it.
pub(crate) struct Callee {
    pub(crate) method: Method,
    /// Is the name of the protocol's type.
    pub(crate) protocol: &'static str,
    pub(crate) transport: Rc<dyn fmt::Debug>,
    pub(crate) socket: i32,
}

/// Prints the name of a protocol's type.
#[derive(Clone, Copy)]
pub(crate) struct ProtocolName(pub(crate) &'static str);

impl fmt::Debug for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl EventLoopHandle {
    /// Runs a method of a protocol. If it unwinds, its report says whose it was.
    #[inline]
    pub(crate) fn call_protocol<R>(&self, callee: impl Fn() -> Callee, body: impl FnOnce() -> R) -> R {
        let unwound = OnUnwind(|| self.protocol_unwound(callee()));
        self.inner.observers.begin_method(&callee);
        let result = body();
        self.inner.observers.end_method();
        core::mem::forget(unwound);
        result
    }

    /// Keeps whose method unwinds for the report, if there will be one.
    #[cold]
    fn protocol_unwound(&self, callee: Callee) {
        if !self.inner.propagates_panics() {
            self.inner.unwound.set(Some(callee));
        }
    }
}

/// Runs a closure when dropped, which is to happen only by unwinding.
struct OnUnwind<F: Fn()>(F);

impl<F: Fn()> Drop for OnUnwind<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
