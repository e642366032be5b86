//! How long a signal is on its way: raised by the loop's thread, until its handler
//! runs in the loop, which raises the next.

#![allow(unsafe_code, reason = "the bare handler is libc's")]

use core::sync::atomic::{AtomicI32, Ordering};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rondel::{EventLoop, Signal};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::case::{Case, ns_each};
use crate::python;

pub(crate) fn round_trip(case: &mut Case<'_>) {
    case.name("signal -> handler in the loop");
    let count = case.scaled(2_000);
    case.add("bare sigaction, eventfd, mio", || bare(count));
    case.add("tokio signal", || tokio_signal(count));
    case.try_add("asyncio add_signal_handler", || python::rounds("asyncio", "signals", count));
    case.try_add("uvloop add_signal_handler", || python::rounds("uvloop", "signals", count));
    case.add("rondel, a stream", || stream(count));
    case.add("rondel", || handler(count));
}

fn raise(number: i32) {
    // SAFETY: no pointers; each contender has a handler for its own signal.
    unsafe { libc::raise(number) };
}

fn bare(count: usize) -> impl FnMut() -> f64 {
    static BELL: AtomicI32 = AtomicI32::new(-1);
    extern "C" fn ring(_: i32) {
        let one = 1_u64;
        // SAFETY: 8 bytes, good for reading.
        unsafe { libc::write(BELL.load(Ordering::Relaxed), (&raw const one).cast(), 8) };
    }
    // SAFETY: the descriptor is nobody else's.
    let bell = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK)) };
    BELL.store(bell.as_raw_fd(), Ordering::Relaxed);
    let mut poll = Poll::new().expect("opens");
    let number = bell.as_raw_fd();
    poll.registry().register(&mut SourceFd(&number), Token(0), Interest::READABLE).expect("is watched");
    // SAFETY: the handler is async-signal-safe.
    unsafe { libc::signal(libc::SIGUSR2, ring as extern "C" fn(i32) as usize) };
    let mut events = Events::with_capacity(16);
    move || {
        let _open = &bell;
        ns_each(count, || {
            for _ in 0..count {
                raise(libc::SIGUSR2);
                poll.poll(&mut events, None).expect("waits");
                assert!(!events.is_empty());
            }
        })
    }
}

fn tokio_signal(count: usize) -> impl FnMut() -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build().expect("opens");
    let mut signals = runtime.block_on(async { signal(SignalKind::hangup()) }).expect("is caught");
    move || {
        ns_each(count, || {
            runtime.block_on(async {
                for _ in 0..count {
                    raise(libc::SIGHUP);
                    signals.recv().await.expect("arrives");
                }
            });
        })
    }
}

fn handler(count: usize) -> impl FnMut() -> f64 {
    const SIGNAL: Signal = Signal::SIGURG;
    let event_loop = EventLoop::new().expect("opens");
    let mut left = count;
    event_loop
        .add_signal_handler(SIGNAL, move |event_loop| {
            left -= 1;
            if left > 0 {
                raise(SIGNAL.as_raw());
            } else {
                left = count;
                event_loop.stop();
            }
        })
        .expect("is caught");
    move || {
        ns_each(count, || {
            raise(SIGNAL.as_raw());
            event_loop.run_forever().expect("is open");
        })
    }
}

fn stream(count: usize) -> impl FnMut() -> f64 {
    const SIGNAL: Signal = Signal::SIGUSR1;
    let event_loop = EventLoop::new().expect("opens");
    let mut signals = event_loop.signals([SIGNAL]).expect("is caught");
    move || {
        ns_each(count, || {
            let all = async {
                for _ in 0..count {
                    raise(SIGNAL.as_raw());
                    signals.next().await?;
                }
                Ok::<(), rondel::Error>(())
            };
            event_loop.run_until_complete(all).expect("arrive");
        })
    }
}
