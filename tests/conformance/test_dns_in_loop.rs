//! The resolver inside the loop, against servers of these tests: on the same loop, so that time, which
//! is virtual, stands still while somebody has something to say.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::rc::Rc;

use rondel::{
    AddrInfo, AddrInfoFlags, Config, EaiError, EventLoop, EventLoopHandle, Host, InLoopConfig, IpFamily,
    ManualClock, NameInfoFlags, NameServerSource, NameServers, Resolver, Result, SocketType, TaskWait,
};

use crate::fixture::{Trace, log_lines, logged, manual_with, small, turns};

const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const AAAA: u16 = 28;

const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;

type Record = (&'static str, u16, Vec<u8>);

/// What a server says to a question.
#[derive(Default)]
struct Says {
    code: u8,
    is_truncated: bool,
    records: Vec<Record>,
}

fn says(records: Vec<Record>) -> Option<Says> {
    Some(Says { records, ..Says::default() })
}

fn fails(code: u8) -> Option<Says> {
    Some(Says { code, ..Says::default() })
}

fn a(name: &'static str, ip: [u8; 4]) -> Record {
    (name, A, ip.into())
}

fn aaaa(name: &'static str, ip: &str) -> Record {
    (name, AAAA, ip.parse::<core::net::Ipv6Addr>().unwrap().octets().into())
}

fn cname(name: &'static str, target: &str) -> Record {
    (name, CNAME, wire(target))
}

/// Writes a name as DNS does.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

/// Reads the name and type of a question, and returns where it ends.
fn question(query: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]), at + 5)
}

fn reply(query: &[u8], says: &Says) -> Vec<u8> {
    let (_, _, end) = question(query);
    let mut bytes = query[..end].to_vec();
    bytes[2] = 0x81 | if says.is_truncated { 2 } else { 0 };
    bytes[3] = 0x80 | says.code;
    bytes[6..8].copy_from_slice(&(says.records.len() as u16).to_be_bytes());
    for (name, kind, data) in &says.records {
        bytes.extend(wire(name));
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

type Answer = Box<dyn Fn(&str, u16, bool) -> Option<Says>>;

fn sockets() -> (Rc<UdpSocket>, Rc<TcpListener>) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) else { continue };
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        return (Rc::new(udp), Rc::new(tcp));
    }
}

/// A server: what it is called, what it says, and the record of what it is asked.
struct Server {
    name: &'static str,
    answer: Answer,
    trace: Trace,
}

impl Server {
    fn reply(&self, query: &[u8], is_stream: bool) -> Option<Vec<u8>> {
        let (host, kind, _) = question(query);
        let kind_name = match kind {
            A => "A",
            AAAA => "AAAA",
            PTR => "PTR",
            _ => "?",
        };
        let by = if is_stream { " by TCP" } else { "" };
        self.trace.push(format!("{} {host} {kind_name}{by}", self.name));
        (self.answer)(&host, kind, is_stream).map(|says| reply(query, &says))
    }

