//! The exception handler: EH.

use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::rc::Rc;

use rondel::{
    Address, AfterEof, Config, DatagramProtocol, DatagramTransport, Error, EventLoop, EventLoopHandle,
    ExceptionContext, Operation, Outcome, Transport,
};

use crate::allocation::live_bytes;
use crate::fixture::{
    ALONE, Counter, Oops, Trace, any_port, break_log, defer, log_lines, logged, manual, manual_with, panics,
    propagating, quietly, reports, run_until_idle, small, turns,
};
use crate::probe::{Probe, Told, wire};

#[test]
fn without_a_handler_the_default_logs() {
    // EH-1, EH-7
    log_lines();
    let event_loop = manual();
    assert!(event_loop.exception_handler().is_none());
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    run_until_idle(&event_loop);
    let lines = logged(log::Level::Error);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("Exception in callback\n"), "{}", lines[0]);
    assert!(lines[0].contains("\nexception: oops 1"), "{}", lines[0]);
}

#[test]
fn a_handler_replaces_logging_and_resetting_it_restores_logging() {
    // EH-1, EH-2
    log_lines();
    let event_loop = manual();
    let told = reports(&event_loop);
    assert!(event_loop.exception_handler().is_some());
    event_loop.call_exception_handler(&ExceptionContext::new("one"));
    assert_eq!((told.take().len(), logged(log::Level::Error).len()), (1, 0));
    event_loop.reset_exception_handler();
    assert!(event_loop.exception_handler().is_none());
    event_loop.call_exception_handler(&ExceptionContext::new("two"));
    assert_eq!((told.count(), logged(log::Level::Error)), (0, vec!["two".to_owned()]));
}

#[test]
fn a_handler_gets_the_loop_and_the_context() {
    // EH-2, EH-3
    let (event_loop, trace) = (manual(), Trace::new());
    let noted = trace.clone();
    event_loop.set_exception_handler(move |event_loop, context| {
        noted.push(format!(
            "{} exception={} handle={} task={} location={} protocol={} transport={} socket={}",
            context.message,
            context.exception.is_some(),
            context.handle.is_some(),
            context.task.is_some(),
            context.location.is_some(),
            context.protocol.is_some(),
            context.transport.is_some(),
            context.socket.is_some(),
        ));
        event_loop.stop();
    });
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    event_loop.run_forever().unwrap();
    drop(event_loop.create_task(async { Err::<(), _>(Oops(2)) }).unwrap());
    event_loop.run_forever().unwrap();
    event_loop.call_exception_handler(&ExceptionContext::new("by hand"));
    assert_eq!(
        trace.take(),
        [
            "Exception in callback exception=true handle=true task=false location=true \
             protocol=false transport=false socket=false",
            "Task exception was never retrieved exception=true handle=false task=true location=true \
             protocol=false transport=false socket=false",
            "by hand exception=false handle=false task=false location=false \
             protocol=false transport=false socket=false",
        ]
    );
}

#[test]
fn the_default_is_told_what_a_failing_handler_was_told() {
    // EH-4, FAULTS K-03
    log_lines();
    let event_loop = manual();
    event_loop.set_exception_handler(|_, _| Err::<(), _>(rondel::Error::new(Oops(9))));
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    run_until_idle(&event_loop);
    let lines = logged(log::Level::Error);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("Unhandled error in exception handler: oops 9"), "{}", lines[0]);
    assert!(lines[0].contains("Exception in callback") && lines[0].contains("oops 1"), "{}", lines[0]);
}

#[test]
fn the_default_is_told_that_a_handler_panicked_and_the_handler_stays() {
    // EH-4, FAULTS K-03
    log_lines();
    let event_loop = manual();
    let calls = Counter::new();
    let counted = calls.clone();
    event_loop.set_exception_handler(move |_, _| -> () {
        counted.add();
        panic!("broken handler");
    });
    for _ in 0..2 {
        event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    }
    quietly(|| run_until_idle(&event_loop));
    let lines = logged(log::Level::Error);
    assert_eq!((lines.len(), calls.get()), (2, 2));
    assert!(lines[0].contains("broken handler"), "{}", lines[0]);
}

