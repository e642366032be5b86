//! What a callback, task or job comes back with.

use core::convert::Infallible;
use core::error::Error;
use core::fmt;

/// A result of user code in which the loop can recognize a failure.
///
/// `()` and the plain types of `core` can't fail; `Result<T, E>` fails with any
/// error. What asyncio calls an exception escaping a callback is an `Err` here:
/// the loop hands one that nobody looks at to the exception handler (contract
/// H-5, F-8).
///
/// A type of your own that can't fail needs an empty implementation of `error`:
///
/// ```
/// use rondel_core::Outcome;
///
/// struct Reading(u16);
///
/// impl Outcome for Reading {
///     type Value = Self;
///     type Error = core::convert::Infallible;
///
///     fn error(&self) -> Option<&(dyn core::error::Error + 'static)> {
///         None
///     }
///
///     fn into_result(self) -> Result<Self, Self::Error> {
///         Ok(self)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a callback or task can't return `{Self}`",
    label = "returns neither `()` nor `Result<T, E>` with `E: core::error::Error + 'static`",
    note = "return `()`, a `Result` whose error implements `core::error::Error`, or wrap the value: `Ok::<_, core::convert::Infallible>(value)`"
)]
pub trait Outcome {
    /// Is what remains when nothing failed.
    type Value;

    /// Is the error it can fail with.
    type Error: Error + 'static;

    /// Returns the error, if it is one.
    fn error(&self) -> Option<&(dyn Error + 'static)>;

    /// Splits the value from the error.
    ///
    /// # Errors
    /// The error that [`Outcome::error`] shows.
    fn into_result(self) -> Result<Self::Value, Self::Error>;
}

impl<T, E: Error + 'static> Outcome for Result<T, E> {
    type Value = T;
    type Error = E;

    #[inline]
    fn error(&self) -> Option<&(dyn Error + 'static)> {
        self.as_ref().err().map(|error| error as _)
    }

    fn into_result(self) -> Self {
        self
    }
}

macro_rules! cannot_fail {
    ($([$($generics:tt)*] $type:ty),* $(,)?) => {$(
        impl<$($generics)*> Outcome for $type {
            type Value = Self;
            type Error = Infallible;

            #[inline]
            fn error(&self) -> Option<&(dyn Error + 'static)> {
                None
            }

            fn into_result(self) -> Result<Self, Infallible> {
                Ok(self)
            }
        }
    )*};
}

cannot_fail! {
    [] (), [] bool, [] char, [] f32, [] f64,
    [] u8, [] u16, [] u32, [] u64, [] u128, [] usize,
    [] i8, [] i16, [] i32, [] i64, [] i128, [] isize,
    [] &'static str, [] core::time::Duration, [] crate::Instant,
    [T] Option<T>, [T, const N: usize] [T; N],
    [A, B] (A, B), [A, B, C] (A, B, C), [A, B, C, D] (A, B, C, D),
}

/// The request that made an awaitable end early: somebody cancelled the task
/// that awaits it.
///
/// A task that ends with this in its error chain counts as cancelled.
///
/// # Python
/// `asyncio.CancelledError`, raised at the await.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl Error for Cancelled {}

impl Cancelled {
    /// Tells whether `error` or one of its sources is a cancellation.
    #[must_use]
    pub fn is_in(error: &(dyn Error + 'static)) -> bool {
        // Error chains are finite; the bound guards against one that isn't.
        const DEPTH_MAX: usize = 64;
        let mut next = Some(error);
        for _ in 0..DEPTH_MAX {
            let Some(error) = next else { return false };
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}
