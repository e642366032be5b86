//! Rings, from wherever they come.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::io::ErrorKind;
use std::{io, thread};

use rondel_core::Instant;

use super::{events, is_open, leaked_bell, real};
use crate::sys::kernel::{Kernel, Time, Watching};
use crate::sys::{Doorbell, Fd, ManualKernel, doorbell, socket};

/// Leaves others a moment, without giving them the processor for a whole time slice.
fn linger() {
    (0..500).for_each(|_| core::hint::spin_loop());
}

fn counter_of(fd: i32) -> Option<u64> {
    let mut count = 0_u64;
    // SAFETY: the pointer is good for writing 8 bytes.
    let read = unsafe { libc::read(fd, (&raw mut count).cast(), 8) };
    (read == 8).then_some(count)
}

#[test]
fn ring_without_descriptor_is_remembered_once() {
    let bell = Doorbell::new();
    assert!(!bell.take_missed());
    bell.ring();
    bell.ring();
    assert!(bell.take_missed());
    assert!(!bell.take_missed());
}

#[test]
fn ring_before_open_rings_at_open() {
    let bell = Doorbell::new();
    bell.ring();
    let fd = doorbell::eventfd().unwrap();
    bell.open(fd).unwrap();
    assert_eq!(counter_of(fd.as_raw()), Some(1));
    assert!(!bell.take_missed());
    bell.close();
}

#[test]
fn second_open_is_refused_and_close_is_idempotent() {
    let bell = Doorbell::new();
    bell.close();
    let (first, second) = (doorbell::eventfd().unwrap(), doorbell::eventfd().unwrap());
    bell.open(first).unwrap();
    assert_eq!(bell.open(second).unwrap_err().kind(), ErrorKind::AlreadyExists);
    bell.close();
    bell.close();
    bell.open(second).unwrap();
    bell.close();
}

#[test]
fn knows_the_loops_thread_until_closed() {
    let bell = leaked_bell();
    assert!(!bell.is_loop_thread());
    bell.enter_thread();
    assert!(bell.is_loop_thread());
    assert!(!thread::spawn(|| bell.is_loop_thread()).join().unwrap());
    bell.close();
    assert!(!bell.is_loop_thread());
}

#[test]
fn full_counter_is_emptied_and_errno_kept() {
    let bell = Doorbell::new();
    let fd = doorbell::eventfd().unwrap();
    bell.open(fd).unwrap();
    let full = u64::MAX - 1;
    // SAFETY: the pointer is good for reading 8 bytes; `errno` is always valid.
    unsafe {
        assert_eq!(libc::write(fd.as_raw(), (&raw const full).cast(), 8), 8);
        *libc::__errno_location() = 77;
    }
    bell.ring();
    assert_eq!(io::Error::last_os_error().raw_os_error(), Some(77));
    assert_eq!(counter_of(fd.as_raw()), Some(1));
    bell.close();
}

