//! What a connection with TLS has beside one without.

use crate::net::connection::Connection;
use crate::tls::error::TlsError;
use crate::tls::info::TlsInfo;
use crate::tls::session::{Held, Moved, Session, ToSend};
use crate::{Error, Result, TimerHandle};
use core::time::Duration;
use std::io;
use std::sync::Arc;

/// Is the most that a peer may send before a record, or a message of the
/// handshake, is whole; rustls takes handshakes of up to 64 KiB.
const INCOMPLETE_MAX: usize = 80 * 1024;

/// Is how often a session receives before others have their turn: a peer may send
/// what is no data without end.
const RECEIVES_PER_TURN: u32 = 16;

/// How a session may begin and end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TlsTerms {
    /// Is how long the handshake may take (contract TL-6).
    pub(crate) handshake: Duration,
    /// Is how long a close waits for the peer's end (TL-6).
    pub(crate) shutdown: Duration,
    /// Takes the end of the stream for the end of the session (FAULTS L-01).
    pub(crate) accepts_missing_close_notify: bool,
}

impl Default for TlsTerms {
    fn default() -> Self {
        let (handshake, shutdown) = (Duration::from_secs(60), Duration::from_secs(30));
        Self { handshake, shutdown, accepts_missing_close_notify: false }
    }
}

impl TlsTerms {
    /// Fails with `InvalidInput` if nobody could keep to them.
    pub(crate) fn check(self) -> Result<()> {
        for (limit, name) in [(self.handshake, "handshake_timeout"), (self.shutdown, "shutdown_timeout")] {
            if limit.is_zero() {
                let message = format!("{name} is zero; TLS needs some time");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
            }
        }
        Ok(())
    }
}

/// The session of a connection, and what is between it and the socket.
///
/// An idle one owns the session and nothing else: the vectors give their memory
/// back when they are empty.
pub(crate) struct TlsState {
    session: Session,
    /// Was received, and is the beginning of a record.
    incomplete: Vec<u8>,
    /// Was decrypted, and not read: `plain[start..]`.
    plain: Vec<u8>,
    start: usize,
    /// Tells that the peer has ended its side.
    peer_closed: bool,
    /// Is why the session is of no use any more. Invariant: it isn't touched again
    /// then, since rustls would look for what is not in `incomplete`.
    failure: Option<Box<TlsError>>,
    /// Are those of all sessions that were asked for together.
    terms: Arc<TlsTerms>,
    passage: Option<Box<Passage>>,
}

// Each connection with TLS has one, beside rustls's own: a block of 104 bytes.
const _: () = assert!(size_of::<TlsState>() <= 104);

/// What a session has only while it begins or ends.
#[derive(Default)]
struct Passage {
    timer: Option<TimerHandle>,
    /// Was written before the handshake was over.
    early: Vec<u8>,
}

impl TlsState {
    /// Begins a session; `received` came from the socket before.
    pub(crate) fn new(session: Session, terms: Arc<TlsTerms>, received: Vec<u8>) -> Box<Self> {
        Box::new(Self {
            session,
            incomplete: received,
            plain: Vec::new(),
            start: 0,
            peer_closed: false,
            failure: None,
            terms,
            passage: None,
        })
    }

    pub(crate) fn terms(&self) -> TlsTerms {
        *self.terms
    }

    pub(crate) fn info(&self) -> TlsInfo {
        TlsInfo::of(&self.session)
    }

    /// Tells whether the peer has ended its side.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Tells whether there is something to read without the socket.
    pub(crate) fn has_plain(&self) -> bool {
        self.start < self.plain.len() || self.peer_closed || self.failure.is_some()
    }

