//! Files that fail.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;

use super::{FaultyKernel, scripted};
use crate::faults::Operation;
use crate::sources::Direction;
use crate::sys::fd::Fd;
use crate::sys::file::{FileFlags, FileKind};
use crate::sys::kernel::Files;
use crate::sys::socket::FileAt;

impl Files for FaultyKernel {
    fn read(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
        self.before(Operation::Read, fd)?;
        let count = self.faults.limited(Operation::Read, buf.len());
        let read = self.kernel.read(fd, &mut buf[..count])?;
        if read == count && count < buf.len() {
            self.report_again(fd);
        }
        Ok(read)
    }

    fn write(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
        self.before(Operation::Write, fd)?;
        let count = self.faults.limited(Operation::Write, buf.len());
        let written = self.kernel.write(fd, &buf[..count])?;
        if written == count && count < buf.len() {
            self.report_again(fd);
        }
        Ok(written)
    }

    fn write_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let total = bufs.iter().map(|buf| buf.len()).sum();
        if self.faults.limited(Operation::Write, total) == total {
            self.before(Operation::Write, fd)?;
            return self.kernel.write_vectored(fd, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty());
        let written = self.write(fd, first.map_or(&[], |buf| buf))?;
        self.report_again(fd);
        Ok(written)
    }

    fn pipe(&self) -> io::Result<(Fd, Fd)> {
        self.before(Operation::Pipe, Fd::NONE)?;
        self.kernel.pipe()
    }

    fn give_back(&self) {
        self.kernel.give_back();
    }

    fn close(&self, fd: Fd) {
        self.forget(fd);
        self.kernel.close(fd);
    }

    fn hand_over(&self, fd: Fd) -> io::Result<OwnedFd> {
        self.kernel.hand_over(fd)
    }

    fn file_at(&self, path: &Path) -> io::Result<FileAt> {
        self.before(Operation::FileAt, Fd::NONE)?;
        self.kernel.file_at(path)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.before(Operation::Unlink, Fd::NONE)?;
        self.kernel.unlink(path)
    }

    fn read_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.before(Operation::ReadFile, Fd::NONE)?;
        self.kernel.read_file(path, bytes_max)
    }

    scripted! {
        FileKind: file_kind(fd) -> FileKind;
        FileFlags: file_flags(fd) -> FileFlags;
        ReadAt: read_at(fd, buf: &mut [u8], offset: u64) -> usize;
        Seek: seek(fd, offset: u64) -> ();
        Duplicate: duplicate(fd) -> Fd;
        Reopen: reopen(fd, direction: Direction) -> Fd;
        SetNonblocking: set_nonblocking(fd) -> ();
        Lend: lend(fd) -> bool;
    }
}
