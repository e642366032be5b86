//! The options of a socket, typed.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::io;

use crate::sys::{Family, Fd, SocketOption};
use crate::{Error, EventLoopHandle, Result};

/// When and how often an idle connection is probed, so that a peer that is gone
/// without a word is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// Is the idle time until the first probe, in whole seconds from 1 to 32,767.
    pub idle: Duration,
    /// Is the time between two probes, in whole seconds from 1 to 32,767.
    pub interval: Duration,
    /// Is how many probes stay unanswered before the connection is given up,
    /// from 1 to 127.
    pub probes: u8,
}

/// The options of one socket ([socket(7)](https://man7.org/linux/man-pages/man7/socket.7.html),
/// [tcp(7)](https://man7.org/linux/man-pages/man7/tcp.7.html),
/// [ip(7)](https://man7.org/linux/man-pages/man7/ip.7.html)).
///
/// # Python
/// `transport.get_extra_info('socket').setsockopt(...)`.
pub struct SocketOptions<'a> {
    event_loop: &'a EventLoopHandle,
    fd: Fd,
}

impl<'a> SocketOptions<'a> {
    pub(crate) fn new(event_loop: &'a EventLoopHandle, fd: Fd) -> Self {
        Self { event_loop, fd }
    }

    fn set(&self, name: &'static str, option: SocketOption, value: i32) -> Result<()> {
        let set = self.event_loop.inner.kernel.set_option(self.fd, option, value);
        set.map_err(|error| Error::from(error).during(name))
    }

    fn get(&self, name: &'static str, option: SocketOption) -> Result<i32> {
        let value = self.event_loop.inner.kernel.option(self.fd, option);
        value.map_err(|error| Error::from(error).during(name))
    }

    /// Sends small pieces at once, or has them collected; on by default for TCP
    /// (contract CC-11).
    ///
    /// # Errors
    /// If the socket is not one of TCP.
    pub fn set_nodelay(&self, on: bool) -> Result<()> {
        self.set("TCP_NODELAY", SocketOption::NoDelay, on.into())
    }

    /// Tells whether small pieces are sent at once.
    ///
    /// # Errors
    /// If the socket is not one of TCP.
    pub fn nodelay(&self) -> Result<bool> {
        Ok(self.get("TCP_NODELAY", SocketOption::NoDelay)? != 0)
    }

    /// Probes an idle connection, or doesn't; off by default.
    ///
    /// # Errors
    /// `Io` with `InvalidInput` for a time or number out of its range; if the
    /// socket is not one of TCP.
    pub fn set_keepalive(&self, keepalive: Option<KeepAlive>) -> Result<()> {
        let Some(KeepAlive { idle, interval, probes }) = keepalive else {
            return self.set("SO_KEEPALIVE", SocketOption::KeepAlive, 0);
        };
        self.set("TCP_KEEPIDLE", SocketOption::KeepIdle, seconds(idle)?)?;
        self.set("TCP_KEEPINTVL", SocketOption::KeepInterval, seconds(interval)?)?;
        self.set("TCP_KEEPCNT", SocketOption::KeepCount, probes.into())?;
        self.set("SO_KEEPALIVE", SocketOption::KeepAlive, 1)
    }

    /// Returns how an idle connection is probed, `None` if it isn't.
    ///
    /// # Errors
    /// If the socket is not one of TCP.
    pub fn keepalive(&self) -> Result<Option<KeepAlive>> {
        if self.get("SO_KEEPALIVE", SocketOption::KeepAlive)? == 0 {
            return Ok(None);
        }
        let seconds = |value: i32| Duration::from_secs(value.unsigned_abs().into());
        Ok(Some(KeepAlive {
            idle: seconds(self.get("TCP_KEEPIDLE", SocketOption::KeepIdle)?),
            interval: seconds(self.get("TCP_KEEPINTVL", SocketOption::KeepInterval)?),
            probes: self.get("TCP_KEEPCNT", SocketOption::KeepCount)?.clamp(0, 127) as u8,
        }))
    }

