//! Core never allocates: counted by the allocator of this binary, per thread,
//! so that tests beside this one don't disturb it.

use core::cell::Cell;
use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};

use rondel_core::{EventLoopHandle, WaitError};

use crate::fixture::{event_loop, own};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Counts the allocations of this thread.
pub fn count() -> u64 {
    ALLOCATIONS.get()
}

// Invariant 2
#[test]
fn c10_core_never_allocates() {
    let f = event_loop::<16, 8, 8, 512>();
    let c = f.context;
    c.set_exception_handler(None);
    let before = ALLOCATIONS.get();
    for n in 0..100_u64 {
        let future = c.create_future::<u64>().unwrap();
        let (set, awaited) = (future.clone(), future.clone());
        c.call_later(Duration::from_nanos(n), move |_| drop(set.set_result(7))).unwrap();
        let waiter = c
            .create_task(async move { awaited.await.map(drop).map_err(rondel_core::Exception::from) })
            .unwrap();
        let sleeper = c.create_task(async move { c.sleep(Duration::from_nanos(n)).await }).unwrap();
        let late = c
            .create_task(async move {
                c.timeout(Duration::from_nanos(1), c.sleep(Duration::from_secs(1))).await.map(drop)
            })
            .unwrap();
        future.add_done_callback(|_: &EventLoopHandle, _| Err::<(), _>(WaitError::AwaitsItself)).unwrap();
        let gather = c.gather_outcomes([waiter, c.create_task(async { Ok(()) }).unwrap()]).unwrap();
        let handler = c.add_handler(|_| ()).unwrap();
        c.make_ready(handler);
        f.owner
            .as_ref()
            .unwrap()
            .run_until_complete(async move {
                drop(gather.await);
                let _ = sleeper.await;
                let _ = late.await;
            })
            .unwrap();
        c.remove_handler(handler);
        drop(
            c.create_task(core::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                drop(cx.waker().clone());
                core::task::Poll::Ready(Err::<(), _>(WaitError::AwaitsItself))
            }))
            .unwrap(),
        );
        c.call_soon(|_| ()).unwrap().cancel();
        c.stop();
        f.owner.as_ref().unwrap().run_forever().unwrap();
    }
    assert_eq!(c.unhandled_exceptions(), 200);
    f.owner.as_ref().unwrap().close().unwrap();
    assert_eq!(ALLOCATIONS.get(), before);
}

#[test]
fn c10_the_wheel_never_allocates() {
    let f = own(200, 0, 0, 0);
    let before = ALLOCATIONS.get();
    for n in 0..200_u32 {
        rondel_core::Handle::cancel(
            &f.scheduler()
                .call_soon(
                    &f.context,
                    |_: &crate::fixture::Own| (),
                    rondel_core::Callback::new,
                    core::panic::Location::caller(),
                )
                .unwrap(),
        );
        crate::fixture::Calls::later(&f.context, 1 << (n % 60), |_: &crate::fixture::Own| ()).unwrap();
    }
    while f.statistics().timers > 0 {
        f.scheduler().run_once(&f.context).unwrap();
    }
    assert_eq!(ALLOCATIONS.get(), before);
}
