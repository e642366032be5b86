//! Name resolution (contract DN), by the system's resolver.

use core::net::{Ipv6Addr, SocketAddr};

use rondel::{AddrInfo, AddrInfoFlags, EaiError, Host, HostNameError, IpFamily, Result, SocketType};

use crate::fixture::{manual, real};

fn addrs(answers: &[AddrInfo]) -> Vec<SocketAddr> {
    answers.iter().map(|answer| answer.addr).collect()
}

// DN-1
#[test]
fn dn1_a_literal_address_is_answered_for_every_kind_of_socket() {
    let event_loop = manual();
    let answers = event_loop.run_until_complete(event_loop.getaddrinfo("127.0.0.1", 80)).unwrap();
    let sockets: Vec<_> = answers.iter().map(|answer| (answer.kind, answer.protocol)).collect();
    assert_eq!(sockets, [(SocketType::Stream, 6), (SocketType::Datagram, 17), (SocketType::Raw, 0)]);
    assert!(answers.iter().all(|answer| answer.addr == SocketAddr::from(([127, 0, 0, 1], 80))));
    assert!(answers.iter().all(|answer| answer.family() == IpFamily::V4 && answer.canonical_name.is_none()));
}

// DN-1: the hosts file is read by the system, in a thread.
#[test]
fn dn1_localhost_is_resolved_by_the_system() {
    let event_loop = real();
    let lookup = event_loop.getaddrinfo("localhost", 80).kind(SocketType::Stream).family(IpFamily::V4);
    let answers = event_loop.run_until_complete(lookup).unwrap();
    assert_eq!(addrs(&answers), [SocketAddr::from(([127, 0, 0, 1], 80))]);
}

// DN-1
#[test]
fn dn1_a_service_is_known_by_name() {
    let event_loop = real();
    let lookup = event_loop.getaddrinfo("127.0.0.1", "http").kind(SocketType::Stream);
    match event_loop.run_until_complete(lookup) {
        Ok(answers) => assert_eq!(addrs(&answers), [SocketAddr::from(([127, 0, 0, 1], 80))]),
        // A machine without a file of services.
        Err(error) => assert_eq!(error.as_eai(), Some(EaiError::Service)),
    }
}

// DN-1
#[test]
fn dn1_errors_have_the_systems_codes() {
    let event_loop = real();
    let lookup = event_loop.getaddrinfo("no-address", 80).flags(AddrInfoFlags::NUMERIC_HOST);
    let error = event_loop.run_until_complete(lookup).unwrap_err();
    assert_eq!(error.as_eai(), Some(EaiError::NoName));
    assert_eq!(error.as_eai().unwrap().code(), -2);
    assert!(error.to_string().starts_with("getaddrinfo: "), "{error}");
    let lookup = event_loop.getaddrinfo(Host::NONE, 80).flags(AddrInfoFlags::CANONICAL_NAME);
    let error = event_loop.run_until_complete(lookup).unwrap_err();
    assert_eq!(error.as_eai(), Some(EaiError::BadFlags));
}

// DN-1
#[test]
fn dn1_no_host_is_all_addresses_to_listen_on_or_the_loopback() {
    let event_loop = real();
    let none = || event_loop.getaddrinfo(Host::NONE, 80).kind(SocketType::Stream).family(IpFamily::V4);
    let passive = none().flags(AddrInfoFlags::PASSIVE);
    let answers = event_loop.run_until_complete(passive).unwrap();
    assert_eq!(addrs(&answers), [SocketAddr::from(([0, 0, 0, 0], 80))]);
    let answers = event_loop.run_until_complete(none()).unwrap();
    assert_eq!(addrs(&answers), [SocketAddr::from(([127, 0, 0, 1], 80))]);
}

// DN-2: there is no thread on this kernel.
#[test]
fn dn2_literal_addresses_need_neither_thread_nor_resolver() {
    let event_loop = rondel::EventLoop::without_descriptors(rondel::Config::default()).unwrap();
    let ask = |host: &str| {
        let lookup = event_loop.getaddrinfo(host, "443").kind(SocketType::Stream);
        event_loop.run_until_complete(lookup)
    };
    assert_eq!(addrs(&ask("192.0.2.1").unwrap()), [SocketAddr::from(([192, 0, 2, 1], 443))]);
    assert_eq!(addrs(&ask("2001:db8::1").unwrap())[0].to_string(), "[2001:db8::1]:443");
    assert!(ask("localhost").is_err());
    assert!(ask("fe80::1%1").is_err());
}

// DN-2
#[test]
fn dn2_a_zone_is_kept() {
    let event_loop = real();
    let lookup = event_loop.getaddrinfo("fe80::1%1", 80).kind(SocketType::Stream);
    let answers = event_loop.run_until_complete(lookup).unwrap();
    let [SocketAddr::V6(addr)] = addrs(&answers)[..] else { panic!("{answers:?}") };
    assert_eq!((addr.scope_id(), *addr.ip()), (1, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)));
}

