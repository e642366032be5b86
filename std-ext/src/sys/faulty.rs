//! The kernel that a test of failures runs on: the manual one, with answers from a script.

use core::cell::RefCell;
use core::net::IpAddr;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use rondel_core::Instant;

use super::child::{self, Child, Command, Exit, SpawnError, Stage, WaitBy};
use super::datagrams::{Batch, ReceiveBatch, SendBatch};
use super::doorbell::Doorbell;
use super::fd::{Event, Events, Fd, Interest, Readiness, Token};
use super::file::{FileFlags, FileKind};
use super::socket::{Family, FileAt, Received, SocketKind, SocketOption};
use super::{Kernel, Limited, ManualKernel, ProcessSource, Processes, ThreadClock, ThreadSource};
use crate::faults::{Fault, Faults, Operation};
use crate::net::address::Address;
use crate::sources::Direction;
use crate::supervision::ResourceLimit;

/// Does what a [`ManualKernel`] does, unless the script says otherwise.
///
/// It injects above the system calls, so what those deal with themselves, `EINTR`, is none of its
/// business; whatever else a call may answer, and the short transfers, are.
pub(crate) struct FaultyKernel {
    kernel: Rc<ManualKernel>,
    faults: Faults,
    /// Is what is watched, for reports that the system doesn't make.
    watched: RefCell<Vec<(Fd, Token, Interest)>>,
}

impl FaultyKernel {
    /// Puts a script before `kernel`.
    pub(crate) fn new(kernel: Rc<ManualKernel>, faults: Faults) -> Self {
        Self { kernel, faults, watched: RefCell::new(Vec::new()) }
    }

