//! The error of everything that can fail here.

use core::error::Error as StdError;
use core::fmt;
use std::io;

use rondel_core::{
    Cancelled, Exception, FutureError, GatherError, InvalidState, Refusal, Refused, RunError, TaskError,
    TimeoutError, WaitError,
};

use crate::dns::EaiError;
use crate::streams::IncompleteRead;
use crate::tls;

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why something failed: a [`kind`](Error::kind) for programs and a message, with
/// its sources, for people.
///
/// Any error can become one: by `?` for those of this crate and the common ones
/// of `std`, by [`Error::new`] for the others.
pub struct Error(Box<Inner>);

/// Is boxed, so that a result without a value is a single word.
struct Inner {
    kind: ErrorKind,
    operation: Option<&'static str>,
    source: Box<dyn StdError + 'static>,
}

/// What kind of failure an [`Error`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A table or queue is full.
    Full,
    /// A value is too large for its slot, or a line for its limit.
    TooLarge,
    /// The loop, or what was asked, is closed.
    Closed,
    /// The task was cancelled.
    Cancelled,
    /// What was awaited was cancelled by somebody else.
    AwaitedCancelled,
    /// The time was over.
    TimedOut,
    /// The loop is running already.
    Running,
    /// The loop was stopped before the future completed.
    Stopped,
    /// A result was asked for or set in a state that has no place for it.
    InvalidState,
    /// Something is in use by somebody else.
    Busy,
    /// A name was not resolved, or can't be one.
    NameResolution,
    /// TLS failed, or its configuration can't be used.
    Tls,
    /// The operating system refused.
    Io,
    /// A step of user code panicked.
    Panicked,
    /// An error of the user's, or one that is of no other kind.
    Other,
}

impl Error {
    /// Makes an error of any other.
    pub fn new(error: impl Into<Box<dyn StdError + 'static>>) -> Self {
        let source = error.into();
        let kind = if Cancelled::is_in(&*source) { ErrorKind::Cancelled } else { ErrorKind::Other };
        Self::of(kind, source)
    }

    #[cold]
    pub(crate) fn of(kind: ErrorKind, source: impl Into<Box<dyn StdError + 'static>>) -> Self {
        Self(Box::new(Inner { kind, operation: None, source: source.into() }))
    }

    /// Names the call that failed.
    pub(crate) fn during(mut self, operation: &'static str) -> Self {
        self.0.operation = Some(operation);
        self
    }

    /// Returns the kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Tells whether a table or queue was full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.kind == ErrorKind::Full
    }

    /// Tells whether the loop was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.kind == ErrorKind::Closed
    }

    /// Tells whether the task was cancelled.
    ///
    /// # Python
    /// `except asyncio.CancelledError`.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.kind == ErrorKind::Cancelled
    }

    /// Tells whether the time was over.
    ///
    /// # Python
    /// `except TimeoutError`.
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        self.0.kind == ErrorKind::TimedOut
    }

    /// Returns why a name was not resolved, if the resolver said so.
    ///
    /// # Python
    /// `except socket.gaierror`.
    #[must_use]
    pub fn as_eai(&self) -> Option<EaiError> {
        self.0.source.downcast_ref().copied()
    }

    /// Returns how much there was, if a stream ended before what was asked for.
    ///
    /// # Python
    /// `except asyncio.IncompleteReadError`.
    #[must_use]
    pub fn as_incomplete_read(&self) -> Option<IncompleteRead> {
        self.as_io()?.get_ref()?.downcast_ref().copied()
    }

    /// Returns the operating system's error, if it is one.
    ///
    /// # Python
    /// `except OSError`.
    #[must_use]
    pub fn as_io(&self) -> Option<&io::Error> {
        self.0.source.downcast_ref()
    }
}

impl Error {
    /// Returns the operating system's error.
    ///
    /// # Errors
    /// Itself if it is another one.
    pub(crate) fn into_io(self) -> Result<io::Error, Self> {
        let Inner { kind, operation, source } = *self.0;
        source
            .downcast()
            .map(|error| *error)
            .map_err(|source| Self(Box::new(Inner { kind, operation, source })))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.operation {
            Some(operation) => write!(f, "{operation}: {}", self.0.source),
            None => self.0.source.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0.source)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let Some(inner) = error.get_ref() else { return Self::of(kind_of(&error), error) };
        if inner.is::<Cancelled>() {
            return Cancelled.into();
        }
        tls::error_in(&error).unwrap_or_else(|| Self::of(kind_of(&error), error))
    }
}

/// Returns what kind an error of the system's is.
fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::TimedOut => ErrorKind::TimedOut,
        _ => ErrorKind::Io,
    }
}

