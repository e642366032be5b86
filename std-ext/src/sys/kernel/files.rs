//! Calls that any open file knows.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;

use super::{Watching, unsupported};
use crate::sources::Direction;
use crate::sys::fd::Fd;
use crate::sys::file::{FileFlags, FileKind};
use crate::sys::socket::FileAt;

/// Has open files: pipes, terminals, and what sockets share with them.
pub(crate) trait Files: Watching {
    /// Tells what `fd` is open on.
    ///
    /// # Errors
    /// As `fstat`.
    fn file_kind(&self, fd: Fd) -> io::Result<FileKind> {
        let _ = fd;
        unsupported("fstat")
    }

    /// Tells how the file of `fd` was opened.
    ///
    /// # Errors
    /// As `fcntl`.
    fn file_flags(&self, fd: Fd) -> io::Result<FileFlags> {
        let _ = fd;
        unsupported("file_flags")
    }

    /// Reads up to the length of `buf`; 0 is the end, unless `buf` is empty.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; else as `read`. Never `Interrupted`.
    fn read(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
        let _ = (fd, buf);
        unsupported("read")
    }

    /// Writes as much of `buf` as there is room for and returns how much that was.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; `BrokenPipe`, without a signal, when nobody will read it;
    /// else as `write`. Never `Interrupted`.
    fn write(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
        let _ = (fd, buf);
        unsupported("write")
    }

    /// Writes as much of `bufs`, in their order, as there is room for. It may take only the first 1,024.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn write_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let _ = (fd, bufs);
        unsupported("write_vectored")
    }

    /// Reads a part of a file from `offset` on, wherever its position is; 0 is its end. May wait for
    /// the disk.
    ///
    /// # Errors
    /// As `pread`.
    fn read_at(&self, fd: Fd, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let _ = (fd, buf, offset);
        unsupported("pread")
    }

    /// Sets the position of a file, counted in bytes from its begin.
    ///
    /// # Errors
    /// As `lseek`.
    fn seek(&self, fd: Fd, offset: u64) -> io::Result<()> {
        let _ = (fd, offset);
        unsupported("lseek")
    }

    /// Makes a pipe: the end to read from, and the end to write to. Both are closed on exec and block,
    /// since the other end may be for somebody who knows nothing else.
    ///
    /// # Errors
    /// As `pipe`.
    fn pipe(&self) -> io::Result<(Fd, Fd)> {
        unsupported("pipe")
    }

    /// Makes a second descriptor of the same open file, which is closed on exec.
    ///
    /// # Errors
    /// As `dup`.
    fn duplicate(&self, fd: Fd) -> io::Result<Fd> {
        let _ = fd;
        unsupported("duplicate")
    }

    /// Opens the file of `fd` once more, for one direction, without blocking: what is set for it holds
    /// for nobody else. Position and contents of a file on a disk would not be shared either.
    ///
    /// # Errors
    /// As `open`: `ENXIO` for a socket, `EACCES` for the terminal of somebody else, `ENOENT` without
    /// `/proc`.
    fn reopen(&self, fd: Fd, direction: Direction) -> io::Result<Fd> {
        let _ = (fd, direction);
        unsupported("reopen")
    }

    /// Makes that operations on `fd` don't block. Concerns everyone who shares the open file.
    ///
    /// # Errors
    /// As `fcntl`.
    fn set_nonblocking(&self, fd: Fd) -> io::Result<()> {
        let _ = fd;
        unsupported("set_nonblocking")
    }

    /// Makes that operations on `fd`, which others share, don't block until all that were lent to this process
    /// are given back; tells whether this one has to be, as it is unless others made it so.
    ///
    /// # Errors
    /// As `fcntl`.
    fn lend(&self, fd: Fd) -> io::Result<bool> {
        let _ = fd;
        unsupported("lend")
    }

    /// Gives back what was lent; once for each time.
    fn give_back(&self) {}

    /// Closes `fd`, which was deregistered before; never repeated, whatever the system answers.
    fn close(&self, fd: Fd) {
        let _ = fd;
    }

    /// Gives a descriptor that isn't registered to the user, who closes it.
    ///
    /// # Errors
    /// `Unsupported` if it is none of the process.
    fn hand_over(&self, fd: Fd) -> io::Result<OwnedFd> {
        let _ = fd;
        unsupported("hand_over")
    }

    /// Tells which file is at `path`: by this a socket's owner knows whether it is still its own.
    ///
    /// # Errors
    /// As `lstat`; `NotFound` when there is none.
    fn file_at(&self, path: &Path) -> io::Result<FileAt> {
        let _ = path;
        unsupported("lstat")
    }

    /// Removes the name of a file.
    ///
    /// # Errors
    /// As `unlink`.
    fn unlink(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        unsupported("unlink")
    }

    /// Reads a small file, `bytes_max` of it at most.
    ///
    /// # Errors
    /// As `open` and `read`.
    #[allow(dead_code, reason = "the resolver in the loop uses it")]
    fn read_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let _ = (path, bytes_max);
        unsupported("read_file")
    }
}
