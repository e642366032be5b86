//! A loop of one's own on the scheduler, with a wheel for its far timers.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::panic::Location;
use core::time::Duration;

use rondel_core::raw::{
    Bodies, CallSlot, FutureSlot, HeapEntry, Link, Memory, Region, TaskSlot, WakeCell, WakeTable, Wheel,
};
use rondel_core::{Callback, Context, Driver, Instant, Limits, ManualDriver, Scheduler, TimerHandle};

use crate::OneThread;
use crate::check::{Checked, OrFail, check, check_trace, ms, trace};

const CALLS: usize = 64;

/// The handle of this loop.
#[derive(Clone, Copy)]
struct Own {
    scheduler: &'static Scheduler<Self>,
    driver: &'static ManualDriver,
}

impl Context for Own {
    fn scheduler(&self) -> &Scheduler<Self> {
        self.scheduler
    }

    fn now(&self) -> Instant {
        self.driver.now()
    }

    fn wait(&self, deadline: Option<Instant>) {
        self.driver.wait(deadline);
    }
}

struct Tables {
    calls: [MaybeUninit<CallSlot<Own>>; CALLS],
    heap: [MaybeUninit<HeapEntry>; CALLS],
    wheel: [MaybeUninit<Wheel>; 1],
    futures: [MaybeUninit<FutureSlot>; 1],
    tasks: [MaybeUninit<TaskSlot<Own>>; 1],
    bodies: [MaybeUninit<u64>; 8],
    cells: [WakeCell; 1],
    call_links: [Link; CALLS],
    task_links: [[Link; 2]; 1],
    wake: MaybeUninit<WakeTable>,
    scheduler: MaybeUninit<Scheduler<Own>>,
}

static TABLES: OneThread<UnsafeCell<Tables>> = OneThread(UnsafeCell::new(Tables {
    calls: [const { MaybeUninit::uninit() }; CALLS],
    heap: [const { MaybeUninit::uninit() }; CALLS],
    wheel: [const { MaybeUninit::uninit() }; 1],
    futures: [const { MaybeUninit::uninit() }; 1],
    tasks: [const { MaybeUninit::uninit() }; 1],
    bodies: [const { MaybeUninit::uninit() }; 8],
    cells: [const { WakeCell::new() }; 1],
    call_links: [[0; 2]; CALLS],
    task_links: [[[0; 2]; 2]; 1],
    wake: MaybeUninit::uninit(),
    scheduler: MaybeUninit::uninit(),
}));

pub fn scenario(driver: &'static ManualDriver) -> Checked {
    // SAFETY: the only reference there is: this function is called once.
    let tables = unsafe { &mut *TABLES.0.get() };
    let wake = tables.wake.write(WakeTable::new(
        &tables.cells,
        &mut tables.call_links,
        &mut tables.task_links,
        driver.doorbell(),
    ));
    let memory = Memory {
        calls: Region::new(&mut tables.calls),
        threadsafe_calls: 4,
        heap: Region::new(&mut tables.heap),
        wheel: Region::new(&mut tables.wheel),
        futures: Region::new(&mut tables.futures),
        tasks: Region::new(&mut tables.tasks),
        bodies: Bodies::new(&mut tables.bodies, 8, |_| {}),
        wake,
    };
    let scheduler = tables.scheduler.write(Scheduler::new(memory, Limits::DEFAULT));
    let own = Own { scheduler, driver };
    order(own)?;
    many(own)?;
    own.scheduler.close(&own).or_fail()
}

fn call_later(
    own: Own,
    delay: Duration,
    callback: impl FnOnce(&Own) + 'static,
) -> Result<TimerHandle<Own>, &'static Location<'static>> {
    own.scheduler.call_later(&own, delay, callback, Callback::new, Location::caller()).or_fail()
}

/// Near and far timers fire in one order, and a cancelled one not at all.
fn order(own: Own) -> Checked {
    let start = own.now();
    call_later(own, Duration::from_secs(1_000_000), |own| own.scheduler.stop())?;
    call_later(own, ms(500), |_| trace(4))?;
    call_later(own, ms(1), |_| trace(2))?;
    call_later(own, ms(500), |_| trace(5))?;
    call_later(own, Duration::from_micros(1), |_| trace(1))?;
    call_later(own, ms(70), |_| trace(9))?.cancel();
    call_later(own, ms(70), |_| trace(3))?;
    call_later(own, Duration::MAX, |_| trace(9))?.cancel();
    own.scheduler.run_forever(&own).or_fail()?;
    check(own.now() - start == Duration::from_secs(1_000_000))?;
    check_trace(12345)
}

/// Timers of one bucket move on a few a turn, and none gets lost.
fn many(own: Own) -> Checked {
    own.scheduler.set_limits(Limits { timers_per_turn: 3, turns_per_poll: 1 });
    for count in 0..18 {
        call_later(own, Duration::from_secs(5) + Duration::from_nanos(count), |_| trace(1))?;
    }
    while own.scheduler.statistics().timers > 0 {
        own.scheduler.run_once(&own).or_fail()?;
    }
    check_trace(111_111_111_111_111_111)
}
