//! One TLS session: what it has received and not handed out, and how rustls is
//! driven with memory that is the loop's.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, ServerConfig};

use crate::tls::error::TlsError;

/// Is the most plaintext in a record (RFC 8446, section 5.1).
const RECORD_MAX: usize = 16 * 1024;

/// Is more than what encryption adds to a record.
const RECORD_OVERHEAD: usize = 256;

/// A session of either side.
pub(crate) enum Session {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// What one step of a session came to.
enum Step {
    /// There may be more to do.
    More,
    /// Nothing goes on before something is received.
    Blocked,
    /// The peer has ended the session; nothing more will come.
    PeerClosed,
}

impl Session {
    pub(crate) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, TlsError> {
        Ok(Self::Client(Box::new(UnbufferedClientConnection::new(config, name)?)))
    }

    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        Ok(Self::Server(Box::new(UnbufferedServerConnection::new(config)?)))
    }

    pub(crate) fn common(&self) -> &CommonState {
        match self {
            Self::Client(session) => session,
            Self::Server(session) => session,
        }
    }

    /// Does one step with what was received; returns how much of that is done
    /// with.
    fn step(&mut self, received: &mut [u8], moved: &mut Moved<'_>) -> (usize, Result<Step, rustls::Error>) {
        match self {
            Self::Client(session) => moved.take_in(session.process_tls_records(received)),
            Self::Server(session) => moved.take_in(session.process_tls_records(received)),
        }
    }

    /// Processes what was received. Returns how much of it is done with, and
    /// whether the peer has ended the session.
    ///
    /// # Errors
    /// If the peer breaks the protocol, or is not trusted: an alert for it is in
    /// what is to be sent.
    pub(crate) fn process(
        &mut self,
        received: &mut [u8],
        moved: &mut Moved<'_>,
    ) -> (usize, Result<bool, rustls::Error>) {
        let mut done = 0;
        loop {
            let (discarded, step) = self.step(&mut received[done..], moved);
            done += discarded;
            match step {
                Ok(Step::More) => {}
                Ok(Step::Blocked) => return (done, Ok(false)),
                Ok(Step::PeerClosed) => return (done, Ok(true)),
                Err(error) => {
                    self.last_words(&mut received[done..], moved);
                    return (done, Err(error));
                }
            }
        }
    }

    /// Does what an error has left behind: plaintext that came before it, what was to
    /// be said before it, and then the alert. Not a step more, for rustls would find
    /// the same error again and panic over a second alert.
    fn last_words(&mut self, mut received: &mut [u8], moved: &mut Moved<'_>) {
        loop {
            let said = moved.to_send.bytes().len();
            match self.step(received, moved) {
                (discarded, Ok(Step::More)) if !is_alert(&moved.to_send.bytes()[said..]) => {
                    received = &mut received[discarded..];
                }
                _ => return,
            }
        }
    }

    /// Encrypts `data`, of any length, behind what is to be sent.
    ///
    /// # Errors
    /// If the session is not open, or its keys are used up.
    pub(crate) fn encrypt(&mut self, data: &[u8], held: &mut Held<'_>) -> Result<(), TlsError> {
        for piece in data.chunks(RECORD_MAX) {
            let size = piece.len() + RECORD_OVERHEAD;
            self.write(held, size, &mut |traffic, place| traffic.encrypt(piece, place))?;
        }
        Ok(())
    }

    /// Encrypts the end of our side behind what is to be sent.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub(crate) fn close_notify(&mut self, held: &mut Held<'_>) -> Result<(), TlsError> {
        self.write(held, RECORD_OVERHEAD, &mut |traffic, place| traffic.queue_close_notify(place))
    }

    fn write(&mut self, held: &mut Held<'_>, size: usize, write: &mut Write<'_>) -> Result<(), TlsError> {
        // What the session itself has to say comes first; it may be a key update.
        loop {
            let Held { received, plain, to_send } = held;
            let mut moved = Moved { buffer: &mut [], filled: 0, rest: plain, to_send };
            let (discarded, written) = match self {
                Self::Client(session) => moved.write(session.process_tls_records(received), size, write),
                Self::Server(session) => moved.write(session.process_tls_records(received), size, write),
            };
            received.drain(..discarded);
            if let Some(written) = written {
                return written;
            }
        }
    }
}

/// Tells whether a record of ours is an alert. TLS 1.3 hides it (RFC 8446, section
/// 5.2), but nothing else that a session says by itself is as short: two bytes, their
/// type and a tag.
fn is_alert(record: &[u8]) -> bool {
    matches!(record, [21, ..] | [23, _, _, 0, 19, ..])
}

/// What a session has to be shown each time: it remembers where in what was
/// received the pieces of a message lie.
pub(crate) struct Held<'a> {
    /// Was received, and is not done with.
    pub(crate) received: &'a mut Vec<u8>,
    /// Gets plaintext.
    pub(crate) plain: &'a mut Vec<u8>,
    /// Gets what is to be sent.
    pub(crate) to_send: &'a mut ToSend,
}

