//! What of the user's runs within a callback or step: the methods of protocols, and others.

use core::fmt;

use rondel_core::Running;

/// A method of a protocol, or a function that something of the loop's calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    ConnectionMade,
    DataReceived,
    BufferUpdated,
    EofReceived,
    PauseWriting,
    ResumeWriting,
    DatagramReceived,
    DatagramTruncated,
    ErrorReceived,
    PipeDataReceived,
    PipeConnectionLost,
    ProcessExited,
    ConnectionLost,
    /// Makes the protocol of an accepted connection.
    ProtocolFactory,
    /// Makes the handler of an accepted connection.
    ClientConnected,
    /// Is told of a connection that could not be served.
    OnRefused,
    /// Shakes hands: what the configuration of TLS has of the user's.
    Handshake,
}

/// Returns the texts about a method.
macro_rules! texts {
    ($self:ident, $($owner:literal { $($method:ident = $name:literal),* $(,)? })*) => {
        match $self {
            $($(Self::$method => Texts {
                name: $name,
                failed: concat!($owner, $name, "() failed"),
                panicked: concat!($owner, $name, "() panicked"),
            }),*),*
        }
    };
}

struct Texts {
    name: &'static str,
    failed: &'static str,
    panicked: &'static str,
}

impl Method {
    const fn texts(self) -> Texts {
        texts!(
            self,
            "protocol." {
                ConnectionMade = "connection_made",
                DataReceived = "data_received",
                BufferUpdated = "buffer_updated",
                EofReceived = "eof_received",
                PauseWriting = "pause_writing",
                ResumeWriting = "resume_writing",
                DatagramReceived = "datagram_received",
                DatagramTruncated = "datagram_truncated",
                ErrorReceived = "error_received",
                PipeDataReceived = "pipe_data_received",
                PipeConnectionLost = "pipe_connection_lost",
                ProcessExited = "process_exited",
                ConnectionLost = "connection_lost",
            }
            "" {
                ProtocolFactory = "protocol_factory",
                ClientConnected = "client_connected",
                OnRefused = "on_refused",
                Handshake = "handshake",
            }
        )
    }

    pub(crate) const fn name(self) -> &'static str {
        self.texts().name
    }

    pub(crate) const fn failed(self) -> &'static str {
        self.texts().failed
    }

    pub(crate) const fn panicked(self) -> &'static str {
        self.texts().panicked
    }
}

/// A method that runs, as those who look on see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunningMethod {
    pub(crate) name: &'static str,
    /// Is the name of the protocol's type.
    pub(crate) protocol: Option<&'static str>,
    pub(crate) socket: Option<i32>,
}

/// Says what the loop runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doing {
    pub(crate) running: Running,
    /// Is the method that runs within.
    pub(crate) method: Option<RunningMethod>,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = self.method {
            f.write_str(method.name)?;
            if let Some(protocol) = method.protocol {
                write!(f, " of {protocol}")?;
            }
            if let Some(socket) = method.socket {
                write!(f, " with fd={socket}")?;
            }
            f.write_str(", in ")?;
        }
        let location = self.running.location;
        match self.running.task() {
            Some(task) => write!(f, "{task} created at {location}"),
            None => write!(f, "a callback created at {location}"),
        }
    }
}
