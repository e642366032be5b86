//! Who owns a watched descriptor.

use crate::snapshot::DescriptorOwner;

/// Who owns a source; the other is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// The user: `add_reader`, `add_writer` and `sock_*`, a side each.
    Callbacks,
    /// A stream.
    Stream,
    /// A server.
    Server,
    /// A look-up of a name.
    #[allow(dead_code, reason = "made with the feature `dns` alone")]
    Lookup,
    /// A datagram endpoint.
    Datagrams,
    /// A worker process.
    Worker,
    /// A child process.
    Child,
}

impl Owner {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Callbacks => "add_reader or add_writer",
            Self::Stream => "a stream",
            Self::Server => "a server",
            Self::Lookup => "a look-up of a name",
            Self::Datagrams => "a datagram endpoint",
            Self::Worker => "a worker process",
            Self::Child => "a child process",
        }
    }
}

impl From<Owner> for DescriptorOwner {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Callbacks => Self::User,
            Owner::Stream => Self::Connection,
            Owner::Server => Self::Server,
            Owner::Lookup => Self::Lookup,
            Owner::Datagrams => Self::Datagrams,
            Owner::Worker => Self::Worker,
            Owner::Child => Self::Child,
        }
    }
}
