//! What the supervisor wants to be told.

use core::error::Error as StdError;
use core::fmt;
use core::time::Duration;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use super::variable;
use crate::sys::{Family, Fd, SocketKind};
use crate::{Address, EventLoopHandle, UnixAddr, UnixAddrError};

/// Tells the supervisor how the service is, as
/// [sd_notify(3)](https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html) describes
/// it, without libsystemd.
///
/// Each message is one datagram, and nothing waits: what the supervisor has no room for is an error
/// and can be said again. Without a supervisor that wants to be told (`NOTIFY_SOCKET`) all methods
/// succeed and do nothing.
///
/// ```
/// use rondel::Notifier;
///
/// rondel::run(async |event_loop| {
///     let supervisor = Notifier::from_env(&event_loop)?;
///     // ... open what is served, and then:
///     supervisor.ready()?;
///     supervisor.status("serving 0 clients")?;
///     // ... and at the end:
///     supervisor.stopping()?;
///     Ok(())
/// })?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// # Python
/// `systemd.daemon.notify(...)`; asyncio itself has no counterpart.
#[derive(Clone)]
pub struct Notifier {
    event_loop: EventLoopHandle,
    channel: Option<Rc<Channel>>,
}

impl Notifier {
    /// Makes a notifier of what the environment says.
    ///
    /// The variable stays, so children inherit it; systemd ignores what it hears from them unless the
    /// unit says otherwise (`NotifyAccess=`).
    ///
    /// # Errors
    /// If `NOTIFY_SOCKET` is neither a path nor an abstract name; in a virtual machine it may be
    /// `vsock:`, which is not supported. As `socket`.
    pub fn from_env(event_loop: &EventLoopHandle) -> Result<Self, NotifyError> {
        match variable("NOTIFY_SOCKET") {
            Some(socket) => Self::to(event_loop, &parse_address(&socket)?),
            None => Ok(Self { event_loop: event_loop.clone(), channel: None }),
        }
    }

    /// Makes a notifier that tells the socket at `addr`.
    ///
    /// # Errors
    /// As `socket`.
    pub fn to(event_loop: &EventLoopHandle, addr: &UnixAddr) -> Result<Self, NotifyError> {
        let fd = event_loop.inner.kernel.socket(Family::Unix, SocketKind::Datagram, 0)?;
        let channel = Channel { event_loop: event_loop.clone(), fd, addr: addr.clone().into() };
        Ok(Self { event_loop: event_loop.clone(), channel: Some(Rc::new(channel)) })
    }

    /// Tells whether somebody is told.
    #[must_use]
    pub fn is_supervised(&self) -> bool {
        self.channel.is_some()
    }

    /// Says that the start, or a reload, is finished (`READY=1`).
    ///
    /// # Errors
    /// [`NotifyError::Io`] if it was not delivered: the same can be said again.
    pub fn ready(&self) -> Result<(), NotifyError> {
        self.send("READY=1")
    }

    /// Says that a reload has begun (`RELOADING=1`, and the `MONOTONIC_USEC` that
    /// `Type=notify-reload` asks for); [`ready`](Self::ready) ends it.
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub fn reloading(&self) -> Result<(), NotifyError> {
        let Some(channel) = &self.channel else { return Ok(()) };
        let now = channel.event_loop.inner.kernel.monotonic_micros();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}"))
    }

    /// Says that the end has begun (`STOPPING=1`).
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub fn stopping(&self) -> Result<(), NotifyError> {
        self.send("STOPPING=1")
    }

    /// Says in one line how the service is; `systemctl status` shows it (`STATUS=`).
    ///
    /// # Errors
    /// [`NotifyError::Newline`] if it is more than a line, which could say anything else; as
    /// [`ready`](Self::ready).
    pub fn status(&self, status: &str) -> Result<(), NotifyError> {
        if status.contains('\n') {
            return Err(NotifyError::Newline);
        }
        self.send(&format!("STATUS={status}"))
    }

    /// Says which process is the service, if it isn't the one that was started (`MAINPID=`).
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub fn main_pid(&self, pid: u32) -> Result<(), NotifyError> {
        self.send(&format!("MAINPID={pid}"))
    }

    /// Says why the service fails, as the system numbers errors (`ERRNO=`).
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub fn errno(&self, errno: i32) -> Result<(), NotifyError> {
        self.send(&format!("ERRNO={errno}"))
    }

    /// Asks for more time to start, reload or stop, from now on (`EXTEND_TIMEOUT_USEC=`).
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub fn extend_timeout(&self, duration: Duration) -> Result<(), NotifyError> {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", duration.as_micros()))
    }

    /// Says that the service lives (`WATCHDOG=1`). By itself it says nothing about the loop; for that
    /// see [`feed_watchdog`](Self::feed_watchdog).
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub fn watchdog(&self) -> Result<(), NotifyError> {
        self.send("WATCHDOG=1")
    }

    /// Says that the service has failed, as if it had been silent for too long
    /// (`WATCHDOG=trigger`).
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub fn trigger_watchdog(&self) -> Result<(), NotifyError> {
        self.send("WATCHDOG=trigger")
    }

    /// Changes the interval of the watchdog (`WATCHDOG_USEC=`).
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub fn set_watchdog_interval(&self, interval: Duration) -> Result<(), NotifyError> {
        self.send(&format!("WATCHDOG_USEC={}", interval.as_micros()))
    }

    pub(super) fn event_loop(&self) -> &EventLoopHandle {
        &self.event_loop
    }

    fn send(&self, message: &str) -> Result<(), NotifyError> {
        let Some(channel) = &self.channel else { return Ok(()) };
        let kernel = &channel.event_loop.inner.kernel;
        kernel.send_to(channel.fd, message.as_bytes(), &channel.addr)?;
        Ok(())
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.channel {
            Some(channel) => write!(f, "Notifier({})", channel.addr),
            None => f.write_str("Notifier(unsupervised)"),
        }
    }
}

