//! What is asked of a resolver.

use core::fmt;
use core::net::IpAddr;
use core::ops::{BitOr, BitOrAssign};
use core::panic::Location;
use std::borrow::Cow;

/// The family of an IP address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IpFamily {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

/// What passes through a socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SocketType {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_RAW`.
    Raw,
    /// One without a name here.
    Other(i32),
}

impl SocketType {
    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Stream => 1,
            Self::Datagram => 2,
            Self::Raw => 3,
            Self::Other(number) => number,
        }
    }

    pub(crate) const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Stream,
            2 => Self::Datagram,
            3 => Self::Raw,
            number => Self::Other(number),
        }
    }
}

/// The host of a query: a name, a literal address, or none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Host(pub(crate) Option<String>);

impl Host {
    /// Stands for no host: this machine's loopback addresses, or with
    /// [`AddrInfoFlags::PASSIVE`] all of its addresses.
    ///
    /// # Python
    /// `None`.
    pub const NONE: Self = Self(None);
}

impl From<&str> for Host {
    fn from(name: &str) -> Self {
        Self(Some(name.to_owned()))
    }
}

impl From<String> for Host {
    fn from(name: String) -> Self {
        Self(Some(name))
    }
}

impl From<&String> for Host {
    fn from(name: &String) -> Self {
        Self(Some(name.clone()))
    }
}

impl From<IpAddr> for Host {
    fn from(addr: IpAddr) -> Self {
        Self(Some(addr.to_string()))
    }
}

impl<T: Into<Self>> From<Option<T>> for Host {
    fn from(host: Option<T>) -> Self {
        host.map_or(Self::NONE, Into::into)
    }
}

/// The port of a query: a number, a service's name, or none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Service {
    /// No port; answers have port 0.
    #[default]
    None,
    /// A port.
    Port(u16),
    /// A name such as `"http"`, or a number as text.
    Name(String),
}

impl Service {
    pub(crate) fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::None => None,
            Self::Port(port) => Some(Cow::Owned(port.to_string())),
            Self::Name(name) => Some(Cow::Borrowed(name)),
        }
    }

    /// Turns digits into a port, which a C library would truncate to 16 bits;
    /// `None` for a number that is none.
    pub(crate) fn normalized(self) -> Option<Self> {
        match self {
            Self::Name(name) if name.is_empty() => Some(Self::None),
            Self::Name(name) if name.bytes().all(|byte| byte.is_ascii_digit()) => {
                name.parse().ok().map(Self::Port)
            }
            service => Some(service),
        }
    }
}

impl From<u16> for Service {
    fn from(port: u16) -> Self {
        Self::Port(port)
    }
}

impl From<&str> for Service {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Service {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl<T: Into<Self>> From<Option<T>> for Service {
    fn from(service: Option<T>) -> Self {
        service.map_or(Self::None, Into::into)
    }
}

macro_rules! flags {
    ($(#[$about:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $value:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $type(i32);

        impl $type {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Returns the flags as Linux counts them.
            #[must_use]
            pub const fn bits(self) -> i32 {
                self.0
            }

            /// Tells whether all of `flags` are set.
            #[must_use]
            pub const fn contains(self, flags: Self) -> bool {
                self.0 & flags.0 == flags.0
            }
        }

        impl BitOr for $type {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl BitOrAssign for $type {
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let names = [$((Self::$name, stringify!($name))),*];
                let set = names.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| name);
                f.write_str(concat!(stringify!($type), "("))?;
                for (index, name) in set.enumerate() {
                    write!(f, "{}{name}", if index == 0 { "" } else { " | " })?;
                }
                f.write_str(")")
            }
        }
    };
}

flags! {
    /// The choices of [`getaddrinfo`](crate::EventLoopHandle::getaddrinfo); joined by `|`.
    AddrInfoFlags {
        /// Without a host, answers the addresses to listen on (`AI_PASSIVE`).
        PASSIVE = 0x1,
        /// Gives the first answer the host's full name (`AI_CANONNAME`).
        CANONICAL_NAME = 0x2,
        /// Refuses a host that isn't an address (`AI_NUMERICHOST`).
        NUMERIC_HOST = 0x4,
        /// Answers IPv4 addresses in IPv6 form where IPv6 was asked and there is none
        /// (`AI_V4MAPPED`).
        V4_MAPPED = 0x8,
        /// With [`V4_MAPPED`](Self::V4_MAPPED): also if there are IPv6 addresses (`AI_ALL`).
        ALL = 0x10,
        /// Answers only families of which this machine has an address (`AI_ADDRCONFIG`).
        ADDRESS_CONFIGURED = 0x20,
        /// Refuses a service that isn't a number (`AI_NUMERICSERV`).
        NUMERIC_SERVICE = 0x400,
    }
}

flags! {
    /// The choices of [`getnameinfo`](crate::EventLoopHandle::getnameinfo); joined by `|`.
    NameInfoFlags {
        /// Answers the address instead of a name (`NI_NUMERICHOST`).
        NUMERIC_HOST = 1,
        /// Answers the port instead of a service's name (`NI_NUMERICSERV`).
        NUMERIC_SERVICE = 2,
        /// Answers only the first label of a local host's name (`NI_NOFQDN`).
        NO_FULL_NAME = 4,
        /// Fails instead of answering the address of a host without a name (`NI_NAMEREQD`).
        NAME_REQUIRED = 8,
        /// Answers the name of the UDP service (`NI_DGRAM`).
        DATAGRAM = 16,
    }
}

/// What is wanted of a host's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hints {
    pub(crate) family: Option<IpFamily>,
    pub(crate) kind: Option<SocketType>,
    pub(crate) protocol: i32,
    pub(crate) flags: AddrInfoFlags,
    /// Is where the addresses were asked for.
    pub(crate) location: &'static Location<'static>,
}

impl Hints {
    /// Wants whatever there is, for who asked at `location`.
    pub(crate) const fn at(location: &'static Location<'static>) -> Self {
        Self { family: None, kind: None, protocol: 0, flags: AddrInfoFlags(0), location }
    }
}

/// A question to a resolver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Query {
    pub(crate) host: Option<String>,
    pub(crate) service: Service,
    pub(crate) hints: Hints,
}
