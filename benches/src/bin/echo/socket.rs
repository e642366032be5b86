//! Where servers listen, and what connects to them.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::{fs, io};

use crate::sys;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Tcp,
    Unix,
    Udp,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Udp => "udp",
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<Self, String> {
        let all = [Self::Tcp, Self::Unix, Self::Udp];
        all.into_iter().find(|each| each.name() == name).ok_or_else(|| format!("no transport {name}"))
    }

    /// Returns an address that a new server can listen at.
    pub(crate) fn fresh_address(self, number: usize) -> String {
        match self {
            Self::Tcp | Self::Udp => "127.0.0.1:0".into(),
            Self::Unix => {
                let name = format!("rondel-echo-{}-{number}", std::process::id());
                std::env::temp_dir().join(name).to_string_lossy().into_owned()
            }
        }
    }
}

/// The socket of a server, which doesn't block.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
    Udp(UdpSocket),
}

impl Socket {
    /// Listens, and returns the address too.
    pub(crate) fn listen(transport: Transport, address: &str) -> io::Result<(Self, String)> {
        match transport {
            Transport::Tcp => {
                let listener = TcpListener::bind(address)?;
                sys::set_backlog(&listener)?;
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?.to_string();
                Ok((Self::Tcp(listener), address))
            }
            Transport::Unix => {
                let _ = fs::remove_file(address);
                let listener = UnixListener::bind(address)?;
                sys::set_backlog(&listener)?;
                listener.set_nonblocking(true)?;
                Ok((Self::Unix(listener), address.into()))
            }
            Transport::Udp => {
                let socket = UdpSocket::bind(address)?;
                socket.set_nonblocking(true)?;
                let address = socket.local_addr()?.to_string();
                Ok((Self::Udp(socket), address))
            }
        }
    }

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        match self {
            Self::Tcp(listener) => listener.into(),
            Self::Unix(listener) => listener.into(),
            Self::Udp(socket) => socket.into(),
        }
    }
}

/// Connects to a server. A connection of TCP is reset when it is dropped: so many
/// of them would use up the ports.
pub(crate) fn connect(transport: Transport, address: &str) -> io::Result<OwnedFd> {
    Ok(match transport {
        Transport::Tcp => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            sys::reset_on_close(stream.as_raw_fd())?;
            stream.into()
        }
        Transport::Unix => {
            let stream = UnixStream::connect(address)?;
            stream.set_nonblocking(true)?;
            stream.into()
        }
        Transport::Udp => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(address)?;
            socket.set_nonblocking(true)?;
            socket.into()
        }
    })
}
