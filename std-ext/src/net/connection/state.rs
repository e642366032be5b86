//! What a connection has been through, and the halves of its stream.

use crate::sources::Direction;

/// What a connection has been through, a bit for each.
#[derive(Clone, Copy, Default)]
pub(super) struct State(pub(super) u32);

impl State {
    /// `connection_made` was not called yet.
    pub(super) const STARTING: u32 = 1;
    /// The protocol wants nothing to read for now.
    pub(super) const READING_PAUSED: u32 = 1 << 1;
    /// The peer has ended its side.
    pub(super) const READ_EOF: u32 = 1 << 2;
    /// Our side is to end when everything is sent.
    pub(super) const WRITE_EOF: u32 = 1 << 3;
    /// Nothing new is sent or read.
    pub(super) const CLOSING: u32 = 1 << 4;
    /// The end is on its way.
    pub(super) const ENDING: u32 = 1 << 5;
    /// The socket is closed.
    pub(super) const CLOSED: u32 = 1 << 6;
    /// The kernel tells when the socket is writable.
    pub(super) const WRITES_WATCHED: u32 = 1 << 7;
    /// There is more to send than the high-water mark.
    pub(super) const WRITING_PAUSED: u32 = 1 << 8;
    /// The protocol was told so.
    pub(super) const TOLD_PAUSED: u32 = 1 << 9;
    /// The next receive may find something.
    pub(super) const READABLE: u32 = 1 << 10;
    /// The next send may find room.
    pub(super) const WRITABLE: u32 = 1 << 11;
    /// The peer closed, or an error came: no further event follows, so a short
    /// transfer does not mean that there is nothing left. From the first byte out of
    /// band on it doesn't either: reads end before each (FAULTS N-13).
    pub(super) const FINAL: u32 = 1 << 12;
    /// Something is queued, or a file is.
    pub(super) const QUEUED: u32 = 1 << 13;
    /// A handler of the loop drives it.
    pub(super) const DRIVEN: u32 = 1 << 14;
    /// Our side has ended.
    pub(super) const WRITE_ENDED: u32 = 1 << 15;
    /// Everything passes through a TLS session.
    pub(super) const TLS: u32 = 1 << 16;
    /// The session is not open yet.
    pub(super) const HANDSHAKING: u32 = 1 << 17;
    /// We have announced our end, and wait for the peer's.
    pub(super) const AWAITING_END: u32 = 1 << 18;
    /// Something was decrypted and not read.
    pub(super) const DECRYPTED: u32 = 1 << 19;
    /// It broke as any peer can make it break, and whoever uses it was told.
    pub(super) const BROKEN: u32 = 1 << 20;
    /// The task of a server looks at how its handler ends.
    pub(super) const HANDLED: u32 = 1 << 21;
    /// The loop is being shut down.
    pub(super) const SUMMONED: u32 = 1 << 22;
    /// It is no socket: it is read or written as a file.
    pub(super) const PIPE: u32 = 1 << 23;
    /// A short transfer does not mean that there is nothing left.
    pub(super) const PIECEWISE: u32 = 1 << 24;
    /// What happens at the other end tells of the reader.
    pub(super) const TELLS_OF_READER: u32 = 1 << 25;
    /// It is always ready, and the kernel can't tell.
    pub(super) const UNWATCHED: u32 = 1 << 26;
    /// Others use the open file, who expect it to block: it is given back in the end.
    pub(super) const LENT: u32 = 1 << 27;
    /// It is a socket, used as the end of a pipe.
    pub(super) const SOCKET_END: u32 = 1 << 28;
    /// The open file blocks, though no read and no write of ours does.
    pub(super) const BLOCKING: u32 = 1 << 29;
    /// The peer has an IPv4 address.
    pub(super) const IPV4: u32 = 1 << 30;
}

/// What the two halves of a stream have been through, a bit for each. There is one that reads and one that
/// writes, and an operation may be polled from anywhere.
#[derive(Clone, Copy, Default)]
pub(crate) struct Halves(pub(super) u8);

impl Halves {
    /// The last read is pending; who waits is known to the source.
    const READ_PENDING: u8 = 1;
    /// The last write is pending.
    const WRITE_PENDING: u8 = 1 << 1;
    /// The end of the stream was read.
    pub(crate) const HAS_ENDED: u8 = 1 << 2;
    /// A polled wait for what is queued was suspended.
    pub(crate) const DRAINING: u8 = 1 << 3;

    #[inline]
    pub(crate) const fn pending(direction: Direction) -> u8 {
        match direction {
            Direction::Read => Self::READ_PENDING,
            Direction::Write => Self::WRITE_PENDING,
        }
    }
}
