//! Files: what a descriptor is, and reading those that are sent through sockets.

#![allow(unsafe_code, reason = "this is where libc is called")]

use core::fmt;
use core::mem::MaybeUninit;
use std::io;

use super::fd::Fd;
use super::syscall::{retry, syscall};

/// What a descriptor is open on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileKind {
    /// A pipe, with a name or without.
    Fifo,
    Socket,
    /// A terminal; not the side of a pseudoterminal that plays one.
    Terminal,
    /// Another device that is read and written as a stream.
    Character,
    Regular,
    Directory,
    Block,
    /// What has no kind: an eventfd, a timer, another epoll.
    Other,
}

impl FileKind {
    /// Tells whether it is always ready, so that nobody can wait for it.
    pub(crate) const fn is_on_disk(self) -> bool {
        matches!(self, Self::Regular | Self::Directory | Self::Block)
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fifo => "a pipe",
            Self::Socket => "a socket",
            Self::Terminal => "a terminal",
            Self::Character => "a character device",
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Block => "a block device",
            Self::Other => "neither a file nor a pipe",
        })
    }
}

/// How a file was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileFlags {
    pub(crate) is_readable: bool,
    pub(crate) is_writable: bool,
    pub(crate) is_nonblocking: bool,
    /// Each write to the pipe is one read.
    pub(crate) is_in_packets: bool,
}

/// Tells what a descriptor is open on.
pub(super) fn file_kind(fd: Fd) -> io::Result<FileKind> {
    let mut status = MaybeUninit::<libc::stat64>::zeroed();
    // SAFETY: `status` is good for writing.
    retry(|| unsafe { syscall!(fstat64(fd.as_raw(), status.as_mut_ptr())) })?;
    // SAFETY: the system filled it.
    let mode = unsafe { status.assume_init() }.st_mode;
    Ok(match mode & libc::S_IFMT {
        libc::S_IFIFO => FileKind::Fifo,
        libc::S_IFSOCK => FileKind::Socket,
        libc::S_IFCHR if is_terminal(fd) => FileKind::Terminal,
        libc::S_IFCHR => FileKind::Character,
        libc::S_IFREG => FileKind::Regular,
        libc::S_IFDIR => FileKind::Directory,
        libc::S_IFBLK => FileKind::Block,
        _ => FileKind::Other,
    })
}

fn is_terminal(fd: Fd) -> bool {
    let mut number: libc::c_int = 0;
    // SAFETY: no pointers but one to a number, good for writing. A side that can be asked for the
    // number of the other is the one that plays the terminal.
    unsafe {
        libc::isatty(fd.as_raw()) == 1 && libc::ioctl(fd.as_raw(), libc::TIOCGPTN, &raw mut number) == -1
    }
}

/// Tells how a file was opened.
pub(super) fn file_flags(fd: Fd) -> io::Result<FileFlags> {
    // SAFETY: no pointers.
    let flags = unsafe { syscall!(fcntl(fd.as_raw(), libc::F_GETFL)) }?;
    let access = flags & libc::O_ACCMODE;
    Ok(FileFlags {
        is_readable: access == libc::O_RDONLY || access == libc::O_RDWR,
        is_writable: access == libc::O_WRONLY || access == libc::O_RDWR,
        is_nonblocking: flags & libc::O_NONBLOCK != 0,
        is_in_packets: flags & libc::O_DIRECT != 0,
    })
}

/// Makes that operations block again.
pub(super) fn set_blocking(fd: Fd) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = unsafe { syscall!(fcntl(fd.as_raw(), libc::F_GETFL)) }?;
    // SAFETY: no pointers.
    unsafe { syscall!(fcntl(fd.as_raw(), libc::F_SETFL, flags & !libc::O_NONBLOCK)) }.map(drop)
}

/// Makes a second descriptor of the same open file.
pub(super) fn duplicate(fd: Fd) -> io::Result<Fd> {
    // SAFETY: no pointers.
    unsafe { syscall!(fcntl(fd.as_raw(), libc::F_DUPFD_CLOEXEC, 0)) }.map(Fd::from_raw)
}

/// Reads a part of a file, wherever its position is; 0 is its end.
pub(super) fn read_at(fd: Fd, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = file_offset(offset)?;
    let (start, length) = (buf.as_mut_ptr().cast(), buf.len());
    // SAFETY: `buf` is good for writing its length.
    let read = retry(|| unsafe { syscall!(pread64(fd.as_raw(), start, length, offset)) })?;
    Ok(read as usize)
}

/// Sets the position of a file, counted from its begin.
pub(super) fn seek(fd: Fd, offset: u64) -> io::Result<()> {
    let offset = file_offset(offset)?;
    // SAFETY: no pointers.
    unsafe { syscall!(lseek64(fd.as_raw(), offset, libc::SEEK_SET)) }.map(drop)
}

/// Returns an offset as the system counts it, signed.
pub(super) fn file_offset(offset: u64) -> io::Result<libc::off64_t> {
    libc::off64_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))
}
