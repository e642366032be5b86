//! The seam's promises, one sentence each. Nothing here sleeps, but waits that another thread ends.

#![allow(unsafe_code, reason = "the tests look at what the system sees")]

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{ErrorKind, IoSlice};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;
use std::{fs, io, thread};

use rondel_core::Instant;

use super::clock::{Alarm, Clock, Monotone, timespec};
use super::{Doorbell, Event, Events, Fd, Interest, Kernel, ManualKernel, NullKernel, RealKernel, Token};
use super::{Family, SocketKind, SocketOption};
use super::{doorbell, memory, socket};
use crate::net::address::{Address, UnixAddr};

const LOOPBACK: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const NOW: Option<Instant> = Some(Instant::ZERO);
const TOKEN: Token = Token(7);

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

fn counter_of(fd: i32) -> Option<u64> {
    let mut count = 0_u64;
    // SAFETY: the pointer is good for writing 8 bytes.
    let read = unsafe { libc::read(fd, (&raw mut count).cast(), 8) };
    (read == 8).then_some(count)
}

/// Leaves others a moment, without giving them the processor for a whole time slice.
fn linger() {
    (0..500).for_each(|_| core::hint::spin_loop());
}

fn is_open(fd: Fd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd.as_raw(), libc::F_GETFD) != -1 }
}

mod values {
    use super::*;

    #[test]
    fn interests_unite() {
        assert_eq!(Interest::READABLE | Interest::WRITABLE, Interest::BOTH);
        assert_eq!(Interest::READABLE.union(Interest::READABLE), Interest::READABLE);
        assert_ne!(Interest::READABLE, Interest::WRITABLE);
        assert_eq!(Interest::READABLE.union(Interest::WRITABLE), Interest::BOTH);
    }

    #[test]
    fn kernels_are_object_safe() {
        let kernels: [Rc<dyn Kernel>; 3] = [
            Rc::new(RealKernel::new().unwrap()),
            Rc::new(ManualKernel::new().unwrap()),
            Rc::new(NullKernel::new()),
        ];
        let real = kernels.map(|kernel| kernel.has_real_descriptors());
        assert_eq!(real, [true, true, false]);
    }
}

mod faults {
    use super::*;
    use crate::faults::{Faults, Operation};
    use crate::sys::FaultyKernel;

    fn faulty() -> (FaultyKernel, Faults) {
        let faults = Faults::default();
        (FaultyKernel::new(Rc::new(ManualKernel::new().unwrap()), faults.clone()), faults)
    }

    #[test]
    fn every_operation_of_the_seam_stands_in_the_faulty_kernel() {
        let faulty = include_str!("faulty.rs");
        for (seam, file) in
            [("trait Kernel {", include_str!("mod.rs")), ("trait Processes {", include_str!("processes.rs"))]
        {
            let (_, methods) = file.split_once(seam).unwrap();
            let (methods, _) = methods.split_once("\n}\n").unwrap();
            let names = methods.split("\n    fn ").skip(1).map(|text| text.split(['(', '<']).next().unwrap());
            let missing: Vec<_> = names
                .filter(|name| {
                    !faulty.contains(&format!("fn {name}(")) && !faulty.contains(&format!(": {name}("))
                })
                .collect();
            assert_eq!(missing, [""; 0], "{seam}");
        }
    }

    #[test]
    fn calls_fail_in_the_order_of_the_script_and_are_counted() {
        let (kernel, faults) = faulty();
        faults.fail_nth(Operation::SocketPair, 3, libc::EMFILE);
        faults.fail(Operation::SocketPair, libc::ENFILE);
        let errno = || match kernel.socket_pair() {
            Ok((a, b)) => {
                kernel.close(a);
                kernel.close(b);
                None
            }
            Err(error) => error.raw_os_error(),
        };
        let answers: Vec<_> = (0..5).map(|_| errno()).collect();
        assert_eq!(answers, [Some(libc::ENFILE), None, Some(libc::EMFILE), None, None]);
        faults.fail_every(Operation::SocketPair, libc::EPERM);
        assert_eq!([errno(), errno()], [Some(libc::EPERM); 2]);
        faults.heal(Operation::SocketPair);
        assert_eq!(errno(), None);
        assert_eq!((faults.calls(Operation::SocketPair), faults.calls(Operation::Unlink)), (8, 0));
        assert!(format!("{faults:?}").contains("SocketPair"));
    }