    /// Answers by UDP and TCP on the same port.
    fn serve(self, event_loop: &EventLoopHandle, udp: Rc<UdpSocket>, tcp: Rc<TcpListener>) {
        let server = Rc::new(self);
        let (socket, by_udp) = (Rc::clone(&udp), Rc::clone(&server));
        event_loop
            .add_reader(&*udp, move |_: &EventLoopHandle| {
                let mut buffer = [0; 512];
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    if let Some(bytes) = by_udp.reply(&buffer[..length], false) {
                        // What comes first is another's: a wrong number.
                        let mut strange = bytes.clone();
                        strange[0] ^= 1;
                        strange[3] |= 3;
                        socket.send_to(&strange, from).unwrap();
                        socket.send_to(&[], from).unwrap();
                        socket.send_to(&bytes, from).unwrap();
                    }
                }
            })
            .unwrap();
        let listener = Rc::clone(&tcp);
        event_loop
            .add_reader(&*tcp, move |event_loop: &EventLoopHandle| {
                while let Ok((stream, _)) = listener.accept() {
                    Rc::clone(&server).talk(event_loop, stream);
                }
            })
            .unwrap();
    }

    fn talk(self: Rc<Self>, event_loop: &EventLoopHandle, stream: TcpStream) {
        stream.set_nonblocking(true).unwrap();
        let stream = Rc::new(stream);
        let (peer, mut received) = (Rc::clone(&stream), Vec::new());
        event_loop
            .add_reader(&*stream, move |event_loop: &EventLoopHandle| {
                let mut buffer = [0; 512];
                match (&*peer).read(&mut buffer) {
                    Ok(0) => {
                        event_loop.remove_reader(&*peer);
                    }
                    Ok(length) => received.extend(&buffer[..length]),
                    Err(_) => {}
                }
                let is_whole = |bytes: &[u8]| {
                    bytes.len() > 2
                        && bytes.len() == 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
                };
                if is_whole(&received) {
                    let bytes = self.reply(&received[2..], true).unwrap_or_default();
                    let whole = [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
                    (&*peer).write_all(&whole).unwrap();
                    received.clear();
                }
            })
            .unwrap();
    }
}

/// A loop that resolves names by servers on itself.
struct World {
    event_loop: EventLoop,
    clock: ManualClock,
    trace: Trace,
}

impl World {
    /// Makes servers of `answers`; where nothing else was prepared there is no file to read.
    fn new(answers: Vec<Answer>, change: impl FnOnce(&mut InLoopConfig, &mut NameServers)) -> Self {
        let trace = Trace::new();
        // Ports first: a loop knows its servers when it is made.
        let held: Vec<_> = answers.iter().map(|_| sockets()).collect();
        let addrs = held.iter().map(|(udp, _)| udp.local_addr().unwrap()).collect();
        let mut servers = NameServers { servers: addrs, ..NameServers::default() };
        let mut config = InLoopConfig { hosts: None, services: None, ..InLoopConfig::default() };
        change(&mut config, &mut servers);
        config.name_servers = NameServerSource::These(servers);
        let config = Config { resolver: Resolver::in_loop(config), ..small() };
        let (event_loop, clock) = manual_with(config);
        for ((answer, name), (udp, tcp)) in answers.into_iter().zip(["first", "second"]).zip(held) {
            Server { name, answer, trace: trace.clone() }.serve(&event_loop, udp, tcp);
        }
        Self { event_loop, clock, trace }
    }

    /// Makes one server.
    fn of(answer: impl Fn(&str, u16, bool) -> Option<Says> + 'static) -> Self {
        Self::new(vec![Box::new(answer)], |_, _| {})
    }

    fn ask(&self, host: &str) -> Result<Vec<AddrInfo>> {
        let before = self.event_loop.watched_descriptors();
        let lookup = self.event_loop.getaddrinfo(host, 80).kind(SocketType::Stream);
        let answers = self.event_loop.run_until_complete(lookup);
        assert!(self.event_loop.watched_descriptors() <= before + 1, "no socket is left, but of the server");
        answers
    }

    fn ips(&self, host: &str) -> Vec<String> {
        self.ask(host).unwrap().iter().map(|answer| answer.addr.ip().to_string()).collect()
    }

    fn error(&self, host: &str) -> EaiError {
        self.ask(host).unwrap_err().as_eai().expect("an answer of the resolver")
    }
}

/// Writes a file for one test, and removes it.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rondel-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

