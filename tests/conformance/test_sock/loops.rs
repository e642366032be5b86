//! A socket and the loops that it meets.

use core::task::Poll;
use std::io::{ErrorKind as Kind, Write};
use std::rc::Rc;

use rondel::EventLoop;

use super::{drain, fill, io_kind, pair, poll_once, run};
use crate::fixture::{any_port, manual, scenarios, small, turns};

scenarios! {
    a_socket_serves_two_loops_in_turn_and_outlives_both
    a_closed_loop_and_one_without_descriptors_refuse
    full_tables_refuse_and_a_socket_works_later
}

fn a_socket_serves_two_loops_in_turn_and_outlives_both() {
    let (ours, theirs) = pair();
    let loops = [manual(), manual()];
    for turn in 0..6 {
        let event_loop = &loops[turn % 2];
        let handle = event_loop.handle();
        let got = event_loop.run_until_complete(async {
            assert!(poll_once(handle.sock_recv(&ours, 10)).is_pending());
            theirs.get_ref().write_all(b"hello")?;
            handle.sock_recv(&ours, 10).await
        });
        assert_eq!(got.unwrap(), b"hello");
        assert_eq!(event_loop.watched_descriptors(), 1);
        assert_eq!(loops[(turn + 1) % 2].watched_descriptors(), 0, "one loop at a time");
    }
    // Waiting in one, and used in the other: neither disturbs the other.
    let [one, two] = &loops;
    let (ours, handle) = (Rc::new(ours), one.handle());
    let receiver = Rc::clone(&ours);
    let task = one.create_task(async move { handle.sock_recv(&receiver, 10).await }).unwrap();
    turns(one, 2);
    fill(&ours);
    two.run_until_complete(async {
        assert!(poll_once(two.sock_sendall(&ours, b"x")).is_pending());
        drain(&theirs);
        two.sock_sendall(&ours, b"x").await
    })
    .unwrap();
    theirs.get_ref().write_all(b"hello").unwrap();
    assert_eq!(one.run_until_complete(task).unwrap().unwrap(), b"hello");
    let [one, two] = loops;
    one.close().unwrap();
    two.close().unwrap();
    drop((one, two));
    drop(ours);
}

fn a_closed_loop_and_one_without_descriptors_refuse() {
    let (ours, _theirs) = pair();
    let event_loop = manual();
    let handle = event_loop.handle();
    event_loop.close().unwrap();
    let Poll::Ready(refused) = poll_once(handle.sock_recv(&ours, 1)) else { unreachable!() };
    assert!(refused.unwrap_err().is_closed());
    let Poll::Ready(refused) = poll_once(handle.sock_sendall(&ours, b"x")) else { unreachable!() };
    assert!(refused.unwrap_err().error().is_closed());
    // Closed while it waits.
    let event_loop = manual();
    let handle = event_loop.handle();
    let mut waiting = Box::pin(handle.sock_recv(&ours, 1));
    assert!(poll_once(&mut waiting).is_pending());
    event_loop.close().unwrap();
    let Poll::Ready(refused) = poll_once(&mut waiting) else { unreachable!() };
    assert!(refused.unwrap_err().is_closed());
    drop(waiting);
    drop(event_loop);
    let event_loop = EventLoop::without_descriptors(small()).unwrap();
    let Poll::Ready(refused) = poll_once(event_loop.sock_recv(&ours, 1)) else { unreachable!() };
    assert_eq!(io_kind(&refused.unwrap_err()), Kind::Unsupported);
    assert_eq!(io_kind(&event_loop.stream_socket(any_port()).unwrap_err()), Kind::Unsupported);
}

fn full_tables_refuse_and_a_socket_works_later() {
    run(async |event_loop| {
        let pairs: Vec<_> = (0..16).map(|_| pair()).collect();
        for (ours, _) in &pairs {
            assert!(poll_once(event_loop.sock_recv(ours, 1)).is_pending());
        }
        let (ours, theirs) = pair();
        let full = event_loop.sock_recv(&ours, 1).await.unwrap_err();
        assert!(full.is_full() && full.to_string().starts_with("sock_recv: "), "{full}");
        drop(pairs);
        assert!(poll_once(event_loop.sock_recv(&ours, 1)).is_pending());
        event_loop.sock_sendall(&theirs, b"x").await?;
        assert_eq!(event_loop.sock_recv(&ours, 1).await?, b"x");
        Ok(())
    });
}
