//! Debug mode: DB.

use core::time::Duration;
use std::io::Write;
use std::process::Command;

use rondel::{AfterEof, Config, EventLoop, ManualClock, SubprocessProtocol, SubprocessTransport};

use crate::fixture::{Oops, Trace, log_lines, logged, manual_with, quietly, run_until_idle, small, turns};
use crate::probe::{Told, wire};

#[test]
fn debug_mode_is_off_at_first_and_can_be_changed_at_any_time() {
    // DB-1
    let (event_loop, _clock) = manual_with(small());
    assert!(!event_loop.debug());
    event_loop
        .call_soon(|event_loop| {
            event_loop.set_debug(true);
            event_loop.call_soon(|event_loop| event_loop.set_debug(false)).unwrap();
        })
        .unwrap();
    event_loop.run_once().unwrap();
    assert!(event_loop.debug());
    run_until_idle(&event_loop);
    assert!(!event_loop.debug());
}

#[test]
fn debug_mode_is_on_by_the_environment() {
    // DB-1: read in a process of its own, which is this test once more.
    const CHILD: &str = "RONDEL_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return println!("debug={}", EventLoop::new().unwrap().debug());
    }
    for (value, expected) in [(Some("1"), "debug=true"), (Some(""), "debug=false"), (None, "debug=false")] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "test_debug::debug_mode_is_on_by_the_environment", "--nocapture"]);
        command.env(CHILD, "1").env_remove("RONDEL_DEBUG");
        if let Some(value) = value {
            command.env("RONDEL_DEBUG", value);
        }
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(output.contains(expected), "{value:?}: {output}");
    }
}

#[test]
fn a_slow_callback_or_step_is_named_with_its_duration_after_it_ended() {
    // DB-2, DB-4
    log_lines();
    let (event_loop, clock) = manual_with(Config { debug: true, ..small() });
    let (slow, step) = (clock.clone(), clock.clone());
    event_loop.call_soon(move |_| slow.advance(Duration::from_millis(250))).unwrap();
    event_loop.call_soon(move |_| clock.advance(Duration::from_millis(99))).unwrap();
    event_loop.create_task(async move { step.advance(Duration::from_millis(100)) }).unwrap();
    run_until_idle(&event_loop);
    let lines = logged(log::Level::Warn);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("callback") && lines[0].contains("0.250 seconds"), "{}", lines[0]);
    assert!(lines[0].contains("test_debug.rs"), "the creation site: {}", lines[0]);
    assert!(lines[1].contains("Task-") && lines[1].contains("0.100 seconds"), "{}", lines[1]);
}

#[test]
fn db2_a_slow_method_is_named_with_its_protocol_and_its_descriptor() {
    log_lines();
    let (event_loop, clock) = manual_with(Config { debug: true, ..small() });
    let mut wire = wire(&event_loop, move |told, _| {
        match told {
            Told::Data(_) => clock.advance(Duration::from_millis(100)),
            Told::Lost(_) => clock.advance(Duration::from_millis(99)),
            _ => {}
        }
        Ok(AfterEof::Close)
    });
    wire.peer.write_all(b"x").unwrap();
    turns(&event_loop, 2);
    wire.transport.close();
    turns(&event_loop, 2);
    let lines = logged(log::Level::Warn);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let begin = "Executing data_received of conformance::probe::Probe with fd=";
    assert!(lines[0].starts_with(begin) && lines[0].contains(", in a callback created at "), "{}", lines[0]);
    assert!(lines[0].ends_with(" took 0.100 seconds"), "{}", lines[0]);
}

#[test]
fn db2_a_slow_method_of_a_subprocess_protocol_is_named_also_if_it_panics() {
    struct Slow(ManualClock);

    impl SubprocessProtocol for Slow {
        fn process_exited(&mut self, _: &SubprocessTransport) -> rondel::Result<()> {
            self.0.advance(Duration::from_secs(1));
            panic!("slow and broken");
        }
    }

    log_lines();
    let (event_loop, clock) = manual_with(Config { debug: true, ..small() });
    event_loop.set_exception_handler(|_, _| ());
    let child = event_loop.subprocess_exec(|| Slow(clock), "true");
    let (transport, _) = event_loop.run_until_complete(child.into_future()).unwrap();
    quietly(|| event_loop.run_until_complete(transport.wait())).unwrap();
    quietly(|| turns(&event_loop, 2));
    let lines = logged(log::Level::Warn);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("Executing process_exited of ") && lines[0].contains("::Slow, in "),
        "{lines:?}"
    );
}

