//! The sockets that a supervisor opened for the process.

use core::error::Error as StdError;
use core::fmt;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use super::{number, variable};
use crate::sys::inherited;

/// Is the first descriptor that a supervisor hands over (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// Takes the sockets and pipes that the supervisor opened for this process, in its order: socket
/// activation as [sd_listen_fds(3)](https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html)
/// describes it, without libsystemd.
///
/// There are none, which is no error, if `LISTEN_PID` names another process or none: the variables
/// may have been inherited through a launcher. From then on they are closed on exec, so no child gets
/// them. Each is handed out once: a second call finds none. What fails takes nothing. Call it early:
/// a number that the supervisor announced by mistake may be that of something opened since.
///
/// ```no_run
/// # use rondel::{Protocol, StreamReader, StreamWriter};
/// # rondel::run(async |event_loop| {
/// for fd in rondel::listen_fds()? {
///     println!("serving {}", fd.name());
///     let server = event_loop
///         .start_server_with_sock(fd, async |_: StreamReader, mut writer: StreamWriter| {
///             writer.write_all(b"hello\n").await
///         })
///         .await?;
///     server.serve_forever().await?;
/// }
/// # Ok(())
/// # })?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// # Errors
/// If the variables make no sense, or name a descriptor that isn't open.
///
/// # Python
/// `systemd.daemon.listen_fds_with_names()`; asyncio itself has no counterpart.
pub fn listen_fds() -> Result<Vec<ListenFd>, ListenFdsError> {
    let mut were_taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if *were_taken {
        return Ok(Vec::new());
    }
    let announced = Announced::read(variable, inherited::process_id())?;
    let taken = announced.take()?;
    *were_taken = true;
    Ok(taken)
}

/// Tells whether the descriptors were handed out.
static TAKEN: Mutex<bool> = Mutex::new(false);

/// A socket or pipe that the supervisor opened.
#[derive(Debug)]
pub struct ListenFd {
    name: String,
    kind: ListenFdKind,
    fd: OwnedFd,
}

impl ListenFd {
    /// Returns its name: `FileDescriptorName=` of the unit, by default the name of the socket unit;
    /// `unknown` where the supervisor names none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells what it is, as far as the system knows.
    #[must_use]
    pub fn kind(&self) -> ListenFdKind {
        self.kind
    }
}

impl AsFd for ListenFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<ListenFd> for OwnedFd {
    fn from(listen_fd: ListenFd) -> Self {
        listen_fd.fd
    }
}

/// What a supervisor handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ListenFdKind {
    /// A stream socket that listens: for `create_server_with_sock`.
    Listener,
    /// A connected stream socket (`Accept=yes`).
    Connection,
    /// A datagram socket: for `create_datagram_endpoint_with_sock`.
    Datagram,
    /// A pipe with a name.
    Fifo,
    /// Something else: a device, a file, a socket of packets.
    Other,
}

/// What the environment says of descriptors.
#[derive(PartialEq, Eq, Debug)]
struct Announced {
    count: i32,
    /// Is as many names as descriptors, if there are any.
    names: Option<Vec<String>>,
}