    /// Asks the script; `fd` is what the call is about, or none.
    fn before(&self, operation: Operation, fd: Fd) -> io::Result<()> {
        match self.faults.next(operation) {
            None => Ok(()),
            Some(Fault::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Fault::Spurious) => {
                self.report_again(fd);
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// Has the system report again what is ready, after an edge was wasted.
    fn report_again(&self, fd: Fd) {
        let found = self.watched.borrow().iter().find(|entry| entry.0 == fd).copied();
        if let Some((fd, token, interest)) = found {
            // Fails only if the descriptor is gone, and then there is nothing to report.
            let _ = self.kernel.reregister(fd, token, interest);
        }
    }

    fn forget(&self, fd: Fd) {
        self.watched.borrow_mut().retain(|entry| entry.0 != fd);
    }

    /// Reports everything that is watched, as far as there is room.
    fn report_all(&self, events: &mut Events) {
        let readiness = Readiness { readable: true, writable: true, ..Readiness::default() };
        for &(_, token, _) in &*self.watched.borrow() {
            if events.list.len() < events.list.capacity() {
                events.list.push(Event { token, readiness });
            }
        }
    }
}

/// Writes the methods that ask the script and then the kernel.
macro_rules! scripted {
    ($($operation:ident: $method:ident(fd $(, $argument:ident: $type:ty)*) -> $answer:ty;)*) => {$(
        fn $method(&self, fd: Fd $(, $argument: $type)*) -> io::Result<$answer> {
            self.before(Operation::$operation, fd)?;
            self.kernel.$method(fd $(, $argument)*)
        }
    )*};
}

impl Kernel for FaultyKernel {
    fn now(&self) -> Instant {
        self.kernel.now()
    }

    fn thread_clock(&self) -> Option<ThreadClock> {
        self.kernel.thread_clock()
    }

    fn wall_clock(&self) -> SystemTime {
        self.kernel.wall_clock()
    }

    fn register(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        self.before(Operation::Register, fd)?;
        self.kernel.register(fd, token, interest)?;
        self.watched.borrow_mut().push((fd, token, interest));
        Ok(())
    }

    fn reregister(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        self.before(Operation::Reregister, fd)?;
        self.kernel.reregister(fd, token, interest)?;
        self.forget(fd);
        self.watched.borrow_mut().push((fd, token, interest));
        Ok(())
    }

    fn deregister(&self, fd: Fd) -> io::Result<()> {
        self.forget(fd);
        self.before(Operation::Deregister, fd)?;
        self.kernel.deregister(fd)
    }

    fn wait(&self, deadline: Option<Instant>, events: &mut Events) -> io::Result<()> {
        if let Err(error) = self.before(Operation::Wait, Fd::NONE) {
            events.clear();
            return Err(error);
        }
        if self.faults.take_wakes_all() {
            self.kernel.wait(Some(Instant::ZERO), events)?;
            self.report_all(events);
            return Ok(());
        }
        self.kernel.wait(deadline, events)
    }

    fn spin(&self, end: Instant, is_over: &dyn Fn() -> bool) {
        self.kernel.spin(end, is_over);
    }

    fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()> {
        self.kernel.attach_doorbell(bell)
    }

    fn detach_doorbell(&self, bell: &'static Doorbell) {
        self.kernel.detach_doorbell(bell);
    }

    fn socket(&self, family: Family, kind: SocketKind, protocol: i32) -> io::Result<Fd> {
        self.before(Operation::Socket, Fd::NONE)?;
        self.kernel.socket(family, kind, protocol)
    }

    fn recv(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
        self.before(Operation::Recv, fd)?;
        let count = self.faults.limited(Operation::Recv, buf.len());
        let received = self.kernel.recv(fd, &mut buf[..count])?;
        if received == count && count < buf.len() {
            // Short, and yet more may be there: as by a peer that has just sent it.
            self.report_again(fd);
        }
        Ok(received)
    }

    fn send(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
        self.before(Operation::Send, fd)?;
        let count = self.faults.limited(Operation::Send, buf.len());
        let sent = self.kernel.send(fd, &buf[..count])?;
        if sent == count && count < buf.len() {
            self.report_again(fd);
        }
        Ok(sent)
    }

    fn send_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let total = bufs.iter().map(|buf| buf.len()).sum();
        if self.faults.limited(Operation::Send, total) == total {
            self.before(Operation::Send, fd)?;
            return self.kernel.send_vectored(fd, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty());
        let sent = self.send(fd, first.map_or(&[], |buf| buf))?;
        self.report_again(fd);
        Ok(sent)
    }

    fn pipe(&self) -> io::Result<(Fd, Fd)> {
        self.before(Operation::Pipe, Fd::NONE)?;
        self.kernel.pipe()
    }

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

    fn sendfile(&self, fd: Fd, file: Fd, offset: u64, count: usize) -> io::Result<usize> {
        self.before(Operation::Sendfile, fd)?;
        self.kernel.sendfile(fd, file, offset, self.faults.limited(Operation::Sendfile, count))
    }

    scripted! {
        Bind: bind(fd, addr: &Address) -> ();
        Listen: listen(fd, backlog: i32) -> ();
        Accept: accept(fd) -> (Fd, Address);
        Connect: connect(fd, addr: &Address) -> bool;
        TakeError: take_error(fd) -> Option<io::Error>;
        RecvFrom: recv_from(fd, buf: &mut [u8]) -> Received;
        RecvFrom: recv_batch(fd, batch: &mut ReceiveBatch, most: usize) -> Batch;
        SendTo: send_batch(fd, batch: &mut SendBatch, first: usize) -> usize;
        Option: receive_drops(fd) -> u32;
        SetOption: set_membership(fd, group: IpAddr, interface: u32, joins: bool) -> ();
        SendTo: send_to(fd, buf: &[u8], addr: &Address) -> usize;
        ReadAt: read_at(fd, buf: &mut [u8], offset: u64) -> usize;
        Seek: seek(fd, offset: u64) -> ();
        ShutdownWrite: shutdown_write(fd) -> ();
        LocalAddr: local_addr(fd) -> Address;
        PeerAddr: peer_addr(fd) -> Address;
        SetOption: set_option(fd, option: SocketOption, value: i32) -> ();
        SetOption: set_linger(fd, seconds: Option<u16>) -> ();
        Option: option(fd, option: SocketOption) -> i32;
        SocketKind: socket_kind(fd) -> (Family, SocketKind);
        SetNonblocking: set_nonblocking(fd) -> ();
        Lend: lend(fd) -> bool;
        FileKind: file_kind(fd) -> FileKind;
        FileFlags: file_flags(fd) -> FileFlags;
        Duplicate: duplicate(fd) -> Fd;
        Reopen: reopen(fd, direction: Direction) -> Fd;
    }

    fn give_back(&self) {
        self.kernel.give_back();
    }

    fn file_at(&self, path: &Path) -> io::Result<FileAt> {
        self.before(Operation::FileAt, Fd::NONE)?;
        self.kernel.file_at(path)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.before(Operation::Unlink, Fd::NONE)?;
        self.kernel.unlink(path)
    }

    fn socket_pair(&self) -> io::Result<(Fd, Fd)> {
        self.before(Operation::SocketPair, Fd::NONE)?;
        self.kernel.socket_pair()
    }

    fn close(&self, fd: Fd) {
        self.forget(fd);
        self.kernel.close(fd);
    }

    fn hand_over(&self, fd: Fd) -> io::Result<OwnedFd> {
        self.kernel.hand_over(fd)
    }

    fn read_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.before(Operation::ReadFile, Fd::NONE)?;
        self.kernel.read_file(path, bytes_max)
    }

    fn processes(&self) -> ProcessSource<'_> {
        ProcessSource::Kernel(self)
    }

    fn entropy(&self, buf: &mut [u8]) -> io::Result<()> {
        self.before(Operation::Entropy, Fd::NONE)?;
        self.kernel.entropy(buf)
    }

    fn monotonic_micros(&self) -> u64 {
        self.kernel.monotonic_micros()
    }

    fn limit(&self, limited: Limited) -> io::Result<ResourceLimit> {
        self.kernel.limit(limited)
    }

    fn set_limit(&self, limited: Limited, limit: ResourceLimit) -> io::Result<()> {
        self.kernel.set_limit(limited, limit)
    }

    fn catch_signal(&self, signal: i32) -> io::Result<()> {
        self.before(Operation::CatchSignal, Fd::NONE)?;
        self.kernel.catch_signal(signal)
    }

    fn release_signal(&self, signal: i32) {
        self.kernel.release_signal(signal);
    }

    fn unblock_signal(&self, signal: i32) -> io::Result<bool> {
        self.before(Operation::UnblockSignal, Fd::NONE)?;
        self.kernel.unblock_signal(signal)
    }

    fn block_signal(&self, signal: i32) -> io::Result<()> {
        self.kernel.block_signal(signal)
    }

    fn threads(&self) -> ThreadSource {
        self.kernel.threads()
    }

    fn has_real_descriptors(&self) -> bool {
        self.kernel.has_real_descriptors()
    }
}

impl Processes for FaultyKernel {
    fn spawn(&self, command: &Command) -> Result<Child, SpawnError> {
        self.before(Operation::Spawn, Fd::NONE).map_err(SpawnError::at(Stage::Clone))?;
        match self.before(Operation::OpenPidfd, Fd::NONE) {
            Ok(()) => self.kernel.processes().spawn(command),
            // As on a system that has none.
            Err(_) => child::spawn(command, WaitBy::Thread),
        }
    }

    fn try_wait(&self, child: Child) -> io::Result<Option<Exit>> {
        match self.before(Operation::WaitChild, child.watched()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(()) => self.kernel.processes().try_wait(child),
        }
    }

    fn signal_child(&self, child: Child, signal: i32) -> io::Result<()> {
        self.before(Operation::SignalChild, Fd::NONE)?;
        self.kernel.processes().signal_child(child, signal)
    }

    fn reap_killed(&self, child: Child) -> Option<Exit> {
        self.kernel.processes().reap_killed(child)
    }

    fn open_null(&self) -> io::Result<Fd> {
        self.kernel.processes().open_null()
    }

    fn reap_later(&self, child: Child) {
        self.kernel.processes().reap_later(child);
    }

    fn reap_orphans(&self, spared: &mut Vec<i32>) -> Vec<(i32, Exit)> {
        self.kernel.processes().reap_orphans(spared)
    }

    fn set_child_subreaper(&self, is_subreaper: bool) -> io::Result<()> {
        self.kernel.processes().set_child_subreaper(is_subreaper)
    }
}