    /// Chooses how long what was sent may stay unacknowledged before the
    /// connection is given up, in milliseconds; `None` is the system's choice.
    ///
    /// # Errors
    /// `Io` with `InvalidInput` for a time under a millisecond or over 24 days;
    /// if the socket is not one of TCP.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        let millis = timeout
            .map_or(Some(0), |timeout| i32::try_from(timeout.as_millis()).ok().filter(|&millis| millis > 0));
        let millis = millis.ok_or_else(|| out_of_range("TCP_USER_TIMEOUT"))?;
        self.set("TCP_USER_TIMEOUT", SocketOption::UserTimeout, millis)
    }

    /// Returns how long what was sent may stay unacknowledged.
    ///
    /// # Errors
    /// If the socket is not one of TCP.
    pub fn user_timeout(&self) -> Result<Option<Duration>> {
        let millis = self.get("TCP_USER_TIMEOUT", SocketOption::UserTimeout)?;
        Ok((millis != 0).then(|| Duration::from_millis(millis.unsigned_abs().into())))
    }

    /// Chooses what a close does with what the kernel has still to send: `None`
    /// sends it in the background, zero drops it and resets the connection.
    ///
    /// # Errors
    /// `Io` with `InvalidInput` for a time other than `None` and zero, in which
    /// a close would block.
    pub fn set_linger(&self, linger: Option<Duration>) -> Result<()> {
        if linger.is_some_and(|linger| !linger.is_zero()) {
            return Err(out_of_range("SO_LINGER"));
        }
        let set = self.event_loop.inner.kernel.set_linger(self.fd, linger.map(|_| 0));
        set.map_err(|error| Error::from(error).during("SO_LINGER"))
    }

    /// Chooses the size of the kernel's receive buffer, in bytes; it keeps twice
    /// as many, within its own limits.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> Result<()> {
        let bytes = i32::try_from(bytes).map_err(|_| out_of_range("SO_RCVBUF"))?;
        self.set("SO_RCVBUF", SocketOption::ReceiveBuffer, bytes)
    }

    /// Returns the size of the kernel's receive buffer, in bytes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn recv_buffer_size(&self) -> Result<usize> {
        Ok(self.get("SO_RCVBUF", SocketOption::ReceiveBuffer)?.unsigned_abs() as usize)
    }

    /// Chooses the size of the kernel's send buffer, in bytes; it keeps twice as
    /// many, within its own limits.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_send_buffer_size(&self, bytes: usize) -> Result<()> {
        let bytes = i32::try_from(bytes).map_err(|_| out_of_range("SO_SNDBUF"))?;
        self.set("SO_SNDBUF", SocketOption::SendBuffer, bytes)
    }

    /// Returns the size of the kernel's send buffer, in bytes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn send_buffer_size(&self) -> Result<usize> {
        Ok(self.get("SO_SNDBUF", SocketOption::SendBuffer)?.unsigned_abs() as usize)
    }

    /// Lets datagrams go to a broadcast address, or doesn't; off by default.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_broadcast(&self, on: bool) -> Result<()> {
        self.set("SO_BROADCAST", SocketOption::Broadcast, on.into())
    }

    /// Tells whether datagrams may go to a broadcast address.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn broadcast(&self) -> Result<bool> {
        Ok(self.get("SO_BROADCAST", SocketOption::Broadcast)? != 0)
    }

    /// Receives what is sent to a multicast group, on the interface of this
    /// number; 0 is the system's choice.
    ///
    /// # Errors
    /// If the group is no multicast address or not of the socket's family, was
    /// joined already, or there is no such interface.
    pub fn join_multicast(&self, group: IpAddr, interface: u32) -> Result<()> {
        let joined = self.event_loop.inner.kernel.set_membership(self.fd, group, interface, true);
        joined.map_err(|error| Error::from(error).during("join_multicast"))
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// If it was not joined on that interface.
    pub fn leave_multicast(&self, group: IpAddr, interface: u32) -> Result<()> {
        let left = self.event_loop.inner.kernel.set_membership(self.fd, group, interface, false);
        left.map_err(|error| Error::from(error).during("leave_multicast"))
    }

    /// Chooses how many networks a multicast datagram may cross; 1 by default, which
    /// is none but the own.
    ///
    /// # Errors
    /// If the socket is not one of UDP.
    pub fn set_multicast_ttl(&self, ttl: u8) -> Result<()> {
        let option = if self.is_ipv6()? { SocketOption::MulticastTtl6 } else { SocketOption::MulticastTtl4 };
        self.set("IP_MULTICAST_TTL", option, ttl.into())
    }

    /// Chooses whether this machine receives the multicast datagrams that it
    /// sends itself, in groups that it has joined; on by default.
    ///
    /// # Errors
    /// If the socket is not one of UDP.
    pub fn set_multicast_loop(&self, on: bool) -> Result<()> {
        let option =
            if self.is_ipv6()? { SocketOption::MulticastLoop6 } else { SocketOption::MulticastLoop4 };
        self.set("IP_MULTICAST_LOOP", option, on.into())
    }

    fn is_ipv6(&self) -> Result<bool> {
        Ok(self.event_loop.inner.kernel.socket_kind(self.fd)?.0 == Family::Ipv6)
    }
}

fn seconds(time: Duration) -> Result<i32> {
    i32::try_from(time.as_secs())
        .ok()
        .filter(|seconds| (1..=32_767).contains(seconds))
        .ok_or_else(|| out_of_range("SO_KEEPALIVE"))
}

fn out_of_range(option: &'static str) -> Error {
    Error::from(io::Error::new(io::ErrorKind::InvalidInput, "the value is out of range")).during(option)
}

impl fmt::Debug for SocketOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketOptions(fd={})", self.fd.as_raw())
    }
}
