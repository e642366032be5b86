//! libuv, as a C program would use it: handles of its own, made once.
#![allow(unsafe_code, reason = "knows what the bells were made with")]

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use core::time::Duration;
use std::sync::Mutex;

use super::uv::{Bell, Handle, Idle, Loop, Mode, Timer};
use crate::calls::{BURST, work};
use crate::case::{Random, Unavailable, ns_each};
use crate::lateness::Log;
use crate::threads::{Answer, Call, Flood, asking};
use crate::timers::{arm_and_fire, far, near};

type Round<F> = Result<F, Unavailable>;

/// Starts so many idle handles a turn, which run once.
pub(crate) fn burst(turns: usize) -> Round<impl FnMut() -> f64> {
    extern "C" fn call(handle: Handle) {
        let idle = Idle(handle);
        work(idle.number() as u64);
        idle.stop();
    }
    let event_loop = Loop::new();
    let idles: Vec<Idle> = (0..BURST).map(|_| event_loop.idle()).collect();
    Ok(move || {
        ns_each(turns * BURST, || {
            for _ in 0..turns {
                for (number, idle) in idles.iter().enumerate() {
                    idle.set_number(number);
                    idle.start(call);
                }
                event_loop.run(Mode::NoWait);
            }
        })
    })
}

/// Lets an idle handle be called in each iteration.
pub(crate) fn chain(count: usize) -> Round<impl FnMut() -> f64> {
    extern "C" fn call(handle: Handle) {
        let idle = Idle(handle);
        let left = idle.number() - 1;
        idle.set_number(left);
        if left == 0 {
            idle.stop();
        }
    }
    let event_loop = Loop::new();
    let idle = event_loop.idle();
    Ok(move || {
        ns_each(count, || {
            idle.set_number(count);
            idle.start(call);
            event_loop.run(Mode::Default);
        })
    })
}

/// Rounds up, as timers never come early.
fn whole_ms(delay: Duration) -> u64 {
    delay.as_nanos().div_ceil(1_000_000) as u64
}

pub(crate) fn rearm(outstanding: usize, count: usize) -> Round<impl FnMut() -> f64> {
    extern "C" fn nothing(_: Handle) {}
    let mut random = Random::new();
    let event_loop = Loop::new();
    let mut arm = move |timer: Timer| timer.start(nothing, whole_ms(far(&mut random)));
    let timers: Vec<Timer> = (0..outstanding).map(|_| event_loop.timer()).collect();
    timers.iter().for_each(|timer| arm(*timer));
    let mut random = Random::new();
    Ok(move || {
        ns_each(count, || {
            for _ in 0..count {
                let timer = timers[random.below(outstanding as u64) as usize];
                timer.stop();
                arm(timer);
            }
        })
    })
}

pub(crate) fn fire(count: usize) -> Round<impl FnMut() -> f64> {
    static FIRED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn fire(_: Handle) {
        FIRED.store(FIRED.load(Relaxed) + 1, Relaxed);
    }
    let mut random = Random::new();
    let mut event_loop = Loop::new();
    let timers: Vec<Timer> = (0..count).map(|_| event_loop.timer()).collect();
    Ok(move || {
        FIRED.store(0, Relaxed);
        arm_and_fire(
            &mut event_loop,
            count,
            |event_loop| {
                event_loop.update_time();
                timers.iter().for_each(|timer| timer.start(fire, whole_ms(near(&mut random))));
            },
            |event_loop| {
                while FIRED.load(Relaxed) < count {
                    event_loop.run(Mode::NoWait);
                }
            },
        )
    })
}

pub(crate) fn lateness(count: usize) -> Round<impl FnMut() -> f64> {
    static FIRED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn fire(_: Handle) {
        FIRED.fetch_add(1, Relaxed);
    }
    let event_loop = Loop::new();
    let timer = event_loop.timer();
    Ok(move || {
        FIRED.store(0, Relaxed);
        let mut log = Log::new();
        for number in 0..count {
            let delay = log.begin();
            event_loop.update_time();
            timer.start(fire, whole_ms(delay));
            while FIRED.load(Relaxed) == number {
                event_loop.run(Mode::Once);
            }
            log.end();
        }
        log.median()
    })
}

/// Is a queue beside a bell.
struct Queue<T> {
    items: Mutex<Vec<T>>,
    /// Is how many a flood has left.
    left: AtomicUsize,
    is_over: AtomicBool,
}

impl<T> Queue<T> {
    fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            items: Mutex::default(),
            left: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }))
    }

    fn push(&self, bell: Bell, item: T) {
        self.items.lock().expect("isn't poisoned").push(item);
        bell.ring();
    }

    fn take(&self) -> Vec<T> {
        core::mem::take(&mut *self.items.lock().expect("isn't poisoned"))
    }
}

/// Puts each call into a queue, and rings for each, as there is no queue in
/// libuv.
pub(crate) fn flood(flood: Flood) -> Round<impl FnMut() -> f64> {
    extern "C" fn receive(handle: Handle) {
        // SAFETY: the bell was made with such a queue.
        let queue: &Queue<Call> = unsafe { handle.bell_data() };
        let calls = queue.take();
        let left = queue.left.load(Relaxed) - calls.len();
        queue.left.store(left, Relaxed);
        calls.into_iter().for_each(Call::run);
        if left == 0 {
            handle.stop_loop();
        }
    }
    let event_loop = Loop::new();
    let queue = Queue::new();
    let bell = event_loop.bell(receive, queue);
    Ok(move || {
        queue.left.store(flood.total(), Relaxed);
        flood.measure(move || move || queue.push(bell, Call::new()), || event_loop.run(Mode::Default))
    })
}

pub(crate) fn round_trip(count: usize) -> Round<impl FnMut() -> f64> {
    extern "C" fn receive(handle: Handle) {
        // SAFETY: the bell was made with such a queue.
        let queue: &Queue<Answer> = unsafe { handle.bell_data() };
        queue.take().iter().for_each(Answer::give);
        if queue.is_over.load(Relaxed) {
            handle.stop_loop();
        }
    }
    let event_loop = Loop::new();
    let queue = Queue::<Answer>::new();
    let bell = event_loop.bell(receive, queue);
    Ok(move || {
        queue.is_over.store(false, Relaxed);
        let ask = move |answer: &Answer| queue.push(bell, answer.clone());
        let stop = move || {
            queue.is_over.store(true, Relaxed);
            bell.ring();
        };
        let asking = asking(count, Duration::ZERO, ask, stop);
        event_loop.run(Mode::Default);
        asking.median()
    })
}
