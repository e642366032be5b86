//! Who may wait for which side of a descriptor: SK-9.

use std::io::Write;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use rondel::{Error, NonBlocking};

use super::{assert_busy, drain, fill, pair, run, waiting};
use crate::fixture::{Counter, any_port, never, real, scenarios};

scenarios! {
    sk9_a_second_waiter_of_a_direction_is_busy_and_the_first_goes_on
    sk9_both_directions_of_a_socket_work_at_once
    sk9_nothing_comes_between_the_parts_of_a_sendall
    io6_a_descriptor_of_a_server_is_busy_for_operations
    io6_callbacks_and_operations_share_a_descriptor_a_side_each
}

fn sk9_a_second_waiter_of_a_direction_is_busy_and_the_first_goes_on() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (ours, handle) = (Rc::new(ours), event_loop.clone());
        let receiver = Rc::clone(&ours);
        let first = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        let owner = "a pending sock_* operation, which waits to receive";
        let busy = event_loop.sock_recv(&ours, 10).await.unwrap_err();
        assert_busy(&busy, "sock_recv: ", owner);
        // Another wrapper of the descriptor is no way around it.
        let other = NonBlocking::new(ours.get_ref())?;
        let busy = event_loop.sock_recv_into(&other, &mut [0]).await.unwrap_err();
        assert_busy(&busy, "sock_recv_into: ", owner);
        let busy = event_loop.sock_recvfrom(&other, 1).await.unwrap_err();
        assert_busy(&busy, "sock_recvfrom: ", owner);
        let busy = event_loop.sock_accept(&other).await.unwrap_err();
        assert_busy(&busy, "sock_accept: ", owner);
        let busy = event_loop.add_reader(&*ours, never).unwrap_err();
        assert_busy(busy.error(), "add_reader: ", owner);
        assert!(!event_loop.remove_reader(&*ours), "nothing of add_reader's is there");
        theirs.get_ref().write_all(b"hello")?;
        // It has come, and is still the first one's.
        let busy = event_loop.sock_recv(&ours, 10).await.unwrap_err();
        assert_busy(&busy, "sock_recv: ", owner);
        assert_eq!(first.await??, b"hello");
        Ok(())
    });
}

fn sk9_both_directions_of_a_socket_work_at_once() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let filled = fill(&ours);
        let ours = Rc::new(ours);
        let (handle, receiver) = (event_loop.clone(), Rc::clone(&ours));
        let received = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        let (handle, sender) = (event_loop.clone(), Rc::clone(&ours));
        let sent = waiting(&event_loop, async move { Ok(handle.sock_sendall(&sender, b"x").await?) }).await;
        theirs.get_ref().write_all(b"hello")?;
        assert_eq!(received.await??, b"hello");
        assert!(!sent.done());
        let mut drained = drain(&theirs);
        sent.await??;
        drained += drain(&theirs);
        assert_eq!(drained, filled + 1);
        Ok(())
    });
}

fn sk9_nothing_comes_between_the_parts_of_a_sendall() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (ours, handle) = (Rc::new(ours), event_loop.clone());
        let sender = Rc::clone(&ours);
        let data = vec![1; 4 << 20];
        let task = waiting(&event_loop, async move { Ok(handle.sock_sendall(&sender, &data).await?) }).await;
        let mut received = 0;
        while !task.done() {
            let got = event_loop.sock_recv(&theirs, 65536).await?;
            assert!(got.iter().all(|&byte| byte == 1));
            received += got.len();
            // There is room now, and it is the first one's.
            if !task.done() {
                let busy = event_loop.sock_sendall(&ours, b"\0").await.unwrap_err();
                assert_busy(busy.error(), "sock_sendall: ", "which waits to send");
                assert_eq!(busy.sent(), 0);
            }
            event_loop.yield_now().await?;
        }
        task.await??;
        assert_eq!(received + drain(&theirs), 4 << 20);
        Ok(())
    });
}

fn io6_a_descriptor_of_a_server_is_busy_for_operations() {
    let event_loop = real();
    let handle = event_loop.handle();
    let test = async move {
        let server = handle.start_server(any_port(), |_, _| core::future::ready(())).await?;
        let text = format!("{server:?}");
        let number = text.split("fd=").nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next().unwrap();
        // SAFETY: open for as long as the server is.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number.parse()?) };
        let socket = NonBlocking::new(borrowed)?;
        assert_busy(&handle.sock_accept(&socket).await.unwrap_err(), "sock_accept: ", "in use by a server");
        assert_busy(&handle.sock_recv(&socket, 1).await.unwrap_err(), "sock_recv: ", "in use by a server");
        let busy = handle.sock_sendall(&socket, b"x").await.unwrap_err();
        assert_busy(busy.error(), "sock_sendall: ", "in use by a server");
        Ok::<(), Error>(())
    };
    event_loop.run_until_complete(test).unwrap();
}

fn io6_callbacks_and_operations_share_a_descriptor_a_side_each() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (ours, calls) = (Rc::new(ours), Counter::new());
        let counted = calls.clone();
        event_loop.add_writer(&*ours, move |_| counted.add())?;
        let (handle, receiver) = (event_loop.clone(), Rc::clone(&ours));
        let task = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        assert!(calls.get() > 1);
        let before = calls.get();
        event_loop.yield_now().await?;
        assert!(calls.get() > before, "level-triggered beside the operation");
        theirs.get_ref().write_all(b"hello")?;
        assert_eq!(task.await??, b"hello");
        assert!(event_loop.remove_writer(&*ours));
        // A callback has the side: an operation may succeed at once, and not wait.
        event_loop.add_reader(&*ours, |_| ())?;
        theirs.get_ref().write_all(b"x")?;
        assert_eq!(event_loop.sock_recv(&ours, 10).await?, b"x");
        let busy = event_loop.sock_recv(&ours, 10).await.unwrap_err();
        assert_busy(&busy, "sock_recv: ", "add_reader");
        assert!(event_loop.remove_reader(&*ours));
        // Kept by its wrapper all the while, without a callback or an operation.
        assert_eq!(event_loop.watched_descriptors(), 1);
        drop(ours);
        assert_eq!(event_loop.watched_descriptors(), 0);
        Ok(())
    });
}
