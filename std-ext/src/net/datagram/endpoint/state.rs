//! What an endpoint has been through.

/// What an endpoint has been through, a bit for each.
#[derive(Clone, Copy)]
pub(super) struct State(pub(super) u16);

impl State {
    /// `connection_made` was not called yet.
    pub(super) const STARTING: u16 = 1;
    /// The protocol wants nothing to read for now.
    pub(super) const READING_PAUSED: u16 = 1 << 1;
    /// The rate is used up until a timer fires.
    pub(super) const RESTING: u16 = 1 << 2;
    /// A batch is delivered: replies are gathered.
    pub(super) const GATHERING: u16 = 1 << 3;
    /// Nothing new is sent or received.
    pub(super) const CLOSING: u16 = 1 << 4;
    /// The end is on its way.
    pub(super) const ENDING: u16 = 1 << 5;
    /// The socket is closed.
    pub(super) const CLOSED: u16 = 1 << 6;
    /// The kernel tells when the socket is writable.
    pub(super) const WRITES_WATCHED: u16 = 1 << 7;
    /// There is more to send than the high-water mark.
    pub(super) const WRITING_PAUSED: u16 = 1 << 8;
    /// The protocol was told so.
    pub(super) const TOLD_PAUSED: u16 = 1 << 9;
    /// A timer will try to send.
    pub(super) const RETRYING: u16 = 1 << 10;
    /// There may be something to receive.
    pub(super) const READABLE: u16 = 1 << 11;
    /// There may be room to send.
    pub(super) const WRITABLE: u16 = 1 << 12;
    /// An error may come behind the last datagram.
    pub(super) const LOOKS_TWICE: u16 = 1 << 13;
}
