//! Connections to one server, with one message at a time on each.

use core::time::Duration;
use std::io::{self, Error, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use crate::server::Server;
use crate::socket::{Transport, connect};
use crate::sys::{self, Epoll, Event, NO_EVENT, READABLE, WRITABLE};

/// Is how long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Is when a datagram counts as lost.
const LOST: Duration = Duration::from_millis(200);

pub(crate) struct Load {
    process: u32,
    transport: Transport,
    epoll: Epoll,
    connections: Vec<Connection>,
    message: Vec<u8>,
    buffer: Vec<u8>,
    events: Vec<Event>,
}

struct Connection {
    socket: OwnedFd,
    /// Is how much of the message is sent, and has come back.
    sent: usize,
    received: usize,
    /// Tells that the kernel tells when more can be sent.
    waits_for_room: bool,
}

/// When a slice of load ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Over(Duration),
    /// So many messages on each connection.
    Rounds(usize),
}

/// What a slice of load took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) messages: usize,
    pub(crate) elapsed: Duration,
    /// Is the CPU time of the server.
    pub(crate) cpu: Duration,
}

impl Slice {
    pub(crate) fn per_second(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn cpu_us_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages as f64
    }
}

impl Load {
    /// Connects, and lets each connection send and compare a first message.
    pub(crate) fn open(server: &Server, connections: usize, size: usize) -> io::Result<Self> {
        let mut load = Self {
            process: server.process,
            transport: server.transport,
            epoll: Epoll::new()?,
            connections: Vec::with_capacity(connections),
            message: (0..size).map(|place| (place * 31 + place / 251) as u8).collect(),
            buffer: vec![0; 1 << 18],
            events: vec![NO_EVENT; 1024],
        };
        for number in 0..connections {
            load.connect(server, number)?;
            // So that not too many wait to be accepted.
            if number % 64 == 63 {
                load.exchange(number, size)?;
            }
        }
        for number in 0..connections {
            load.exchange(number, size)?;
        }
        Ok(load)
    }

    fn connect(&mut self, server: &Server, number: usize) -> io::Result<()> {
        let socket = connect(server.transport, &server.address)?;
        self.epoll.add(socket.as_raw_fd(), READABLE, number as u64)?;
        self.connections.push(Connection { socket, sent: 0, received: 0, waits_for_room: false });
        Ok(())
    }

    /// Sends a message and compares what comes back.
    fn exchange(&mut self, number: usize, size: usize) -> io::Result<()> {
        let fd = self.connections[number].socket.as_raw_fd();
        let begun = Instant::now();
        let (mut sent, mut received) = (0, 0);
        while received < size {
            if sent < size {
                sent += sys::send(fd, &self.message[sent..])?.unwrap_or(0);
            }
            match sys::receive(fd, &mut self.buffer)? {
                Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Some(count) if self.buffer[..count] == self.message[received..received + count] => {
                    received += count;
                }
                Some(_) => return Err(Error::other("what came back is not what was sent")),
                None if begun.elapsed() > PATIENCE => return Err(ErrorKind::TimedOut.into()),
                None => drop(self.epoll.wait(&mut self.events[..1], Some(Duration::from_millis(1)))),
            }
        }
        Ok(())
    }

    /// Keeps a message on its way on each connection, and ends when all are back.
    pub(crate) fn run(&mut self, until: Until) -> io::Result<Slice> {
        let cpu_before = sys::cpu_time(self.process);
        let begun = Instant::now();
        let count = self.connections.len();
        let mut messages_left = match until {
            Until::Over(_) => usize::MAX,
            Until::Rounds(rounds) => rounds * count,
        };
        let (mut messages, mut on_their_way) = (0, 0);
        for connection in &mut self.connections[..count.min(messages_left)] {
            connection.begin();
        }
        for number in 0..count.min(messages_left) {
            self.send(number)?;
            on_their_way += 1;
            messages_left -= 1;
        }
        let mut heard = Instant::now();
        let mut events = core::mem::take(&mut self.events);
        while on_their_way > 0 {
            let happened = self.epoll.wait(&mut events, Some(LOST));
            let now = Instant::now();
            if happened.is_empty() {
                if now - heard > PATIENCE {
                    return Err(ErrorKind::TimedOut.into());
                }
                self.resend()?;
                continue;
            }
            heard = now;
            if let Until::Over(duration) = until
                && now - begun > duration
            {
                messages_left = 0;
            }
            for event in happened {
                let (number, flags) = (event.u64 as usize, event.events);
                if flags & WRITABLE != 0 {
                    self.send(number)?;
                }
                if flags & !WRITABLE == 0 || !self.receive(number)? {
                    continue;
                }
                messages += 1;
                if messages_left == 0 {
                    on_their_way -= 1;
                    continue;
                }
                messages_left -= 1;
                self.connections[number].begin();
                self.send(number)?;
            }
        }
        self.events = events;
        Ok(Slice {
            messages,
            elapsed: begun.elapsed(),
            cpu: sys::cpu_time(self.process).saturating_sub(cpu_before),
        })
    }

    /// Sends what the kernel takes of the message.
    fn send(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        let fd = connection.socket.as_raw_fd();
        if connection.sent < self.message.len() {
            connection.sent += sys::send(fd, &self.message[connection.sent..])?.unwrap_or(0);
        }
        let waits_for_room = connection.sent < self.message.len();
        if waits_for_room != connection.waits_for_room {
            connection.waits_for_room = waits_for_room;
            let events = if waits_for_room { READABLE | WRITABLE } else { READABLE };
            self.epoll.modify(fd, events, number as u64)?;
        }
        Ok(())
    }

    /// Receives once; true at the end of the message.
    fn receive(&mut self, number: usize) -> io::Result<bool> {
        let connection = &mut self.connections[number];
        match sys::receive(connection.socket.as_raw_fd(), &mut self.buffer)? {
            Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Some(count) => connection.received += count,
            None => return Ok(false),
        }
        Ok(connection.received >= self.message.len())
    }

    /// Sends again what is lost, where that can be.
    fn resend(&mut self) -> io::Result<()> {
        if self.transport != Transport::Udp {
            return Ok(());
        }
        for number in 0..self.connections.len() {
            if self.connections[number].received == 0 {
                self.connections[number].sent = 0;
                self.send(number)?;
            }
        }
        Ok(())
    }
}

impl Connection {
    fn begin(&mut self) {
        (self.sent, self.received) = (0, 0);
    }
}