#[test]
fn a_report_from_inside_the_handler_goes_to_the_default() {
    // EH-4, FAULTS K-03
    log_lines();
    let (event_loop, trace) = (manual(), Trace::new());
    let noted = trace.clone();
    event_loop.set_exception_handler(move |event_loop, context| {
        noted.push(context.message);
        event_loop.call_exception_handler(&ExceptionContext::new("from inside"));
        let future = event_loop.create_future::<()>().unwrap();
        future.set_exception(Oops(3)).unwrap();
    });
    event_loop.call_exception_handler(&ExceptionContext::new("outer"));
    assert_eq!(trace.take(), ["outer"], "no recursion");
    let lines = logged(log::Level::Error);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "from inside");
    assert!(lines[1].starts_with("Future exception was never retrieved"), "{}", lines[1]);
}

#[test]
fn a_handler_may_replace_itself() {
    // EH-1
    let (event_loop, trace) = (manual(), Trace::new());
    let (noted, next, dropped) = (trace.clone(), trace.clone(), trace.on_drop("first dropped"));
    event_loop.set_exception_handler(move |event_loop, _| {
        let _kept = &dropped;
        let next = next.clone();
        event_loop.set_exception_handler(move |_, _| next.push("second"));
        noted.push("first");
    });
    event_loop.call_exception_handler(&ExceptionContext::new("a"));
    event_loop.call_exception_handler(&ExceptionContext::new("b"));
    assert_eq!(trace.take(), ["first", "first dropped", "second"]);
}

#[test]
fn a_failing_default_handler_is_swallowed_and_the_loop_goes_on() {
    // EH-5
    log_lines();
    let (event_loop, trace) = (manual(), Trace::new());
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    event_loop.call_soon(trace.note("next")).unwrap();
    quietly(|| {
        break_log(true);
        let _mended = defer(|| break_log(false));
        run_until_idle(&event_loop);
        event_loop.default_exception_handler(&ExceptionContext::new("by hand"));
        event_loop.set_debug(true);
        event_loop.set_slow_callback_duration(core::time::Duration::ZERO);
        event_loop.call_soon(trace.note("slow")).unwrap();
        run_until_idle(&event_loop);
    });
    assert_eq!(trace.take(), ["next", "slow"]);
}

/// Fails to print itself: by an error, or by a panic.
#[derive(Debug)]
struct Unprintable(bool);

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.0, "can't print");
        Err(fmt::Error)
    }
}

impl core::error::Error for Unprintable {}

#[test]
fn an_error_that_can_not_be_printed_does_no_harm() {
    // EH-5, FAULTS K-03
    log_lines();
    let (event_loop, trace) = (manual(), Trace::new());
    for panics in [false, true] {
        event_loop.call_soon(move |_| Err::<(), _>(Unprintable(panics))).unwrap();
    }
    event_loop.call_soon(trace.note("next")).unwrap();
    quietly(|| run_until_idle(&event_loop));
    event_loop.set_exception_handler(|_, context| {
        Err::<(), _>(rondel::Error::new(Unprintable(context.exception.is_none())))
    });
    quietly(|| {
        event_loop.call_exception_handler(&ExceptionContext::new("a"));
        event_loop.call_exception_handler(&ExceptionContext::new("b").with_exception(&Oops(1)));
    });
    assert_eq!(trace.take(), ["next"]);
    let lines = logged(log::Level::Error);
    assert!(lines.iter().any(|line| line.contains("Unhandled error in exception handler")), "{lines:?}");
}

#[test]
fn a_panic_in_the_handler_leaves_run_where_panics_propagate() {
    // EH-6
    let (event_loop, trace) = (propagating(), Trace::new());
    event_loop.set_exception_handler(|_, _| -> () { panic!("interrupt") });
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    event_loop.call_soon(trace.note("next")).unwrap();
    assert!(panics(|| event_loop.run_once()));
    event_loop.reset_exception_handler();
    let told = reports(&event_loop);
    event_loop.call_soon(|_| Err::<(), _>(Oops(2))).unwrap();
    run_until_idle(&event_loop);
    assert_eq!((told.take().len(), trace.take()), (1, vec!["next".to_owned()]), "the loop is whole");
}

#[test]
fn a_context_without_a_message_gets_a_generic_one_and_keys_are_sorted() {
    // EH-7
    log_lines();
    let event_loop = manual();
    let mut context = ExceptionContext::new("").with_exception(&Oops(1));
    let (socket, transport) = (7, "transport");
    context.socket = Some(&socket);
    context.transport = Some(&transport);
    context.location = Some(core::panic::Location::caller());
    event_loop.default_exception_handler(&context);
    let lines = logged(log::Level::Error);
    let keys: Vec<_> = lines[0].lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(keys, ["Unhandled exception in event loop", "created_at", "exception", "socket", "transport"]);
}

