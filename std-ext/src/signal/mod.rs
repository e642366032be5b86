//! UNIX signals: handlers, streams of them, and waiting for one of a set.

mod number;
mod set;

mod handlers;
mod stream;
mod subscription;

mod watched;

pub(crate) use subscription::Subscription;
pub(crate) use watched::WatchedSignals;

pub use handlers::{RemoveOnDrop, SignalHandle};
pub use number::{Signal, SignalError};
pub use set::SignalSet;
pub use stream::Signals;