#[test]
fn rings_race_with_close_and_never_hit_a_recycled_descriptor() {
    const ROUNDS: usize = 400;
    const RINGERS: usize = 4;
    let bell = leaked_bell();
    let done = &*Box::leak(Box::new(AtomicBool::new(false)));
    let rings = &*Box::leak(Box::new(AtomicUsize::new(0)));
    let ringers: [_; RINGERS] = core::array::from_fn(|_| {
        thread::spawn(|| {
            while !done.load(Ordering::Relaxed) {
                bell.ring();
                rings.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let (mut heard, mut recycled) = (0, 0);
    for _ in 0..ROUNDS {
        let fd = doorbell::eventfd().unwrap();
        bell.open(fd).unwrap();
        linger();
        heard += usize::from(counter_of(fd.as_raw()).is_some());
        bell.close();
        // Most likely gets the number just closed.
        let stranger = doorbell::eventfd().unwrap();
        recycled += usize::from(stranger == fd);
        linger();
        assert_eq!(counter_of(stranger.as_raw()), None, "a ring hit a stranger");
        socket::close(stranger);
    }
    done.store(true, Ordering::Relaxed);
    for ringer in ringers {
        ringer.join().unwrap();
    }
    assert!(heard > 0 && recycled > 0, "heard {heard}, recycled {recycled}");
    assert!(rings.load(Ordering::Relaxed) > 0);
}

#[test]
fn close_waits_for_a_ringer_that_is_writing() {
    // A full pipe holds a ringer in the middle of its write for as long as the test likes.
    let (reader, writer) = full_pipe();
    let bell = leaked_bell();
    bell.open(writer).unwrap();
    let ringer = thread::spawn(|| bell.ring());
    until(|| format!("{bell:?}").contains("ringers: 1"));
    let closer = thread::spawn(|| bell.close());
    until(|| format!("{bell:?}").contains("fd: -1"));
    for _ in 0..100 {
        thread::yield_now();
        assert!(!closer.is_finished() && is_open(writer), "closed under the ringer's hands");
    }
    // Later rings neither block nor keep `close` waiting.
    bell.ring();
    assert!(bell.take_missed());
    // SAFETY: the pointer is good for writing the length given.
    unsafe { libc::read(reader.as_raw(), [0_u8; 65_536].as_mut_ptr().cast(), 65_536) };
    ringer.join().unwrap();
    closer.join().unwrap();
    socket::close(reader);
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

fn full_pipe() -> (Fd, Fd) {
    let mut fds = [-1; 2];
    let page = [0_u8; 4_096];
    // SAFETY: the pointers are good for what the calls read and write.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK), 0);
        while libc::write(fds[1], page.as_ptr().cast(), page.len()) > 0 {}
        assert_eq!(libc::fcntl(fds[1], libc::F_SETFL, 0), 0);
    }
    (Fd::from_raw(fds[0]), Fd::from_raw(fds[1]))
}

#[test]
fn ring_concurrent_with_open_is_not_lost() {
    for _ in 0..500 {
        let bell = leaked_bell();
        let ringer = thread::spawn(|| bell.ring());
        let fd = doorbell::eventfd().unwrap();
        bell.open(fd).unwrap();
        ringer.join().unwrap();
        assert!(counter_of(fd.as_raw()).is_some());
        bell.close();
    }
}

#[test]
fn every_ring_ends_a_wait_though_nobody_reads_the_counter() {
    let kernel = real();
    let bell = leaked_bell();
    kernel.attach_doorbell(bell).unwrap();
    let mut events = events();
    for _ in 0..100 {
        // Without an edge this would hang.
        bell.ring();
        kernel.wait(None, &mut events).unwrap();
        assert!(events.is_empty(), "the doorbell's events stay inside");
    }
}

#[test]
fn ring_from_another_thread_ends_a_wait_without_deadline() {
    for kernel in [Box::new(real()) as Box<dyn Kernel>, Box::new(ManualKernel::new().unwrap())] {
        let bell = leaked_bell();
        kernel.attach_doorbell(bell).unwrap();
        let ringer = thread::spawn(|| bell.ring());
        kernel.wait(Some(Instant::MAX), &mut events()).unwrap();
        ringer.join().unwrap();
        kernel.detach_doorbell(bell);
        bell.ring();
        assert!(bell.take_missed());
    }
}

#[test]
fn kernel_takes_one_bell_and_bell_one_kernel() {
    let (one, two) = (real(), real());
    let (bell, other) = (leaked_bell(), leaked_bell());
    one.attach_doorbell(bell).unwrap();
    assert_eq!(one.attach_doorbell(other).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(two.attach_doorbell(bell).unwrap_err().kind(), ErrorKind::AlreadyExists);
    // A stranger's bell is left alone.
    two.detach_doorbell(bell);
    bell.ring();
    assert!(!bell.take_missed());
    // Dropping the kernel detaches; the bell is free for the next.
    drop(one);
    two.attach_doorbell(bell).unwrap();
}
