//! How connections are accepted, also when something is exhausted.

use std::io::{Read, Write};
use std::thread;

use rondel::{Config, EventLoop, Operation};

use super::{Hall, SECOND, byte, knock};
use crate::fixture::{
    Counter, Trace, any_port, end, quietly, reports, run_with_faults, scenarios, settle, small,
};
use crate::protocols::Silent;

scenarios! {
    a_turn_accepts_as_many_as_the_backlog_and_the_next_one_the_rest
    a_readiness_without_a_connection_ends_quietly
    a01_out_of_descriptors_is_one_report_and_one_timer_and_accepting_resumes
    a02_every_error_of_accept_skips_or_rests_and_the_listener_goes_on
    a03_what_could_not_be_served_is_closed_counted_and_told_to_the_hook
    a03_a_hook_that_panics_costs_a_report
}

fn a_turn_accepts_as_many_as_the_backlog_and_the_next_one_the_rest() {
    // SV-6, SV-7; FAULTS A-04
    run_with_faults(async |event_loop, faults| {
        let server = event_loop.create_server(|| Silent, any_port()).backlog(2).await?;
        let clients: Vec<_> = (0..3).map(|_| knock(&server)).collect();
        let mut counts = Vec::new();
        for _ in 0..4 {
            event_loop.yield_now().await?;
            counts.push(server.accepted());
        }
        counts.dedup();
        counts.retain(|&count| count != 0);
        assert_eq!(counts, [2, 3]);
        // Two, one, and what was not there; nothing is asked any more.
        let calls = faults.calls(Operation::Accept);
        settle(&event_loop).await;
        assert_eq!(faults.calls(Operation::Accept), calls);
        drop(clients);
        end(&server).await
    });
}

fn a_readiness_without_a_connection_ends_quietly() {
    // SV-7
    run_with_faults(async |event_loop, faults| {
        let told = reports(&event_loop);
        let server = event_loop.create_server(|| Silent, any_port()).await?;
        settle(&event_loop).await;
        faults.wake_all();
        settle(&event_loop).await;
        faults.block(Operation::Accept);
        let client = knock(&server);
        settle(&event_loop).await;
        assert_eq!((server.connections(), told.count()), (1, 0));
        drop(client);
        end(&server).await
    });
}

fn a01_out_of_descriptors_is_one_report_and_one_timer_and_accepting_resumes() {
    // SV-8
    run_with_faults(async |event_loop, faults| {
        let (told, hall) = (reports(&event_loop), Hall::default());
        let server = event_loop.create_server(hall.guests(), any_port()).await?;
        let mut old = knock(&server);
        settle(&event_loop).await;
        let timers = event_loop.statistics().timers;
        faults.fail_every(Operation::Accept, libc::EMFILE);
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(knock(&server));
            settle(&event_loop).await;
        }
        assert_eq!(told.count(), 1);
        assert_eq!(event_loop.statistics().timers, timers + 1);
        let calls = faults.calls(Operation::Accept);
        // An existing connection goes on, and nothing asks meanwhile.
        old.write_all(b"x")?;
        settle(&event_loop).await;
        assert_eq!(byte(&old)?, b'x');
        event_loop.sleep(SECOND / 2).await?;
        assert_eq!(faults.calls(Operation::Accept), calls);
        // A second later once more, and no more than that.
        event_loop.sleep(SECOND).await?;
        settle(&event_loop).await;
        assert_eq!((faults.calls(Operation::Accept), told.count()), (calls + 1, 2));
        faults.heal(Operation::Accept);
        event_loop.sleep(SECOND).await?;
        settle(&event_loop).await;
        assert_eq!((server.connections(), told.count()), (4, 2));
        assert_eq!(event_loop.statistics().timers, timers);
        // A server that is closed while it rests leaves no timer.
        faults.fail(Operation::Accept, libc::ENFILE);
        clients.push(knock(&server));
        settle(&event_loop).await;
        server.close();
        assert_eq!(event_loop.statistics().timers, timers);
        assert_eq!(told.take()[2].split(": ").next(), Some("accept is out of system resources"));
        drop(clients);
        end(&server).await
    });
}

