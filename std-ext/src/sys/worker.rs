//! A worker of a process pool: the command that starts one, and how a process finds out that it is one.
//!
//! The socket to its pool comes as a descriptor whose number a variable of the environment tells,
//! together with the number of the process that meant it. A process further down inherits the
//! variable as well, but has another parent, so it doesn't take it for its own.

#![allow(unsafe_code, reason = "a descriptor comes by its number")]

use core::sync::atomic::{AtomicBool, Ordering};
use std::env;
use std::ffi::{CString, OsString};
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::path::Path;

use super::child::{Child, Command, StringArray};
use super::fd::Fd;
use super::syscall::syscall;
use super::{Kernel, socket};

/// Is the variable that tells a process which descriptor leads to its pool, and whose child it is.
const VARIABLE: &str = "RONDEL_WORKER";

/// Is the running program, whatever has become of its file.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// Prepares the start of a worker that talks through `socket` and reads nothing from `stdin`.
///
/// It gets standard output and error of this process, a process group of its own, so that a key
/// pressed in a terminal reaches this process alone, and no life beyond that of this thread.
///
/// # Errors
/// `InvalidInput` for a path with a NUL.
pub(crate) fn command(executable: &Path, socket: Fd, stdin: Fd) -> io::Result<Command> {
    let own = env::args_os().next().unwrap_or_else(|| executable.into());
    let marker = OsString::from(format!("{VARIABLE}={}:{}", socket.as_raw(), std::process::id()));
    let others = env::vars_os().filter(|(name, _)| name != VARIABLE).map(|(mut entry, value)| {
        entry.push("=");
        entry.push(value);
        entry
    });
    Ok(Command {
        programs: vec![CString::new(executable.as_os_str().as_bytes())?],
        // The second is for people, and for a program that takes no such argument.
        arguments: strings([own, "rondel-worker".into()])?,
        environment: strings(others.chain([marker]))?,
        stdio: [stdin.as_raw(), 1, 2],
        passed: vec![socket.as_raw()],
        process_group: Some(0),
        parent_death_signal: Some(libc::SIGKILL),
        ..Command::default()
    })
}

fn strings(strings: impl IntoIterator<Item = OsString>) -> io::Result<StringArray> {
    let strings: Result<Vec<_>, _> =
        strings.into_iter().map(|string| CString::new(string.into_vec())).collect();
    Ok(StringArray::new(strings?))
}

/// Makes two connected sockets whose numbers are none of the first three, which a child arranges anew.
///
/// # Errors
/// As `socketpair`.
pub(crate) fn socket_pair(kernel: &dyn Kernel) -> io::Result<(Fd, Fd)> {
    let mut low = Vec::new();
    let pair = loop {
        match kernel.socket_pair() {
            Ok((a, b)) if a.as_raw() > 2 && b.as_raw() > 2 => break Ok((a, b)),
            // The first three are taken at the second attempt at the latest.
            Ok((a, b)) => low.extend([a, b]),
            Err(error) => break Err(error),
        }
    };
    low.into_iter().for_each(|fd| kernel.close(fd));
    pair
}

/// Ends a worker, without a chance for it to object. It may have ended already.
pub(crate) fn kill(kernel: &dyn Kernel, child: Child) {
    let _ = kernel.processes().signal_child(child, libc::SIGKILL);
}

/// Tells that this process is a worker and has begun to act as one.
static IS_AT_WORK: AtomicBool = AtomicBool::new(false);

/// Tells whether this process was started as a worker and doesn't know it: its `main` asks too late, or
/// not at all. It must start none of its own, for they would do the same.
pub(crate) fn is_unaware() -> bool {
    !IS_AT_WORK.load(Ordering::Relaxed) && marker().is_some()
}

/// Returns the descriptor that the variable names, if this process is meant.
fn marker() -> Option<i32> {
    let marker = env::var(VARIABLE).ok()?;
    let (fd, parent) = marker.split_once(':')?;
    (parent.parse() == Ok(parent_id())).then_some(())?;
    fd.parse().ok().filter(|&fd| fd > 2)
}

/// The worker's way to its pool; waits.
pub(crate) struct Channel(UnixStream);

impl Channel {
    /// Takes the socket that this process got as a worker; `None` if it is none.
    pub(crate) fn inherited() -> Option<Self> {
        let fd = marker()?;
        if IS_AT_WORK.swap(true, Ordering::Relaxed) {
            return None;
        }
        socket::socket_kind(Fd::from_raw(fd)).ok()?;
        // No program that this process starts is to get it.
        // SAFETY: no pointers.
        unsafe { syscall!(fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC)) }.ok()?;
        // SAFETY: opened for this process alone, and taken once.
        let stream = unsafe { UnixStream::from_raw_fd(fd) };
        stream.set_nonblocking(false).ok()?;
        Some(Self(stream))
    }

    /// Fills `buf`; false at the end of what the pool sends.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> bool {
        self.0.read_exact(buf).is_ok()
    }

    /// Sends all of `data`; false if the pool is gone.
    pub(crate) fn write(&mut self, data: &[u8]) -> bool {
        self.0.write_all(data).is_ok()
    }
}

/// Ends this process, as one that has done its work.
pub(crate) fn exit() -> ! {
    std::process::exit(0)
}