impl From<Error> for io::Error {
    /// For interfaces that know no other errors: the operating system's stay what
    /// they are, TLS's and a cancelled task's can be recognized by `Error::from`, and of others
    /// kind and message are kept. A TLS stream that was cut off is an `UnexpectedEof`, as
    /// elsewhere (FAULTS L-01).
    fn from(error: Error) -> Self {
        let error = match tls::into_io(error) {
            Ok(error) => return error,
            Err(error) => error,
        };
        let kind = match error.kind() {
            ErrorKind::Cancelled => return Self::other(Cancelled),
            ErrorKind::Closed => io::ErrorKind::NotConnected,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Full => io::ErrorKind::StorageFull,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::TooLarge => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        error.into_io().unwrap_or_else(|error| Self::new(kind, error.to_string()))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Full { .. } => ErrorKind::Full,
            Refusal::TooLarge { .. } => ErrorKind::TooLarge,
            Refusal::Closed => ErrorKind::Closed,
            _ => ErrorKind::Other,
        };
        Self::of(kind, refusal)
    }
}

impl<T> From<Refused<T>> for Error {
    /// Drops the value that was refused and keeps the reason.
    fn from(refused: Refused<T>) -> Self {
        Self::from(refused.refusal()).during(refused.operation())
    }
}

impl From<Cancelled> for Error {
    fn from(cancelled: Cancelled) -> Self {
        Self::of(ErrorKind::Cancelled, cancelled)
    }
}

impl From<WaitError> for Error {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Cancelled(cancelled) => cancelled.into(),
            WaitError::Refused(refusal) => refusal.into(),
            error => Self::of(ErrorKind::Other, error),
        }
    }
}

impl From<TimeoutError> for Error {
    fn from(error: TimeoutError) -> Self {
        match error {
            TimeoutError::Cancelled(cancelled) => cancelled.into(),
            TimeoutError::Refused(refusal) => refusal.into(),
            error => Self::of(ErrorKind::TimedOut, error),
        }
    }
}

impl From<FutureError> for Error {
    fn from(error: FutureError) -> Self {
        match error {
            FutureError::CallerCancelled(cancelled) => cancelled.into(),
            FutureError::Refused(refusal) => refusal.into(),
            FutureError::Exception(exception) => Self::of(ErrorKind::Other, exception),
            FutureError::Cancelled => Self::of(ErrorKind::AwaitedCancelled, error),
            error => Self::of(ErrorKind::InvalidState, error),
        }
    }
}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::CallerCancelled(cancelled) => cancelled.into(),
            TaskError::Refused(refusal) => refusal.into(),
            TaskError::Cancelled => Self::of(ErrorKind::AwaitedCancelled, error),
            TaskError::Panicked => Self::of(ErrorKind::Panicked, error),
            error => Self::of(ErrorKind::InvalidState, error),
        }
    }
}

impl<E: StdError + 'static> From<GatherError<E>> for Error {
    fn from(error: GatherError<E>) -> Self {
        match error {
            GatherError::Cancelled(cancelled) => cancelled.into(),
            GatherError::Refused(refusal) => refusal.into(),
            GatherError::Task { error, .. } => error.into(),
            error => Self::of(ErrorKind::Other, error),
        }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        let kind = match error {
            RunError::Running => ErrorKind::Running,
            RunError::Closed => ErrorKind::Closed,
            RunError::Stopped => ErrorKind::Stopped,
            RunError::Refused(refusal) => return refusal.into(),
            RunError::Cancelled => ErrorKind::AwaitedCancelled,
            RunError::Panicked => ErrorKind::Panicked,
            _ => ErrorKind::Other,
        };
        Self::of(kind, error)
    }
}

impl<V> From<InvalidState<V>> for Error {
    /// Drops the value that was not set.
    fn from(error: InvalidState<V>) -> Self {
        Self::of(ErrorKind::InvalidState, error.to_string())
    }
}

impl From<Exception> for Error {
    fn from(exception: Exception) -> Self {
        Self::new(exception)
    }
}

impl From<Box<dyn StdError>> for Error {
    fn from(error: Box<dyn StdError>) -> Self {
        Self::new(error)
    }
}

impl From<Box<dyn StdError + Send + Sync>> for Error {
    fn from(error: Box<dyn StdError + Send + Sync>) -> Self {
        Self::new(error as Box<dyn StdError>)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

macro_rules! other {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::new(error)
            }
        }
    )*};
}

other! {
    core::convert::Infallible, core::fmt::Error, core::num::ParseFloatError, core::num::ParseIntError,
    crate::UnixAddrError, crate::LimitsError, crate::ListenFdsError, crate::NotifyError, crate::SignalError, core::net::AddrParseError, core::str::Utf8Error, std::string::FromUtf8Error, std::time::SystemTimeError,
}
