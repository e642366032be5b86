//! What a report is about: whose methods run, and what went wrong with what.

use core::error::Error as StdError;
use core::fmt;
use core::panic::Location;
use std::rc::Rc;

use rondel_core::{Context, ExceptionContext, Instant};

use crate::EventLoopHandle;
use crate::exception::method::{Method, RunningMethod};
use crate::sys::Fd;

/// What a report is about, beside the error and what was running (contract EH-3).
#[derive(Clone, Default)]
pub(crate) struct Subject {
    /// Is the name of the protocol's type.
    pub(crate) protocol: Option<&'static str>,
    pub(crate) transport: Option<Rc<dyn fmt::Debug>>,
    pub(crate) socket: Option<i32>,
    /// Is where it was created, if that is known.
    pub(crate) location: Option<&'static Location<'static>>,
}

impl Subject {
    /// Is a socket that is not a connection's, or not yet.
    pub(crate) fn socket(fd: Fd, location: &'static Location<'static>) -> Self {
        Self { socket: Some(fd.as_raw()), location: Some(location), ..Self::default() }
    }
}

/// Which method of whose runs.
pub(crate) struct Callee {
    pub(crate) method: Method,
    pub(crate) subject: Subject,
}

impl From<&Callee> for RunningMethod {
    fn from(callee: &Callee) -> Self {
        let Subject { protocol, socket, .. } = callee.subject;
        Self { name: callee.method.name(), protocol, socket }
    }
}

/// Prints the name of a protocol's type.
struct ProtocolName(&'static str);

impl fmt::Debug for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl EventLoopHandle {
    /// Reports what has happened to something, with what was running then: the callback or task that it
    /// happened in.
    #[cold]
    pub(crate) fn report_about(
        &self,
        subject: &Subject,
        message: &str,
        exception: Option<&(dyn StdError + 'static)>,
    ) {
        let running = self.inner.scheduler.running();
        let protocol = subject.protocol.map(ProtocolName);
        let mut context = ExceptionContext::new(message);
        context.exception = exception;
        context.location = subject.location.or(running.map(|running| running.location));
        context.handle = running.and_then(|running| running.handle());
        context.task = running.and_then(|running| running.task());
        context.protocol = protocol.as_ref().map(|protocol| protocol as _);
        context.transport = subject.transport.as_ref().map(|transport| transport as _);
        context.socket = subject.socket.as_ref().map(|socket| socket as _);
        self.call_exception_handler(&context);
    }

    /// Runs a method of the user's. If it unwinds, the report says whose it was; who looks on sees it.
    #[inline]
    pub(crate) fn call_method<R>(&self, callee: impl Fn() -> Callee, body: impl FnOnce() -> R) -> R {
        let unwound = Unwound { event_loop: self, observed: self.begin_method(&callee), callee };
        let result = body();
        if let Some(observed) = unwound.observed {
            self.end_method(observed);
        }
        core::mem::forget(unwound);
        result
    }

    #[inline]
    fn begin_method(&self, callee: &impl Fn() -> Callee) -> Option<Observed> {
        self.inner.observers.look_at_methods().then(|| self.begin_observed_method((&callee()).into()))
    }

    #[cold]
    fn begin_observed_method(&self, method: RunningMethod) -> Observed {
        let around = self.inner.observers.replace_method(Some(method));
        Observed { method, around, begun: self.inner.debug.is_on().then(|| self.now()) }
    }

    #[cold]
    fn end_method(&self, Observed { method, around, begun }: Observed) {
        self.inner.observers.replace_method(around);
        if let Some(begun) = begun {
            self.inner.debug.end_method(self.now() - begun, method);
        }
    }
}

/// A method that somebody looks at.
#[derive(Clone, Copy)]
struct Observed {
    method: RunningMethod,
    /// Is the method in which this one runs: of another protocol.
    around: Option<RunningMethod>,
    /// Is when it began, in debug mode.
    begun: Option<Instant>,
}

/// A method that runs. Dropped only if it unwinds, it keeps whose it was for the report, if there will
/// be one.
struct Unwound<'a, F: Fn() -> Callee> {
    event_loop: &'a EventLoopHandle,
    observed: Option<Observed>,
    callee: F,
}

impl<F: Fn() -> Callee> Drop for Unwound<'_, F> {
    #[cold]
    fn drop(&mut self) {
        if let Some(observed) = self.observed {
            self.event_loop.end_method(observed);
        }
        let inner = &self.event_loop.inner;
        if !inner.propagates_panics() {
            // The innermost is whose panic it is.
            let innermost = inner.unwound.take().unwrap_or_else(|| (self.callee)());
            inner.unwound.set(Some(innermost));
        }
    }
}
