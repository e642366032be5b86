//! Errors that nobody looks at.

pub(crate) mod method;
pub(crate) mod reporter;
pub(crate) mod subject;

use core::any::Any;
use core::error::Error as StdError;
use core::fmt;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};
use std::rc::Rc;

use rondel_core::raw::Clipped;
use rondel_core::{ExceptionContext, Outcome};

use crate::exception::reporter::Report;
use crate::exception::subject::Subject;
use crate::{EventLoopHandle, Result};

/// Is told about errors that nobody looks at.
pub type ExceptionHandler = Rc<dyn Fn(&EventLoopHandle, &ExceptionContext<'_>) -> Result<()>>;

/// Is the most bytes of a panic's message that are reported.
const PANIC_MESSAGE_MAX: usize = 1024;

/// Is the most bytes of a handler's own error that are reported.
const FAILURE_MAX: usize = 1024;

/// Is what the default handler calls the failure of another one.
const HANDLER_FAILED: &str = "Unhandled error in exception handler";

impl EventLoopHandle {
    /// Sets the function that is told about errors nobody looks at, instead of
    /// the default one, which logs them (contract EH-2).
    ///
    /// If it fails or panics itself, the default one is told that, and what it
    /// was told (EH-4).
    ///
    /// # Python
    /// `loop.set_exception_handler(handler)`.
    pub fn set_exception_handler<F, R>(&self, handler: F)
    where
        F: Fn(&Self, &ExceptionContext<'_>) -> R + 'static,
        R: Outcome<Error: Into<crate::Error>>,
    {
        let handler: ExceptionHandler = Rc::new(move |event_loop, context| {
            handler(event_loop, context).into_result().map(drop).map_err(Into::into)
        });
        let previous = self.inner.exception_handler.borrow_mut().replace(handler);
        drop(previous);
    }

    /// Restores the default handler (EH-1).
    ///
    /// # Python
    /// `loop.set_exception_handler(None)`.
    pub fn reset_exception_handler(&self) {
        let previous = self.inner.exception_handler.borrow_mut().take();
        drop(previous);
    }

    /// Returns the handler that was set, `None` for the default one.
    ///
    /// # Python
    /// `loop.get_exception_handler()`.
    #[must_use]
    pub fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.inner.exception_handler.borrow().clone()
    }

    /// Logs an error through the `log` facade, or to standard error if no logger
    /// is installed: a bounded number of each kind
    /// ([`Config::reports_per_interval`](crate::Config::reports_per_interval)), and
    /// of each a bounded number of bytes (FAULTS K-07).
    ///
    /// # Python
    /// `loop.default_exception_handler(context)`, which logs everything.
    pub fn default_exception_handler(&self, context: &ExceptionContext<'_>) {
        self.write_report(context.message, context);
    }

    /// Logs an error as one of this kind.
    fn write_report(&self, what: &str, context: &ExceptionContext<'_>) {
        let report = Report { level: log::Level::Error, what, location: context.location };
        self.report(report, format_args!("{context}"));
    }

    /// Reports an error to the exception handler.
    ///
    /// # Python
    /// `loop.call_exception_handler(context)`.
    pub fn call_exception_handler(&self, context: &ExceptionContext<'_>) {
        let handler = self.exception_handler();
        let Some(handler) = handler.filter(|_| !self.inner.is_handling_exception.get()) else {
            return self.default_exception_handler(context);
        };
        self.inner.is_handling_exception.set(true);
        let result = catch_unwind(AssertUnwindSafe(|| handler(self, context)));
        self.inner.is_handling_exception.set(false);
        let failure: Box<dyn StdError> = match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => Box::new(error),
            // As everywhere under this policy, unless it would end the program (EH-6).
            Err(payload) if self.inner.propagates_panics() && !std::thread::panicking() => {
                resume_unwind(payload)
            }
            Err(payload) => Box::new(PanicMessage::of(payload)),
        };
        // An error that can't print itself must not do more harm.
        let text = catch_unwind(AssertUnwindSafe(|| {
            let failure = Clipped::new(failure, FAILURE_MAX);
            let message = Clipped::new(context.message, FAILURE_MAX);
            format!("{HANDLER_FAILED}: {failure}\nwhile handling: {message}")
        }));
        let text = text.unwrap_or_else(|payload| {
            discard(payload);
            String::from(HANDLER_FAILED)
        });
        let mut both = *context;
        both.message = &text;
        self.write_report(HANDLER_FAILED, &both);
    }

    /// Reports a panic in user code, with what was running (H-5).
    pub(crate) fn report_panic(&self, payload: Box<dyn Any + Send>) {
        let panic = PanicMessage::of(payload);
        let (subject, message) = match self.inner.unwound.take() {
            Some(callee) => (callee.subject, callee.method.panicked()),
            None => (Subject::default(), self.panicked()),
        };
        self.report_about(&subject, message, Some(&panic));
    }

    /// Says what has panicked, if it is no method.
    fn panicked(&self) -> &'static str {
        let is_task = self.inner.scheduler.running().is_some_and(|running| running.task().is_some());
        if is_task { "Task panicked" } else { "Callback panicked" }
    }
}

/// The message of a panic, as an error.
#[derive(Debug)]
pub(crate) struct PanicMessage(String);

impl PanicMessage {
    pub(crate) fn of(payload: Box<dyn Any + Send>) -> Self {
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let mut message = message.unwrap_or("a value that is not a message").to_owned();
        let mut end = PANIC_MESSAGE_MAX.min(message.len());
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        discard(payload);
        Self(message)
    }
}

impl fmt::Display for PanicMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl StdError for PanicMessage {}

impl From<PanicMessage> for String {
    fn from(message: PanicMessage) -> Self {
        message.0
    }
}

/// Drops a panic's payload, whose destructor may panic too (FAULTS E-05).
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(payload);
    }
}
