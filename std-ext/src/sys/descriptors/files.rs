//! Files, by system calls.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;

use super::RealDescriptors;
use crate::sources::Direction;
use crate::sys::fd::Fd;
use crate::sys::file::{FileFlags, FileKind};
use crate::sys::kernel::Files;
use crate::sys::socket::FileAt;
use crate::sys::{file, lent, names, pipe, socket};

impl<K: RealDescriptors> Files for K {
    fn file_kind(&self, fd: Fd) -> io::Result<FileKind> {
        file::file_kind(fd)
    }

    fn file_flags(&self, fd: Fd) -> io::Result<FileFlags> {
        file::file_flags(fd)
    }

    fn read(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
        pipe::read(fd, buf)
    }

    fn write(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
        pipe::write(fd, buf)
    }

    fn write_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        pipe::write_vectored(fd, bufs)
    }

    fn read_at(&self, fd: Fd, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        file::read_at(fd, buf, offset)
    }

    fn seek(&self, fd: Fd, offset: u64) -> io::Result<()> {
        file::seek(fd, offset)
    }

    fn pipe(&self) -> io::Result<(Fd, Fd)> {
        pipe::pipe()
    }

    fn duplicate(&self, fd: Fd) -> io::Result<Fd> {
        file::duplicate(fd)
    }

    fn reopen(&self, fd: Fd, direction: Direction) -> io::Result<Fd> {
        pipe::reopen(fd, direction)
    }

    fn set_nonblocking(&self, fd: Fd) -> io::Result<()> {
        socket::set_nonblocking(fd)
    }

    fn lend(&self, fd: Fd) -> io::Result<bool> {
        lent::lend(fd)
    }

    fn give_back(&self) {
        lent::give_back();
    }

    fn close(&self, fd: Fd) {
        socket::close(fd);
    }

    fn hand_over(&self, fd: Fd) -> io::Result<OwnedFd> {
        Ok(socket::hand_over(fd))
    }

    fn file_at(&self, path: &Path) -> io::Result<FileAt> {
        socket::file_at(path)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        socket::unlink(path)
    }

    fn read_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        names::read_file(path, bytes_max)
    }
}