// DN-1
#[test]
fn dn1_both_families_are_asked_for_and_aliases_followed() {
    let world = World::of(|name, kind, _| match (name, kind) {
        ("host.example", A) => says(vec![
            cname("host.example", "alias.example"),
            cname("alias.example", "REAL.example"),
            a("real.example", [127, 0, 0, 7]),
            a("another.example", [127, 0, 0, 8]),
        ]),
        // The chain ends elsewhere, and goes on in another answer.
        ("host.example", AAAA) => says(vec![cname("host.example", "real.example")]),
        ("real.example", AAAA) => says(vec![aaaa("real.example", "::1")]),
        _ => fails(NXDOMAIN),
    });
    let lookup = world
        .event_loop
        .getaddrinfo("host.example", 80)
        .kind(SocketType::Stream)
        .flags(AddrInfoFlags::CANONICAL_NAME);
    let answers = world.event_loop.run_until_complete(lookup).unwrap();
    let mut ips: Vec<IpAddr> = answers.iter().map(|answer| answer.addr.ip()).collect();
    ips.sort();
    assert_eq!(ips, ["127.0.0.7".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!(answers[0].canonical_name.as_deref().map(str::to_lowercase).as_deref(), Some("real.example"));
    assert!(answers[1].canonical_name.is_none());
    assert_eq!(
        world.trace.take(),
        [
            "first host.example A",    // both at once,
            "first host.example AAAA", // from one socket
            "first real.example AAAA", // what the alias of the second left open
        ]
    );
}

// DN-1
#[test]
fn dn1_one_family_is_asked_for_alone() {
    let world = World::of(|_, kind, _| match kind {
        A => says(vec![a("host.example", [127, 0, 0, 7])]),
        _ => says(vec![]),
    });
    let ask = |family, flags| {
        let lookup = world.event_loop.getaddrinfo("host.example", 80).family(family).flags(flags);
        world.event_loop.run_until_complete(lookup.kind(SocketType::Datagram))
    };
    let answers = ask(IpFamily::V4, AddrInfoFlags::default()).unwrap();
    assert_eq!((answers.len(), answers[0].protocol, answers[0].family()), (1, 17, IpFamily::V4));
    assert_eq!(world.trace.take(), ["first host.example A"]);
    let none = ask(IpFamily::V6, AddrInfoFlags::default()).unwrap_err();
    assert_eq!(none.as_eai(), Some(EaiError::NoData));
    assert_eq!(world.trace.take(), ["first host.example AAAA"]);
    let mapped = ask(IpFamily::V6, AddrInfoFlags::V4_MAPPED).unwrap();
    assert_eq!(mapped[0].addr.to_string(), "[::ffff:127.0.0.7]:80");
}

// DN-1
#[test]
fn dn1_what_servers_say_has_the_systems_codes() {
    let world = World::of(|name, _, _| match name {
        "empty.example" => says(vec![]),
        "refused.example" => fails(REFUSED),
        "failing.example" => fails(SERVFAIL),
        "loop.example" => says(vec![cname("loop.example", "loop.example")]),
        _ => fails(NXDOMAIN),
    });
    assert_eq!(world.error("none.example"), EaiError::NoName);
    assert_eq!(world.error("empty.example"), EaiError::NoData);
    assert_eq!(world.error("refused.example"), EaiError::Fail);
    assert_eq!(world.error("failing.example"), EaiError::Again);
    assert_eq!(world.error("loop.example"), EaiError::Fail);
}

// DN-1: an endless chain of aliases, a name in each answer.
#[test]
fn dn1_a_chain_of_aliases_is_followed_only_so_far() {
    let world = World::of(|name, _, _| {
        let mut record = cname("", &format!("x{name}"));
        record.0 = Box::leak(name.to_owned().into_boxed_str());
        says(vec![record])
    });
    let lookup = world.event_loop.getaddrinfo("host.example", 80).family(IpFamily::V4);
    let error = world.event_loop.run_until_complete(lookup).unwrap_err();
    assert_eq!(error.as_eai(), Some(EaiError::Fail));
    assert_eq!(world.trace.take().len(), 9);
}

// E-07: a silent server costs its time, and the next is asked.
#[test]
fn e07_a_silent_server_is_left_after_its_time() {
    let answers: Vec<Answer> = vec![
        Box::new(|_, _, _| None),
        Box::new(|_, kind, _| match kind {
            A => says(vec![a("host.example", [127, 0, 0, 7])]),
            _ => says(vec![]),
        }),
    ];
    let world = World::new(answers, |_, _| {});
    assert_eq!(world.ips("host.example"), ["127.0.0.7"]);
    assert_eq!(
        world.trace.take(),
        [
            "first host.example A",
            "first host.example AAAA",
            "second host.example A", // 5 s later, by the loop's clock
            "second host.example AAAA",
        ]
    );
    assert_eq!(world.clock.now().as_nanos(), 5_000_000_000);
}

// DB-5
#[test]
fn db5_slow_lookups_are_logged_louder_in_debug_mode() {
    let answers: Vec<Answer> = vec![
        Box::new(|host, _, _| if host == "slow.example" { None } else { says(vec![]) }),
        Box::new(|_, _, _| says(vec![])),
    ];
    let world = World::new(answers, |_, _| {});
    let lines = |host: &str, level| {
        log_lines();
        world.error(host);
        logged(level).into_iter().filter(|line| line.starts_with("getaddrinfo")).collect::<Vec<_>>()
    };
    assert!(lines("slow.example", log::Level::Debug).is_empty());
    world.event_loop.set_debug(true);
    assert_eq!(
        lines("slow.example", log::Level::Info),
        ["getaddrinfo(\"slow.example\") failed in 5000.000 ms"]
    );
    assert!(lines("fast.example", log::Level::Info).is_empty());
    assert_eq!(
        lines("fast.example", log::Level::Debug),
        ["getaddrinfo(\"fast.example\") failed in 0.000 ms"]
    );
}

// E-07
#[test]
fn e07_when_no_server_answers_each_was_asked_so_many_times() {
    let answers: Vec<Answer> = vec![Box::new(|_, _, _| None), Box::new(|_, _, _| None)];
    let world = World::new(answers, |_, servers| {
        servers.timeout = Duration::from_secs(3);
        servers.attempts = 3;
    });
    let lookup = world.event_loop.getaddrinfo("host.example", 80).family(IpFamily::V4);
    let error = world.event_loop.run_until_complete(lookup).unwrap_err();
    assert_eq!(error.as_eai(), Some(EaiError::Again));
    let (first, second) = ("first host.example A", "second host.example A");
    assert_eq!(world.trace.take(), [first, second, first, second, first, second]);
    assert_eq!(world.clock.now().as_nanos(), 18_000_000_000);
}

// E-07: a look-up that waits keeps neither a timer nor another look-up waiting.
#[test]
fn e07_other_work_goes_on_beside_lookups_that_wait() {
    let world = World::of(|name, _, _| match name {
        "silent.example" => None,
        _ => says(vec![a("host.example", [127, 0, 0, 7])]),
    });
    let event_loop = &world.event_loop;
    for _ in 0..4 {
        event_loop.create_task(event_loop.getaddrinfo("silent.example", 80).into_future()).unwrap();
    }
    let lookup = event_loop.getaddrinfo("host.example", 80).family(IpFamily::V4);
    assert_eq!(event_loop.run_until_complete(lookup).unwrap()[0].addr.to_string(), "127.0.0.7:80");
    let waits = crate::test_snapshot::tasks(event_loop).into_iter().filter_map(|row| row.wait);
    assert_eq!(waits.filter(|&wait| wait == TaskWait::Lookup).count(), 4);
    assert_eq!(event_loop.run_until_complete(event_loop.run_in_executor(|| 7).unwrap()).unwrap(), 7);
}

#[test]
fn a_server_that_fails_or_is_not_there_is_left_at_once() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answers: Vec<Answer> = vec![
        Box::new(|_, _, _| fails(SERVFAIL)),
        Box::new(|_, _, _| says(vec![a("host.example", [127, 0, 0, 7])])),
    ];
    let world = World::new(answers, |_, servers| servers.servers.insert(0, gone));
    let lookup = world.event_loop.getaddrinfo("host.example", 80).family(IpFamily::V4);
    let answers = world.event_loop.run_until_complete(lookup).unwrap();
    assert_eq!(answers[0].addr.to_string(), "127.0.0.7:80");
    assert_eq!(world.trace.take(), ["first host.example A", "second host.example A"]);
    assert_eq!(world.clock.now().as_nanos(), 0);
}

#[test]
fn with_rotate_each_lookup_begins_with_the_next_server() {
    let answer = || -> Answer { Box::new(|_, _, _| says(vec![a("host.example", [127, 0, 0, 7])])) };
    let world = World::new(vec![answer(), answer()], |_, servers| servers.rotate = true);
    for _ in 0..3 {
        let lookup = world.event_loop.getaddrinfo("host.example", 80).family(IpFamily::V4);
        world.event_loop.run_until_complete(lookup).unwrap();
    }
    let (first, second) = ("first host.example A", "second host.example A");
    assert_eq!(world.trace.take(), [first, second, first]);
}

#[test]
fn what_is_truncated_is_asked_for_by_tcp() {
    let world = World::of(|_, kind, is_stream| {
        let records = (0..60).map(|last| a("host.example", [127, 0, 1, last])).collect();
        match kind {
            A if is_stream => says(records),
            A => Some(Says { is_truncated: true, ..Says::default() }),
            _ => says(vec![]),
        }
    });
    assert_eq!(world.ips("host.example").len(), 60);
    assert_eq!(
        world.trace.take(),
        ["first host.example A", "first host.example AAAA", "first host.example A by TCP"]
    );
}

#[test]
fn a_short_name_is_looked_for_in_the_search_list() {
    let world = World::new(
        vec![Box::new(|name, _, _| match name {
            "host.b.example" => says(vec![a("host.b.example", [127, 0, 0, 7])]),
            _ => fails(NXDOMAIN),
        })],
        |_, servers| servers.search = vec!["a.example".into(), "b.example".into()],
    );
    let ask = |host: &str| {
        let lookup = world.event_loop.getaddrinfo(host, 80).family(IpFamily::V4);
        world.event_loop.run_until_complete(lookup).is_ok()
    };
    assert!(ask("host"));
    assert_eq!(world.trace.take(), ["first host.a.example A", "first host.b.example A"]);
    // A closing dot: as it is, and nowhere else.
    assert!(!ask("host."));
    assert_eq!(world.trace.take(), ["first host A"]);
    // Dots enough: as it is first.
    assert!(!ask("no.host"));
    assert_eq!(
        world.trace.take(),
        ["first no.host A", "first no.host.a.example A", "first no.host.b.example A"]
    );
}

#[test]
fn an_answer_is_kept_for_as_long_as_it_holds_if_there_is_a_cache() {
    let answer = || -> Answer { Box::new(|_, _, _| says(vec![a("host.example", [127, 0, 0, 7])])) };
    let ask = |world: &World, host: &str| {
        let lookup = world.event_loop.getaddrinfo(host, 80).family(IpFamily::V4);
        let _ = world.event_loop.run_until_complete(lookup);
        world.trace.take().len()
    };
    let world = World::new(vec![answer()], |_, _| {});
    assert_eq!([ask(&world, "host.example"), ask(&world, "host.example")], [1, 1]);
    let world = World::new(vec![answer()], |config, _| config.cache_entries = 1);
    assert_eq!([ask(&world, "host.example"), ask(&world, "HOST.example")], [1, 0]);
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(ask(&world, "host.example"), 0);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&world, "host.example"), 1);
}

