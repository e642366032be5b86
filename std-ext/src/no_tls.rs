//! What stands for TLS in a build without it: a session that can't be.

use core::time::Duration;

use std::io;

use crate::net::connection::Connection;
use crate::{Error, Result, TimerHandle};

/// Returns TLS's error inside one of the system's: there is none.
pub(crate) fn error_in(_: &io::Error) -> Option<Error> {
    None
}

/// Makes TLS's error one of the system's: it is none of TLS's.
///
/// # Errors
/// Itself.
pub(crate) fn into_io(error: Error) -> Result<io::Error> {
    Err(error)
}

/// How a session may begin and end.
pub(crate) struct TlsTerms {
    pub(crate) handshake: Duration,
    pub(crate) shutdown: Duration,
}

/// The session of a connection.
pub(crate) enum TlsState {}

impl TlsState {
    pub(crate) fn terms(&self) -> TlsTerms {
        match *self {}
    }

    pub(crate) fn set_timer(&mut self, _: TimerHandle) {
        match *self {}
    }

    pub(crate) fn stop_timer(&mut self) {
        match *self {}
    }

    pub(crate) fn handshake_timeout(&mut self) -> Error {
        match *self {}
    }

    pub(crate) fn shutdown_timeout(&mut self) -> Error {
        match *self {}
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        match *self {}
    }

    pub(crate) fn note_failure(&mut self, _: &Error) {
        match *self {}
    }

    pub(crate) fn forget_early(&mut self, _: &Connection) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn is_peer_closed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn has_plain(&self) -> bool {
        match *self {}
    }

    pub(crate) fn early_bytes(&self) -> usize {
        match *self {}
    }

    pub(crate) fn receive(&mut self, _: &Connection, _: &mut [u8]) -> Result<Option<usize>> {
        match *self {}
    }

    pub(crate) fn shake_hands(&mut self, _: &Connection) -> Result<bool> {
        match *self {}
    }

    pub(crate) fn begin_open(&mut self, _: &Connection) -> Result<()> {
        match *self {}
    }

    pub(crate) fn write(&mut self, _: &Connection, _: &[u8]) -> Result<()> {
        match *self {}
    }

    pub(crate) fn close(&mut self, _: &Connection) -> Result<()> {
        match *self {}
    }

    pub(crate) fn discard(&mut self, _: &Connection) -> bool {
        match *self {}
    }
}
