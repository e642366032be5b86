//! The loop in the loop of somebody else: FAULTS P-17.

use core::cell::RefCell;
use core::time::Duration;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use rondel::{Config, Error, ErrorKind, EventLoop, EventLoopHandle, Signal};

use crate::fixture::{
    Counter, TakeWaker, Trace, any_port, manual, manual_with, never, pair, peer, real, scenarios, small,
    turns,
};

scenarios! {
    p17_timers_end_the_sleep_of_a_host_that_is_told_no_timeout
    p17_a_deadline_that_moves_ends_the_sleep_at_its_new_place
    p17_sockets_are_served_beside_a_descriptor_of_the_hosts
    p17_a_call_from_a_thread_ends_the_sleep_of_a_host
    p17_a_wake_from_a_thread_ends_the_sleep_of_a_host
    p17_a_signal_ends_the_sleep_of_a_host
    p17_every_call_of_many_threads_runs_once_in_a_host
    p17_what_a_host_asks_of_the_loop_makes_the_descriptor_readable
    p17_a_host_that_knows_descriptors_alone_needs_no_answer
    p17_nothing_is_readable_when_there_is_nothing_to_do
    p17_a_sleep_that_nothing_ended_harms_no_run
    p17_a_loop_in_a_callback_of_another_is_refused_and_runs_when_that_has_stopped
    p17_a_test_learns_how_far_the_next_deadline_is
    p17_one_iteration_without_a_wait_is_what_asyncios_idiom_runs
    p17_misuse_is_a_typed_error
    p17_a_loop_without_descriptors_has_none_and_tells_how_long_to_sleep
    p17_a_loop_begins_without_the_last_wake_of_the_loop_before
}

/// A main loop as others have them: an epoll, our descriptor in it, and one of its own.
struct Host {
    epoll: OwnedFd,
    own: OwnedFd,
}

const OURS: u64 = 1;
const OWN: u64 = 2;

impl Host {
    fn new(event_loop: &EventLoop) -> Self {
        // SAFETY: no pointers; the numbers are new and nobody else's.
        let (epoll, own) = unsafe {
            let epoll = OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC));
            (epoll, OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)))
        };
        let host = Self { epoll, own };
        host.watch(event_loop.backend_fd().unwrap(), OURS);
        host.watch(host.own.as_fd(), OWN);
        host
    }

    fn watch(&self, fd: BorrowedFd<'_>, name: u64) {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: name };
        let (epoll, add) = (self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD);
        // SAFETY: one structure, good for reading.
        assert_eq!(unsafe { libc::epoll_ctl(epoll, add, fd.as_raw_fd(), &raw mut event) }, 0);
    }

    /// Sleeps until something is readable, and returns what is; without `waits` it only looks.
    fn readable(&self, waits: bool) -> Vec<u64> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
        let timeout = if waits { -1 } else { 0 };
        // SAFETY: room for as many events.
        let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 4, timeout) };
        let count = usize::try_from(count).expect("nothing interrupts the host");
        let mut names: Vec<_> = events[..count].iter().map(|event| event.u64).collect();
        names.sort_unstable();
        names
    }

    fn take_poke(&self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes, good for writing.
        assert_eq!(unsafe { libc::read(self.own.as_raw_fd(), (&raw mut count).cast(), 8) }, 8);
    }

    /// Takes a turn as a host does, and tells whether its own descriptor was readable.
    fn turn(&self, event_loop: &EventLoop) -> bool {
        let limit = event_loop.prepare().unwrap();
        assert!(limit.is_none_or(|limit| limit.is_zero()), "the deadline is in the descriptor: {limit:?}");
        let readable = self.readable(limit.is_none());
        if readable.contains(&OURS) || limit.is_some() {
            event_loop.run_nowait().unwrap();
        }
        readable.contains(&OWN)
    }

    /// Prepares until the loop has nothing to do.
    fn settle(&self, event_loop: &EventLoop) {
        while event_loop.prepare().unwrap().is_some() {
            event_loop.run_nowait().unwrap();
        }
        assert_eq!(self.readable(false), [], "asleep");
    }
}