// DN-4
#[test]
fn dn4_a_cancelled_lookup_ends_at_once_and_leaves_no_socket() {
    let world = World::of(|_, _, _| None);
    let event_loop = &world.event_loop;
    let before = event_loop.watched_descriptors();
    let task = event_loop.create_task(event_loop.getaddrinfo("host.example", 80).into_future()).unwrap();
    turns(event_loop, 3);
    assert_eq!(event_loop.watched_descriptors(), before + 1);
    task.cancel();
    let error = event_loop.run_until_complete(task).unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
    assert_eq!(event_loop.watched_descriptors(), before);
    assert_eq!(world.clock.now().as_nanos(), 0);
}

// DN-4
#[test]
fn dn4_closing_the_loop_with_a_lookup_of_its_own_in_flight_is_clean() {
    let world = World::of(|_, _, _| None);
    let event_loop = &world.event_loop;
    event_loop.create_task(event_loop.getaddrinfo("host.example", 80).into_future()).unwrap();
    turns(event_loop, 3);
    event_loop.close().unwrap();
    assert_eq!(event_loop.watched_descriptors(), 0);
}

// E-09: nothing of the system is needed: no thread, no file, no server.
#[test]
fn e09_localhost_is_known_without_any_file() {
    let world = World::new(vec![], |_, _| {});
    let mut ips = world.ips("localhost");
    ips.sort();
    assert_eq!(ips, ["127.0.0.1", "::1"]);
    assert_eq!(world.ips("127.1"), ["127.0.0.1"]);
    assert_eq!(world.ask("fe80::1%1").unwrap()[0].addr.to_string(), "[fe80::1%1]:80");
    let none = world.event_loop.getaddrinfo(Host::NONE, 80).flags(AddrInfoFlags::PASSIVE);
    let answers = world.event_loop.run_until_complete(none.kind(SocketType::Stream)).unwrap();
    let addrs: Vec<String> = answers.iter().map(|answer| answer.addr.to_string()).collect();
    assert_eq!(addrs, ["0.0.0.0:80", "[::]:80"]);
    assert_eq!(world.error("host.example"), EaiError::Again);
}