#[test]
fn everything_that_nobody_looks_at_is_reported() {
    // EH-8
    let event_loop = manual();
    let told = reports(&event_loop);
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    let future = event_loop.create_future::<u8>().unwrap();
    future.add_done_callback(|_, _| Err::<(), _>(Oops(2))).unwrap();
    future.set_exception(Oops(3)).unwrap();
    drop(future);
    drop(event_loop.create_task(async { Err::<(), _>(Oops(4)) }).unwrap());
    run_until_idle(&event_loop);
    drop(event_loop.create_task(core::future::pending::<()>()).unwrap());
    event_loop.close().unwrap();
    let mut told = told.take();
    told.sort();
    assert_eq!(
        told,
        [
            "Exception in callback: oops 1",
            "Exception in callback: oops 2",
            "Future exception was never retrieved: oops 3",
            "Task exception was never retrieved: oops 4",
            "Task was destroyed but it is pending!",
        ]
    );
}

#[test]
fn a_long_panic_message_is_cut_at_a_character() {
    // FAULTS K-07
    let event_loop = manual();
    let told = reports(&event_loop);
    event_loop.call_soon(|_| -> () { panic!("{}", "ä".repeat(5000)) }).unwrap();
    quietly(|| run_until_idle(&event_loop));
    let told = told.take();
    assert!(told[0].len() < 1200 && told[0].ends_with('ä'));
}

#[test]
fn a_custom_outcome_that_fails_is_reported() {
    // EH-8
    struct Reading(Oops);
    impl Outcome for Reading {
        type Value = u32;
        type Error = Oops;
        fn error(&self) -> Option<&(dyn core::error::Error + 'static)> {
            Some(&self.0)
        }
        fn into_result(self) -> Result<u32, Oops> {
            Err(self.0)
        }
    }
    let event_loop = manual();
    let told = reports(&event_loop);
    event_loop.call_soon(|_| Reading(Oops(8))).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(told.take(), ["Exception in callback: oops 8"]);
}

#[test]
fn a_destructor_of_the_former_handler_may_call_the_loop() {
    // EH-1
    let event_loop = manual();
    let dropped = Rc::new(Cell::new(false));
    let (handle, noted) = (event_loop.handle(), Rc::clone(&dropped));
    let hostile = defer(move || {
        noted.set(true);
        handle.call_exception_handler(&ExceptionContext::new("from a destructor"));
    });
    event_loop.set_exception_handler(move |_, _| {
        let _kept = &hostile;
    });
    let told = reports(&event_loop);
    assert!(dropped.get());
    assert_eq!(told.take(), ["from a destructor"]);
}

/// Notes of each report the message and which keys it has; of the protocol and
/// the transport also what they say.
fn contexts(event_loop: &EventLoopHandle) -> Trace {
    let trace = Trace::new();
    let noted = trace.clone();
    event_loop.set_exception_handler(move |_, context| {
        let mut keys = vec![context.message.to_owned()];
        let has = [
            ("exception", context.exception.is_some()),
            ("location", context.location.is_some()),
            ("handle", context.handle.is_some()),
            ("future", context.future.is_some()),
            ("task", context.task.is_some()),
            ("socket", context.socket.is_some()),
        ];
        keys.extend(has.into_iter().filter(|key| key.1).map(|key| key.0.to_owned()));
        if let Some(protocol) = context.protocol {
            let name = format!("{protocol:?}");
            keys.push(format!("protocol={}", name.rsplit("::").next().unwrap()));
        }
        if let (Some(transport), Some(socket)) = (context.transport, context.socket) {
            assert!(format!("{transport:?}").starts_with(&format!("fd={socket:?}")), "{transport:?}");
            keys.push("transport".to_owned());
        }
        noted.push(keys.join(" "));
    });
    trace
}