/// Writes a record of either kind.
type Write<'a> = dyn FnMut(&mut dyn Traffic, &mut [u8]) -> Result<usize, EncryptError> + 'a;

/// Is a session that is open, of either side.
trait Traffic {
    fn encrypt(&mut self, data: &[u8], place: &mut [u8]) -> Result<usize, EncryptError>;
    fn queue_close_notify(&mut self, place: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<Data> Traffic for WriteTraffic<'_, Data> {
    fn encrypt(&mut self, data: &[u8], place: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::encrypt(self, data, place)
    }

    fn queue_close_notify(&mut self, place: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::queue_close_notify(self, place)
    }
}

/// Where a session's steps put what they bring forth.
pub(crate) struct Moved<'a> {
    /// Gets the plaintext, as far as it goes.
    pub(crate) buffer: &'a mut [u8],
    pub(crate) filled: usize,
    /// Gets the rest of the plaintext.
    pub(crate) rest: &'a mut Vec<u8>,
    /// Gets what is to be sent.
    pub(crate) to_send: &'a mut ToSend,
}

impl Moved<'_> {
    fn take_in<Data>(
        &mut self,
        status: UnbufferedStatus<'_, '_, Data>,
    ) -> (usize, Result<Step, rustls::Error>) {
        let UnbufferedStatus { mut discard, state } = status;
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        discard += record.discard;
                        self.push(record.payload);
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(Step::More),
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                self.to_send.append(RECORD_OVERHEAD, |place| match data.encode(place) {
                    Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                        Err(required_size)
                    }
                    // Encoded already: there is nothing to add.
                    encoded => Ok(encoded.unwrap_or(0)),
                });
                Ok(Step::More)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::More)
            }
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Step::PeerClosed),
            Err(error) => Err(error),
            // Nothing is to be done: the handshake needs more, or there is traffic.
            Ok(_) => Ok(Step::Blocked),
        };
        (discard, step)
    }

    fn push(&mut self, plain: &[u8]) {
        let count = plain.len().min(self.buffer.len() - self.filled);
        let (now, later) = plain.split_at(count);
        self.buffer[self.filled..self.filled + count].copy_from_slice(now);
        self.filled += count;
        self.rest.extend_from_slice(later);
    }

    /// Writes if the session is open; `None` if a step had to be done first. Tells
    /// too how much of what was received is done with.
    fn write<Data>(
        &mut self,
        status: UnbufferedStatus<'_, '_, Data>,
        size: usize,
        write: &mut Write<'_>,
    ) -> (usize, Option<Result<(), TlsError>>) {
        let discarded = status.discard;
        let not_open = || Some(Err(rustls::Error::HandshakeNotComplete.into()));
        match status.state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                (discarded, Some(self.write_record(&mut traffic, size, write)))
            }
            Ok(ConnectionState::Closed) => (discarded, not_open()),
            _ => match self.take_in(status) {
                (discarded, Ok(Step::More | Step::PeerClosed)) => (discarded, None),
                (discarded, Ok(Step::Blocked)) => (discarded, not_open()),
                (discarded, Err(error)) => (discarded, Some(Err(error.into()))),
            },
        }
    }

    fn write_record(
        &mut self,
        traffic: &mut dyn Traffic,
        size: usize,
        write: &mut Write<'_>,
    ) -> Result<(), TlsError> {
        let mut exhausted = false;
        self.to_send.append(size, |place| match write(traffic, place) {
            Ok(count) => Ok(count),
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                Err(required_size)
            }
            Err(EncryptError::EncryptExhausted) => {
                exhausted = true;
                Ok(0)
            }
        });
        if exhausted { Err(rustls::Error::EncryptError.into()) } else { Ok(()) }
    }
}

/// What is to be sent, in memory that is cleared once and not for each record.
#[derive(Default)]
pub(crate) struct ToSend {
    bytes: Vec<u8>,
    filled: usize,
}

impl ToSend {
    /// Begins with nothing, in the memory of another.
    pub(crate) fn within(bytes: Vec<u8>) -> Self {
        Self { bytes, filled: 0 }
    }

    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Lets `write` fill room behind the rest; it tells how much it wrote, or how much
    /// room it needs.
    fn append(&mut self, size: usize, mut write: impl FnMut(&mut [u8]) -> Result<usize, usize>) {
        let mut size = size;
        loop {
            let end = self.filled + size;
            if self.bytes.len() < end {
                self.bytes.resize(end, 0);
            }
            match write(&mut self.bytes[self.filled..end]) {
                Ok(count) => {
                    self.filled += count;
                    return;
                }
                Err(needed) => size = needed.max(size + 1),
            }
        }
    }
}