/// The socket that messages are sent with, and where to.
struct Channel {
    event_loop: EventLoopHandle,
    fd: Fd,
    addr: Address,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.event_loop.inner.kernel.close(self.fd);
    }
}

/// Reads `NOTIFY_SOCKET`: a path, or after an `@` an abstract name.
fn parse_address(socket: &OsStr) -> Result<UnixAddr, NotifyError> {
    match socket.as_bytes() {
        [b'/', ..] => Ok(UnixAddr::from_path(socket)?),
        [b'@', name @ ..] => Ok(UnixAddr::from_abstract_name(name)?),
        [b'v', b's', b'o', b'c', b'k', b':' | b'-', ..] => Err(NotifyError::Vsock),
        _ => Err(NotifyError::NotAnAddress),
    }
}

/// Why a supervisor is not told.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotifyError {
    /// `NOTIFY_SOCKET` is neither an absolute path nor an abstract name.
    NotAnAddress,
    /// `NOTIFY_SOCKET` is longer than the name of a socket may be, or holds a NUL.
    Address(UnixAddrError),
    /// `NOTIFY_SOCKET` is of a virtual machine's host, which is not supported.
    Vsock,
    /// What was to be told in one line is more than that.
    Newline,
    /// `WATCHDOG_USEC` or `WATCHDOG_PID` is not a number that makes sense.
    NotANumber {
        /// Is the name of the variable.
        variable: &'static str,
    },
    /// The system refused; `WouldBlock` if the supervisor has no room for more at the moment.
    Io(io::Error),
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAddress => f.write_str("NOTIFY_SOCKET is neither a path nor an abstract name"),
            Self::Address(error) => write!(f, "NOTIFY_SOCKET: {error}"),
            Self::Vsock => f.write_str("NOTIFY_SOCKET is of the host of a virtual machine: not supported"),
            Self::Newline => f.write_str("what a supervisor is told is one line"),
            Self::NotANumber { variable } => write!(f, "{variable} is not a number that makes sense"),
            Self::Io(error) => write!(f, "the supervisor was not told: {error}"),
        }
    }
}

impl StdError for NotifyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Address(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for NotifyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<UnixAddrError> for NotifyError {
    fn from(error: UnixAddrError) -> Self {
        Self::Address(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() {
        let parse = |text: &str| parse_address(OsStr::new(text));
        assert_eq!(parse("/run/notify").unwrap().to_string(), "/run/notify");
        assert_eq!(parse("@a@b").unwrap().to_string(), "@a@b");
        assert!(matches!(parse("vsock:2:1234"), Err(NotifyError::Vsock)));
        assert!(matches!(parse("vsock-stream:2:1"), Err(NotifyError::Vsock)));
        for text in ["", "run/notify", "unix:/run/notify"] {
            assert!(matches!(parse(text), Err(NotifyError::NotAnAddress)), "{text:?}");
        }
        let long = format!("/{}", "x".repeat(UnixAddr::LEN_MAX));
        assert!(matches!(parse(&long), Err(NotifyError::Address(UnixAddrError::TooLong { .. }))));
        assert!(matches!(parse("@"), Err(NotifyError::Address(UnixAddrError::Empty))));
    }
}