    #[test]
    fn a_spurious_readiness_is_reported_again_and_short_transfers_lose_nothing() {
        let (kernel, faults) = faulty();
        let (a, b) = kernel.socket_pair().unwrap();
        kernel.register(a, TOKEN, Interest::READABLE).unwrap();
        faults.limit(Operation::Send, 2);
        assert_eq!(kernel.send(b, b"abc").unwrap(), 2);
        assert_eq!(kernel.send_vectored(b, &[IoSlice::new(b""), IoSlice::new(b"cde")]).unwrap(), 2);
        faults.heal(Operation::Send);
        let mut events = Events::with_capacity(4);
        let look = |events: &mut Events| {
            kernel.wait(Some(Instant::ZERO), events).unwrap();
            events.iter().len()
        };
        assert_eq!(look(&mut events), 1);
        faults.block(Operation::Recv);
        let mut buf = [0; 3];
        assert_eq!(kernel.recv(a, &mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(look(&mut events), 1, "once more");
        faults.limit(Operation::Recv, 1);
        for expected in b"abcd" {
            assert_eq!(kernel.recv(a, &mut buf).unwrap(), 1);
            assert_eq!(buf[0], *expected);
        }
        assert_eq!(look(&mut events), 0);
        faults.wake_all();
        assert_eq!((look(&mut events), look(&mut events)), (1, 0));
        assert_eq!(kernel.recv(a, &mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        kernel.deregister(a).unwrap();
        kernel.close(a);
        kernel.close(b);
    }
}

mod doorbells {
    use super::*;

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
        let kernel = RealKernel::new().unwrap();
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
        for kernel in
            [Box::new(RealKernel::new().unwrap()) as Box<dyn Kernel>, Box::new(ManualKernel::new().unwrap())]
        {
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
        let (one, two) = (RealKernel::new().unwrap(), RealKernel::new().unwrap());
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
}

mod real_time {
    use super::*;

    #[test]
    fn zero_deadline_returns_at_once_and_empty() {
        let kernel = RealKernel::new().unwrap();
        assert_eq!(look(&kernel), []);
    }

    #[test]
    fn passed_deadline_returns_at_once() {
        let kernel = RealKernel::new().unwrap();
        let then = kernel.now();
        kernel.wait(Some(then), &mut events()).unwrap();
    }

    #[test]
    fn fine_deadlines_are_met_and_never_early() {
        let kernel = RealKernel::new().unwrap();
        let mut events = events();
        let mut overshoot_least = Duration::MAX;
        for microseconds in (0..50).map(|step| 1 + 7 * step) {
            let deadline = kernel.now() + Duration::from_micros(microseconds);
            kernel.wait(Some(deadline), &mut events).unwrap();
            let now = kernel.now();
            assert!(now >= deadline, "{microseconds} us: {now:?} before {deadline:?}");
            assert!(events.is_empty(), "the alarm's events stay inside");
            overshoot_least = overshoot_least.min(now - deadline);
        }
        assert!(overshoot_least < Duration::from_millis(1), "rounded up: {overshoot_least:?}");
    }

    #[test]
    fn alarm_left_over_from_an_earlier_wait_does_not_end_a_later_one() {
        let kernel = RealKernel::new().unwrap();
        let bell = leaked_bell();
        kernel.attach_doorbell(bell).unwrap();
        let mut events = events();
        let near = kernel.now() + Duration::from_millis(2);
        bell.ring();
        kernel.wait(Some(near), &mut events).unwrap();
        // Armed for `near`; this wait passes over it.
        let far = near + Duration::from_micros(700);
        kernel.wait(Some(far), &mut events).unwrap();
        assert!(kernel.now() >= far);
        // The same deadline again, now past: the alarm is silent, but nothing hangs.
        kernel.wait(Some(far), &mut events).unwrap();
    }

    #[test]
    fn deadline_that_passed_since_the_last_reading_does_not_hang() {
        let kernel = RealKernel::new().unwrap();
        // Never read, so the kernel knows of no later time than zero.
        kernel.wait(Some(Instant::from_nanos(1)), &mut events()).unwrap();
        kernel.wait(Some(Instant::from_nanos(1)), &mut events()).unwrap();
    }

    #[test]
    fn extreme_deadlines_wait_until_the_bell_rings() {
        for deadline in [Instant::MAX, Instant::from_nanos(u64::MAX - 1), Instant::from_nanos(u64::MAX / 2)] {
            let kernel = RealKernel::new().unwrap();
            let bell = leaked_bell();
            kernel.attach_doorbell(bell).unwrap();
            let ringer = thread::spawn(|| bell.ring());
            kernel.wait(Some(deadline), &mut events()).unwrap();
            ringer.join().unwrap();
        }
    }

    #[test]
    fn signal_does_not_end_a_wait() {
        extern "C" fn nothing(_: libc::c_int) {}
        // SAFETY: a handler that does nothing, without SA_RESTART, for a signal nobody else uses.
        let sleeper = unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
            libc::sigaction(libc::SIGURG, &raw const action, core::ptr::null_mut());
            libc::pthread_self()
        };
        let kernel = RealKernel::new().unwrap();
        let deadline = kernel.now() + Duration::from_millis(5);
        let stop = &*Box::leak(Box::new(AtomicBool::new(false)));
        let nuisance = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: the thread that it names waits for this one.
                unsafe { libc::pthread_kill(sleeper, libc::SIGURG) };
                thread::yield_now();
            }
        });
        let result = kernel.wait(Some(deadline), &mut events());
        let now = kernel.now();
        stop.store(true, Ordering::Relaxed);
        nuisance.join().unwrap();
        result.unwrap();
        assert!(now >= deadline);
    }

    #[test]
    fn alarm_is_not_armed_again_for_the_same_deadline_or_a_later_one() {
        let clock = Clock::new();
        let alarm = Alarm::new().unwrap();
        let hour = Instant::ZERO + Duration::from_secs(3_600);
        assert!(alarm.arm(&clock, hour).unwrap());
        assert!(!alarm.arm(&clock, hour).unwrap());
        assert!(!alarm.arm(&clock, hour + Duration::from_secs(1)).unwrap());
        assert_eq!(alarm.armed.get(), Some(hour));
        let earlier = Instant::from_nanos(hour.as_nanos() - 1);
        assert!(alarm.arm(&clock, earlier).unwrap());
        assert_eq!(alarm.expire(), Some(earlier));
        assert!(alarm.arm(&clock, earlier).unwrap());
    }

    #[test]
    fn clock_that_steps_back_stands_still() {
        let monotone = Monotone::default();
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(monotone.observe(at(100)), at(100));
        assert_eq!(monotone.observe(at(10)), at(100));
        assert_eq!(monotone.observe(at(101)), at(101));
        assert_eq!(monotone.latest(), at(101));
    }

    #[test]
    fn timespec_splits_and_clamps() {
        let spec = timespec(1_500_000_000);
        assert_eq!((spec.tv_sec, spec.tv_nsec), (1, 500_000_000));
        let spec = timespec(u64::MAX);
        assert!(spec.tv_sec > 0 && (0..1_000_000_000).contains(&spec.tv_nsec));
    }

    #[test]
    fn wall_clock_is_the_systems() {
        let kernel = RealKernel::new().unwrap();
        let before = SystemTime::now();
        assert!(kernel.wall_clock() >= before - Duration::from_secs(60));
    }
}

mod manual_time {
    use super::*;

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
}

mod without_descriptors {
    use super::*;

