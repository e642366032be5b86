//! calloop.

use core::time::Duration;
use std::rc::Rc;
use std::time::Instant;

use calloop::channel::{Event, channel};
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, LoopHandle, RegistrationToken};

use crate::calls::{BURST, work};
use crate::case::{Random, ns_each};
use crate::lateness::Log;
use crate::threads::{Answer, Call, Flood, asking};
use crate::timers::{arm_and_fire, far, near};

fn event_loop<Data>() -> EventLoop<'static, Data> {
    EventLoop::try_new().expect("opens")
}

/// Runs one iteration without waiting.
fn turn<Data>(event_loop: &mut EventLoop<'static, Data>, data: &mut Data) {
    event_loop.dispatch(Duration::ZERO, data).expect("polls");
}

pub(crate) fn burst(turns: usize) -> impl FnMut() -> f64 {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    move || {
        ns_each(turns * BURST, || {
            for _ in 0..turns {
                for number in 0..BURST as u64 {
                    handle.insert_idle(move |()| work(number));
                }
                turn(&mut event_loop, &mut ());
            }
        })
    }
}

pub(crate) fn chain(count: usize) -> impl FnMut() -> f64 {
    fn next(handle: &Rc<LoopHandle<'static, usize>>) {
        let again = Rc::clone(handle);
        handle.insert_idle(move |left| {
            *left -= 1;
            if *left > 0 {
                next(&again);
            }
        });
    }
    let mut event_loop = event_loop::<usize>();
    let handle = Rc::new(event_loop.handle());
    move || {
        let mut left = count;
        ns_each(count, || {
            next(&handle);
            while left > 0 {
                turn(&mut event_loop, &mut left);
            }
        })
    }
}

pub(crate) fn rearm(outstanding: usize, count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let event_loop = event_loop::<()>();
    let begun = Instant::now();
    let mut arm = move |handle: &LoopHandle<'static, ()>| {
        let timer = Timer::from_deadline(begun + far(&mut random));
        handle.insert_source(timer, |_, _, ()| TimeoutAction::Drop).expect("has room")
    };
    let handle = event_loop.handle();
    let mut timers: Vec<RegistrationToken> = (0..outstanding).map(|_| arm(&handle)).collect();
    let mut random = Random::new();
    move || {
        // The sources live as long as the loop.
        let handle = event_loop.handle();
        ns_each(count, || {
            for _ in 0..count {
                let place = random.below(outstanding as u64) as usize;
                let armed = arm(&handle);
                handle.remove(core::mem::replace(&mut timers[place], armed));
            }
        })
    }
}

pub(crate) fn fire(count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let mut event_loop = event_loop::<usize>();
    move || {
        arm_and_fire(
            &mut event_loop,
            count,
            |event_loop| {
                let (handle, start) = (event_loop.handle(), Instant::now());
                for _ in 0..count {
                    let timer = Timer::from_deadline(start + near(&mut random));
                    let fire = |_, (): &mut _, fired: &mut usize| {
                        *fired += 1;
                        TimeoutAction::Drop
                    };
                    handle.insert_source(timer, fire).expect("has room");
                }
            },
            |event_loop| {
                let mut fired = 0;
                while fired < count {
                    turn(event_loop, &mut fired);
                }
            },
        )
    }
}

pub(crate) fn lateness(count: usize) -> impl FnMut() -> f64 {
    let mut event_loop = event_loop::<Log>();
    let handle = event_loop.handle();
    move || {
        let mut log = Log::new();
        for number in 0..count {
            let timer = Timer::from_duration(log.begin());
            let fire = |_, (): &mut _, log: &mut Log| {
                log.end();
                TimeoutAction::Drop
            };
            handle.insert_source(timer, fire).expect("has room");
            while log.len() == number {
                event_loop.dispatch(None, &mut log).expect("polls");
            }
        }
        log.median()
    }
}

pub(crate) fn flood(flood: Flood) -> impl FnMut() -> f64 {
    move || {
        let mut event_loop = event_loop::<usize>();
        let (sender, receiver) = channel::<Call>();
        let receive = |event, (): &mut _, received: &mut usize| {
            if let Event::Msg(call) = event {
                Call::run(call);
                *received += 1;
            }
        };
        event_loop.handle().insert_source(receiver, receive).expect("has room");
        let make_call = move || {
            let sender = sender.clone();
            move || sender.send(Call::new()).expect("is open")
        };
        flood.measure(make_call, || {
            let mut received = 0;
            while received < flood.total() {
                event_loop.dispatch(None, &mut received).expect("polls");
            }
        })
    }
}

pub(crate) fn round_trip(count: usize) -> impl FnMut() -> f64 {
    move || {
        let mut event_loop = event_loop::<bool>();
        let (sender, receiver) = channel::<Answer>();
        let receive = |event: Event<Answer>, (): &mut _, is_over: &mut bool| match event {
            Event::Msg(answer) => answer.give(),
            Event::Closed => *is_over = true,
        };
        event_loop.handle().insert_source(receiver, receive).expect("has room");
        let ask = move |answer: &Answer| sender.send(answer.clone()).expect("is open");
        let asking = asking(count, Duration::ZERO, ask, || ());
        let mut is_over = false;
        while !is_over {
            event_loop.dispatch(None, &mut is_over).expect("polls");
        }
        asking.median()
    }
}