// E-09
#[test]
fn e09_the_files_of_hosts_and_services_are_read() {
    let hosts = File::new("hosts", "127.0.0.9 full.example short\n::1 full.example\n");
    let services = File::new("services", "gopher 70/tcp\ngopher 70/udp\nonly 71/udp\n");
    let world = World::new(vec![], |config, _| {
        config.hosts = Some(hosts.0.clone());
        config.services = Some(services.0.clone());
    });
    let event_loop = &world.event_loop;
    let lookup = event_loop.getaddrinfo("SHORT", "gopher").flags(AddrInfoFlags::CANONICAL_NAME);
    let answers = event_loop.run_until_complete(lookup).unwrap();
    let sockets: Vec<_> = answers.iter().map(|answer| (answer.kind, answer.addr.to_string())).collect();
    assert_eq!(
        sockets,
        [(SocketType::Stream, "127.0.0.9:70".to_owned()), (SocketType::Datagram, "127.0.0.9:70".to_owned())]
    );
    assert_eq!(answers[0].canonical_name.as_deref(), Some("full.example"));
    let lookup = event_loop.getaddrinfo("short", "only").kind(SocketType::Stream);
    assert_eq!(event_loop.run_until_complete(lookup).unwrap_err().as_eai(), Some(EaiError::Service));
    let names = event_loop.getnameinfo(SocketAddr::from(([127, 0, 0, 9], 70)));
    let names = event_loop.run_until_complete(names).unwrap();
    assert_eq!((names.host.as_str(), names.service.as_str()), ("full.example", "gopher"));
}