    fn is_unsupported<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::Unsupported)
    }

    #[test]
    fn every_descriptor_operation_is_unsupported() {
        let kernel = NullKernel::new();
        let fd = doorbell::eventfd().unwrap();
        assert!(is_unsupported(kernel.register(fd, TOKEN, Interest::BOTH)));
        assert!(is_unsupported(kernel.reregister(fd, TOKEN, Interest::BOTH)));
        assert!(is_unsupported(kernel.deregister(fd)));
        assert!(is_unsupported(kernel.socket(Family::Ipv4, SocketKind::Stream, 0)));
        assert!(is_unsupported(kernel.bind(fd, &LOOPBACK.into())));
        assert!(is_unsupported(kernel.listen(fd, 1)));
        assert!(is_unsupported(kernel.accept(fd)));
        assert!(is_unsupported(kernel.connect(fd, &LOOPBACK.into())));
        assert!(is_unsupported(kernel.take_error(fd)));
        assert!(is_unsupported(kernel.recv(fd, &mut [0])));
        assert!(is_unsupported(kernel.send(fd, b"x")));
        assert!(is_unsupported(kernel.send_vectored(fd, &[])));
        assert!(is_unsupported(kernel.shutdown_write(fd)));
        assert!(is_unsupported(kernel.local_addr(fd)));
        assert!(is_unsupported(kernel.peer_addr(fd)));
        assert!(is_unsupported(kernel.set_option(fd, SocketOption::NoDelay, 1)));
        assert!(is_unsupported(kernel.option(fd, SocketOption::NoDelay)));
        assert!(is_unsupported(kernel.set_linger(fd, None)));
        assert!(is_unsupported(kernel.socket_kind(fd)));
        assert!(is_unsupported(kernel.set_nonblocking(fd)));
        assert!(is_unsupported(kernel.recv_from(fd, &mut [0])));
        assert!(is_unsupported(kernel.send_to(fd, b"x", &LOOPBACK.into())));
        assert!(is_unsupported(kernel.sendfile(fd, fd, 0, 1)));
        assert!(is_unsupported(kernel.file_at(Path::new("/"))));
        assert!(is_unsupported(kernel.unlink(Path::new("/nowhere/at/all"))));
        assert!(is_unsupported(kernel.socket_pair()));
        kernel.close(fd);
        assert!(is_open(fd), "the process's own descriptor isn't touched");
        socket::close(fd);
    }

    #[test]
    fn wait_moves_the_clock_or_is_a_deadlock() {
        let kernel = NullKernel::new();
        let later = Instant::from_nanos(5);
        kernel.wait(Some(later), &mut events()).unwrap();
        assert_eq!(kernel.now(), later);
        kernel.wait(NOW, &mut events()).unwrap();
        assert_eq!(kernel.now(), later);
        for deadline in [None, Some(Instant::MAX)] {
            let error = kernel.wait(deadline, &mut events()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Deadlock);
        }
    }

    #[test]
    fn bell_that_has_rung_ends_a_wait_before_the_clock_moves() {
        let kernel = NullKernel::new();
        let bell = leaked_bell();
        kernel.attach_doorbell(bell).unwrap();
        bell.enter_thread();
        bell.ring();
        kernel.wait(None, &mut events()).unwrap();
        bell.ring();
        kernel.wait(Some(Instant::from_nanos(5)), &mut events()).unwrap();
        assert_eq!(kernel.now(), Instant::ZERO);
        kernel.detach_doorbell(bell);
        assert!(!bell.is_loop_thread());
        kernel.wait(None, &mut events()).unwrap_err();
    }
}

