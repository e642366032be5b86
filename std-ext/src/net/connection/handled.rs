//! A connection whose handler a server runs.

use core::error::Error as StdError;
use std::io;
use std::rc::Rc;

use rondel_core::{Cancelled, Outcome};

use super::Connection;
use super::end::{is_everyday, is_reset};
use super::state::State;
use crate::{Error, tls};

/// Looks at how the handler of a connection ends, which nobody else does.
pub(crate) struct Handled(Rc<Connection>);

impl Handled {
    pub(crate) fn new(connection: &Rc<Connection>) -> Self {
        connection.set(State::HANDLED);
        Self(Rc::clone(connection))
    }

    /// Reports the error that a handler has ended with. One that peers cause every
    /// day is only logged, if it was this peer that has caused one (TR-8).
    ///
    /// # Errors
    /// If the handler was cancelled, as its task is then.
    pub(crate) fn look_at(self, ended: &impl Outcome) -> Result<(), Cancelled> {
        let Some(error) = ended.error() else { return Ok(()) };
        if Cancelled::is_in(error) {
            return Err(Cancelled);
        }
        let connection = &self.0;
        if connection.has(State::BROKEN) && is_everyday_in(error) {
            log::debug!("the handler of a connection ended with it: {connection:?}: {error}");
        } else {
            connection.report("Unhandled exception in client_connected", None, error);
        }
        Ok(())
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        self.0.unset(State::HANDLED);
    }
}

/// Tells whether an error, or one of its sources, is one that peers cause every day.
fn is_everyday_in(error: &(dyn StdError + 'static)) -> bool {
    // Error chains are finite; the bound guards against one that isn't.
    const DEPTH_MAX: usize = 64;
    let mut next = Some(error);
    for _ in 0..DEPTH_MAX {
        let Some(error) = next else { return false };
        let is_ours = error.downcast_ref::<Error>().is_some_and(is_everyday);
        let is_in_io = |error: &io::Error| is_reset(error) || tls::error_in(error).is_some();
        if is_ours || error.downcast_ref().is_some_and(is_in_io) {
            return true;
        }
        next = error.source();
    }
    false
}