#[test]
fn eh8_a_callback_a_future_and_a_task_are_named() {
    let event_loop = manual();
    let told = contexts(&event_loop);
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    run_until_idle(&event_loop);
    event_loop.call_later(Duration::from_secs(1), |_| -> () { panic!("two") }).unwrap();
    quietly(|| run_until_idle(&event_loop));
    let future = event_loop.create_future::<u8>().unwrap();
    future.add_done_callback(|_, _| Err::<(), _>(Oops(3))).unwrap();
    future.set_exception(Oops(4)).unwrap();
    run_until_idle(&event_loop);
    drop(future);
    drop(event_loop.create_task(async { Err::<(), _>(Oops(5)) }).unwrap());
    let broken: fn() = || panic!("six");
    drop(event_loop.create_task(async move { broken() }).unwrap());
    quietly(|| run_until_idle(&event_loop));
    drop(event_loop.create_task(core::future::pending::<()>()).unwrap());
    event_loop.close().unwrap();
    assert_eq!(
        told.take(),
        [
            "Exception in callback exception location handle",
            "Callback panicked exception location handle",
            "Exception in callback exception location handle",
            "Future exception was never retrieved exception location future",
            "Task exception was never retrieved exception location task",
            "Task panicked exception location task",
            "Task was destroyed but it is pending! location task",
        ]
    );
}

/// Makes a hook that fails, by an error or a panic, at one moment.
fn fails_at(
    moment: &'static str,
    panics: bool,
) -> impl FnMut(Told<'_>, &Transport) -> rondel::Result<AfterEof> + 'static {
    move |told, _| {
        if !format!("{told:?}").starts_with(moment) {
            return Ok(AfterEof::KeepWriting);
        }
        assert!(!panics, "at {moment}");
        Err(Error::new(Oops(1)))
    }
}

#[test]
fn eh8_every_method_of_a_protocol_is_named_with_transport_and_socket() {
    for (moment, method) in [
        ("Made", "connection_made"),
        ("Data", "data_received"),
        ("Eof", "eof_received"),
        ("Pause", "pause_writing"),
        ("Resume", "resume_writing"),
        ("Lost", "connection_lost"),
    ] {
        for panics in [false, true] {
            let event_loop = manual();
            let told = contexts(&event_loop);
            quietly(|| {
                let mut wire = wire(&event_loop, fails_at(moment, panics));
                wire.overfill();
                wire.receive_all(&event_loop);
                wire.peer.write_all(b"x").unwrap();
                turns(&event_loop, 3);
                let _ = wire.peer.shutdown(std::net::Shutdown::Write);
                turns(&event_loop, 3);
                wire.transport.close();
                turns(&event_loop, 3);
            });
            let how = if panics { "panicked" } else { "failed" };
            // Called within `write`, outside of any callback.
            let running = if moment == "Pause" { "" } else { "handle " };
            let expected = format!(
                "protocol.{method}() {how} exception location {running}socket protocol=Probe transport"
            );
            assert_eq!(told.take(), [expected]);
        }
    }
}

/// Fails in each of its methods.
struct Failing;

impl DatagramProtocol for Failing {
    fn connection_made(&mut self, _: &DatagramTransport) -> rondel::Result<()> {
        Err(Error::new(Oops(1)))
    }

    fn datagram_received(&mut self, _: &DatagramTransport, data: &[u8], _: &Address) -> rondel::Result<()> {
        assert!(data.is_empty(), "not empty");
        Err(Error::new(Oops(2)))
    }

    fn error_received(&mut self, _: &DatagramTransport, _: &Error) -> rondel::Result<()> {
        Err(Error::new(Oops(3)))
    }

    fn connection_lost(&mut self, _: &DatagramTransport, _: Option<&Error>) -> rondel::Result<()> {
        Err(Error::new(Oops(4)))
    }
}

#[test]
fn eh8_every_method_of_a_datagram_protocol_is_named() {
    let event_loop = manual();
    let told = contexts(&event_loop);
    let endpoint = event_loop.create_datagram_endpoint(|| Failing).local_addr(any_port());
    let (transport, _) = event_loop.run_until_complete(endpoint.into_future()).unwrap();
    let peer = UdpSocket::bind(any_port()).unwrap();
    let addr = transport.local_addr().unwrap();
    peer.send_to(b"", addr.as_inet().unwrap()).unwrap();
    turns(&event_loop, 3);
    // More than any datagram may have.
    let _ = transport.sendto(&vec![0; 70_000], &Address::from(peer.local_addr().unwrap()));
    turns(&event_loop, 3);
    peer.send_to(b"x", addr.as_inet().unwrap()).unwrap();
    quietly(|| turns(&event_loop, 5));
    let lines = told.take();
    let messages: Vec<_> = lines.iter().map(|line| line.split(" exception ").next().unwrap()).collect();
    assert_eq!(
        messages,
        [
            "protocol.connection_made() failed",
            "protocol.datagram_received() failed",
            "protocol.error_received() failed",
            "protocol.datagram_received() panicked",
            "protocol.connection_lost() failed",
        ]
    );
    assert!(lines.iter().all(|line| line.ends_with("socket protocol=Failing transport")), "{lines:?}");
}

#[test]
fn eh8_a_broken_transport_an_exhausted_accept_and_a_lost_descriptor_are_named() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let told = contexts(&event_loop);
    let mut wire = wire(&event_loop, |_, _| Ok(AfterEof::Close));
    faults.fail(Operation::Recv, libc::EIO);
    wire.peer.write_all(b"x").unwrap();
    turns(&event_loop, 3);
    let listening = event_loop.create_server(|| Probe::quiet(&Trace::new()), any_port());
    let server = event_loop.run_until_complete(listening.into_future()).unwrap();
    faults.fail(Operation::Accept, libc::EMFILE);
    let _client = TcpStream::connect(server.local_addr()).unwrap();
    turns(&event_loop, 2);
    assert_eq!(
        told.take(),
        [
            "read from the transport failed exception location handle socket protocol=Probe transport",
            "accept is out of system resources exception location handle socket",
        ]
    );
}

