//! Streams of signals, and waits for one.

use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;

use rondel::Signal;

use super::{count, disposition, raise, real_time};
use crate::fixture::{manual, panics, propagating, scenarios, turns};

scenarios! {
    a_stream_brings_each_signal_once_the_lowest_first
    a_stream_that_is_dropped_or_cancelled_in_a_wait_loses_no_signal
    a_stream_can_be_waited_for_by_a_waker_of_somebody_else
    a_panicking_waker_costs_the_other_streams_nothing
    a_stream_of_a_closed_loop_answers_closed
    waiting_for_one_of_a_set_listens_only_meanwhile
}

fn a_stream_brings_each_signal_once_the_lowest_first() {
    let (low, high) = (Signal::SIGURG, real_time(26));
    let event_loop = manual();
    let mut first = event_loop.signals([high, low]).unwrap();
    let mut second = event_loop.signals([high]).unwrap();
    let calls = count(&event_loop, high);
    [high, low, high, high].into_iter().for_each(raise);
    let got = event_loop.run_until_complete(async {
        let got = [first.next().await?, first.next().await?, second.next().await?];
        raise(low);
        Ok::<_, rondel::Error>((got, first.next().await?))
    });
    assert_eq!(got.unwrap(), ([low, high, high], low));
    assert_eq!(calls.get(), 1);
    // Without a signal the wait goes on.
    let handle = event_loop.handle();
    let timed_out = event_loop.run_until_complete(handle.timeout(Duration::from_secs(60), second.next()));
    assert!(timed_out.unwrap_err().is_timed_out());
}

fn a_stream_that_is_dropped_or_cancelled_in_a_wait_loses_no_signal() {
    let signal = real_time(27);
    let event_loop = manual();
    let handle = event_loop.handle();
    let waiting = event_loop
        .create_task(async move {
            let mut signals = handle.signals([signal])?;
            let cancelled = signals.next().await.unwrap_err();
            assert!(cancelled.is_cancelled());
            // A wait that is dropped, and one that finds what has come meanwhile.
            assert!(futures_lite::future::poll_once(signals.next()).await.is_none());
            raise(signal);
            handle.yield_now().await?;
            drop(signals.next());
            signals.next().await
        })
        .unwrap();
    turns(&event_loop, 1);
    waiting.cancel();
    assert_eq!(event_loop.run_until_complete(waiting).unwrap().unwrap(), signal);
    // The signal and the request to cancel come in one turn.
    let handle = event_loop.handle();
    let waiting = event_loop
        .create_task(async move {
            let mut signals = handle.signals([signal])?;
            assert!(signals.next().await.unwrap_err().is_cancelled());
            signals.next().await
        })
        .unwrap();
    turns(&event_loop, 1);
    raise(signal);
    waiting.cancel();
    assert_eq!(event_loop.run_until_complete(waiting).unwrap().unwrap(), signal);
    assert_eq!(event_loop.statistics().calls.live, 0);
}

fn a_stream_can_be_waited_for_by_a_waker_of_somebody_else() {
    let signals = [real_time(28), Signal::SIGXCPU];
    let event_loop = manual();
    let handle = event_loop.handle();
    let got = event_loop.run_until_complete(async {
        let mut streams = [handle.signals([signals[0]])?, handle.signals([signals[1]])?];
        let [first, second] = &mut streams;
        handle.call_soon(move |_| raise(signals[1])).map_err(rondel::Error::from)?;
        let signal = futures_lite::future::or(first.next(), second.next()).await?;
        Ok::<_, rondel::Error>(signal)
    });
    assert_eq!(got.unwrap(), signals[1]);
    assert_eq!(event_loop.statistics().calls.live, 0);
    // Polled from outside of the loop, it takes a slot until the stream is dropped.
    let mut stream = event_loop.signals([signals[0]]).unwrap();
    for _ in 0..3 {
        assert!(stream.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(event_loop.statistics().calls.live, 1);
    }
    drop(stream);
    assert_eq!(event_loop.statistics().calls.live, 0);
}

/// Panics when it is woken, or notes it.
struct Woken(bool, AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::Relaxed);
        assert!(!self.0, "a waker that panics");
    }
}

fn a_panicking_waker_costs_the_other_streams_nothing() {
    // W-08
    let signal = Signal::SIGPROF;
    for event_loop in [manual(), propagating()] {
        let wakers = [true, false].map(|panics| Arc::new(Woken(panics, AtomicBool::new(false))));
        let mut streams = [(); 2].map(|()| event_loop.signals([signal]).unwrap());
        for (stream, waker) in streams.iter_mut().zip(&wakers) {
            let waker = Waker::from(Arc::clone(waker));
            assert!(stream.poll_next(&mut Context::from_waker(&waker)).is_pending());
        }
        raise(signal);
        panics(|| turns(&event_loop, 1));
        assert!(wakers.iter().all(|waker| waker.1.load(Ordering::Relaxed)));
        for stream in &mut streams {
            let polled = stream.poll_next(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready(Ok(got)) if got == signal));
        }
    }
}

fn a_stream_of_a_closed_loop_answers_closed() {
    let signal = real_time(29);
    let before = disposition(signal);
    let event_loop = manual();
    let mut stream = event_loop.signals([signal]).unwrap();
    assert!(stream.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
    event_loop.close().unwrap();
    assert_eq!(disposition(signal), before);
    let polled = pin!(stream.next()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(error)) if error.is_closed()));
    drop(stream);
    assert_eq!(disposition(signal), before);
}

fn waiting_for_one_of_a_set_listens_only_meanwhile() {
    let set = [real_time(30), Signal::SIGUSR2];
    let before = set.map(disposition);
    let event_loop = manual();
    let handle = event_loop.handle();
    let waiting = handle.wait_signal(set);
    assert_eq!(set.map(disposition), before);
    event_loop.call_later(Duration::from_secs(1), move |_| raise(set[1])).unwrap();
    assert_eq!(event_loop.run_until_complete(waiting).unwrap(), set[1]);
    assert_eq!(set.map(disposition), before);
}