/// Gives a host something to do of its own.
fn poke(own: &OwnedFd) {
    let one = 1_u64;
    // SAFETY: eight bytes, good for reading.
    assert_eq!(unsafe { libc::write(own.as_raw_fd(), (&raw const one).cast(), 8) }, 8);
}

fn p17_timers_end_the_sleep_of_a_host_that_is_told_no_timeout() {
    let (event_loop, trace) = (real(), Trace::new());
    let host = Host::new(&event_loop);
    let now = event_loop.time();
    for (micros, name) in [(300, "third"), (200, "second"), (100, "first")] {
        event_loop.call_at(now + Duration::from_micros(micros), trace.note(name)).unwrap();
    }
    event_loop.call_later(Duration::from_secs(3600), never).unwrap();
    while trace.count() < 3 {
        host.turn(&event_loop);
    }
    assert_eq!(trace.take(), ["first", "second", "third"]);
}

fn p17_a_deadline_that_moves_ends_the_sleep_at_its_new_place() {
    let (event_loop, trace) = (real(), Trace::new());
    let host = Host::new(&event_loop);
    let far = event_loop.call_later(Duration::from_secs(3600), never).unwrap();
    host.settle(&event_loop);
    // Earlier than what the alarm is armed for; then later, so that it goes off too early.
    let near = event_loop.call_later(Duration::from_micros(100), never).unwrap();
    let _ = event_loop.prepare().unwrap();
    near.cancel();
    far.cancel();
    event_loop.call_later(Duration::from_millis(1), trace.note("moved")).unwrap();
    while trace.count() == 0 {
        host.turn(&event_loop);
    }
    assert_eq!(trace.take(), ["moved"]);
}

fn p17_sockets_are_served_beside_a_descriptor_of_the_hosts() {
    let event_loop = real();
    let host = Host::new(&event_loop);
    let server = event_loop.start_server(any_port(), async |mut reader, mut writer| {
        while let line @ [_, ..] = reader.read_line().await? {
            writer.write_all(line).await?;
        }
        rondel::Result::<()>::Ok(())
    });
    let server = event_loop.run_until_complete(server).unwrap();
    let own = host.own.try_clone().unwrap();
    let client = peer(server.local_addr(), move |mut stream| {
        let mut echoed = [0; 6];
        for _ in 0..100 {
            stream.write_all(b"hello\n").unwrap();
            stream.read_exact(&mut echoed).unwrap();
            assert_eq!(&echoed, b"hello\n");
        }
        poke(&own);
    });
    while !host.turn(&event_loop) {}
    client.join().unwrap();
    server.close();
    event_loop.run_until_complete(server.wait_closed()).unwrap();
}

