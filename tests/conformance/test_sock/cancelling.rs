//! Operations that are cancelled: SK-7 and SK-8.

use core::future::Future;
use core::time::Duration;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rondel::{Address, Error, EventLoopHandle, NonBlocking, TaskError};

use super::{Sock, assert_busy, drain, fill, full_listener, pair, poll_once, run, waiting};
use crate::fixture::{Counter, any_port, never, reports, scenarios};

scenarios! {
    sk7_a_cancelled_operation_leaves_its_side_at_once
    sk7_the_end_of_one_operation_does_not_remove_the_next
    sk8_cancelling_a_recv_loses_no_byte_also_when_data_comes_with_it
    sk8_a_timeout_loses_no_byte
    w13_a_cancelled_connect_can_be_repeated_and_its_number_reused
    w13_a_cancelled_accept_loses_no_connection
    w13_the_number_of_a_cancelled_operations_socket_can_be_used_at_once
    p02_a_registration_left_behind_by_a_forgotten_wrapper_is_found_out
}

/// Tells whether a task ended because it was cancelled.
fn was_cancelled<T>(ended: Result<T, TaskError>) -> bool {
    matches!(ended, Err(TaskError::Cancelled))
}

fn sk7_a_cancelled_operation_leaves_its_side_at_once() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (ours, handle) = (Rc::new(ours), event_loop.clone());
        let receiver = Rc::clone(&ours);
        let task = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        task.cancel();
        assert!(was_cancelled(task.await));
        event_loop.add_reader(&*ours, never)?;
        assert!(event_loop.remove_reader(&*ours));
        // Dropped instead: at once too.
        let receiver = Rc::clone(&ours);
        let handle = event_loop.clone();
        let task = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        task.abort();
        assert!(poll_once(event_loop.sock_recv(&ours, 10)).is_pending());
        event_loop.sock_sendall(&theirs, b"late").await?;
        assert_eq!(event_loop.sock_recv(&ours, 10).await?, b"late");
        // A cancellation that came before the operation ends it before its attempt.
        event_loop.sock_sendall(&theirs, b"more").await?;
        let (receiver, handle) = (Rc::clone(&ours), event_loop.clone());
        let task = event_loop
            .create_task(async move {
                handle.current_task().unwrap().cancel();
                let cancelled = handle.sock_recv(&receiver, 10).await.unwrap_err();
                assert!(cancelled.is_cancelled());
                handle.sock_recv(&receiver, 10).await
            })
            .unwrap();
        assert_eq!(task.await??, b"more");
        Ok(())
    });
}

fn sk7_the_end_of_one_operation_does_not_remove_the_next() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (handle, received) = (event_loop.clone(), Counter::new());
        let counted = received.clone();
        let task = waiting(&event_loop, async move {
            loop {
                // Each begins in the very step in which the former ended.
                if handle.sock_recv(&ours, 1).await?.is_empty() {
                    return Ok(());
                }
                counted.add();
            }
        })
        .await;
        for _ in 0..20 {
            event_loop.sock_sendall(&theirs, b"x").await?;
            event_loop.yield_now().await?;
            event_loop.yield_now().await?;
        }
        drop(theirs);
        task.await??;
        assert_eq!(received.get(), 20);
        Ok(())
    });
}

fn sk8_cancelling_a_recv_loses_no_byte_also_when_data_comes_with_it() {
    // In every order of: data, cancelling, and turns of the loop between them.
    for (data_first, between) in [(true, 0), (true, 1), (true, 2), (false, 0), (false, 1), (false, 2)] {
        run(async |event_loop| {
            let (ours, theirs) = pair();
            let (ours, handle) = (Rc::new(ours), event_loop.clone());
            let receiver = Rc::clone(&ours);
            let task = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
            if data_first {
                theirs.get_ref().write_all(b"hello")?;
            } else {
                task.cancel();
            }
            for _ in 0..between {
                event_loop.yield_now().await?;
            }
            if data_first {
                task.cancel();
            } else {
                theirs.get_ref().write_all(b"hello")?;
            }
            let got = match task.await {
                Ok(got) => got?,
                cancelled => {
                    assert!(was_cancelled(cancelled));
                    event_loop.sock_recv(&ours, 10).await?
                }
            };
            assert_eq!(got, b"hello");
            Ok(())
        });
    }
}

fn sk8_a_timeout_loses_no_byte() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        for _ in 0..3 {
            let limit = Duration::from_secs(60);
            let over = event_loop.timeout(limit, event_loop.sock_recv(&ours, 10)).await;
            assert!(Error::from(over.unwrap_err()).is_timed_out());
        }
        event_loop.sock_sendall(&theirs, b"hello").await?;
        assert_eq!(event_loop.sock_recv(&ours, 10).await?, b"hello");
        Ok(())
    });
}

fn w13_a_cancelled_connect_can_be_repeated_and_its_number_reused() {
    run(async |event_loop| {
        let (listener, filler) = full_listener(&event_loop);
        let addr = listener.local_addr()?;
        let socket = Rc::new(event_loop.stream_socket(addr)?);
        let (handle, shared) = (event_loop.clone(), Rc::clone(&socket));
        let task = waiting(&event_loop, async move { handle.sock_connect(&shared, addr).await }).await;
        task.cancel();
        assert!(was_cancelled(task.await));
        // Still on its way: the next one waits for the same attempt.
        let (handle, shared) = (event_loop.clone(), Rc::clone(&socket));
        let task = waiting(&event_loop, async move { handle.sock_connect(&shared, addr).await }).await;
        let busy = event_loop.sock_connect(&socket, addr).await.unwrap_err();
        assert_busy(&busy, "sock_connect: ", "which waits to send or connect");
        task.abort();
        let number = socket.as_fd().as_raw_fd();
        drop(socket);
        assert_eq!(event_loop.watched_descriptors(), 0);
        disturbed_by_nobody(&event_loop, number).await?;
        drop(filler);
        Ok(())
    });
}

