"""The other side of test_interop.rs: asyncio's streams, protocols and datagrams.

    peer.py CONVERSATION client BYTES ADDR...
    peer.py CONVERSATION server BYTES CONNECTIONS ADDR...

A client holds the conversation with each address, by streams and by a protocol.
A server does at each address; it prints where it listens, and ends after so many
connections with each. An address is tcp:HOST:PORT, udp:HOST:PORT or unix:PATH,
where a path that starts with @ is an abstract name.
"""

import asyncio
import socket
import struct
import sys
import zlib


def blob(length):
    """Returns the bytes that the test makes, too."""
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def digest(data):
    return f"{len(data)} {zlib.crc32(data):08x}".encode()


def expect(what, is_what):
    if what != is_what:
        raise AssertionError(f"{what[:80]!r} ({len(what)} bytes) is not {is_what[:80]!r} ({len(is_what)} bytes)")


def place(addr):
    """Returns what asyncio's calls are to be given for an address."""
    kind, _, rest = addr.partition(":")
    if kind == "unix":
        return kind, (rest.replace("@", "\0", 1),)
    host, _, port = rest.rpartition(":")
    return kind, (host, int(port))


def open_streams(addr):
    kind, where = place(addr)
    return asyncio.open_unix_connection(*where) if kind == "unix" else asyncio.open_connection(*where)


def connect(protocol, addr):
    loop = asyncio.get_running_loop()
    kind, where = place(addr)
    return (loop.create_unix_connection if kind == "unix" else loop.create_connection)(protocol, *where)


async def serve_streams(handler, addr):
    kind, where = place(addr)
    return await (asyncio.start_unix_server if kind == "unix" else asyncio.start_server)(handler, *where, backlog=512)


async def serve(protocol, addr):
    loop = asyncio.get_running_loop()
    kind, where = place(addr)
    create_server = loop.create_unix_server if kind == "unix" else loop.create_server
    return await create_server(protocol, *where, backlog=512)


def name_of(server):
    sock = server.sockets[0]
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return "unix:" + (name if isinstance(name, str) else "@" + name[1:].decode())
    return f"tcp:{name[0]}:{name[1]}"


# Conversations by streams: reader, writer, data.


async def digest_client(reader, writer, data):
    """Sends all, ends its side, and is then told what arrived."""
    writer.write(data)
    await writer.drain()
    writer.write_eof()
    expect(await reader.read(), digest(data))


async def digest_server(reader, writer, _):
    writer.write(digest(await reader.read()))
    await writer.drain()


async def echo_client(reader, writer, data):
    """Sends all, and gets it back meanwhile."""

    async def send():
        for start in range(0, len(data), 100_000):
            writer.write(data[start : start + 100_000])
            await writer.drain()
        writer.write_eof()

    _, answer = await asyncio.gather(send(), reader.read())
    expect(answer, data)


async def echo_server(reader, writer, _):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def parting_client(reader, writer, data):
    """Hears that the server has nothing more to say, and then sends all."""
    expect(await reader.read(), b"farewell")
    writer.write(data)
    await writer.drain()


async def parting_server(reader, writer, data):
    writer.write(b"farewell")
    writer.write_eof()
    expect(await reader.read(), data)


async def reset_client(reader, writer, _):
    """Resets the connection after a byte each way."""
    writer.write(b"?")
    expect(await reader.readexactly(1), b"!")
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


# The same by protocols.


class Conversation(asyncio.Protocol):
    def __init__(self, data):
        self.data = data
        self.received = bytearray()
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data

    def connection_lost(self, error):
        try:
            if error is not None:
                raise error
            self.check()
        except Exception as error:
            self.over.set_exception(error)
        else:
            self.over.set_result(None)

    def check(self):
        pass


class DigestClient(Conversation):
    def connection_made(self, transport):
        transport.write(self.data)
        transport.write_eof()

    def check(self):
        expect(self.received, digest(self.data))


class DigestServer(Conversation, asyncio.BufferedProtocol):
    """Receives into memory of its own."""

    data_received = None

    def get_buffer(self, size_hint):
        self.buffer = bytearray(10_000)
        return self.buffer

    def buffer_updated(self, count):
        self.received += self.buffer[:count]

    def eof_received(self):
        self.transport.write(digest(self.received))


class EchoClient(Conversation):
    def connection_made(self, transport):
        transport.write(self.data)
        transport.write_eof()

    def eof_received(self):
        return False

    def check(self):
        expect(self.received, self.data)


class EchoServer(Conversation):
    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class PartingClient(Conversation):
    def eof_received(self):
        expect(self.received, b"farewell")
        self.transport.write(self.data)
        self.transport.close()


