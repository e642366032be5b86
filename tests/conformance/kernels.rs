//! The same program on each kernel gives the same trace.

use core::time::Duration;

use rondel::{Config, Error, EventLoop, EventLoopHandle};

use crate::fixture::{Trace, small};

async fn child(
    event_loop: EventLoopHandle,
    trace: Trace,
    name: &'static str,
    millis: u64,
) -> Result<(), Error> {
    trace.push(format!("{name} starts"));
    event_loop.sleep(Duration::from_millis(millis)).await?;
    trace.push(format!("{name} slept"));
    Ok(())
}

fn program(event_loop: &EventLoop) -> Vec<String> {
    let (trace, handle) = (Trace::new(), event_loop.handle());
    let noted = trace.clone();
    event_loop
        .run_until_complete(async move {
            let a = handle.create_task(child(handle.clone(), noted.clone(), "a", 20))?;
            let b = handle.create_task(child(handle.clone(), noted.clone(), "b", 10))?;
            handle.call_soon(noted.note("soon"))?;
            handle.call_later(Duration::from_millis(15), noted.note("later"))?;
            noted.push("main");
            b.await??;
            noted.push("b done");
            a.await??;
            noted.push("a done");
            let future = handle.create_future::<()>()?;
            for what in ["callback 1", "callback 2"] {
                let noted = noted.clone();
                future
                    .add_done_callback(move |_, _| noted.push(what))
                    .map_err(|refused| Error::from(refused.refusal()))?;
            }
            let _ = future.set_result(());
            noted.push("set");
            future.await?;
            noted.push("future");
            handle.yield_now().await?;
            noted.push("end");
            Ok::<(), Error>(())
        })
        .unwrap();
    trace.take()
}

/// Was recorded with CPython 3.11.
const CPYTHON: [&str; 14] = [
    "main", // `create_task` runs nothing (TK-1)
    "a starts",
    "b starts",
    "soon",
    "b slept",
    "b done",
    "later",
    "a slept",
    "a done",
    "set",
    "future", // done already: no iteration is given up
    "callback 1",
    "callback 2",
    "end",
];

/// Is how often the program may run by the real clock: on a busy machine a turn
/// that comes 5 ms late finds two timers due at once.
const ATTEMPTS: usize = 20;

#[test]
fn the_real_kernel_gives_cpythons_trace() {
    // R-1, CS-2, F-4, TK-1
    for config in [small(), Config::default()] {
        let mut traces = (0..ATTEMPTS).map(|_| program(&EventLoop::with_config(config.clone()).unwrap()));
        assert!(traces.any(|trace| trace == CPYTHON), "never in {ATTEMPTS} attempts");
    }
}

#[test]
fn the_manual_clock_gives_cpythons_trace() {
    assert_eq!(program(&EventLoop::with_manual_clock(small()).unwrap().0), CPYTHON);
}

#[test]
fn the_kernel_without_descriptors_gives_cpythons_trace() {
    assert_eq!(program(&EventLoop::without_descriptors(small()).unwrap()), CPYTHON);
}

#[test]
fn a_wait_that_nothing_can_end_is_an_error_without_descriptors_and_the_next_run_is_not_told() {
    let event_loop = EventLoop::without_descriptors(small()).unwrap();
    let error = event_loop.run_forever().unwrap_err();
    assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::Deadlock);
    event_loop.call_soon(|event_loop| event_loop.stop()).unwrap();
    event_loop.run_forever().unwrap();
    let stuck = event_loop.run_until_complete(core::future::pending::<Result<(), Error>>());
    assert_eq!(stuck.unwrap_err().as_io().unwrap().kind(), std::io::ErrorKind::Deadlock);
    assert_eq!(program(&event_loop), CPYTHON);
}
