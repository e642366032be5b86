//! System calls that are missing or forbidden, as an old system or a sandbox
//! has it (FAULTS P-13): a filter of the kernel refuses them to one thread.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::thread;

use rondel::{Clock, Config, Error, EventLoop, Protocol, Transport};

use crate::fixture::{any_port, real, reports, small};
use crate::protocols::Echo;

/// Runs `body` in a thread to which the system refuses `calls`, with `errno`.
/// Where filters can't be installed, it says so and does nothing.
fn without(calls: &'static [i64], errno: i32, body: impl FnOnce() + Send + 'static) {
    let run = move || {
        if forbid(calls, errno) {
            body();
        } else {
            // Not by `eprintln`, which the harness keeps to itself.
            writeln!(std::io::stderr(), "\nSKIP the system takes no filter of calls")
                .expect("standard error");
        }
    };
    thread::spawn(run).join().unwrap();
}

fn forbid(calls: &[i64], errno: i32) -> bool {
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // The number of the call is what the filter's data begin with.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for &call in calls {
        let equals = statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32);
        program.push(libc::sock_filter { jf: 1, ..equals });
        program.push(statement(libc::BPF_RET | libc::BPF_K, ERRNO | errno as u32));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, ALLOW));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program outlives the call, which copies it.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    }
}

fn errno_of(error: &Error) -> Option<i32> {
    error.as_io().and_then(std::io::Error::raw_os_error)
}

#[test]
fn p13_a_loop_that_the_system_denies_its_descriptors_is_a_typed_error() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        for call in [&[libc::SYS_epoll_create1], &[libc::SYS_eventfd2], &[libc::SYS_timerfd_create]] {
            without(call, errno, move || {
                let error = EventLoop::new().unwrap_err();
                assert_eq!(errno_of(&error), Some(errno), "{call:?}: {error}");
                assert!(error.to_string().starts_with("EventLoop::new"), "{error}");
            });
        }
    }
}

#[test]
fn w03_a_loop_that_may_not_ring_its_doorbell_is_a_typed_error() {
    // It could be made, and no wake would ever end its sleep.
    without(&[libc::SYS_write], libc::EPERM, || {
        let error = EventLoop::new().unwrap_err();
        assert_eq!(errno_of(&error), Some(libc::EPERM), "{error}");
        assert!(error.to_string().starts_with("EventLoop::new"), "{error}");
    });
}

#[test]
fn t06_a_clock_that_the_system_has_no_timers_for_is_a_typed_error() {
    // As Linux before 3.15 answers.
    without(&[libc::SYS_timerfd_create], libc::EINVAL, || {
        let error = EventLoop::with_config(Config { clock: Clock::Boottime, ..small() }).unwrap_err();
        assert_eq!(errno_of(&error), Some(libc::EINVAL), "{error}");
        assert!(error.to_string().starts_with("EventLoop::new"), "{error}");
    });
}

#[test]
fn p13_datagrams_go_one_by_one_where_there_are_no_batches() {
    const BATCHES: &[i64] = &[libc::SYS_recvmmsg, libc::SYS_sendmmsg];
    for errno in [libc::ENOSYS, libc::EPERM] {
        without(BATCHES, errno, || {
            let event_loop = EventLoop::with_config(small()).unwrap();
            let handle = event_loop.handle();
            let echoed = event_loop.run_until_complete(async move {
                let (transport, _) =
                    handle.create_datagram_endpoint(|| Echo).local_addr("127.0.0.1:0").await?;
                let peer = UdpSocket::bind(any_port())?;
                peer.set_nonblocking(true)?;
                let addr = transport.local_addr().unwrap();
                peer.connect(addr.as_inet().unwrap())?;
                let sent: Vec<Vec<u8>> = (0..100).map(|number| vec![number; number.into()]).collect();
                sent.iter().try_for_each(|datagram| peer.send(datagram).map(drop))?;
                let (mut echoed, mut buffer) = (Vec::new(), [0; 200]);
                while echoed.len() < sent.len() {
                    match peer.recv(&mut buffer) {
                        Ok(length) => echoed.push(buffer[..length].to_vec()),
                        Err(_) => handle.yield_now().await?,
                    }
                }
                assert_eq!((echoed, transport.dropped_sends()), (sent, 0));
                transport.close();
                handle.yield_now().await?;
                Ok::<_, Error>(())
            });
            echoed.unwrap();
        });
    }
}

/// Is never made.
struct Nobody;

impl Protocol for Nobody {
    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        unreachable!()
    }
}

#[test]
fn p13_a_server_that_may_not_accept_says_so_and_rests() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        without(&[libc::SYS_accept4], errno, || {
            let event_loop = real();
            let told = reports(&event_loop);
            let handle = event_loop.handle();
            let served = event_loop.run_until_complete(async move {
                let server = handle.create_server(|| Nobody, any_port()).await?;
                let _client = TcpStream::connect(server.local_addr())?;
                for _ in 0..50 {
                    handle.yield_now().await?;
                }
                server.close();
                Ok::<_, Error>(())
            });
            served.unwrap();
            let told = told.take();
            assert!(told.len() == 1 && told[0].starts_with("accept failed: "), "{told:?}");
        });
    }
}
