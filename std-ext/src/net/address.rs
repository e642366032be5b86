//! The addresses of sockets: internet and UNIX.

use core::fmt;
use core::net::SocketAddr;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The address of a socket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Inet(SocketAddr),
    /// A path or a name of this machine.
    Unix(UnixAddr),
}

impl Address {
    /// Returns the IP address and port, if it is an internet address.
    #[must_use]
    pub fn as_inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }

    /// Returns the path or name, if it is the address of a UNIX socket.
    #[must_use]
    pub fn as_unix(&self) -> Option<&UnixAddr> {
        match self {
            Self::Inet(_) => None,
            Self::Unix(addr) => Some(addr),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self::Inet(addr)
    }
}

impl From<UnixAddr> for Address {
    fn from(addr: UnixAddr) -> Self {
        Self::Unix(addr)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix(addr) => addr.fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The address of a UNIX socket: a path, an abstract name, or none.
///
/// An abstract name is known to the kernel alone and touches no file; Linux has
/// them ([unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html)).
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct UnixAddr {
    /// Is the path without its closing NUL; or a NUL and the abstract name; or
    /// empty for a socket without a name.
    /// Invariant: at most [`UnixAddr::LEN_MAX`] bytes, and one more for the NUL
    /// of an abstract name; a path holds no NUL.
    bytes: Box<[u8]>,
}

impl UnixAddr {
    /// Is the length in bytes of the longest path, and of the longest abstract
    /// name.
    pub const LEN_MAX: usize = 107;

    /// Makes the address of a socket file.
    ///
    /// # Errors
    /// If the path is empty, longer than [`UnixAddr::LEN_MAX`] or holds a NUL.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, UnixAddrError> {
        let path = path.as_ref().as_os_str().as_bytes();
        match path {
            [] => Err(UnixAddrError::Empty),
            path if path.len() > Self::LEN_MAX => Err(UnixAddrError::TooLong { length: path.len() }),
            path if path.contains(&0) => Err(UnixAddrError::Nul),
            path => Ok(Self { bytes: path.into() }),
        }
    }

    /// Makes an abstract address; the name keeps its exact length, and may hold
    /// any bytes.
    ///
    /// # Errors
    /// If the name is empty or longer than [`UnixAddr::LEN_MAX`].
    ///
    /// # Python
    /// A path that starts with a NUL: `"\0name"`.
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> Result<Self, UnixAddrError> {
        match name.as_ref() {
            [] => Err(UnixAddrError::Empty),
            name if name.len() > Self::LEN_MAX => Err(UnixAddrError::TooLong { length: name.len() }),
            name => Ok(Self { bytes: [&[0], name].concat().into() }),
        }
    }

    /// Makes an address of what the kernel calls it: a path, or a NUL and an
    /// abstract name, or nothing.
    pub(crate) fn from_kernel(bytes: &[u8]) -> Self {
        let bytes = match bytes {
            [] | [0, ..] => bytes,
            path => path.split(|&byte| byte == 0).next().unwrap_or(path),
        };
        Self { bytes: bytes.into() }
    }

    /// Returns what the kernel calls it, without the NUL that closes a path.
    pub(crate) fn as_kernel(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the path, if it has one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match &*self.bytes {
            [] | [0, ..] => None,
            path => Some(Path::new(OsStr::from_bytes(path))),
        }
    }

    /// Returns the abstract name, if it has one.
    #[must_use]
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &*self.bytes {
            [0, name @ ..] => Some(name),
            _ => None,
        }
    }

    /// Tells whether it has neither path nor name, as the sockets of clients do.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl TryFrom<&Path> for UnixAddr {
    type Error = UnixAddrError;

    /// Reads a path, or after a NUL an abstract name, as asyncio does.
    fn try_from(path: &Path) -> Result<Self, UnixAddrError> {
        match path.as_os_str().as_bytes() {
            [0, name @ ..] => Self::from_abstract_name(name),
            _ => Self::from_path(path),
        }
    }
}

impl TryFrom<&str> for UnixAddr {
    type Error = UnixAddrError;

    /// Reads a path, or after a NUL an abstract name, as asyncio does.
    fn try_from(path: &str) -> Result<Self, UnixAddrError> {
        Self::try_from(Path::new(path))
    }
}

impl fmt::Display for UnixAddr {
    /// Prints a path as it is, and an abstract name after an `@`, as `ss` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_path(), self.as_abstract_name()) {
            (Some(path), _) => path.display().fmt(f),
            (None, Some(name)) => write!(f, "@{}", name.escape_ascii()),
            (None, None) => f.write_str("(unnamed)"),
        }
    }
}

impl fmt::Debug for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why something is no address of a UNIX socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UnixAddrError {
    /// It is empty.
    Empty,
    /// It is longer than [`UnixAddr::LEN_MAX`].
    TooLong {
        /// Is its length in bytes.
        length: usize,
    },
    /// The path holds a NUL.
    Nul,
}

impl fmt::Display for UnixAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the address of a UNIX socket is empty"),
            Self::TooLong { length } => {
                write!(f, "the address of a UNIX socket has {length} bytes, {} at most", UnixAddr::LEN_MAX)
            }
            Self::Nul => f.write_str("the path of a UNIX socket holds a NUL"),
        }
    }
}

impl core::error::Error for UnixAddrError {}
