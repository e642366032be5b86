//! The watchdog that speaks while the loop is blocked: DB-2, FAULTS C.

use core::time::Duration;
use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use rondel::{
    AfterEof, Blocked, Config, EventLoop, EventLoopHandle, SubprocessProtocol, SubprocessTransport,
};

use crate::fixture::{manual, small, turns};
use crate::probe::{Told, wire};

const LIMIT: Duration = Duration::from_millis(1);

/// Starts a watchdog that passes on what it tells.
fn watched(event_loop: &EventLoopHandle) -> Receiver<Blocked> {
    let (tell, told) = channel();
    let on_blocked = move |blocked: &Blocked| {
        let _ = tell.send(*blocked);
    };
    event_loop.start_watchdog(LIMIT, on_blocked).unwrap();
    told
}

/// Waits until it is told of `method`; what ran before may have been slow, too.
fn told_of(told: &Receiver<Blocked>, method: &str) -> Blocked {
    told.iter().find(|blocked| blocked.method == Some(method)).unwrap()
}

#[test]
fn db2_a_callback_is_named_before_it_returns() {
    let event_loop = manual();
    let told = watched(&event_loop);
    let line = line!() + 1;
    let handle = event_loop.call_soon(move |event_loop| {
        // Returns only when it was told; then it has all that it has to say.
        let blocked = told.recv().unwrap();
        assert!(blocked.duration >= LIMIT);
        assert_eq!((blocked.location.line(), blocked.task, blocked.method), (line, None, None));
        assert!(blocked.handle.is_some());
        assert!(blocked.to_string().contains("a callback created at tests/conformance/test_watchdog.rs"));
        // And once more, when the time has doubled.
        let again = told.recv().unwrap();
        assert!(again.handle == blocked.handle && again.duration >= blocked.duration * 2);
        event_loop.stop();
    });
    handle.unwrap();
    event_loop.run_forever().unwrap();
}

#[test]
fn db2_a_step_of_a_task_is_named_while_it_blocks() {
    let event_loop = manual();
    let told = watched(&event_loop);
    let ended = event_loop.run_until_complete(async {
        event_loop.yield_now().await?;
        let blocked = told.recv().unwrap();
        assert!(blocked.task.is_some() && blocked.handle.is_none());
        assert!(blocked.to_string().contains("by Task-"), "{blocked}");
        Ok::<(), rondel::Error>(())
    });
    ended.unwrap();
}

#[test]
fn db2_a_method_of_a_protocol_is_named_while_it_blocks() {
    let event_loop = manual();
    let told = watched(&event_loop);
    let mut wire = wire(&event_loop, move |what, _| {
        if matches!(what, Told::Data(_)) {
            let blocked = told_of(&told, "data_received");
            assert!(blocked.protocol.unwrap().ends_with("Probe") && blocked.socket.is_some());
            assert!(blocked.to_string().contains("data_received of conformance::probe::Probe with fd="));
        }
        Ok(AfterEof::Close)
    });
    wire.peer.write_all(b"x").unwrap();
    turns(&event_loop, 3);
    assert_eq!(wire.trace.take(), ["made", "data x"]);
}

/// Blocks until the watchdog has told.
struct Blocking(Receiver<Blocked>);

impl SubprocessProtocol for Blocking {
    fn process_exited(&mut self, _: &SubprocessTransport) -> rondel::Result<()> {
        let blocked = told_of(&self.0, "process_exited");
        assert_eq!(blocked.socket, None);
        assert!(blocked.protocol.unwrap().ends_with("Blocking"));
        assert!(blocked.to_string().contains("by process_exited of "), "{blocked}");
        Ok(())
    }
}

#[test]
fn db2_a_method_of_a_subprocess_protocol_is_named_while_it_blocks() {
    let event_loop = manual();
    let told = watched(&event_loop);
    let child = event_loop.subprocess_exec(|| Blocking(told), "true");
    let (transport, _) = event_loop.run_until_complete(child.into_future()).unwrap();
    event_loop.run_until_complete(transport.wait()).unwrap();
    turns(&event_loop, 2);
    assert_eq!(event_loop.child_processes(), 0);
}

#[test]
fn db2_a_hook_that_panics_harms_nobody_and_a_stopped_watchdog_is_silent() {
    let event_loop = manual();
    let (tell, told) = channel();
    let looked = move |_: &Blocked| {
        tell.send(()).unwrap();
        // Without the panic hook's message.
        std::panic::resume_unwind(Box::new("broken"));
    };
    event_loop.start_watchdog(LIMIT, looked).unwrap();
    let run = |told: Receiver<()>| {
        event_loop
            .call_soon(move |event_loop| {
                (0..3).for_each(|_| told.recv().unwrap());
                event_loop.stop_watchdog();
                // Its thread ends, and what it would tell with goes.
                assert!(told.iter().count() <= 1);
                event_loop.stop();
            })
            .unwrap();
        event_loop.run_forever().unwrap();
    };
    run(told);
}

#[test]
fn a_closed_loop_ends_its_watchdog_and_starts_no_other() {
    let event_loop = manual();
    let told = watched(&event_loop);
    event_loop.close().unwrap();
    assert!(told.recv().is_err(), "the thread is gone");
    assert!(event_loop.start_watchdog(LIMIT, |_| ()).unwrap_err().is_closed());
}

#[test]
fn a_loop_that_can_have_no_thread_has_no_watchdog() {
    let event_loop = EventLoop::without_descriptors(small()).unwrap();
    assert!(event_loop.start_watchdog(LIMIT, |_| ()).is_err());
    assert!(EventLoop::without_descriptors(Config { watchdog: Some(LIMIT), ..small() }).is_err());
}

#[test]
fn a_pulse_counts_turns_for_other_threads_and_stands_while_a_callback_blocks() {
    let event_loop = manual();
    let pulse = event_loop.pulse();
    assert_eq!(pulse.turns(), 0);
    turns(&event_loop, 5);
    assert_eq!(pulse.turns(), 5);
    let (ask, asked): (Sender<()>, Receiver<()>) = channel();
    let (answer, answered) = channel();
    let looker = std::thread::spawn(move || {
        for () in asked {
            answer.send(pulse.turns()).unwrap();
        }
    });
    let answered = Mutex::new(answered);
    event_loop
        .call_soon(move |_| {
            let look = || {
                ask.send(()).unwrap();
                answered.lock().unwrap().recv().unwrap()
            };
            assert_eq!((look(), look()), (6, 6), "the loop stands");
        })
        .unwrap();
    turns(&event_loop, 1);
    looker.join().unwrap();
}