impl Announced {
    /// Reads what is meant for the process `pid`.
    fn read(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> Result<Self, ListenFdsError> {
        let nothing = Self { count: 0, names: None };
        let (Some(listen_pid), Some(count)) = (variable("LISTEN_PID"), variable("LISTEN_FDS")) else {
            return Ok(nothing);
        };
        let not_a_number = |variable| ListenFdsError::NotANumber { variable };
        let listen_pid = number(&listen_pid).filter(|&pid| pid > 0).ok_or(not_a_number("LISTEN_PID"))?;
        if listen_pid != u64::from(pid) {
            return Ok(nothing);
        }
        let count = number(&count).filter(|&count| count > 0).ok_or(not_a_number("LISTEN_FDS"))?;
        let last = i32::try_from(count).ok().filter(|count| count.checked_add(FIRST).is_some());
        let count = last.ok_or(ListenFdsError::TooMany { count })?;
        let names = match variable("LISTEN_FDNAMES") {
            Some(names) => {
                let names = names.into_string().map_err(|_| ListenFdsError::NamesNotText)?;
                let given = names.split(':').count();
                if given as u64 != count as u64 {
                    return Err(ListenFdsError::NamesMismatch { names: given, descriptors: count as usize });
                }
                Some(names.split(':').map(str::to_owned).collect())
            }
            None => None,
        };
        Ok(Self { count, names })
    }

    /// Looks at all descriptors, and if each is open takes them.
    fn take(self) -> Result<Vec<ListenFd>, ListenFdsError> {
        let mut kinds = Vec::new();
        for fd in FIRST..FIRST + self.count {
            // The first that isn't open ends it, however many were announced.
            kinds.push(inherited::kind_of(fd).map_err(|_| ListenFdsError::NotOpen { fd })?);
        }
        let mut names = self.names.into_iter().flatten();
        let mut next_name = || names.next().unwrap_or_else(|| "unknown".to_owned());
        let adopted = (FIRST..).zip(kinds).map(|(fd, kind)| ListenFd {
            name: next_name(),
            kind,
            fd: inherited::adopt(fd),
        });
        Ok(adopted.collect())
    }
}

/// Why what a supervisor says of descriptors can't be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ListenFdsError {
    /// A variable is not a positive number.
    NotANumber {
        /// Is the name of the variable.
        variable: &'static str,
    },
    /// No process has so many descriptors.
    TooMany {
        /// Is `LISTEN_FDS`.
        count: u64,
    },
    /// `LISTEN_FDNAMES` is not UTF-8.
    NamesNotText,
    /// `LISTEN_FDNAMES` names more or fewer than there are.
    NamesMismatch {
        /// Counts the names.
        names: usize,
        /// Is `LISTEN_FDS`.
        descriptors: usize,
    },
    /// A descriptor that was announced is not open.
    NotOpen {
        /// Is its number.
        fd: i32,
    },
}

impl fmt::Display for ListenFdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber { variable } => write!(f, "{variable} is not a positive number"),
            Self::TooMany { count } => write!(f, "LISTEN_FDS is {count}: no process has so many descriptors"),
            Self::NamesNotText => f.write_str("LISTEN_FDNAMES is not UTF-8"),
            Self::NamesMismatch { names, descriptors } => {
                write!(f, "LISTEN_FDNAMES has {names} names for {descriptors} descriptors")
            }
            Self::NotOpen { fd } => write!(f, "descriptor {fd} was announced by LISTEN_FDS and is not open"),
        }
    }
}

impl StdError for ListenFdsError {}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: u32 = 77;

    fn read(pid: &str, fds: &str, names: Option<&str>) -> Result<Announced, ListenFdsError> {
        let look_up = |name: &str| match name {
            "LISTEN_PID" => Some(pid.into()),
            "LISTEN_FDS" => Some(fds.into()),
            "LISTEN_FDNAMES" => names.map(OsString::from),
            _ => None,
        };
        Announced::read(look_up, PID)
    }

    #[test]
    fn what_is_meant_for_another_process_is_nothing() {
        assert_eq!(read("78", "nonsense", None), Ok(Announced { count: 0, names: None }));
        assert_eq!(Announced::read(|_| None, PID), Ok(Announced { count: 0, names: None }));
    }

    #[test]
    fn nonsense_is_a_typed_error() {
        let not_a_number = |variable| Err(ListenFdsError::NotANumber { variable });
        for text in ["", "0", "-77", "+77", " 77", "77 ", "7x", "99999999999999999999999"] {
            assert_eq!(read(text, "1", None), not_a_number("LISTEN_PID"), "{text:?}");
            assert_eq!(read("77", text, None), not_a_number("LISTEN_FDS"), "{text:?}");
        }
        for count in [i32::MAX as u64 - 2, i32::MAX as u64, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(read("77", &count.to_string(), None), Err(ListenFdsError::TooMany { count }));
        }
    }

    #[test]
    fn there_are_as_many_names_as_descriptors() {
        let announced = read("77", "2", Some("http:")).unwrap();
        assert_eq!(announced.names, Some(vec!["http".to_owned(), String::new()]));
        let mismatch = ListenFdsError::NamesMismatch { names: 1, descriptors: 2 };
        assert_eq!(read("77", "2", Some("http")), Err(mismatch));
    }

    #[test]
    fn a_number_of_descriptors_that_are_not_open_costs_no_memory() {
        let announced = read("77", &(i32::MAX - 3).to_string(), None).unwrap();
        assert!(matches!(announced.take(), Err(ListenFdsError::NotOpen { .. })));
    }
}
