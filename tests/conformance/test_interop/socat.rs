//! socat, on either side.

use std::rc::Rc;

use rondel::Error;

use super::digest::{Digest, blob};
use super::place::Place;
use super::servers::{DigestServer, serve_digest, serve_echo, serve_everywhere};
use super::{Directory, hold, roomy, spelled};
use crate::peer::{Peer, with_tool};
use crate::protocols::Echo;

#[test]
fn socat_sends_a_megabyte_ends_its_side_and_is_answered() {
    with_tool("socat", || {
        let (event_loop, directory) = (roomy(), Directory::new("socat-client"));
        let data = blob(1 << 20);
        hold(&event_loop, async {
            let digests =
                serve_everywhere(&event_loop, &directory, DigestServer::default, serve_digest).await?;
            for server in &digests {
                let peer = Peer::socat(&["-", &dialled(&spelled(server))]);
                let answer = peer.finished(&event_loop, data.clone()).await;
                assert_eq!(answer, Digest::of(&data).to_string().as_bytes());
                server.close();
            }
            let echoes = serve_everywhere(&event_loop, &directory, || Echo, serve_echo).await?;
            for server in &echoes {
                let peer = Peer::socat(&["-", &dialled(&spelled(server))]);
                assert!(peer.finished(&event_loop, data.clone()).await == data);
                server.close();
                server.wait_closed().await?;
            }
            Ok::<(), Error>(())
        });
    });
}

/// How socat spells an address to connect to.
fn dialled(addr: &str) -> String {
    match addr.split_once(':').expect("a kind") {
        ("unix", path) => match path.strip_prefix('@') {
            Some(name) => format!("ABSTRACT-CONNECT:{name}"),
            None => format!("UNIX-CONNECT:{path}"),
        },
        (_, addr) => format!("TCP:{addr}"),
    }
}

#[test]
fn socat_listens_and_both_sides_send_a_megabyte_and_end() {
    with_tool("socat", || {
        let (event_loop, directory) = (roomy(), Directory::new("socat-server"));
        let (data, answer): (Rc<[u8]>, _) = (blob(1 << 20).into(), blob(1 << 19));
        hold(&event_loop, async {
            for by_streams in [true, false] {
                let file = directory.path(if by_streams { "a" } else { "b" });
                let (unix, name) = (format!("UNIX-LISTEN:{file}"), format!("ABSTRACT-LISTEN:{file}"));
                for listen in ["TCP-LISTEN:0,bind=127.0.0.1", &unix, &name] {
                    let mut peer = Peer::socat(&["-d", "-d", listen, "-"]);
                    let listening = peer.listening();
                    let place = match listen {
                        _ if listen == unix => Place::Unix(file.clone()),
                        _ if listen == name => Place::Unix(format!("\0{file}")),
                        _ => Place::Tcp(listening.parse().expect("an address")),
                    };
                    let sent = answer.clone();
                    let ended = event_loop.run_in_executor(move || peer.finish(sent)).unwrap();
                    let received = if by_streams {
                        place.talk(&event_loop, Rc::clone(&data)).await?
                    } else {
                        place.converse(&event_loop, Rc::clone(&data)).await?
                    };
                    assert!(received == answer);
                    assert!(ended.await.unwrap() == *data);
                }
            }
            Ok::<(), Error>(())
        });
    });
}
