//! rondel connects, asyncio serves.

use std::rc::Rc;

use rondel::Error;

use super::digest::{Digest, blob};
use super::place::Place;
use super::{CROWD, Directory, MEGABYTES, hold, roomy};
use crate::peer::{Peer, with_tool};

/// Starts asyncio's servers on TCP, a UNIX socket and an abstract name; returns where they are.
fn asyncio_serves(
    conversation: &str,
    length: usize,
    connections: usize,
    directory: &Directory,
) -> (Peer, Vec<Place>) {
    let (file, name) = (directory.path("socket"), directory.path("name"));
    let (file, name) = (format!("unix:{file}"), format!("unix:@{name}"));
    let (length, connections) = (length.to_string(), connections.to_string());
    let mut peer =
        Peer::python(&[conversation, "server", &length, &connections, "tcp:127.0.0.1:0", &file, &name]);
    let places = peer.line().split(' ').map(Place::read).collect();
    (peer, places)
}

#[test]
fn asyncio_servers_answer_megabytes_with_their_digest() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("digests"));
        let (peer, places) = asyncio_serves("digest", 0, 3, &directory);
        let data: Rc<[u8]> = blob(MEGABYTES).into();
        let digest = Digest::of(&data).to_string();
        hold(&event_loop, async {
            for place in &places {
                assert_eq!(place.talk(&event_loop, Rc::clone(&data)).await?, digest.as_bytes());
                assert_eq!(place.converse(&event_loop, Rc::clone(&data)).await?, digest.as_bytes());
                assert_eq!(place.exchange(&event_loop, Rc::clone(&data)).await?, digest.as_bytes());
            }
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

#[test]
fn asyncio_servers_send_megabytes_back_while_they_come() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("echoes"));
        let (peer, places) = asyncio_serves("echo", 0, 2, &directory);
        let data: Rc<[u8]> = blob(MEGABYTES).into();
        hold(&event_loop, async {
            for place in &places {
                assert!(place.talk(&event_loop, Rc::clone(&data)).await? == *data);
                assert!(place.converse(&event_loop, Rc::clone(&data)).await? == *data);
            }
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

#[test]
fn asyncio_servers_have_a_crowd_of_clients_at_once() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("crowds"));
        let (peer, places) = asyncio_serves("echo", 0, CROWD, &directory);
        hold(&event_loop, async {
            let mut crowd = Vec::new();
            for place in &places {
                for _ in 0..CROWD {
                    crowd.push(place.open(&event_loop).await?);
                }
            }
            for (number, (_, writer)) in crowd.iter_mut().enumerate() {
                writer.write(format!("client {number}\n").as_bytes())?;
            }
            for (number, (reader, _)) in crowd.iter_mut().enumerate() {
                assert_eq!(reader.read_line().await?, format!("client {number}\n").as_bytes());
            }
            drop(crowd);
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
        assert_eq!(event_loop.statistics().tasks.live, 0);
    });
}

#[test]
fn asyncio_servers_that_have_ended_their_side_get_the_rest() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("parting"));
        let (peer, places) = asyncio_serves("parting", MEGABYTES, 1, &directory);
        let data = blob(MEGABYTES);
        hold(&event_loop, async {
            for place in &places {
                let (mut reader, mut writer) = place.open(&event_loop).await?;
                let mut farewell = [0; 8];
                reader.read_exactly(&mut farewell).await?;
                assert_eq!((&farewell, reader.read(&mut [0]).await?), (b"farewell", 0));
                writer.write_all(&data).await?;
                writer.close();
                writer.wait_closed().await?;
            }
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

/// A name has two addresses, of which asyncio listens on one.
#[test]
fn an_asyncio_server_is_found_by_its_name() {
    with_tool("python3", || {
        let event_loop = roomy();
        let mut peer = Peer::python(&["digest", "server", "0", "1", "tcp:127.0.0.1:0"]);
        let ports: Vec<u16> =
            peer.line().split(' ').map(|addr| addr.rsplit(':').next().unwrap().parse().unwrap()).collect();
        hold(&event_loop, async {
            for port in ports {
                let (mut reader, mut writer) = event_loop.open_connection(("localhost", port)).await?;
                writer.write_all(b"hello").await?;
                writer.write_eof()?;
                assert_eq!(reader.read_line().await?, Digest::of(b"hello").to_string().as_bytes());
            }
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}