fn a02_every_error_of_accept_skips_or_rests_and_the_listener_goes_on() {
    // SV-7
    run_with_faults(async |event_loop, faults| {
        let (told, hall) = (reports(&event_loop), Hall::default());
        let server = event_loop.create_server(hall.guests(), any_port()).await?;
        settle(&event_loop).await;
        // The connection in question is gone: the next one follows at once.
        for errno in [
            libc::ECONNABORTED,
            libc::ECONNRESET,
            libc::EPERM,
            libc::EPROTO,
            libc::ENOPROTOOPT,
            libc::ENETDOWN,
            libc::ENETUNREACH,
            libc::EHOSTDOWN,
            libc::EHOSTUNREACH,
            libc::ENONET,
            libc::EOPNOTSUPP,
            libc::ETIMEDOUT,
        ] {
            faults.fail(Operation::Accept, errno);
            let client = knock(&server);
            settle(&event_loop).await;
            assert_eq!((hall.trace.take(), told.count()), (vec!["made".to_owned()], 0), "{errno}");
            drop(client);
            settle(&event_loop).await;
            hall.trace.take();
        }
        // Something is wrong with the process or the listener: a report and a rest.
        for (errno, message) in [
            (libc::EMFILE, "accept is out of system resources: "),
            (libc::ENFILE, "accept is out of system resources: "),
            (libc::ENOBUFS, "accept is out of system resources: "),
            (libc::ENOMEM, "accept is out of system resources: "),
            (libc::EBADF, "accept failed: "),
            (libc::EFAULT, "accept failed: "),
            (libc::EINVAL, "accept failed: "),
            (libc::ENOTSOCK, "accept failed: "),
            (libc::ENOSYS, "accept failed: "),
        ] {
            faults.fail(Operation::Accept, errno);
            let client = knock(&server);
            settle(&event_loop).await;
            let told = told.take();
            assert!(told.len() == 1 && told[0].starts_with(message), "{errno}: {told:?}");
            assert_eq!(hall.trace.count(), 0);
            event_loop.sleep(SECOND).await?;
            settle(&event_loop).await;
            assert_eq!(hall.trace.take(), ["made"], "{errno}");
            drop(client);
            settle(&event_loop).await;
            hall.trace.take();
        }
        // However often: the other callbacks of the loop run.
        faults.fail_every(Operation::Accept, libc::ECONNABORTED);
        let client = knock(&server);
        settle(&event_loop).await;
        faults.heal(Operation::Accept);
        settle(&event_loop).await;
        assert_eq!(hall.trace.take(), ["made"]);
        drop(client);
        end(&server).await
    });
}

fn a03_what_could_not_be_served_is_closed_counted_and_told_to_the_hook() {
    // SV-9; FAULTS P-12
    quietly(|| {
        run_with_faults(async |event_loop, faults| {
            let (told, hooked, calls) = (reports(&event_loop), Trace::new(), Counter::new());
            let (noted, counted) = (hooked.clone(), calls.clone());
            let factory = move || {
                assert!(counted.add() != 2, "the second");
                Silent
            };
            let server = event_loop
                .create_server(factory, any_port())
                .on_refused(move |_, error| noted.push(error.to_string()))
                .await?;
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(knock(&server));
                settle(&event_loop).await;
            }
            // The kernel has no room for one more registration.
            for errno in [libc::ENOSPC, libc::ENOMEM] {
                faults.fail(Operation::Register, errno);
                clients.push(knock(&server));
                settle(&event_loop).await;
            }
            assert_eq!((server.accepted(), server.refused(), server.connections()), (2, 3, 2));
            let hooked = hooked.take();
            assert_eq!(hooked.len(), 3);
            assert_eq!(hooked[0], "the factory panicked");
            assert!(hooked[1].contains("space"), "{hooked:?}");
            assert_eq!(
                told.take(),
                ["protocol_factory() panicked: panicked: the second"],
                "the panic itself"
            );
            for refused in [1, 3, 4] {
                assert!(matches!((&clients[refused]).read(&mut [0]), Ok(0) | Err(_)), "closed");
            }
            clients.push(knock(&server));
            settle(&event_loop).await;
            assert_eq!(server.connections(), 3);
            end(&server).await
        });
    });
}

fn a03_a_hook_that_panics_costs_a_report() {
    quietly(|| {
        run_with_faults(async |event_loop, faults| {
            let told = reports(&event_loop);
            let server =
                event_loop.create_server(|| Silent, any_port()).on_refused(|_, _| panic!("hook")).await?;
            faults.fail(Operation::Register, libc::ENOSPC);
            let clients = [knock(&server), knock(&server)];
            settle(&event_loop).await;
            assert_eq!((server.refused(), server.connections(), told.count()), (1, 1, 1));
            drop(clients);
            end(&server).await
        });
    });
}

#[test]
fn a04_a_storm_of_connects_takes_a_bounded_share_of_each_turn() {
    const CLIENTS: usize = 2_000;
    const BACKLOG: u32 = 4;
    let event_loop = EventLoop::with_config(Config { descriptors: 64, ..small() }).unwrap();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let path = std::env::temp_dir().join(format!("rondel-storm-{}", std::process::id()));
            let server = handle.create_unix_server(|| Silent, &path).backlog(BACKLOG).await?;
            // A UNIX socket lets its clients wait where TCP has them try again.
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    let path = path.clone();
                    thread::spawn(move || {
                        for _ in 0..CLIENTS / 4 {
                            drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
                        }
                    })
                })
                .collect();
            while (server.accepted() as usize) < CLIENTS {
                let before = server.accepted();
                handle.yield_now().await?;
                assert!(server.accepted() - before <= u64::from(BACKLOG));
                assert_eq!(server.refused(), 0);
            }
            clients.into_iter().for_each(|client| client.join().unwrap());
            end(&server).await
        })
        .unwrap();
}