// DN-3
#[test]
fn dn3_the_name_of_an_address_is_asked_for() {
    let world = World::of(|name, kind, _| match (name, kind) {
        ("1.2.0.192.in-addr.arpa", PTR) => says(vec![("1.2.0.192.in-addr.arpa", PTR, wire("host.example"))]),
        _ => fails(NXDOMAIN),
    });
    let ask = |last: u8, flags| {
        let addr = SocketAddr::from(([192, 0, 2, last], 65_000));
        world.event_loop.run_until_complete(world.event_loop.getnameinfo(addr).flags(flags))
    };
    assert_eq!(ask(1, NameInfoFlags::default()).unwrap().host, "host.example");
    assert_eq!(ask(1, NameInfoFlags::NO_FULL_NAME).unwrap().host, "host");
    assert_eq!(ask(1, NameInfoFlags::NUMERIC_HOST).unwrap().host, "192.0.2.1");
    assert_eq!(ask(2, NameInfoFlags::default()).unwrap().host, "192.0.2.2");
    assert_eq!(ask(2, NameInfoFlags::NAME_REQUIRED).unwrap_err().as_eai(), Some(EaiError::NoName));
    assert_eq!(ask(2, NameInfoFlags::NO_FULL_NAME).unwrap().service, "65000");
}
