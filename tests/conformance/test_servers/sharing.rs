//! Servers of several loops and processes at one address.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use rondel::{Config, Error, EventLoop};

use super::{Hall, byte};
use crate::fixture::{any_port, real, reports, small};
use crate::protocols::Silent;

/// Connects `count` times, and has one byte echoed each time.
fn greet(addr: SocketAddr, count: usize) {
    for _ in 0..count {
        let mut client = TcpStream::connect(addr).unwrap();
        client.write_all(b"x").unwrap();
        assert_eq!(byte(&client).unwrap(), b'x');
    }
}

#[test]
fn a05_loops_in_two_threads_share_a_port_or_a_listener() {
    for shares_listener in [false, true] {
        let listener = TcpListener::bind(any_port()).unwrap();
        let mut addr = if shares_listener { listener.local_addr().unwrap() } else { any_port() };
        let (ready, started) = channel();
        let accepted = Arc::new(AtomicUsize::new(0));
        let mut threads = Vec::new();
        let mut remotes = Vec::new();
        for _ in 0..2 {
            let (ready, counted) = (ready.clone(), Arc::clone(&accepted));
            let listener = shares_listener.then(|| listener.try_clone().unwrap());
            threads.push(thread::spawn(move || {
                // Clients may go and come while a busy machine lets the loop wait.
                let event_loop = EventLoop::with_config(Config { descriptors: 256, ..small() }).unwrap();
                let told = reports(&event_loop);
                let guests = Hall::default().guests();
                let factory = move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    guests()
                };
                let server = match listener {
                    Some(listener) => {
                        event_loop.run_until_complete(event_loop.create_server_with_sock(factory, listener))
                    }
                    None => event_loop
                        .run_until_complete(event_loop.create_server(factory, addr).reuse_port(true)),
                };
                let server = server.unwrap();
                ready.send((server.local_addr(), event_loop.remote())).unwrap();
                event_loop.run_forever().unwrap();
                assert_eq!((server.refused(), told.count()), (0, 0));
            }));
            let (bound, remote) = started.recv().unwrap();
            addr = bound;
            remotes.push(remote);
        }
        let clients: Vec<_> = (0..4).map(|_| thread::spawn(move || greet(addr, 50))).collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        remotes.iter().for_each(|remote| remote.stop());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(accepted.load(Ordering::Relaxed), 200);
    }
}

const KILLED: &str = "RONDEL_TEST_KILLED";

/// Is the server that gets killed: it tells its port and then how many it has.
fn serve_until_killed(clients: usize) {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let server = handle.create_server(|| Silent, any_port()).backlog(1024).await?;
            println!("port {}", server.local_addr().port());
            while server.connections() < clients {
                handle.sleep(Duration::from_millis(1)).await?;
            }
            println!("port 0");
            core::future::pending::<Result<(), Error>>().await
        })
        .unwrap();
}

#[test]
fn a09_a_server_killed_with_a_thousand_connections_is_restarted_at_once() {
    const CLIENTS: usize = 1_000;
    if std::env::var_os(KILLED).is_some() {
        return serve_until_killed(CLIENTS);
    }
    let name = "test_servers::sharing::a09_a_server_killed_with_a_thousand_connections_is_restarted_at_once";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(KILLED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ports = lines.filter_map(|line| {
        let line = line.unwrap();
        line.rsplit_once("port ").and_then(|(_, port)| port.parse::<u16>().ok())
    });
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.next().unwrap()));
    let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(addr).unwrap()).collect();
    assert_eq!(ports.next(), Some(0), "all are served");
    child.kill().unwrap();
    child.wait().unwrap();
    let event_loop = real();
    let server = event_loop.run_until_complete(event_loop.create_server(|| Silent, addr)).unwrap();
    assert_eq!(server.local_addr(), addr);
    drop(clients);
}
