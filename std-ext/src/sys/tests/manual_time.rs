//! Waits of the manual kernel.

use core::time::Duration;
use std::thread;

use rondel_core::Instant;

use super::{TOKEN, events, leaked_bell, look};
use crate::sys::kernel::{Files, Sockets, Time, Watching};
use crate::sys::{Interest, ManualKernel};

#[test]
fn wait_jumps_to_the_deadline() {
    let kernel = ManualKernel::new().unwrap();
    let year = Instant::ZERO + Duration::from_secs(365 * 86_400);
    kernel.wait(Some(year), &mut events()).unwrap();
    assert_eq!(kernel.now(), year);
    assert_eq!((kernel.waits(), kernel.last_deadline()), (1, Some(year)));
}

#[test]
fn wait_does_not_jump_past_a_ready_descriptor_or_a_bell() {
    let kernel = ManualKernel::new().unwrap();
    let bell = leaked_bell();
    kernel.attach_doorbell(bell).unwrap();
    let later = Some(Instant::from_nanos(1_000));
    bell.ring();
    kernel.wait(later, &mut events()).unwrap();
    assert_eq!(kernel.now(), Instant::ZERO);

    let (left, right) = kernel.socket_pair().unwrap();
    kernel.register(left, TOKEN, Interest::READABLE).unwrap();
    kernel.send(right, b"x").unwrap();
    let mut events = events();
    kernel.wait(later, &mut events).unwrap();
    assert_eq!((events.iter().len(), kernel.now()), (1, Instant::ZERO));

    // The edge is spent and nothing else is ready.
    kernel.wait(later, &mut events).unwrap();
    assert_eq!((events.iter().len(), Some(kernel.now())), (0, later));
    kernel.close(left);
    kernel.close(right);
}

#[test]
fn look_does_not_move_the_clock() {
    let kernel = ManualKernel::new().unwrap();
    kernel.advance(Duration::from_secs(1));
    assert_eq!(look(&kernel), []);
    assert_eq!(kernel.now(), Instant::ZERO + Duration::from_secs(1));
}

#[test]
fn clock_set_back_stands_still() {
    let kernel = ManualKernel::new().unwrap();
    let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
    kernel.set_time(at(86_400));
    assert_eq!(kernel.now(), at(86_400));
    kernel.set_time(at(1));
    assert_eq!(kernel.now(), at(86_400));
    // And a wait towards a later deadline still ends.
    kernel.wait(Some(at(86_401)), &mut events()).unwrap();
    assert_eq!(kernel.now(), at(86_401));
}

#[test]
fn threshold_lets_a_thread_ring_before_the_jump() {
    let kernel = ManualKernel::new().unwrap();
    kernel.set_autojump_threshold(Duration::from_secs(60));
    let bell = leaked_bell();
    kernel.attach_doorbell(bell).unwrap();
    let ringer = thread::spawn(|| bell.ring());
    kernel.wait(Some(Instant::from_nanos(1)), &mut events()).unwrap();
    ringer.join().unwrap();
    assert_eq!(kernel.now(), Instant::ZERO);
}

#[test]
fn wall_clock_moves_with_the_clock() {
    let kernel = ManualKernel::new().unwrap();
    let before = kernel.wall_clock();
    kernel.advance(Duration::from_secs(5));
    assert_eq!(kernel.wall_clock().duration_since(before).unwrap(), Duration::from_secs(5));
    kernel.set_time(Instant::MAX);
    kernel.wall_clock();
}