mod readiness {
    use super::*;

    struct Pair {
        kernel: RealKernel,
        near: Fd,
        far: Cell<Option<Fd>>,
    }

    impl Pair {
        fn watched(interest: Interest) -> Self {
            let kernel = RealKernel::new().unwrap();
            let (near, far) = kernel.socket_pair().unwrap();
            kernel.register(near, TOKEN, interest).unwrap();
            Self { kernel, near, far: Cell::new(Some(far)) }
        }

        fn far(&self) -> Fd {
            self.far.get().unwrap()
        }

        fn close_far(&self) {
            self.kernel.close(self.far.take().unwrap());
        }

        fn one(&self) -> Event {
            let found = look(&self.kernel);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].token, TOKEN);
            found[0]
        }
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            let _ = self.kernel.deregister(self.near);
            self.kernel.close(self.near);
            if let Some(far) = self.far.take() {
                self.kernel.close(far);
            }
        }
    }

    #[test]
    fn data_is_readable_once_per_edge_and_again_after_reregister() {
        let pair = Pair::watched(Interest::READABLE);
        assert_eq!(look(&pair.kernel), []);
        pair.kernel.send(pair.far(), b"x").unwrap();
        let readiness = pair.one().readiness;
        assert!(readiness.readable && readiness.reader_wakes());
        assert!(!readiness.writer_wakes() && !readiness.read_closed);
        assert_eq!(look(&pair.kernel), []);
        pair.kernel.reregister(pair.near, TOKEN, Interest::READABLE).unwrap();
        assert!(pair.one().readiness.readable);
    }

    #[test]
    fn half_close_is_the_readers_business_alone() {
        let pair = Pair::watched(Interest::BOTH);
        assert!(pair.one().readiness.writable);
        pair.kernel.shutdown_write(pair.far()).unwrap();
        let readiness = pair.one().readiness;
        assert!(readiness.read_closed && readiness.reader_wakes());
        assert!(!readiness.write_closed && !readiness.error);
        assert_eq!(pair.kernel.recv(pair.near, &mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn hang_up_wakes_both() {
        // Watched for one direction only: the other learns of it all the same.
        for interest in [Interest::READABLE, Interest::WRITABLE, Interest::BOTH] {
            let pair = Pair::watched(interest);
            pair.close_far();
            let readiness = pair.one().readiness;
            assert!(readiness.read_closed && readiness.write_closed, "{readiness:?}");
            assert!(readiness.reader_wakes() && readiness.writer_wakes());
            let error = pair.kernel.send(pair.near, b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn deregistered_descriptor_reports_nothing() {
        let pair = Pair::watched(Interest::READABLE);
        pair.kernel.send(pair.far(), b"x").unwrap();
        pair.kernel.deregister(pair.near).unwrap();
        assert_eq!(look(&pair.kernel), []);
        let error = pair.kernel.deregister(pair.near).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn second_registration_and_reserved_tokens_are_refused() {
        let pair = Pair::watched(Interest::READABLE);
        let error = pair.kernel.register(pair.near, TOKEN, Interest::READABLE).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        for token in [Token::DOORBELL, Token::ALARM] {
            let error = pair.kernel.register(pair.far(), token, Interest::READABLE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let error = pair.kernel.reregister(pair.near, token, Interest::READABLE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn regular_file_is_refused() {
        let file = fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        let fd = Fd::from_raw(file.as_raw_fd());
        for kernel in
            [Box::new(RealKernel::new().unwrap()) as Box<dyn Kernel>, Box::new(ManualKernel::new().unwrap())]
        {
            let error = kernel.register(fd, TOKEN, Interest::READABLE).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        }
    }

    #[test]
    fn more_events_than_room_come_with_the_next_wait() {
        let kernel = RealKernel::new().unwrap();
        let pairs: Vec<_> = (0..10).map(|_| kernel.socket_pair().unwrap()).collect();
        for (index, pair) in pairs.iter().enumerate() {
            kernel.register(pair.0, Token(index), Interest::READABLE).unwrap();
            kernel.send(pair.1, b"x").unwrap();
        }
        let mut events = Events::with_capacity(0);
        let mut seen = Vec::new();
        for _ in 0..10 {
            kernel.wait(NOW, &mut events).unwrap();
            assert!(events.iter().len() <= 3);
            seen.extend(events.iter().map(|event| event.token.0));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        for (left, right) in pairs {
            kernel.close(left);
            kernel.close(right);
        }
    }
}

mod sockets {
    use super::*;

    fn kernel() -> RealKernel {
        RealKernel::new().unwrap()
    }

    fn inet(addr: io::Result<Address>) -> SocketAddr {
        addr.unwrap().as_inet().unwrap()
    }

    fn listen_tcp(kernel: &dyn Kernel, addr: SocketAddr, backlog: i32) -> io::Result<Fd> {
        let addr = Address::from(addr);
        let fd = kernel.socket(Family::of(&addr), SocketKind::Stream, 0)?;
        kernel.set_option(fd, SocketOption::ReuseAddress, 1)?;
        kernel.bind(fd, &addr)?;
        kernel.listen(fd, backlog)?;
        Ok(fd)
    }

    fn connect_tcp(kernel: &dyn Kernel, addr: SocketAddr) -> io::Result<Fd> {
        let addr = Address::from(addr);
        let fd = kernel.socket(Family::of(&addr), SocketKind::Stream, 0)?;
        kernel.connect(fd, &addr)?;
        Ok(fd)
    }

    /// Waits for one event; the peer is this process, so it comes at once.
    fn wait_one(kernel: &RealKernel) -> Event {
        let mut events = events();
        while events.is_empty() {
            kernel.wait(Some(kernel.now() + Duration::from_secs(10)), &mut events).unwrap();
        }
        events.iter().next().unwrap()
    }

    fn converse(address: SocketAddr) {
        let kernel = kernel();
        let listener = listen_tcp(&kernel, address, 16).unwrap();
        let address = inet(kernel.local_addr(listener));
        assert_ne!(address.port(), 0);
        assert_eq!(kernel.accept(listener).unwrap_err().kind(), ErrorKind::WouldBlock);
        kernel.register(listener, TOKEN, Interest::READABLE).unwrap();

        let client = connect_tcp(&kernel, address).unwrap();
        assert!(wait_one(&kernel).readiness.reader_wakes());
        let (server, peer) = kernel.accept(listener).unwrap();
        kernel.register(client, Token(8), Interest::BOTH).unwrap();
        assert!(wait_one(&kernel).readiness.writer_wakes());
        assert!(kernel.take_error(client).unwrap().is_none());
        assert_eq!(kernel.local_addr(client).unwrap(), peer);
        assert_eq!(inet(kernel.peer_addr(client)), address);
        assert_eq!(kernel.peer_addr(server).unwrap(), peer);
        kernel.set_option(client, SocketOption::NoDelay, 1).unwrap();
        assert_eq!(kernel.option(client, SocketOption::NoDelay).unwrap(), 1);

        let mut buf = [0; 32];
        assert_eq!(kernel.recv(client, &mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(kernel.send(server, b"hello").unwrap(), 5);
        assert!(wait_one(&kernel).readiness.readable);
        assert_eq!(kernel.recv(client, &mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");

        let parts = [IoSlice::new(b"one, "), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(kernel.send_vectored(client, &parts).unwrap(), 8);
        kernel.shutdown_write(client).unwrap();
        assert_eq!(kernel.recv(server, &mut buf).unwrap(), 8);
        assert_eq!(&buf[..8], b"one, two");
        assert_eq!(kernel.recv(server, &mut buf).unwrap(), 0);
        for fd in [client, listener] {
            kernel.deregister(fd).unwrap();
        }
        for fd in [client, server, listener] {
            kernel.close(fd);
        }
    }

    #[test]
    fn two_ends_converse_over_ipv4() {
        converse(LOOPBACK);
    }

    #[test]
    fn two_ends_converse_over_ipv6() {
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        // Some machines have no IPv6.
        match listen_tcp(&kernel(), address, 1) {
            Ok(fd) => {
                socket::close(fd);
                converse(address);
            }
            Err(error) => {
                assert!(matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)));
            }
        }
    }

    #[test]
    fn refused_connection_is_told_by_take_error() {
        let kernel = kernel();
        let listener = listen_tcp(&kernel, LOOPBACK, 1).unwrap();
        let address = inet(kernel.local_addr(listener));
        kernel.close(listener);
        let refused = match connect_tcp(&kernel, address) {
            Err(error) => error,
            Ok(client) => {
                kernel.register(client, TOKEN, Interest::WRITABLE).unwrap();
                let readiness = wait_one(&kernel).readiness;
                assert!(readiness.writer_wakes() && readiness.reader_wakes());
                let error = kernel.take_error(client).unwrap().unwrap();
                kernel.close(client);
                error
            }
        };
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn more_slices_than_the_system_takes_are_sent_in_part() {
        let kernel = kernel();
        let (left, right) = kernel.socket_pair().unwrap();
        let parts = vec![IoSlice::new(b"x"); 3_000];
        assert_eq!(kernel.send_vectored(left, &parts).unwrap(), 1_024);
        kernel.close(left);
        kernel.close(right);
    }

    #[test]
    fn sockets_do_not_block_and_do_not_survive_exec() {
        let kernel = kernel();
        let listener = listen_tcp(&kernel, LOOPBACK, 1).unwrap();
        let client = connect_tcp(&kernel, inet(kernel.local_addr(listener))).unwrap();
        kernel.register(listener, TOKEN, Interest::READABLE).unwrap();
        wait_one(&kernel);
        let (server, _) = kernel.accept(listener).unwrap();
        let (left, right) = kernel.socket_pair().unwrap();
        for fd in [listener, client, server, left, right] {
            // SAFETY: no pointers.
            let (status, flags) =
                unsafe { (libc::fcntl(fd.as_raw(), libc::F_GETFL), libc::fcntl(fd.as_raw(), libc::F_GETFD)) };
            assert_ne!(status & libc::O_NONBLOCK, 0);
            assert_ne!(flags & libc::FD_CLOEXEC, 0);
            kernel.close(fd);
        }
    }

    #[test]
    fn ends_of_a_socket_pair_have_no_name() {
        let kernel = kernel();
        let (left, right) = kernel.socket_pair().unwrap();
        assert_eq!(kernel.local_addr(left).unwrap(), UnixAddr::default().into());
        assert_eq!(kernel.socket_kind(left).unwrap(), (Family::Unix, SocketKind::Stream));
        kernel.close(left);
        kernel.close(right);
    }

    #[test]
    fn full_socket_would_block_and_turns_writable_again() {
        let kernel = kernel();
        let (left, right) = kernel.socket_pair().unwrap();
        kernel.register(left, TOKEN, Interest::WRITABLE).unwrap();
        wait_one(&kernel);
        let chunk = vec![1; 65_536];
        let error = loop {
            if let Err(error) = kernel.send(left, &chunk) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!(look(&kernel), []);
        let mut buf = vec![0; 65_536];
        while kernel.recv(right, &mut buf).is_ok() {}
        assert!(wait_one(&kernel).readiness.writable);
        kernel.close(left);
        kernel.close(right);
    }

    #[test]
    fn descriptor_made_elsewhere_can_be_used() {
        let kernel = kernel();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let ours = Fd::from_raw(ours.into_raw_fd());
        kernel.send(ours, b"x").unwrap();
        drop(theirs);
        kernel.close(ours);
    }
}

mod tables {
    use super::*;

    fn resident_bytes() -> usize {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
    }

    #[test]
    fn reserved_memory_is_exact_usable_and_given_back() {
        let room = memory::reserve::<String>(3).unwrap();
        assert_eq!(room.len(), 3);
        room[2].write("last".to_owned());
        // SAFETY: written above; then nothing refers to the room.
        unsafe {
            assert_eq!(room[2].assume_init_ref(), "last");
            room[2].assume_init_drop();
            memory::release(room);
        }
    }

    #[test]
    fn nothing_and_things_without_size_work() {
        let none = memory::reserve::<u64>(0).unwrap();
        let units = memory::reserve::<()>(1_000_000).unwrap();
        assert_eq!((none.len(), units.len()), (0, 1_000_000));
        // SAFETY: nothing refers to them.
        unsafe {
            memory::release(none);
            memory::release(units);
        }
    }

    #[test]
    fn generous_reservation_touches_no_page() {
        const GENEROUS: usize = 1 << 30;
        let before = resident_bytes();
        let room = memory::reserve::<u8>(GENEROUS).unwrap();
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < GENEROUS / 4, "grew by {grown} bytes");
        // SAFETY: nothing refers to it.
        unsafe { memory::release(room) };
    }

    #[test]
    fn impossible_reservation_is_an_error() {
        memory::reserve::<u64>(usize::MAX).unwrap_err();
        memory::reserve::<u64>(usize::MAX / 16).unwrap_err();
    }
}