/// Reports the same error so often.
fn storm(event_loop: &EventLoopHandle, errors: usize) {
    let context = ExceptionContext::new("storm").with_exception(&Oops(1));
    (0..errors).for_each(|_| event_loop.call_exception_handler(&context));
}

#[test]
fn k07_a_storm_is_a_few_lines_and_a_count() {
    log_lines();
    let (event_loop, clock) = manual_with(Config { reports_per_interval: 3, ..small() });
    storm(&event_loop, 1_000_000);
    assert_eq!(logged(log::Level::Error), ["storm\nexception: oops 1"; 3]);
    // When the interval is over the loop says so by itself, and begins anew.
    run_until_idle(&event_loop);
    assert_eq!(clock.now().as_nanos(), 10_000_000_000);
    assert_eq!(logged(log::Level::Error), ["storm: suppressed 999997 more within 10s"]);
    storm(&event_loop, 5);
    clock.advance(Duration::from_secs(10));
    storm(&event_loop, 1);
    let lines = logged(log::Level::Error);
    assert_eq!(lines.len(), 5, "three, two more, and the next interval's first: {lines:?}");
    assert_eq!(lines[3], "storm: suppressed 2 more within 10s");
    storm(&event_loop, 10);
    // What is left to say is said at the end.
    event_loop.close().unwrap();
    assert_eq!(logged(log::Level::Error).last().unwrap(), "storm: suppressed 8 more within 10s");
}

#[test]
fn k07_kinds_without_number_take_no_memory() {
    log_lines();
    let event_loop = manual();
    let report = |number: u32| {
        event_loop.call_exception_handler(&ExceptionContext::new(&format!("number {number}")));
    };
    // Until all places for kinds are taken, and the last line is written.
    (0..100).for_each(report);
    let before = live_bytes();
    (100..10_000).for_each(report);
    assert_eq!(live_bytes(), before);
}

