# Sends back what it receives, with asyncio's protocols; with a certificate and its key, by TLS:
#   python3 python.py asyncio|uvloop tcp|unix|udp ADDRESS BUFFER [CERT KEY]
import asyncio
import os
import resource
import socket
import ssl
import sys


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class EchoDatagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


def tls(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(cert, key)
    return context


async def serve(mode, address, context):
    loop = asyncio.get_running_loop()
    # The load resets its connections.
    loop.set_exception_handler(lambda loop, context: None)
    kind = socket.SOCK_DGRAM if mode == "udp" else socket.SOCK_STREAM
    if mode == "unix":
        if os.path.exists(address):
            os.unlink(address)
        listener = socket.socket(socket.AF_UNIX, kind)
        listener.bind(address)
    else:
        host, port = address.rsplit(":", 1)
        listener = socket.socket(socket.AF_INET, kind)
        listener.bind((host, int(port)))
        address = "%s:%d" % listener.getsockname()
    listener.setblocking(False)
    if mode == "udp":
        await loop.create_datagram_endpoint(EchoDatagrams, sock=listener)
    elif mode == "unix":
        await loop.create_unix_server(Echo, sock=listener, backlog=4096)
    else:
        await loop.create_server(Echo, sock=listener, backlog=4096, ssl=context)
    print("READY", address, os.getpid(), flush=True)
    await asyncio.Event().wait()


def main(name, mode, address, _buffer, *certificate):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if name == "uvloop":
        try:
            import uvloop
        except ImportError:
            sys.exit(print("python3 has no uvloop"))
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve(mode, address, tls(*certificate) if certificate else None))


main(*sys.argv[1:])
