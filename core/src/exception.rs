//! Errors that nobody looks at, and errors of any type.
#![allow(unsafe_code, reason = "borrows and drops errors of erased type")]

use core::error::Error;
use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;

use crate::clipped::Clipped;
use crate::inline::Inline;
use crate::{
    Cancelled, FutureError, FutureId, HandleId, Refusal, Refused, TaskError, TaskId, TimeoutError, WaitError,
};

/// Is the most bytes of a message and of an error that are printed, and of any
/// other part.
const TEXT_MAX: usize = 4096;
const PART_MAX: usize = 256;

/// What the exception handler is told (contract EH-3).
///
/// # Python
/// The `context` dict of `loop.call_exception_handler(context)`. `handle`,
/// `future` and `task` are ids here, `source_traceback` is the creation site.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ExceptionContext<'a> {
    /// Says what happened.
    pub message: &'a str,
    /// Is the error, where there is one.
    pub exception: Option<&'a (dyn Error + 'static)>,
    /// Is where the callback, timer, future or task was created.
    pub location: Option<&'static Location<'static>>,
    /// Is the callback or timer it happened in.
    pub handle: Option<HandleId>,
    /// Is the future it happened to.
    pub future: Option<FutureId>,
    /// Is the task it happened in or to.
    pub task: Option<TaskId>,
    /// Is the protocol it happened in.
    pub protocol: Option<&'a dyn fmt::Debug>,
    /// Is the transport it happened in.
    pub transport: Option<&'a dyn fmt::Debug>,
    /// Is the socket it happened to.
    pub socket: Option<&'a dyn fmt::Debug>,
}

impl<'a> ExceptionContext<'a> {
    /// Makes a context that has only a message.
    #[must_use]
    pub const fn new(message: &'a str) -> Self {
        Self {
            message,
            exception: None,
            location: None,
            handle: None,
            future: None,
            task: None,
            protocol: None,
            transport: None,
            socket: None,
        }
    }

    /// Adds the error.
    #[must_use]
    pub const fn with_exception(mut self, exception: &'a (dyn Error + 'static)) -> Self {
        self.exception = Some(exception);
        self
    }

    /// Adds the creation site.
    #[must_use]
    pub const fn with_location(mut self, location: &'static Location<'static>) -> Self {
        self.location = Some(location);
        self
    }

    /// Adds the task.
    #[must_use]
    pub const fn with_task(mut self, task: TaskId) -> Self {
        self.task = Some(task);
        self
    }
}

/// Prints the message, then each present key on a line of its own, sorted by
/// name as asyncio's default handler does (EH-7). What is very long is cut off
/// (FAULTS K-07).
impl fmt::Display for ExceptionContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message =
            if self.message.is_empty() { "Unhandled exception in event loop" } else { self.message };
        write!(f, "{}", Clipped::new(message, TEXT_MAX))?;
        if let Some(location) = self.location {
            write!(f, "\ncreated_at: {location}")?;
        }
        if let Some(exception) = self.exception {
            write!(f, "\nexception: {}", Clipped::new(exception, TEXT_MAX))?;
        }
        if let Some(future) = self.future {
            write!(f, "\nfuture: {future}")?;
        }
        if let Some(handle) = self.handle {
            write!(f, "\nhandle: {handle}")?;
        }
        if let Some(protocol) = self.protocol {
            write!(f, "\nprotocol: {}", Clipped::new(format_args!("{protocol:?}"), PART_MAX))?;
        }
        if let Some(socket) = self.socket {
            write!(f, "\nsocket: {}", Clipped::new(format_args!("{socket:?}"), PART_MAX))?;
        }
        if let Some(task) = self.task {
            write!(f, "\ntask: {task}")?;
        }
        if let Some(transport) = self.transport {
            write!(f, "\ntransport: {}", Clipped::new(format_args!("{transport:?}"), PART_MAX))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ExceptionContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExceptionContext({self})")
    }
}

/// An error of any type with up to 24 bytes, without an allocator.
///
/// # Python
/// The exception object that `future.set_exception(exception)` takes.
pub struct Exception {
    /// Invariant: holds the error that `vtable` was made for.
    error: Inline,
    vtable: &'static VTable,
    /// The error needn't be `Send`.
    _not_send: PhantomData<*mut ()>,
}

struct VTable {
    get: unsafe fn(&Inline) -> &(dyn Error + 'static),
    drop: unsafe fn(&mut Inline),
}

impl Exception {
    /// Stores `error`. One with more than 24 bytes does not compile.
    pub fn new<E: Error + 'static>(error: E) -> Self {
        Self { error: Inline::store(error), vtable: const { &VTable::of::<E>() }, _not_send: PhantomData }
    }

    /// Returns the error.
    #[must_use]
    pub fn get(&self) -> &(dyn Error + 'static) {
        // SAFETY: the vtable was made for this error.
        unsafe { (self.vtable.get)(&self.error) }
    }
}

impl VTable {
    const fn of<E: Error + 'static>() -> Self {
        Self {
            // SAFETY: an `E` is stored, and borrowed as the words are.
            get: |error| unsafe { &*error.as_ptr::<E>() },
            // SAFETY: an `E` is stored, and this is its last use.
            drop: |error| drop(unsafe { error.read::<E>() }),
        }
    }
}

impl Drop for Exception {
    fn drop(&mut self) {
        // SAFETY: the vtable was made for this error, and nothing else moves it out.
        unsafe { (self.vtable.drop)(&mut self.error) };
    }
}

impl fmt::Debug for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.get(), f)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.get(), f)
    }
}

impl Error for Exception {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.get())
    }
}

impl From<Refusal> for Exception {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal)
    }
}

impl<T> From<Refused<T>> for Exception {
    /// Drops the value that was refused and keeps the reason.
    fn from(refused: Refused<T>) -> Self {
        Self::new(refused.refusal())
    }
}

impl From<Cancelled> for Exception {
    fn from(cancelled: Cancelled) -> Self {
        Self::new(cancelled)
    }
}

impl From<WaitError> for Exception {
    fn from(error: WaitError) -> Self {
        Self::new(error)
    }
}

impl From<TaskError> for Exception {
    fn from(error: TaskError) -> Self {
        Self::new(error)
    }
}

impl From<TimeoutError> for Exception {
    fn from(error: TimeoutError) -> Self {
        Self::new(error)
    }
}

impl From<FutureError> for Exception {
    /// Is the exception that was set, if it is one.
    fn from(error: FutureError) -> Self {
        match error {
            FutureError::Exception(exception) => exception,
            FutureError::CallerCancelled(cancelled) => Self::new(cancelled),
            FutureError::Refused(refusal) => Self::new(refusal),
            FutureError::NotReady => Self::new(NoResult("the future is pending")),
            FutureError::Cancelled => Self::new(NoResult("the future was cancelled")),
            FutureError::Taken => Self::new(NoResult("the future's result was taken")),
        }
    }
}

/// A future had no result to give.
#[derive(Debug)]
struct NoResult(&'static str);

impl fmt::Display for NoResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for NoResult {}
