//! Readiness of real descriptors, by mio: what the real and the manual kernel have in common.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::io;

use mio::unix::SourceFd;

use super::doorbell::{Doorbell, eventfd};
use super::fd::{Event, Events, Fd, Interest, Readiness, Token};
use super::forks::Birthplace;
use super::syscall::retry;

/// Writes the methods of [`Kernel`](super::Kernel) that are the same on every kernel with real
/// descriptors; the kernel has its [`Poller`] in the field named.
macro_rules! real_descriptors {
    ($poller:ident) => {
        fn register(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
            self.$poller.register(fd, token, interest)
        }

        fn reregister(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
            self.$poller.reregister(fd, token, interest)
        }

        fn deregister(&self, fd: Fd) -> io::Result<()> {
            self.$poller.deregister(fd)
        }

        fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()> {
            self.$poller.attach_doorbell(bell)
        }

        fn detach_doorbell(&self, bell: &'static Doorbell) {
            self.$poller.detach_doorbell(bell);
        }

        fn socket(&self, family: Family, kind: SocketKind, protocol: i32) -> io::Result<Fd> {
            socket::open(family, kind, protocol)
        }

        fn bind(&self, fd: Fd, addr: &Address) -> io::Result<()> {
            socket::bind(fd, addr)
        }

        fn listen(&self, fd: Fd, backlog: i32) -> io::Result<()> {
            socket::listen(fd, backlog)
        }

        fn accept(&self, fd: Fd) -> io::Result<(Fd, Address)> {
            socket::accept(fd)
        }

        fn connect(&self, fd: Fd, addr: &Address) -> io::Result<bool> {
            socket::connect(fd, addr)
        }

        fn take_error(&self, fd: Fd) -> io::Result<Option<io::Error>> {
            socket::take_error(fd)
        }

        fn recv(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
            socket::recv(fd, buf)
        }

        fn send(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
            socket::send(fd, buf)
        }

        fn send_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
            socket::send_vectored(fd, bufs)
        }

        fn recv_from(&self, fd: Fd, buf: &mut [u8]) -> io::Result<Received> {
            socket::recv_from(fd, buf)
        }

        fn send_to(&self, fd: Fd, buf: &[u8], addr: &Address) -> io::Result<usize> {
            socket::send_to(fd, buf, addr)
        }

        fn recv_batch(&self, fd: Fd, batch: &mut ReceiveBatch, most: usize) -> io::Result<Batch> {
            datagrams::recv_batch(fd, batch, most)
        }

        fn send_batch(&self, fd: Fd, batch: &mut SendBatch, first: usize) -> io::Result<usize> {
            datagrams::send_batch(fd, batch, first)
        }

        fn receive_drops(&self, fd: Fd) -> io::Result<u32> {
            socket::receive_drops(fd)
        }

        fn set_membership(&self, fd: Fd, group: IpAddr, interface: u32, joins: bool) -> io::Result<()> {
            socket::set_membership(fd, group, interface, joins)
        }

        fn sendfile(&self, fd: Fd, file: Fd, offset: u64, count: usize) -> io::Result<usize> {
            socket::sendfile(fd, file, offset, count)
        }

        fn read_at(&self, fd: Fd, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            file::read_at(fd, buf, offset)
        }

        fn seek(&self, fd: Fd, offset: u64) -> io::Result<()> {
            file::seek(fd, offset)
        }

        fn shutdown_write(&self, fd: Fd) -> io::Result<()> {
            socket::shutdown_write(fd)
        }

        fn local_addr(&self, fd: Fd) -> io::Result<Address> {
            socket::local_addr(fd)
        }

        fn peer_addr(&self, fd: Fd) -> io::Result<Address> {
            socket::peer_addr(fd)
        }

        fn set_option(&self, fd: Fd, option: SocketOption, value: i32) -> io::Result<()> {
            socket::set_option(fd, option, value)
        }

        fn option(&self, fd: Fd, option: SocketOption) -> io::Result<i32> {
            socket::option(fd, option)
        }

        fn set_linger(&self, fd: Fd, seconds: Option<u16>) -> io::Result<()> {
            socket::set_linger(fd, seconds)
        }

        fn socket_kind(&self, fd: Fd) -> io::Result<(Family, SocketKind)> {
            socket::socket_kind(fd)
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

        fn file_kind(&self, fd: Fd) -> io::Result<FileKind> {
            file::file_kind(fd)
        }

        fn file_flags(&self, fd: Fd) -> io::Result<FileFlags> {
            file::file_flags(fd)
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

        fn read(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
            pipe::read(fd, buf)
        }

        fn write(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
            pipe::write(fd, buf)
        }

        fn write_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
            pipe::write_vectored(fd, bufs)
        }

        fn file_at(&self, path: &Path) -> io::Result<FileAt> {
            socket::file_at(path)
        }

        fn unlink(&self, path: &Path) -> io::Result<()> {
            socket::unlink(path)
        }

        fn socket_pair(&self) -> io::Result<(Fd, Fd)> {
            socket::pair()
        }

        fn close(&self, fd: Fd) {
            socket::close(fd);
        }

        fn hand_over(&self, fd: Fd) -> io::Result<OwnedFd> {
            Ok(socket::hand_over(fd))
        }

        fn read_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
            super::names::read_file(path, bytes_max)
        }

        fn processes(&self) -> super::ProcessSource<'_> {
            super::ProcessSource::System
        }

        fn limit(&self, limited: super::Limited) -> io::Result<crate::supervision::ResourceLimit> {
            super::limits::limit(limited)
        }

        fn set_limit(
            &self,
            limited: super::Limited,
            limit: crate::supervision::ResourceLimit,
        ) -> io::Result<()> {
            super::limits::set_limit(limited, limit)
        }

        fn entropy(&self, buf: &mut [u8]) -> io::Result<()> {
            super::entropy::fill(buf)
        }

        fn catch_signal(&self, signal: i32) -> io::Result<()> {
            super::signals::catch(signal)
        }

        fn release_signal(&self, signal: i32) {
            super::signals::release(signal);
        }

        fn unblock_signal(&self, signal: i32) -> io::Result<bool> {
            super::signals::unblock(signal)
        }

        fn block_signal(&self, signal: i32) -> io::Result<()> {
            super::signals::block(signal)
        }

        fn threads(&self) -> super::ThreadSource {
            super::ThreadSource::System
        }

        fn has_real_descriptors(&self) -> bool {
            true
        }
    };
}
pub(super) use real_descriptors;

