//! The parts that need no server.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::config::NameServers;
use super::message::{Kind, Reply};
use super::{hosts, message, numeric, resolv_conf, search, services};

#[test]
fn a_resolv_conf_is_read_as_the_c_libraries_read_it() {
    let text = "# servers\nnameserver 192.0.2.1\nnameserver 2001:db8::1 ; second\nnameserver fe80::1%1\n\
                domain lost.example\nsearch a.example b.example\noptions ndots:2 timeout:3 attempts:4 rotate\n\
                options ndots:99 timeout:0 attempts:x\nnonsense\nnameserver not-an-address\n";
    let config = resolv_conf::parse(text);
    let servers: Vec<String> = config.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%1]:53"]);
    assert_eq!(config.search, ["a.example", "b.example"]);
    assert_eq!((config.ndots, config.timeout, config.attempts), (15, Duration::from_secs(1), 4));
    assert!(config.rotate);
    assert_eq!(resolv_conf::parse(""), NameServers::default());
}

#[test]
fn a_name_is_looked_for_in_the_order_that_ndots_says() {
    let config =
        NameServers { search: vec!["a.example".into(), "b.example.".into()], ..NameServers::default() };
    assert_eq!(search::candidates("host", &config), ["host.a.example", "host.b.example", "host"]);
    assert_eq!(search::candidates("host.c", &config), ["host.c", "host.c.a.example", "host.c.b.example"]);
    assert_eq!(search::candidates("host.", &config), ["host."]);
    // Nothing is cut to fit.
    let long = ["a"; 124].join(".");
    assert_eq!(search::candidates(&long, &config), core::slice::from_ref(&long));
}

#[test]
fn a_hosts_file_gives_all_addresses_of_a_name_and_the_name_of_an_address() {
    let text =
        "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # both\n192.0.2.7 Full.Example alias\nbad line\n";
    let ips = |host| hosts::addresses(text, host).0;
    assert_eq!(ips("localhost"), ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!(hosts::addresses(text, "ALIAS.").1, Some("Full.Example"));
    assert_eq!(ips("line"), Vec::<IpAddr>::new());
    assert_eq!(hosts::name(text, "192.0.2.7".parse().unwrap()), Some("Full.Example"));
    assert_eq!(hosts::name(text, "192.0.2.8".parse().unwrap()), None);
}

#[test]
fn a_services_file_gives_ports_by_transport() {
    let text = "http 80/tcp www\ndomain 53/tcp\ndomain 53/udp # both\nsyslog 514/udp\nbroken x/tcp\n";
    assert_eq!(services::port(text, "www", "tcp"), Some(80));
    assert_eq!(services::port(text, "http", "udp"), None);
    assert_eq!(services::port(text, "broken", "tcp"), None);
    assert_eq!(services::name(text, 514, "udp"), Some("syslog"));
    assert_eq!(services::name(text, 514, "tcp"), None);
}

// E-08
#[test]
fn e08_odd_addresses_are_read_as_inet_aton_reads_them() {
    let parse = |text: &str| numeric::parse(text).unwrap().map(|(ip, _)| ip.to_string());
    for (text, ip) in [
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0X7F000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("010.0.0.1", "8.0.0.1"),
        ("1.2.65535", "1.2.255.255"),
        ("0", "0.0.0.0"),
    ] {
        assert_eq!(parse(text).as_deref(), Some(ip), "{text}");
    }
    for text in [
        "256.1",
        "1.2.65536",
        "4294967296",
        "08.1",
        "1..2",
        "1.2.3.4.5",
        "0x",
        "0x.1",
        "a",
        "1.",
        "+1",
        "-1",
        "1 ",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
    assert_eq!(numeric::parse("fe80::1%7").unwrap(), Some(("fe80::1".parse().unwrap(), 7)));
    assert!(numeric::parse("fe80::1%no-such-interface").is_err());
}

// E-08: as the C library of this machine reads them.
#[test]
fn e08_odd_addresses_are_read_as_the_system_reads_them() {
    use core::panic::Location;

    use crate::dns::{AddrInfoFlags, Hints, Query, Service};
    for text in [
        "127.1",
        "0x7f.1",
        "010.1",
        "08.1",
        "256.1",
        "1.65536",
        "1.2.65535",
        "4294967295",
        "4294967296",
        "1..2",
        "0x.1",
        "0x",
        "1.",
        "00",
        "1.2.3.0x4",
    ] {
        let hints = Hints { flags: AddrInfoFlags::NUMERIC_HOST, ..Hints::at(Location::caller()) };
        let query = Query { host: Some(text.into()), service: Service::Port(1), hints };
        let system = crate::sys::names::getaddrinfo(&query).ok();
        let system = system.and_then(|answers| Some(answers.first()?.addr.ip()));
        assert_eq!(numeric::parse(text).unwrap().map(|(ip, _)| ip), system, "{text}");
    }
}

#[test]
fn the_reverse_name_of_an_address_ends_in_arpa() {
    assert_eq!(numeric::reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa.");
    let name = numeric::reverse_name("2001:db8::1".parse().unwrap());
    assert!(name.starts_with("1.0.0.0."), "{name}");
    assert!(name.ends_with("8.b.d.0.1.0.0.2.ip6.arpa."), "{name}");
    let zoned = SocketAddr::V6(core::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 0, 4_000_000));
    assert_eq!(numeric::text(zoned), "fe80::1%4000000");
}

#[test]
fn garbage_is_no_reply_and_does_no_harm() {
    let question = message::question(7, "host.example", Kind::A).unwrap();
    let reply = |bytes: &[u8]| message::reply(bytes, 7, "host.example", Kind::A);
    assert!(matches!(reply(&question), Reply::Stranger));
    assert!(matches!(reply(&[]), Reply::Stranger));
    // Each prefix, and each single byte changed: whatever it says, it says it in peace.
    let mut answer = question.clone();
    answer[2] |= 0x80;
    answer[7] = 1;
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    let Reply::Found(records) = reply(&answer) else { panic!() };
    assert_eq!(records.addrs, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(records.ttl, Duration::from_secs(60));
    for length in 0..answer.len() {
        let _ = reply(&answer[..length]);
    }
    for index in 0..answer.len() {
        for value in [0, 1, 12, 63, 0x7f, 0xc0, 0xff] {
            let mut broken = answer.clone();
            broken[index] = value;
            let _ = reply(&broken);
        }
    }
}