class PartingServer(Conversation):
    def connection_made(self, transport):
        transport.write(b"farewell")
        transport.write_eof()

    def check(self):
        expect(self.received, self.data)


class ResetClient(Conversation):
    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"?")

    def data_received(self, _):
        linger = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


CLIENTS = {
    "digest": (digest_client, DigestClient),
    "echo": (echo_client, EchoClient),
    "parting": (parting_client, PartingClient),
    "reset": (reset_client, ResetClient),
}
SERVERS = {
    "digest": (digest_server, DigestServer),
    "echo": (echo_server, EchoServer),
    "parting": (parting_server, PartingServer),
}


async def clients(conversation, data, addrs):
    by_streams, by_protocol = CLIENTS[conversation]
    for addr in addrs:
        reader, writer = await open_streams(addr)
        await by_streams(reader, writer, data)
        writer.close()
        _, protocol = await connect(lambda: by_protocol(data), addr)
        await protocol.over


async def servers(conversation, data, connections, addrs):
    by_streams, by_protocol = SERVERS[conversation]
    protocols = []
    left = asyncio.Semaphore(0)
    failures = []

    async def handler(reader, writer):
        try:
            await by_streams(reader, writer, data)
            writer.close()
        except Exception as error:
            failures.append(error)
        left.release()

    def factory():
        protocols.append(by_protocol(data))
        protocols[-1].over.add_done_callback(lambda _: left.release())
        return protocols[-1]

    started = []
    for addr in addrs:
        started.append(await serve_streams(handler, addr))
        started.append(await serve(factory, addr + "+" if addr.startswith("unix:") else addr))
    print(*map(name_of, started), flush=True)
    for _ in range(connections * len(started)):
        await left.acquire()
    for server in started:
        server.close()
    for protocol in protocols:
        await protocol.over
    for failure in failures:
        raise failure


async def crowd_clients(count, addrs):
    """Opens all connections, and only then talks on each of them."""
    streams = []
    for addr in addrs:
        streams += await asyncio.gather(*(open_streams(addr) for _ in range(count)))

    async def talk(number, reader, writer):
        message = f"client {number}".encode()
        writer.write(message)
        expect(await reader.readexactly(len(message)), message)

    await asyncio.gather(*(talk(number, *stream) for number, stream in enumerate(streams)))
    for _, writer in streams:
        writer.close()


class DatagramClient(asyncio.DatagramProtocol):
    """Sends datagrams of several sizes, each when the one before has come back.

    None is empty: before Python 3.13 asyncio doesn't send those.
    """

    SIZES = [1, 1400, 3, 9000, 60000]

    def __init__(self, addr):
        self.addr = addr
        self.left = list(self.SIZES)
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.send()

    def send(self):
        self.message = blob(self.left.pop(0))
        self.transport.sendto(self.message, self.addr)

    def datagram_received(self, data, addr):
        if data != self.message:
            self.over.set_exception(AssertionError(f"{len(data)} bytes came from {addr}"))
        elif self.left:
            self.send()
        else:
            self.over.set_result(None)

    def error_received(self, error):
        self.over.set_exception(error)


class DatagramServer(asyncio.DatagramProtocol):
    """Sends back what it gets, and is over with the word `end`."""

    def __init__(self):
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)
        if data == b"end":
            self.over.set_result(None)


async def datagram_clients(addrs):
    loop = asyncio.get_running_loop()
    for addr in addrs:
        _, where = place(addr)
        # One that knows its peer, and one that doesn't.
        transport, protocol = await loop.create_datagram_endpoint(lambda: DatagramClient(None), remote_addr=where)
        await protocol.over
        transport.close()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: DatagramClient(where), local_addr=("127.0.0.1", 0)
        )
        await protocol.over
        transport.close()


async def datagram_server(addr):
    loop = asyncio.get_running_loop()
    _, where = place(addr)
    transport, protocol = await loop.create_datagram_endpoint(DatagramServer, local_addr=where)
    host, port = transport.get_extra_info("sockname")
    print(f"udp:{host}:{port}", flush=True)
    await protocol.over
    transport.close()


async def main(conversation, role, *arguments):
    match conversation, role:
        case "crowd", "client":
            await crowd_clients(int(arguments[0]), arguments[1:])
        case "datagram", "client":
            await datagram_clients(arguments)
        case "datagram", "server":
            await datagram_server(*arguments)
        case _, "client":
            await clients(conversation, blob(int(arguments[0])), arguments[1:])
        case _, "server":
            await servers(conversation, blob(int(arguments[0])), int(arguments[1]), arguments[2:])
    print("fine", flush=True)


asyncio.run(main(*sys.argv[1:]))
