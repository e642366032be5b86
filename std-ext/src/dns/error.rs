//! Why a name was not resolved.

use core::error::Error as StdError;
use core::fmt;
use std::io;

use crate::{Error, ErrorKind};

/// The answer of a resolver that has no address or name (`EAI_...`).
///
/// # Python
/// `socket.gaierror`, whose number is [`code`](Self::code).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EaiError {
    /// The flags contradict each other (`EAI_BADFLAGS`).
    BadFlags,
    /// The host or service is not known (`EAI_NONAME`).
    NoName,
    /// No server answered; a later attempt may succeed (`EAI_AGAIN`).
    Again,
    /// A server answered that it can't (`EAI_FAIL`).
    Fail,
    /// The host is known and has no address (`EAI_NODATA`).
    NoData,
    /// The family is not supported (`EAI_FAMILY`).
    Family,
    /// The type of socket is not supported (`EAI_SOCKTYPE`).
    SocketType,
    /// The service is not known for this type of socket (`EAI_SERVICE`).
    Service,
    /// The host has no address of this family (`EAI_ADDRFAMILY`).
    AddressFamily,
    /// There is not enough memory (`EAI_MEMORY`).
    Memory,
    /// The system refused, with this error number (`EAI_SYSTEM`).
    System(i32),
    /// A name is longer than the room for it (`EAI_OVERFLOW`).
    Overflow,
    /// Another code.
    Other(i32),
}

impl EaiError {
    /// Returns the code that `getaddrinfo` has for it.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::BadFlags => -1,
            Self::NoName => -2,
            Self::Again => -3,
            Self::Fail => -4,
            Self::NoData => -5,
            Self::Family => -6,
            Self::SocketType => -7,
            Self::Service => -8,
            Self::AddressFamily => -9,
            Self::Memory => -10,
            Self::System(_) => -11,
            Self::Overflow => -12,
            Self::Other(code) => code,
        }
    }

    pub(crate) const fn from_code(code: i32) -> Self {
        match code {
            -1 => Self::BadFlags,
            -2 => Self::NoName,
            -3 => Self::Again,
            -4 => Self::Fail,
            -5 => Self::NoData,
            -6 => Self::Family,
            -7 => Self::SocketType,
            -8 => Self::Service,
            -9 => Self::AddressFamily,
            -10 => Self::Memory,
            -12 => Self::Overflow,
            code => Self::Other(code),
        }
    }
}

impl fmt::Display for EaiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadFlags => "bad flags for name resolution",
            Self::NoName => "name or service not known",
            Self::Again => "temporary failure in name resolution",
            Self::Fail => "non-recoverable failure in name resolution",
            Self::NoData => "no address associated with the host name",
            Self::Family => "address family not supported",
            Self::SocketType => "socket type not supported",
            Self::Service => "service not supported for this socket type",
            Self::AddressFamily => "the host has no address of this family",
            Self::Memory => "no memory for name resolution",
            Self::System(number) => {
                return write!(f, "name resolution: {}", io::Error::from_raw_os_error(*number));
            }
            Self::Overflow => "a name is too long",
            Self::Other(code) => return write!(f, "name resolution failed with code {code}"),
        })
    }
}

impl StdError for EaiError {}

impl From<EaiError> for Error {
    fn from(error: EaiError) -> Self {
        Self::of(ErrorKind::NameResolution, error)
    }
}

/// Why a text can't be the name of a host; no resolver was asked (FAULTS E-08).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HostNameError {
    /// It is empty.
    Empty,
    /// It has more than 253 bytes, a closing dot not counted.
    TooLong {
        /// Is its length in bytes.
        length: usize,
    },
    /// Two dots follow each other, or one comes first.
    EmptyLabel,
    /// What stands between two dots has more than 63 bytes.
    LabelTooLong {
        /// Is its length in bytes.
        length: usize,
    },
    /// It holds a NUL.
    Nul,
    /// It is not ASCII; an international name is to be encoded first (RFC 3490).
    NotAscii,
}

impl fmt::Display for HostNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the host name is empty"),
            Self::TooLong { length } => write!(f, "the host name has {length} bytes, 253 at most"),
            Self::EmptyLabel => f.write_str("the host name has an empty label"),
            Self::LabelTooLong { length } => {
                write!(f, "a label of the host name has {length} bytes, 63 at most")
            }
            Self::Nul => f.write_str("the host name holds a NUL"),
            Self::NotAscii => f.write_str("the host name is not ASCII"),
        }
    }
}

impl StdError for HostNameError {}

impl From<HostNameError> for Error {
    fn from(error: HostNameError) -> Self {
        Self::of(ErrorKind::NameResolution, error)
    }
}
