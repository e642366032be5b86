//! The kernel with answers from a script.

use std::io::{self, IoSlice};
use std::rc::Rc;

use rondel_core::Instant;

use super::TOKEN;
use crate::faults::{Faults, Operation};
use crate::sys::kernel::{Files, Sockets, Time, Watching};
use crate::sys::{Events, FaultyKernel, Interest, ManualKernel};

fn faulty() -> (FaultyKernel, Faults) {
    let faults = Faults::default();
    (FaultyKernel::new(Rc::new(ManualKernel::new().unwrap()), faults.clone()), faults)
}

#[test]
fn every_operation_of_the_seam_stands_in_the_faulty_kernel() {
    const NOUNS: [(&str, &str); 7] = [
        (include_str!("../kernel/time.rs"), include_str!("../faulty/mod.rs")),
        (include_str!("../kernel/watching.rs"), include_str!("../faulty/mod.rs")),
        (include_str!("../kernel/files.rs"), include_str!("../faulty/files.rs")),
        (include_str!("../kernel/sockets.rs"), include_str!("../faulty/sockets.rs")),
        (include_str!("../kernel/datagrams.rs"), include_str!("../faulty/datagrams.rs")),
        (include_str!("../kernel/mod.rs"), include_str!("../faulty/process.rs")),
        (include_str!("../processes.rs"), include_str!("../faulty/children.rs")),
    ];
    for (seam, faulty) in NOUNS {
        let (_, methods) = seam.split_once("pub(crate) trait ").unwrap();
        let (methods, _) = methods.split_once("\n}\n").unwrap();
        let names = methods.split("\n    fn ").skip(1).map(|text| text.split(['(', '<']).next().unwrap());
        let missing: Vec<_> = names
            .filter(|name| {
                !faulty.contains(&format!("fn {name}(")) && !faulty.contains(&format!(": {name}("))
            })
            .collect();
        assert_eq!(missing, [""; 0]);
    }
}

#[test]
fn calls_fail_in_the_order_of_the_script_and_are_counted() {
    let (kernel, faults) = faulty();
    faults.fail_nth(Operation::SocketPair, 3, libc::EMFILE);
    faults.fail(Operation::SocketPair, libc::ENFILE);
    let errno = || match kernel.socket_pair() {
        Ok((a, b)) => {
            kernel.close(a);
            kernel.close(b);
            None
        }
        Err(error) => error.raw_os_error(),
    };
    let answers: Vec<_> = (0..5).map(|_| errno()).collect();
    assert_eq!(answers, [Some(libc::ENFILE), None, Some(libc::EMFILE), None, None]);
    faults.fail_every(Operation::SocketPair, libc::EPERM);
    assert_eq!([errno(), errno()], [Some(libc::EPERM); 2]);
    faults.heal(Operation::SocketPair);
    assert_eq!(errno(), None);
    assert_eq!((faults.calls(Operation::SocketPair), faults.calls(Operation::Unlink)), (8, 0));
    assert!(format!("{faults:?}").contains("SocketPair"));
}

#[test]
fn a_spurious_readiness_is_reported_again_and_short_transfers_lose_nothing() {
    let (kernel, faults) = faulty();
    let (a, b) = kernel.socket_pair().unwrap();
    kernel.register(a, TOKEN, Interest::READABLE).unwrap();
    faults.limit(Operation::Send, 2);
    assert_eq!(kernel.send(b, b"abc").unwrap(), 2);
    assert_eq!(kernel.send_vectored(b, &[IoSlice::new(b""), IoSlice::new(b"cde")]).unwrap(), 2);
    faults.heal(Operation::Send);
    let mut events = Events::with_capacity(4);
    let look = |events: &mut Events| {
        kernel.wait(Some(Instant::ZERO), events).unwrap();
        events.iter().len()
    };
    assert_eq!(look(&mut events), 1);
    faults.block(Operation::Recv);
    let mut buf = [0; 3];
    assert_eq!(kernel.recv(a, &mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(look(&mut events), 1, "once more");
    faults.limit(Operation::Recv, 1);
    for expected in b"abcd" {
        assert_eq!(kernel.recv(a, &mut buf).unwrap(), 1);
        assert_eq!(buf[0], *expected);
    }
    assert_eq!(look(&mut events), 0);
    faults.wake_all();
    assert_eq!((look(&mut events), look(&mut events)), (1, 0));
    assert_eq!(kernel.recv(a, &mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    kernel.deregister(a).unwrap();
    kernel.close(a);
    kernel.close(b);
}