#[test]
fn eh5_k02_a_standard_error_that_nobody_reads_is_no_panic() {
    // In a process of its own, which is this test once more: no other installs a logger.
    let name = "test_exceptions::eh5_k02_a_standard_error_that_nobody_reads_is_no_panic";
    if std::env::var_os(ALONE).is_some() {
        // Where panics abort, the first one would be the end.
        std::panic::set_hook(Box::new(|_| std::process::abort()));
        return storm(&manual(), 100);
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, "1").stderr(writer);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn k07_without_a_logger_standard_error_is_bounded() {
    // In a process of its own, which is this test once more: no other installs a logger.
    let name = "test_exceptions::k07_without_a_logger_standard_error_is_bounded";
    if std::env::var_os(ALONE).is_some() {
        return storm(&manual(), 1_000_000);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    let errors = String::from_utf8(command.output().unwrap().stderr).unwrap();
    let lines: Vec<_> = errors.lines().filter(|line| line.starts_with("storm")).collect();
    assert_eq!(lines.len(), 17, "{errors}");
    assert_eq!(lines[16], "storm: suppressed 999984 more within 10s");
}

#[test]
fn k07_each_creation_site_and_each_message_is_a_kind_of_its_own() {
    log_lines();
    let event_loop = manual_with(Config { reports_per_interval: 1, calls: 512, ..small() }).0;
    for _ in 0..100 {
        event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
        event_loop.call_soon(|_| Err::<(), _>(Oops(2))).unwrap();
    }
    event_loop.run_once().unwrap();
    event_loop.call_exception_handler(&ExceptionContext::new("another"));
    let lines = logged(log::Level::Error);
    assert_eq!(lines.len(), 3, "{lines:?}");
    event_loop.close().unwrap();
    let lines = logged(log::Level::Error);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| {
        line.starts_with("Exception in callback (created at ")
            && line.ends_with(": suppressed 99 more within 10s")
    }));
}

#[test]
fn k07_kinds_without_number_are_bounded_too() {
    log_lines();
    let (event_loop, clock) = manual_with(Config { reports_per_interval: 2, ..small() });
    for number in 0..10_000 {
        event_loop.call_exception_handler(&ExceptionContext::new(&format!("number {number}")));
    }
    // 32 kinds, and two of all others.
    assert_eq!(logged(log::Level::Error).len(), 34);
    clock.advance(Duration::from_secs(10));
    event_loop.call_exception_handler(&ExceptionContext::new("later"));
    assert_eq!(logged(log::Level::Error), ["later"], "the places are free again");
    event_loop.close().unwrap();
    assert_eq!(logged(log::Level::Error), ["Reports of other kinds: suppressed 9966 more within 10s"]);
}

#[test]
fn k07_a_handler_of_ones_own_gets_every_error_and_no_interval_means_no_limit() {
    log_lines();
    let event_loop = manual_with(Config { report_interval: Duration::ZERO, ..small() }).0;
    storm(&event_loop, 1000);
    assert_eq!(logged(log::Level::Error).len(), 1000);
    let event_loop = manual();
    let calls = Counter::new();
    let counted = calls.clone();
    event_loop.set_exception_handler(move |_, _| {
        counted.add();
    });
    storm(&event_loop, 1000);
    assert_eq!((calls.get(), logged(log::Level::Error).len()), (1000, 0));
    assert_eq!(event_loop.statistics().timers, 0);
}

#[test]
fn k07_a_failing_handler_in_a_storm_is_limited_as_well() {
    log_lines();
    let event_loop = manual();
    let calls = Counter::new();
    let counted = calls.clone();
    event_loop.set_exception_handler(move |_, _| Err::<(), _>(Error::new(Oops(counted.add() as u32))));
    storm(&event_loop, 1000);
    assert_eq!((calls.get(), logged(log::Level::Error).len()), (1000, 16));
}

/// Prints very much.
#[derive(Debug)]
struct Huge;

impl fmt::Display for Huge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..1 << 20).try_for_each(|_| f.write_str("much, "))
    }
}

impl core::error::Error for Huge {}

#[test]
fn k07_a_line_is_bounded_whatever_an_error_prints() {
    log_lines();
    let event_loop = manual();
    let mut context = ExceptionContext::new("huge").with_exception(&Huge);
    let debug = "x".repeat(1 << 20);
    context.transport = Some(&debug);
    event_loop.call_exception_handler(&context);
    event_loop.set_exception_handler(|_, _| Err::<(), _>(Error::new(Huge)));
    event_loop.call_exception_handler(&context);
    let lines = logged(log::Level::Error);
    assert!(lines.iter().all(|line| line.len() < 10_000 && line.contains("much, ")));
    assert!(lines[0].contains("\ntransport: \"xxx"), "the other keys are still there");
}

#[test]
fn k07_writes_to_a_closed_transport_warn_a_bounded_number_of_times() {
    log_lines();
    let event_loop = manual();
    let wire = wire(&event_loop, |_, _| Ok(AfterEof::Close));
    wire.transport.close();
    for _ in 0..10_000 {
        wire.transport.write(b"x").unwrap();
    }
    assert_eq!(logged(log::Level::Warn).len(), 16);
    assert_eq!(event_loop.dropped_writes(), 10_000);
}