/// Watches descriptors and hears one doorbell.
#[derive(Debug)]
pub(super) struct Poller {
    birthplace: Birthplace,
    /// Borrowed only within one method; none of them calls anybody's callback.
    poll: RefCell<mio::Poll>,
    /// The doorbell and its eventfd.
    /// Invariant: the eventfd is registered for as long as it stands here, and `bell` is open.
    bell: Cell<Option<(&'static Doorbell, Fd)>>,
}

/// Which of the kernel's own descriptors ended a poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Woken {
    /// Somebody rang.
    pub(super) by_bell: bool,
    /// The alarm went off.
    pub(super) by_alarm: bool,
}

impl Poller {
    /// Makes a poller that watches nothing.
    pub(super) fn new() -> io::Result<Self> {
        let poll = RefCell::new(mio::Poll::new()?);
        Ok(Self { birthplace: Birthplace::here(), poll, bell: Cell::new(None) })
    }

    /// Begins to watch a descriptor.
    pub(super) fn register(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        refuse_reserved(token)?;
        self.add(fd, token, interest)
    }

    /// Changes what is watched, and has the descriptor examined again: what is ready now is reported
    /// now, though it has been before.
    pub(super) fn reregister(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        refuse_reserved(token)?;
        self.birthplace.check()?;
        let poll = self.poll.borrow();
        poll.registry().reregister(&mut SourceFd(&fd.as_raw()), mio::Token(token.0), interest.to_mio())
    }

    /// Ceases to watch a descriptor. In a child of a fork it does nothing: the parent watches on.
    pub(super) fn deregister(&self, fd: Fd) -> io::Result<()> {
        if !self.birthplace.is_here() {
            return Ok(());
        }
        self.poll.borrow().registry().deregister(&mut SourceFd(&fd.as_raw()))
    }

    /// Refuses the child of a fork, whose waits would take the parent's events and move its timer
    /// (FAULTS P-16).
    #[inline]
    pub(super) fn check_birthplace(&self) -> io::Result<()> {
        self.birthplace.check()
    }

    /// Watches the kernel's timer; its events come as [`Woken::by_alarm`].
    pub(super) fn watch_alarm(&self, fd: Fd) -> io::Result<()> {
        self.add(fd, Token::ALARM, Interest::READABLE)
    }

    /// Opens `bell` on a new eventfd and listens to it.
    pub(super) fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()> {
        if self.bell.get().is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the kernel has a doorbell already"));
        }
        let fd = eventfd()?;
        // Registered first: a ring that was missed before comes as soon as the bell is open.
        let opened = self.add(fd, Token::DOORBELL, Interest::READABLE).and_then(|()| bell.open(fd));
        if let Err(error) = opened {
            let _ = self.deregister(fd);
            super::socket::close(fd);
            return Err(error);
        }
        self.bell.set(Some((bell, fd)));
        Ok(())
    }

    /// Closes `bell` if it is the one attached; any other is left alone.
    pub(super) fn detach_doorbell(&self, bell: &'static Doorbell) {
        if self.bell.get().is_some_and(|(attached, _)| core::ptr::eq(attached, bell)) {
            self.silence();
        }
    }

    /// Waits until something is ready or `timeout` is over; interrupted waits begin anew, so a
    /// timeout should be zero or none.
    ///
    /// Always inlined, as whatever stands between a turn and the system call: the processor has
    /// forgotten after the call where functions return to, and guesses wrong for each of them.
    #[inline(always)]
    pub(super) fn poll(&self, timeout: Option<Duration>, events: &mut Events) -> io::Result<Woken> {
        let Events { polled, list } = events;
        list.clear();
        let mut poll = self.poll.borrow_mut();
        retry(|| poll.poll(polled, timeout))?;
        let mut woken = Woken::default();
        for event in polled.iter() {
            match Token(event.token().0) {
                Token::DOORBELL => woken.by_bell = true,
                Token::ALARM => woken.by_alarm = true,
                token => list.push(Event { token, readiness: Readiness::from_mio(event) }),
            }
        }
        Ok(woken)
    }

    fn add(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        self.birthplace.check()?;
        let poll = self.poll.borrow();
        poll.registry().register(&mut SourceFd(&fd.as_raw()), mio::Token(token.0), interest.to_mio())
    }

    fn silence(&self) {
        if let Some((bell, fd)) = self.bell.take() {
            let _ = self.deregister(fd);
            bell.close();
        }
    }
}

impl Drop for Poller {
    /// A bell whose kernel is gone would own its eventfd for ever.
    fn drop(&mut self) {
        self.silence();
    }
}

fn refuse_reserved(token: Token) -> io::Result<()> {
    if token.is_reserved() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the token is the kernel's own"));
    }
    Ok(())
}