#[test]
fn the_slow_callback_duration_is_settable_and_off_without_debug_mode() {
    // DB-2
    log_lines();
    let (event_loop, clock) =
        manual_with(Config { debug: true, slow_callback_duration: Duration::from_secs(1), ..small() });
    assert_eq!(event_loop.slow_callback_duration(), Duration::from_secs(1));
    event_loop.set_slow_callback_duration(Duration::from_millis(5));
    let moves = |amount: u64| {
        let clock = clock.clone();
        move |_: &rondel::EventLoopHandle| clock.advance(Duration::from_millis(amount))
    };
    event_loop.call_soon(moves(5)).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(logged(log::Level::Warn).len(), 1);
    event_loop.set_debug(false);
    event_loop.call_soon(moves(500)).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(logged(log::Level::Warn).len(), 0);
}

#[test]
fn a_callback_that_panics_is_timed_too() {
    // DB-2
    log_lines();
    let (event_loop, clock) = manual_with(Config { debug: true, ..small() });
    event_loop.set_exception_handler(|_, _| ());
    event_loop
        .call_soon(move |_| -> () {
            clock.advance(Duration::from_secs(1));
            panic!("slow and broken");
        })
        .unwrap();
    quietly(|| run_until_idle(&event_loop));
    assert_eq!(logged(log::Level::Warn).len(), 1);
}

#[test]
fn creation_sites_are_kept_for_callbacks_futures_and_tasks() {
    // DB-4: always, not only in debug mode
    let (event_loop, _clock) = manual_with(small());
    let sites = Trace::new();
    let noted = sites.clone();
    event_loop.set_exception_handler(move |_, context| {
        let location = context.location.expect("a site");
        noted.push(format!("{}:{}", location.file().rsplit('/').next().unwrap(), location.line()));
    });
    let line = line!();
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    event_loop.call_later(Duration::ZERO, |_| Err::<(), _>(Oops(2))).unwrap();
    let future = event_loop.create_future::<u8>().unwrap();
    drop(event_loop.create_task(async { Err::<(), _>(Oops(3)) }).unwrap());
    future.set_exception(Oops(4)).unwrap();
    drop(future);
    run_until_idle(&event_loop);
    let mut seen = sites.take();
    seen.sort();
    let expected: Vec<_> = (1..=4).map(|offset| format!("test_debug.rs:{}", line + offset)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn long_polls_are_logged_louder() {
    // DB-5
    let (event_loop, _clock) = manual_with(Config { debug: true, ..small() });
    log_lines();
    event_loop.call_later(Duration::from_millis(500), |_| ()).unwrap();
    run_until_idle(&event_loop);
    assert!(logged(log::Level::Info).is_empty());
    event_loop.call_later(Duration::from_secs(2), |_| ()).unwrap();
    run_until_idle(&event_loop);
    let lines = logged(log::Level::Info);
    assert!(lines.iter().any(|line| line.contains("2000.000 ms")), "{lines:?}");
}

#[test]
fn debug_mode_never_changes_what_runs_when() {
    // DB-6
    let run = |debug| {
        let (event_loop, clock) = manual_with(Config { debug, ..small() });
        let trace = Trace::new();
        for number in 0..5 {
            let (noted, later, clock) = (trace.clone(), trace.clone(), clock.clone());
            event_loop
                .call_soon(move |event_loop| {
                    clock.advance(Duration::from_secs(number));
                    noted.push(format!("soon {number}"));
                    event_loop
                        .call_later(Duration::from_millis(10 - number), move |_| {
                            later.push(format!("later {number}"));
                        })
                        .unwrap();
                })
                .unwrap();
        }
        run_until_idle(&event_loop);
        (trace.take(), event_loop.statistics().iterations)
    };
    assert_eq!(run(true), run(false));
}