// E-08: what the system reads as an address in an odd form.
#[test]
fn e08_odd_numeric_forms_are_what_the_system_says() {
    let event_loop = real();
    for (host, addr) in [("127.1", [127, 0, 0, 1]), ("0x7f.1", [127, 0, 0, 1]), ("010.0.0.1", [8, 0, 0, 1])] {
        let lookup = event_loop.getaddrinfo(host, 80).kind(SocketType::Stream);
        let answers = event_loop.run_until_complete(lookup).unwrap();
        assert_eq!(addrs(&answers), [SocketAddr::from((addr, 80))], "{host}");
    }
}

// E-08: on a kernel without threads, so nobody was asked.
#[test]
fn e08_what_can_not_be_a_host_is_refused_before_the_resolver_is_asked() {
    let event_loop = rondel::EventLoop::without_descriptors(rondel::Config::default()).unwrap();
    let ask = |host: String| -> Option<HostNameError> {
        let error = event_loop.run_until_complete(event_loop.getaddrinfo(host, 80)).unwrap_err();
        std::error::Error::source(&error).and_then(|source| source.downcast_ref()).copied()
    };
    let labels = |count: usize, last: usize| {
        format!("{}{}", "a".repeat(63) + ".", "b.".repeat(count)) + &"c".repeat(last)
    };
    assert_eq!(ask(String::new()), Some(HostNameError::Empty));
    assert_eq!(ask(".".into()), Some(HostNameError::Empty));
    assert_eq!(ask("a\0b".into()), Some(HostNameError::Nul));
    assert_eq!(ask("bücher.example".into()), Some(HostNameError::NotAscii));
    assert_eq!(ask("a..b".into()), Some(HostNameError::EmptyLabel));
    assert_eq!(ask(".a".into()), Some(HostNameError::EmptyLabel));
    assert_eq!(ask("a".repeat(64)), Some(HostNameError::LabelTooLong { length: 64 }));
    assert_eq!(ask(labels(95, 0) + "a"), ask(labels(94, 3)));
    for length in [254, 255, 256, 1023, 1024, 1025, 65_535, 1 << 20] {
        let name = "a.".repeat(length / 2) + if length % 2 == 0 { "" } else { "a" };
        let name = if name.ends_with('.') { name[..length - 2].to_owned() + "aa" } else { name };
        assert_eq!(ask(name), Some(HostNameError::TooLong { length }));
    }
    // 253 bytes pass, and meet a kernel without threads.
    assert_eq!(ask(vec!["a".repeat(63); 3].join(".") + "." + &"a".repeat(61)), None);
}

// DN-3
#[test]
fn dn3_an_address_is_named_by_the_flags() {
    use rondel::NameInfoFlags;
    let event_loop = real();
    let addr = SocketAddr::from(([127, 0, 0, 1], 65_000));
    let numeric = NameInfoFlags::NUMERIC_HOST | NameInfoFlags::NUMERIC_SERVICE;
    let names = event_loop.run_until_complete(event_loop.getnameinfo(addr).flags(numeric)).unwrap();
    assert_eq!((names.host.as_str(), names.service.as_str()), ("127.0.0.1", "65000"));
    let named = event_loop.getnameinfo(addr).flags(NameInfoFlags::NUMERIC_SERVICE);
    let names = event_loop.run_until_complete(named).unwrap();
    assert_eq!(names.service, "65000");
    assert!(!names.host.is_empty());
}

// DN-4
#[test]
fn dn4_closing_the_loop_with_lookups_in_flight_is_clean() {
    for _ in 0..10 {
        let event_loop = real();
        for host in ["localhost", "127.1", "fe80::1%1"] {
            let lookup = event_loop.getaddrinfo(host, 80).into_future();
            event_loop.create_task(lookup).unwrap();
        }
        crate::fixture::turns(&event_loop, 2);
        event_loop.close().unwrap();
        assert_eq!(event_loop.watched_descriptors(), 0);
    }
}

// P-18: whatever the resolver and its threads have open.
#[test]
fn p18_a_child_sees_nothing_of_lookups_in_flight() {
    let inherited = || {
        let listed = std::process::Command::new("ls").arg("/proc/self/fd").output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    };
    let before = inherited();
    let event_loop = real();
    for _ in 0..8 {
        for host in ["localhost", "127.1", "localhost."] {
            event_loop.create_task(event_loop.getaddrinfo(host, 80).into_future()).unwrap();
        }
        crate::fixture::turns(&event_loop, 2);
        assert_eq!(inherited(), before);
    }
}

// DN-4
#[test]
fn dn4_cancelling_a_lookup_returns_at_once() -> Result<()> {
    let event_loop = real();
    let lookup = event_loop.getaddrinfo("localhost", 80).into_future();
    let task = event_loop.create_task(lookup).unwrap();
    let canceller = task.clone();
    event_loop.call_soon(move |event_loop| {
        canceller.cancel();
        event_loop.call_soon(|event_loop| event_loop.call_soon(|event_loop| event_loop.stop()))?;
        Ok::<(), rondel::Error>(())
    })?;
    event_loop.run_forever()?;
    assert!(task.done());
    Ok(())
}

#[test]
fn dn4_a_closed_loop_resolves_nothing() {
    let event_loop = real();
    let lookup = event_loop.getaddrinfo("127.0.0.1", 80).into_future();
    event_loop.close().unwrap();
    let other = real();
    assert!(other.run_until_complete(lookup).unwrap_err().is_closed());
}
