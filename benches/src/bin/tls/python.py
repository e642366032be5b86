# Sends back what it receives by TLS, with asyncio's protocols:
#   python3 python.py asyncio|uvloop CERT KEY BUFFER
import asyncio
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


async def serve(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(cert, key)
    loop = asyncio.get_running_loop()
    # The load resets its connections.
    loop.set_exception_handler(lambda loop, context: None)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    await loop.create_server(Echo, sock=listener, backlog=4096, ssl=context)
    print("READY", "%s:%d" % listener.getsockname(), flush=True)
    await asyncio.Event().wait()


def main(name, cert, key, _buffer):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if name == "uvloop":
        try:
            import uvloop
        except ImportError:
            sys.exit(print("python3 has no uvloop"))
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve(cert, key))


main(*sys.argv[1:])