/// Opens a socket of this number, and looks whether anything of a former one
/// comes to it.
async fn disturbed_by_nobody(event_loop: &EventLoopHandle, number: i32) -> Result<(), Error> {
    let (ours, theirs) = crate::test_selector_events::take_number(number);
    let (ours, theirs) = (NonBlocking::new(ours)?, NonBlocking::new(theirs)?);
    let handle = event_loop.clone();
    let task = waiting(event_loop, async move { handle.sock_recv(&ours, 10).await }).await;
    event_loop.sock_sendall(&theirs, b"mine").await?;
    assert_eq!(task.await??, b"mine");
    Ok(())
}

fn w13_a_cancelled_accept_loses_no_connection() {
    for between in 0..3 {
        run(async |event_loop| {
            let listener = Rc::new(NonBlocking::new(TcpListener::bind(any_port())?)?);
            let addr = listener.get_ref().local_addr()?;
            let (handle, shared) = (event_loop.clone(), Rc::clone(&listener));
            let task = waiting(&event_loop, async move { handle.sock_accept(&shared).await }).await;
            let mut client = TcpStream::connect(addr)?;
            for _ in 0..between {
                event_loop.yield_now().await?;
            }
            task.cancel();
            let (accepted, peer) = match task.await {
                Ok(accepted) => accepted?,
                cancelled => {
                    assert!(was_cancelled(cancelled));
                    event_loop.sock_accept(&listener).await?
                }
            };
            assert_eq!(peer, Address::from(client.local_addr()?));
            event_loop.sock_sendall(&accepted, b"x").await?;
            client.read_exact(&mut [0])?;
            Ok(())
        });
    }
    // A result that nobody takes is closed with the task.
    run(async |event_loop| {
        let listener = Rc::new(NonBlocking::new(TcpListener::bind(any_port())?)?);
        let addr = listener.get_ref().local_addr()?;
        let (handle, shared) = (event_loop.clone(), Rc::clone(&listener));
        let task = waiting(&event_loop, async move { handle.sock_accept(&shared).await }).await;
        let mut client = TcpStream::connect(addr)?;
        while !task.done() {
            event_loop.yield_now().await?;
        }
        drop(task);
        assert_eq!(client.read(&mut [0])?, 0);
        Ok(())
    });
}

fn w13_the_number_of_a_cancelled_operations_socket_can_be_used_at_once() {
    type Start = fn(EventLoopHandle, Rc<Sock>) -> core::pin::Pin<Box<dyn Future<Output = Result<(), Error>>>>;
    let starts: [Start; 6] = [
        |handle, socket| Box::pin(async move { handle.sock_recv(&socket, 10).await.map(drop) }),
        |handle, socket| Box::pin(async move { handle.sock_recv_into(&socket, &mut [0]).await.map(drop) }),
        |handle, socket| Box::pin(async move { handle.sock_recvfrom(&socket, 10).await.map(drop) }),
        |handle, socket| {
            Box::pin(async move { handle.sock_recvfrom_into(&socket, &mut [0]).await.map(drop) })
        },
        |handle, socket| Box::pin(async move { Ok(handle.sock_sendall(&socket, &[0; 100]).await?) }),
        |handle, socket| {
            let file = File::open("/proc/self/exe").unwrap();
            Box::pin(async move { Ok(handle.sock_sendfile(&socket, &file, 0, None).await.map(drop)?) })
        },
    ];
    for start in starts {
        for is_aborted in [false, true] {
            run(async |event_loop| {
                let (ours, theirs) = pair();
                fill(&ours);
                let ours = Rc::new(ours);
                let number = ours.as_fd().as_raw_fd();
                // A duplicate keeps the description alive: only a removal stops the events.
                let duplicate = ours.get_ref().try_clone()?;
                let task = waiting(&event_loop, start(event_loop.clone(), ours)).await;
                assert_eq!(event_loop.watched_descriptors(), 1);
                if is_aborted {
                    task.abort();
                } else {
                    task.cancel();
                    assert!(was_cancelled(task.await));
                }
                assert_eq!(event_loop.watched_descriptors(), 0);
                theirs.get_ref().write_all(b"late")?;
                drain(&theirs);
                disturbed_by_nobody(&event_loop, number).await?;
                drop(duplicate);
                Ok(())
            });
        }
    }
}

fn p02_a_registration_left_behind_by_a_forgotten_wrapper_is_found_out() {
    run(async |event_loop| {
        let reported = reports(&event_loop);
        let (ours, theirs) = UnixStream::pair()?;
        let wrapper = NonBlocking::new(&ours)?;
        assert!(poll_once(event_loop.sock_recv(&wrapper, 1)).is_pending());
        core::mem::forget(wrapper);
        let number = ours.as_raw_fd();
        drop((ours, theirs));
        disturbed_by_nobody(&event_loop, number).await?;
        assert_eq!(reported.take(), ["a watched descriptor was closed before it was removed"]);
        event_loop.reset_exception_handler();
        Ok(())
    });
}