    /// Returns why the session is of no use any more.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.as_deref().cloned().map(Error::from)
    }

    /// Remembers why a handshake failed, for whoever waits for it.
    pub(crate) fn note_failure(&mut self, error: &Error) {
        self.failure = self.failure.take().or_else(|| error.as_tls().cloned().map(Box::new));
    }

    fn check(&self) -> Result<()> {
        self.failure().map_or(Ok(()), Err)
    }

    /// Counts the bytes that were written before the handshake was over.
    pub(crate) fn early_bytes(&self) -> usize {
        self.passage.as_ref().map_or(0, |passage| passage.early.len())
    }

    /// Receives plaintext: `None` if there is none at the moment, zero at the end
    /// that the peer has announced.
    ///
    /// # Errors
    /// As the socket; `Tls` if the peer breaks the protocol, or the stream ends
    /// without an announcement where one is needed (FAULTS L-01).
    pub(crate) fn receive(&mut self, connection: &Connection, buffer: &mut [u8]) -> Result<Option<usize>> {
        for _ in 0..RECEIVES_PER_TURN {
            let rest = &self.plain[self.start..];
            if !rest.is_empty() {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                self.start += count;
                if self.start == self.plain.len() {
                    (self.plain, self.start) = (Vec::new(), 0);
                }
                return Ok(Some(count));
            }
            if self.peer_closed {
                return Ok(Some(0));
            }
            match self.receive_more(connection, buffer)? {
                None => return Ok(None),
                // What came was no data: look again.
                Some(0) => {}
                Some(count) => return Ok(Some(count)),
            }
        }
        // Others have their turn.
        Ok(None)
    }

    /// Receives once from the socket, and decrypts it into `buffer`, and what
    /// doesn't fit into memory of its own.
    fn receive_more(&mut self, connection: &Connection, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.check()?;
        let mut cipher = CipherBuffer::take(connection);
        let held = self.incomplete.len();
        if held > INCOMPLETE_MAX {
            return Err(self.too_much());
        }
        cipher.received[..held].copy_from_slice(&self.incomplete);
        let room = connection.event_loop().inner.read_buffer_bytes;
        let received = connection.try_receive_raw(&mut cipher.received[held..held + room])?;
        let Some(received) = received else { return Ok(None) };
        if received == 0 {
            return self.end_unannounced().map(|()| Some(0));
        }
        self.take_in(connection, &mut cipher, held + received, buffer).map(Some)
    }

    /// Takes the end of the stream for the peer's end, if that was agreed on; never
    /// one within a record or the handshake.
    fn end_unannounced(&mut self) -> Result<()> {
        let is_between_records = self.incomplete.is_empty() && !self.session.common().is_handshaking();
        if !is_between_records || !self.terms.accepts_missing_close_notify {
            return Err(self.fail(TlsError::Truncated));
        }
        self.peer_closed = true;
        Ok(())
    }

    /// Processes what was received before, or nothing: a client speaks first.
    fn take_in_held(&mut self, connection: &Connection) -> Result<()> {
        self.check()?;
        let mut cipher = CipherBuffer::take(connection);
        let held = self.incomplete.len();
        if held > cipher.received.len() {
            return Err(self.too_much());
        }
        cipher.received[..held].copy_from_slice(&self.incomplete);
        self.take_in(connection, &mut cipher, held, &mut []).map(drop)
    }

    fn take_in(
        &mut self,
        connection: &Connection,
        cipher: &mut CipherBuffer<'_>,
        end: usize,
        buffer: &mut [u8],
    ) -> Result<usize> {
        let CipherBuffer { received, to_send, .. } = cipher;
        let mut moved = Moved { buffer, filled: 0, rest: &mut self.plain, to_send };
        let (done, processed) = self.session.process(&mut received[..end], &mut moved);
        let filled = moved.filled;
        let sent = if to_send.bytes().is_empty() { Ok(()) } else { connection.push(to_send.bytes()) };
        to_send.clear();
        self.incomplete.clear();
        match processed {
            Ok(has_peer_closed) => self.peer_closed |= has_peer_closed,
            Err(error) => {
                let error = self.explain(connection, error);
                let error = self.fail(error);
                self.incomplete = Vec::new();
                // What came before it is delivered first.
                let delivers = filled > 0 || !self.plain.is_empty();
                return if delivers { Ok(filled) } else { Err(error) };
            }
        }
        sent?;
        if done < end && !self.peer_closed {
            self.incomplete.extend_from_slice(&received[done..end]);
        } else {
            self.incomplete = Vec::new();
        }
        Ok(filled)
    }

    /// Ends the use of the session.
    fn fail(&mut self, error: TlsError) -> Error {
        self.failure = Some(Box::new(error.clone()));
        error.into()
    }

    fn too_much(&mut self) -> Error {
        let error = rustls::Error::General("a message of the handshake is too long".into());
        self.fail(error.into())
    }

    fn explain(&self, connection: &Connection, error: rustls::Error) -> TlsError {
        TlsError::at(error, connection.event_loop().inner.kernel.wall_clock())
    }

    /// Goes on with the handshake; tells whether it is over.
    ///
    /// # Errors
    /// As [`receive`](Self::receive); the end of the stream is a reset (TL-4).
    pub(crate) fn shake_hands(&mut self, connection: &Connection) -> Result<bool> {
        self.take_in_held(connection)?;
        while self.session.common().is_handshaking() {
            match self.receive_more(connection, &mut []) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(false),
                Err(error) if error.as_tls() == Some(&TlsError::Truncated) => {
                    return Err(self.fail(TlsError::PeerReset));
                }
                Err(error) => return Err(error),
            }
            if self.peer_closed && self.session.common().is_handshaking() {
                return Err(self.fail(TlsError::PeerReset));
            }
        }
        Ok(true)
    }

    /// Sends what was written before the handshake was over, as it is now.
    pub(crate) fn begin_open(&mut self, connection: &Connection) -> Result<()> {
        self.stop_timer();
        let early = self.forget_early(connection);
        self.passage = None;
        self.write_now(connection, &early)
    }

    /// Takes out what was written before the handshake was over.
    pub(crate) fn forget_early(&mut self, connection: &Connection) -> Vec<u8> {
        connection.event_loop().inner.write_budget.remove(self.early_bytes());
        self.passage.as_mut().map(|passage| core::mem::take(&mut passage.early)).unwrap_or_default()
    }

    /// Encrypts and sends `data`, which the budget has room for.
    ///
    /// # Errors
    /// As the socket; `Tls` if the session can't send any more.
    pub(crate) fn write(&mut self, connection: &Connection, data: &[u8]) -> Result<()> {
        if connection.is_shaking_hands() {
            self.passage.get_or_insert_default().early.extend_from_slice(data);
            connection.event_loop().inner.write_budget.add(data.len());
            return Ok(());
        }
        self.write_now(connection, data)
    }

    fn write_now(&mut self, connection: &Connection, data: &[u8]) -> Result<()> {
        // So that the ciphertext of a large write is never there at once.
        const PART: usize = 64 * 1024;
        self.check()?;
        let mut cipher = CipherBuffer::take(connection);
        for part in data.chunks(PART) {
            let (received, plain) = (&mut self.incomplete, &mut self.plain);
            let mut held = Held { received, plain, to_send: &mut cipher.to_send };
            self.session.encrypt(part, &mut held)?;
            connection.push(cipher.to_send.bytes())?;
            cipher.to_send.clear();
        }
        Ok(())
    }

    /// Announces the end of our side, behind everything that was written.
    pub(crate) fn close(&mut self, connection: &Connection) -> Result<()> {
        self.check()?;
        let mut cipher = CipherBuffer::take(connection);
        let (received, plain) = (&mut self.incomplete, &mut self.plain);
        let mut held = Held { received, plain, to_send: &mut cipher.to_send };
        self.session.close_notify(&mut held)?;
        connection.push(cipher.to_send.bytes())
    }

    /// Reads and drops what comes after our end; tells whether the peer has
    /// ended its side too.
    pub(crate) fn discard(&mut self, connection: &Connection) -> bool {
        (self.plain, self.start) = (Vec::new(), 0);
        for _ in 0..RECEIVES_PER_TURN {
            if self.peer_closed {
                return true;
            }
            match self.receive_more(connection, &mut []) {
                Ok(None) => return false,
                Ok(Some(_)) => (self.plain, self.start) = (Vec::new(), 0),
                // Whoever can't end properly has ended.
                Err(_) => return true,
            }
        }
        false
    }

    /// Keeps the timer of the handshake, or of the end.
    pub(crate) fn set_timer(&mut self, timer: TimerHandle) {
        self.passage.get_or_insert_default().timer = Some(timer);
    }

    pub(crate) fn handshake_timeout(&mut self) -> Error {
        self.fail(TlsError::HandshakeTimeout)
    }

    pub(crate) fn shutdown_timeout(&mut self) -> Error {
        self.fail(TlsError::ShutdownTimeout)
    }

    /// Takes back the timer of the handshake, or of the end.
    pub(crate) fn stop_timer(&mut self) {
        if let Some(passage) = &mut self.passage
            && let Some(timer) = passage.timer.take()
        {
            timer.cancel();
        }
    }
}

/// The ciphertext buffers that all sessions of a loop share, for a moment.
struct CipherBuffer<'a> {
    connection: &'a Connection,
    received: Box<[u8]>,
    to_send: ToSend,
}

impl<'a> CipherBuffer<'a> {
    fn take(connection: &'a Connection) -> Self {
        let inner = &connection.event_loop().inner;
        let (mut received, to_send) = inner.cipher_buffers.take();
        if received.is_empty() {
            received = vec![0; inner.read_buffer_bytes + INCOMPLETE_MAX].into();
        }
        Self { connection, received, to_send: ToSend::within(to_send) }
    }
}

impl Drop for CipherBuffer<'_> {
    fn drop(&mut self) {
        let to_send = core::mem::take(&mut self.to_send).into_memory();
        let buffers = (core::mem::take(&mut self.received), to_send);
        self.connection.event_loop().inner.cipher_buffers.set(buffers);
    }
}
