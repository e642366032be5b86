//! The seam's promises, one sentence each. Nothing here sleeps, but waits that another thread ends.

#![allow(unsafe_code, reason = "the tests look at what the system sees")]

mod doorbells;
mod faults;
mod manual_time;
mod memory;
mod readiness;
mod real_time;
mod sockets;
mod values;
mod without_descriptors;

use core::net::{Ipv4Addr, SocketAddr};

use rondel_core::Instant;

use super::{Doorbell, Event, Events, Fd, Kernel, RealKernel, Token};
use crate::Clock;

const LOOPBACK: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const NOW: Option<Instant> = Some(Instant::ZERO);

const TOKEN: Token = Token(7);

fn real() -> RealKernel {
    RealKernel::new(Clock::default()).unwrap()
}

fn leaked_bell() -> &'static Doorbell {
    Box::leak(Box::new(Doorbell::new()))
}

fn events() -> Events {
    Events::with_capacity(16)
}

/// Looks without waiting.
fn look(kernel: &dyn Kernel) -> Vec<Event> {
    let mut events = events();
    kernel.wait(NOW, &mut events).unwrap();
    events.iter().collect()
}

fn is_open(fd: Fd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd.as_raw(), libc::F_GETFD) != -1 }
}
