//! `Storage`: taken once, and never moved (W-16; the compile-fail side is in
//! `tests/compile_fail`).

use core::time::Duration;

use rondel_core::{EventLoop, EventLoopHandle, ManualDriver, Refusal, Resource, Storage};

use crate::fixture::leak;

static STORAGE: Storage<4, 1, 1, 64> = Storage::new();

#[test]
fn storage_is_taken_once() {
    let memory = STORAGE.take().expect("the first time");
    assert!(STORAGE.take().is_none());
    let event_loop = EventLoop::new(memory, leak(ManualDriver::new()));
    event_loop.call_soon(EventLoopHandle::stop).unwrap();
    event_loop.run_forever().unwrap();
    drop(event_loop);
    assert!(STORAGE.take().is_none(), "handles may be left");
}

#[test]
fn two_loops_in_one_thread_do_not_mix() {
    let loops = [0, 1].map(|_| {
        let storage: &'static Storage<4, 1, 2, 256> = leak(Storage::new());
        EventLoop::new(storage.take().unwrap(), leak(ManualDriver::new()))
    });
    let inner = loops[1].handle();
    let future = inner.create_future::<u8>().unwrap();
    let awaited = future.clone();
    // A future of the other loop: its waiter there wakes the task here.
    let task = loops[0].create_task(async move { awaited.await.ok() }).unwrap();
    loops[0].run_once().unwrap();
    future.set_result(5).unwrap();
    loops[0].run_once().unwrap();
    assert_eq!(task.take(), Ok(Some(5)));
    drop(future);
    assert_eq!(inner.statistics().futures.live, 0);
}

#[test]
fn capacities_show_in_the_statistics() {
    let storage: &'static Storage<3, 5, 7, 16> = leak(Storage::default());
    let event_loop = EventLoop::new(storage.take().unwrap(), leak(ManualDriver::new()));
    let s = event_loop.statistics();
    assert_eq!((s.calls.capacity, s.futures.capacity, s.tasks.capacity), (3, 5, 7));
    let handles = [0, 1].map(|_| event_loop.call_soon(|_| ()).unwrap());
    handles.iter().for_each(rondel_core::Handle::cancel);
    let s = event_loop.statistics();
    assert_eq!((s.calls.live, s.calls.peak), (0, 2));
}

#[test]
fn timers_may_have_less_room_than_calls_and_are_refused_beyond_it() {
    let storage: &'static Storage<4, 0, 0, 0, 1> = leak(Storage::new());
    let event_loop = EventLoop::new(storage.take().unwrap(), leak(ManualDriver::new()));
    let second = Duration::from_secs(1);
    let timer = event_loop.call_later(second, |_| ()).unwrap();
    let refused = event_loop.call_later(second, |_| ()).unwrap_err();
    assert_eq!(refused.refusal(), Refusal::Full { resource: Resource::Timer, limit: 1 });
    event_loop.call_soon(|_| ()).unwrap();
    timer.cancel();
    event_loop.call_later(second, EventLoopHandle::stop).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(event_loop.statistics().calls.live, 0);
}
