//! Callbacks, timers and handlers.

use rondel_core::{EventLoop, Limits};

use crate::check::{Checked, OrFail, check, check_trace, ms, trace};

pub fn scenario(event_loop: &EventLoop) -> Checked {
    order(event_loop)?;
    full(event_loop)?;
    handlers(event_loop)
}

fn order(event_loop: &EventLoop) -> Checked {
    let now = event_loop.time();
    event_loop.call_soon(|_| trace(1)).or_fail()?;
    event_loop.call_later(ms(20), |_| trace(4)).or_fail()?;
    let timer = event_loop.call_at(now + ms(10), |_| trace(3)).or_fail()?;
    check(timer.when() == now + ms(10) && !timer.cancelled())?;
    event_loop.call_later(ms(30), |event_loop| event_loop.stop()).or_fail()?;
    event_loop.call_soon(|_| trace(2)).or_fail()?;

    let soon = event_loop.call_soon(|_| trace(9)).or_fail()?;
    let later = event_loop.call_later(ms(5), |_| trace(9)).or_fail()?;
    soon.cancel();
    later.cancel();
    check(soon.cancelled() && later.cancelled())?;
    drop(event_loop.call_soon(|_| trace(9)).or_fail()?.cancel_on_drop());
    drop(event_loop.call_later(ms(5), |_| trace(9)).or_fail()?.cancel_on_drop());

    event_loop.run_forever().or_fail()?;
    check(event_loop.time() - now == ms(30))?;
    check_trace(1234)
}

fn full(event_loop: &EventLoop) -> Checked {
    event_loop.set_limits(Limits { timers_per_turn: 3, turns_per_poll: 2 });
    let mut armed = 0;
    let refused = loop {
        match event_loop.call_later(ms(armed % 3), |_| trace(1)) {
            Ok(_) => armed += 1,
            Err(refused) => break refused,
        }
    };
    check(armed == 16 && refused.is_full() && !refused.is_too_large() && !refused.is_closed())?;
    refused.into_value()(&event_loop.handle());
    check_trace(1)?;
    while event_loop.statistics().calls.live > 0 {
        event_loop.run_once().or_fail()?;
    }
    check_trace(1_111_111_111_111_111)?;
    event_loop.set_limits(Limits::DEFAULT);
    Ok(())
}

fn handlers(event_loop: &EventLoop) -> Checked {
    let mut count = 0;
    let handler = event_loop
        .add_handler(move |_| {
            count += 1;
            trace(count);
        })
        .or_fail()?;
    for _ in 0..2 {
        check(event_loop.make_ready(handler) && !event_loop.make_ready(handler))?;
        event_loop.run_once().or_fail()?;
    }
    check(event_loop.remove_handler(handler))?;
    check(!event_loop.remove_handler(handler) && !event_loop.make_ready(handler))?;
    check_trace(12)
}
