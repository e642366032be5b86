//! What an instrument sees: each callback and step, each wait.

use core::cell::RefCell;

use rondel_core::{EventLoopHandle, Histogram, Instant, Instrument, Resource, RunError, Running};

use crate::fixture::{Calls, core_loop, leak};

#[derive(Default)]
struct Recorder(RefCell<Vec<String>>);

impl Instrument for Recorder {
    fn before_callback(&self, running: &Running) {
        let what = if running.task().is_some() { "step" } else { "callback" };
        self.0.borrow_mut().push(format!("before {what}"));
    }

    fn after_callback(&self, _: &Running) {
        self.0.borrow_mut().push("after".into());
    }

    fn before_wait(&self, deadline: Option<Instant>) {
        self.0.borrow_mut().push(format!("wait {deadline:?}"));
    }

    fn after_wait(&self) {
        self.0.borrow_mut().push("waited".into());
    }
}

// R-1, DB-6
#[test]
fn instrument_sees_waits_callbacks_and_steps_in_order() {
    let f = core_loop();
    let recorder: &'static Recorder = leak(Recorder::default());
    f.context.set_instrument(Some(recorder));
    f.context.soon(|_: &_| ()).unwrap();
    f.context.task(async {});
    f.context.later(7, |_: &_| ()).unwrap();
    f.scheduler().run_once(&f.context).unwrap();
    f.scheduler().run_once(&f.context).unwrap();
    f.context.set_instrument(None);
    f.context.soon(|_: &_| ()).unwrap();
    f.turn();
    assert_eq!(
        recorder.0.take(),
        [
            "wait Some(0.000000000s)", // something is ready: does not wait
            "waited",
            "before callback", // by call_soon
            "after",
            "before step", // of the task
            "after",
            "wait Some(0.000000007s)", // until the next deadline
            "waited",
            "before callback", // of the timer
            "after",
        ]
    );
    assert_eq!((f.statistics().iterations, f.statistics().callbacks), (3, 4));
}

// without a deadline it waits for ever
#[test]
fn waits_are_until_the_next_deadline_or_for_ever() {
    let f = core_loop();
    f.driver.set_idle_hook(None);
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!((f.driver.last_deadline(), f.driver.idle_waits()), (None, 1));
    let timer = f.context.later(1 << 62, |_: &_| ()).unwrap();
    f.driver.set_jumps(false);
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!(f.driver.last_deadline(), Some(Instant::from_nanos(1 << 62)));
    timer.cancel();
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!(f.driver.last_deadline(), None);
}

// `Limits::turns_per_poll`
#[test]
fn busy_loop_looks_at_the_outside_every_so_many_turns() {
    fn again(c: &rondel_core::EventLoopHandle, left: u32) {
        if left == 0 {
            return c.stop();
        }
        c.soon(move |c: &_| again(c, left - 1)).unwrap();
    }
    let f = core_loop();
    f.scheduler().set_limits(rondel_core::Limits { turns_per_poll: 4, ..rondel_core::Limits::DEFAULT });
    again(&f.context, 16);
    f.run_forever().unwrap();
    assert_eq!(f.driver.waits(), 4);
}

/// Schedules something, once, when the loop is about to sleep.
struct LastMoment(EventLoopHandle, RefCell<Option<fn(&EventLoopHandle)>>);

impl Instrument for LastMoment {
    fn before_wait(&self, _: Option<Instant>) {
        if let Some(act) = self.1.take() {
            act(&self.0);
        }
    }
}

// Invariant 7: the idle hook of the fixture panics if the loop sleeps on it
#[test]
fn what_an_instrument_schedules_before_a_wait_is_not_slept_on() {
    let acts: [fn(&EventLoopHandle); 3] = [
        |c| assert!(c.soon(|c: &EventLoopHandle| c.stop()).is_ok()),
        |c| assert!(c.later(5, |c: &EventLoopHandle| c.stop()).is_ok()),
        EventLoopHandle::stop,
    ];
    for act in acts {
        let f = core_loop();
        let instrument: &'static LastMoment = leak(LastMoment(f.context, RefCell::new(Some(act))));
        f.context.set_instrument(Some(instrument));
        f.run_forever().unwrap();
        assert_eq!(f.driver.idle_waits(), 0);
    }
}

/// Measures as a microcontroller would.
#[derive(Default)]
struct Meter {
    lateness: RefCell<Histogram>,
    ready: RefCell<Vec<usize>>,
}

impl Instrument for Meter {
    fn before_batch(&self, ready: usize) {
        self.ready.borrow_mut().push(ready);
    }

    fn timer_lateness(&self) -> Option<&RefCell<Histogram>> {
        Some(&self.lateness)
    }
}

#[test]
fn an_instrument_learns_how_late_timers_are_and_how_much_is_ready() {
    let f = core_loop();
    let meter: &'static Meter = leak(Meter::default());
    f.context.later(5, |_: &_| ()).unwrap();
    f.context.set_instrument(Some(meter));
    f.context.later(10, |_: &_| ()).unwrap();
    f.context.soon(|_: &_| ()).unwrap();
    let driver = f.driver;
    f.context.soon(move |_: &_| driver.advance(core::time::Duration::from_nanos(30))).unwrap();
    f.turn();
    assert_eq!(meter.lateness.borrow().count(), 0, "nothing was due");
    f.turn();
    let late = *meter.lateness.borrow();
    assert_eq!((late.count(), late.sum(), late.max()), (2, 25 + 20, 25));
    assert_eq!(meter.ready.take(), [2, 2]);
    // Borrowed, it is left alone.
    let borrowed = meter.lateness.borrow_mut();
    f.context.later(0, |_: &_| ()).unwrap();
    f.turn();
    drop(borrowed);
    assert_eq!((*meter.lateness.borrow(), f.statistics().timers), (late, 0));
}

#[test]
fn refusals_are_counted_by_resource() {
    let f = crate::fixture::event_loop::<2, 1, 1, 64>();
    let future = f.context.create_future::<u8>().unwrap();
    f.context.create_future::<u8>().unwrap_err();
    f.context.create_future::<u8>().unwrap_err();
    let large = async {
        let kept = [0_u64; 9];
        core::future::pending::<()>().await;
        core::hint::black_box(kept);
    };
    f.context.create_task(large).unwrap_err();
    let task = f.context.create_task(core::future::pending::<()>()).unwrap();
    f.context.create_task(async {}).unwrap_err();
    assert!(matches!(f.block_on(async {}), Err(RunError::Refused(_))));
    for _ in 0..2 {
        f.context.soon(|_: &_| ()).unwrap();
    }
    f.context.soon(|_: &_| ()).unwrap_err();
    f.context.later(1, |_: &_| ()).unwrap_err();
    future.add_done_callback(|_, _| ()).unwrap_err();
    let refusals = f.statistics().refusals;
    let counted: Vec<_> = refusals.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(
        counted,
        [(Resource::Call, 3), (Resource::Future, 2), (Resource::Task, 2), (Resource::TaskBody, 1)]
    );
    assert_eq!(refusals.total(), 8);
    drop(task);
}