fn p17_a_call_from_a_thread_ends_the_sleep_of_a_host() {
    // TS-1
    let (event_loop, ran) = (real(), Arc::new(Mutex::new(Vec::new())));
    let host = Host::new(&event_loop);
    let remote = event_loop.remote();
    let (asleep, falls_asleep) = channel();
    let told = Arc::clone(&ran);
    let thread = thread::spawn(move || {
        for number in falls_asleep {
            let told = Arc::clone(&told);
            remote.call_soon_threadsafe(move |_| told.lock().unwrap().push(number)).unwrap();
        }
    });
    for number in 0..100 {
        host.settle(&event_loop);
        asleep.send(number).unwrap();
        // Only the call can end this.
        assert_eq!(host.readable(true), [OURS]);
        event_loop.run_nowait().unwrap();
        assert_eq!(ran.lock().unwrap().len(), number + 1);
    }
    drop(asleep);
    thread.join().unwrap();
    assert_eq!(*ran.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

fn p17_a_wake_from_a_thread_ends_the_sleep_of_a_host() {
    // W-02
    let event_loop = real();
    let host = Host::new(&event_loop);
    let (release, released) = channel();
    let job = event_loop.run_in_executor(move || released.recv().unwrap()).unwrap();
    let task = event_loop.create_task(job).unwrap();
    host.settle(&event_loop);
    release.send(7).unwrap();
    // Only the job's end can end this.
    assert_eq!(host.readable(true), [OURS]);
    while !task.done() {
        event_loop.run_nowait().unwrap();
    }
    assert_eq!(task.take().unwrap().unwrap(), 7);
    event_loop.run_until_complete(event_loop.shutdown_default_executor()).unwrap();
}

fn p17_a_signal_ends_the_sleep_of_a_host() {
    // SG-1
    let (event_loop, calls) = (real(), Counter::new());
    let host = Host::new(&event_loop);
    let counted = calls.clone();
    // Signals belong to the process: no other test takes this one.
    let signal = Signal::SIGPWR;
    event_loop.add_signal_handler(signal, move |_| counted.add()).unwrap();
    for round in 1..=10 {
        host.settle(&event_loop);
        // SAFETY: no pointers; the process has a handler, the loop's.
        assert_eq!(unsafe { libc::raise(signal.as_raw()) }, 0);
        assert_eq!(host.readable(true), [OURS]);
        event_loop.run_nowait().unwrap();
        assert_eq!(calls.get(), round);
    }
}

fn p17_every_call_of_many_threads_runs_once_in_a_host() {
    // TS-3: sleeps and calls in every order; a lost wake would be waited for for ever.
    const THREADS: usize = 3;
    const CALLS: usize = 1000;
    let event_loop = real();
    let host = Host::new(&event_loop);
    let seen = Arc::new(Mutex::new([0_usize; THREADS]));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (remote, seen) = (event_loop.remote(), Arc::clone(&seen));
            thread::spawn(move || {
                for number in 0..CALLS {
                    let seen = Arc::clone(&seen);
                    let mut call = move |_: &EventLoopHandle| {
                        let mut seen = seen.lock().unwrap();
                        assert_eq!(seen[thread], number, "in order");
                        seen[thread] += 1;
                    };
                    while let Err(refused) = remote.call_soon_threadsafe(call) {
                        assert!(refused.is_full());
                        call = refused.into_value();
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    while *seen.lock().unwrap() != [CALLS; THREADS] {
        host.turn(&event_loop);
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn p17_what_a_host_asks_of_the_loop_makes_the_descriptor_readable() {
    let (event_loop, trace) = (real(), Trace::new());
    let host = Host::new(&event_loop);
    host.settle(&event_loop);
    poke(&host.own);
    assert_eq!(host.readable(true), [OWN]);
    host.take_poke();
    event_loop.call_soon(trace.note("asked by the host")).unwrap();
    assert_eq!(host.readable(false), [], "nobody tells before the loop is prepared anew");
    assert_eq!(event_loop.prepare().unwrap(), Some(Duration::ZERO));
    assert_eq!(host.readable(true), [OURS]);
    event_loop.run_nowait().unwrap();
    assert_eq!(trace.take(), ["asked by the host"]);
    host.settle(&event_loop);
}

fn p17_a_host_that_knows_descriptors_alone_needs_no_answer() {
    let (event_loop, count) = (real(), Counter::new());
    let host = Host::new(&event_loop);
    fn again(event_loop: &EventLoopHandle, count: Counter) {
        if count.add() < 50 {
            event_loop.call_soon(move |event_loop| again(event_loop, count)).unwrap();
        }
    }
    let counted = count.clone();
    event_loop.call_soon(move |event_loop| again(event_loop, counted)).unwrap();
    while count.get() < 50 {
        let _ = event_loop.prepare().unwrap();
        assert_eq!(host.readable(true), [OURS]);
        event_loop.run_nowait().unwrap();
    }
    host.settle(&event_loop);
}

fn p17_nothing_is_readable_when_there_is_nothing_to_do() {
    let event_loop = real();
    let host = Host::new(&event_loop);
    let (reader, mut writer) = pair();
    let calls = Counter::new();
    let (counted, watched) = (calls.clone(), reader.try_clone().unwrap());
    event_loop
        .add_reader(&reader, move |_| {
            counted.add();
            { &watched }.read_exact(&mut [0]).unwrap();
        })
        .unwrap();
    event_loop.call_later(Duration::from_secs(3600), never).unwrap();
    host.settle(&event_loop);
    writer.write_all(b"ab").unwrap();
    // Level-triggered: readable until both bytes are read.
    for call in 1..=2 {
        assert_eq!(event_loop.prepare().unwrap(), None);
        while calls.get() < call {
            assert_eq!(host.readable(true), [OURS]);
            event_loop.run_nowait().unwrap();
        }
    }
    host.settle(&event_loop);
    assert_eq!(calls.get(), 2);
    event_loop.remove_reader(&reader);
}

fn p17_a_sleep_that_nothing_ended_harms_no_run() {
    // The host gives up, and the loop sleeps by itself: rings that nobody wants do no harm.
    let event_loop = real();
    let host = Host::new(&event_loop);
    host.settle(&event_loop);
    let remote = event_loop.remote();
    thread::spawn(move || remote.call_soon_threadsafe(|event_loop| event_loop.stop()).unwrap())
        .join()
        .unwrap();
    assert_eq!(host.readable(true), [OURS]);
    event_loop.run_forever().unwrap();
    host.settle(&event_loop);
    // And one that has run without being woken has lost nothing either.
    event_loop.run_nowait().unwrap();
    host.settle(&event_loop);
}

fn p17_a_loop_in_a_callback_of_another_is_refused_and_runs_when_that_has_stopped() {
    //
    let (outer, inner, trace) = (real(), Rc::new(real()), Trace::new());
    let (embedded, refused) = (Rc::clone(&inner), Trace::new());
    let noted = refused.clone();
    outer
        .add_reader(inner.backend_fd().unwrap(), move |outer| {
            noted.push(format!("{:?}", embedded.run_nowait().unwrap_err().kind()));
            outer.stop();
        })
        .unwrap();
    inner.call_later(Duration::from_micros(100), trace.note("timer")).unwrap();
    while trace.count() == 0 {
        let _ = inner.prepare().unwrap();
        outer.run_forever().unwrap();
        inner.run_nowait().unwrap();
    }
    assert_eq!(refused.take()[0], "Running");
    // Now nothing but a thread ends the sleep.
    let (asleep, falls_asleep) = channel();
    let (remote, ran) = (inner.remote(), Arc::new(Mutex::new(false)));
    let told = Arc::clone(&ran);
    let thread = thread::spawn(move || {
        falls_asleep.recv().unwrap();
        remote.call_soon_threadsafe(move |_| *told.lock().unwrap() = true).unwrap();
    });
    assert_eq!(inner.prepare().unwrap(), None);
    asleep.send(()).unwrap();
    outer.run_forever().unwrap();
    inner.run_nowait().unwrap();
    assert!(*ran.lock().unwrap());
    thread.join().unwrap();
    assert!(outer.remove_reader(inner.backend_fd().unwrap()));
    // What the callback holds is gone with it.
    turns(&outer, 1);
    assert_eq!(Rc::strong_count(&inner), 1);
}

fn p17_a_test_learns_how_far_the_next_deadline_is() {
    let ((event_loop, clock), trace) = (manual_with(small()), Trace::new());
    let host = Host::new(&event_loop);
    assert_eq!(event_loop.prepare().unwrap(), None);
    event_loop.call_later(Duration::from_secs(3), trace.note("due")).unwrap();
    assert_eq!(event_loop.prepare().unwrap(), Some(Duration::from_secs(3)));
    assert_eq!(host.readable(false), [], "its clock stands still");
    event_loop.run_nowait().unwrap();
    assert_eq!((trace.count(), clock.now()), (0, rondel::Instant::ZERO), "no jump");
    clock.advance(Duration::from_secs(3));
    assert_eq!(event_loop.prepare().unwrap(), Some(Duration::ZERO));
    assert_eq!(host.readable(false), [OURS]);
    event_loop.run_nowait().unwrap();
    assert_eq!(trace.take(), ["due"]);
    assert_eq!(event_loop.prepare().unwrap(), None);
}

fn p17_one_iteration_without_a_wait_is_what_asyncios_idiom_runs() {
    // R-2, CS-3
    let ((event_loop, clock), trace) = (manual_with(small()), Trace::new());
    event_loop.run_nowait().unwrap();
    assert_eq!((clock.waits(), clock.last_deadline()), (1, Some(rondel::Instant::ZERO)), "looked, slept not");
    let noted = trace.clone();
    event_loop
        .call_soon(move |event_loop| {
            noted.push("first");
            event_loop.stop();
            event_loop.call_soon(noted.note("second")).unwrap();
        })
        .unwrap();
    event_loop.run_nowait().unwrap();
    assert_eq!(trace.take(), ["first"]);
    event_loop.run_nowait().unwrap();
    assert_eq!(trace.take(), ["second"], "no stop was left behind");
}

fn p17_misuse_is_a_typed_error() {
    //
    let event_loop = Rc::new(manual());
    let (inside, kinds) = (Rc::clone(&event_loop), Rc::new(RefCell::new(Vec::new())));
    let noted = Rc::clone(&kinds);
    event_loop
        .call_soon(move |_| {
            let refused = [inside.prepare().map(drop), inside.run_nowait()];
            noted.borrow_mut().extend(refused.map(|refused| refused.unwrap_err().kind()));
            assert!(inside.backend_fd().is_ok());
        })
        .unwrap();
    event_loop.run_nowait().unwrap();
    assert_eq!(kinds.take(), [ErrorKind::Running, ErrorKind::Running]);
    event_loop.close().unwrap();
    let refused =
        [event_loop.prepare().map(drop), event_loop.run_nowait(), event_loop.backend_fd().map(drop)];
    assert_eq!(refused.map(|refused| refused.unwrap_err().kind()), [ErrorKind::Closed; 3]);
}

fn p17_a_loop_without_descriptors_has_none_and_tells_how_long_to_sleep() {
    let (event_loop, trace) = (EventLoop::without_descriptors(small()).unwrap(), Trace::new());
    let refused = event_loop.backend_fd().unwrap_err();
    assert_eq!(refused.as_io().map(std::io::Error::kind), Some(std::io::ErrorKind::Unsupported));
    assert!(refused.to_string().contains("backend_fd"), "{refused}");
    event_loop.call_later(Duration::from_secs(3), never).unwrap();
    assert_eq!(event_loop.prepare().unwrap(), Some(Duration::from_secs(3)));
    event_loop.call_soon(trace.note("ready")).unwrap();
    assert_eq!(event_loop.prepare().unwrap(), Some(Duration::ZERO));
    event_loop.run_nowait().unwrap();
    assert_eq!(trace.take(), ["ready"]);
}

fn p17_a_loop_begins_without_the_last_wake_of_the_loop_before() {
    // Capacities that no other test has: each loop gets the wake table of the one before.
    let config = || Config { calls: 7, tasks: 7, ..small() };
    let wakes: [fn(&EventLoop); 3] = [
        |event_loop| event_loop.remote().stop(),
        |event_loop| drop(event_loop.remote().call_soon_threadsafe(never).unwrap()),
        |event_loop| {
            let waker = event_loop.run_until_complete(async { Ok::<_, Error>(TakeWaker.await) }).unwrap();
            thread::spawn(move || waker.wake()).join().unwrap();
        },
    ];
    for wake in wakes {
        let (before, _clock) = manual_with(config());
        wake(&before);
        before.close().unwrap();
        let (event_loop, _clock) = manual_with(config());
        assert_eq!(event_loop.prepare().unwrap(), None, "there is nothing to do");
    }
}
