# Measures one case each time that it reads a line:
#   python3 -c SCRIPT asyncio|uvloop CASE COUNT
import asyncio
import concurrent.futures
import signal
import sys
import time

DATA = bytes([7]) * 100
processes = concurrent.futures.ProcessPoolExecutor(1)


def signals(loop, count):
    left = count

    def handled():
        nonlocal left
        left -= 1
        if left:
            signal.raise_signal(signal.SIGUSR1)
        else:
            loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, handled)
    loop.call_soon(signal.raise_signal, signal.SIGUSR1)
    loop.run_forever()
    loop.remove_signal_handler(signal.SIGUSR1)


def jobs(loop, count):
    async def run():
        for job in range(count):
            assert await loop.run_in_executor(None, abs, job) == job

    loop.run_until_complete(run())


def process_jobs(loop, count):
    async def run():
        for _ in range(count):
            assert await loop.run_in_executor(processes, bytes, DATA) == DATA

    loop.run_until_complete(run())


def children(loop, count):
    async def run():
        for _ in range(count):
            process = await asyncio.create_subprocess_exec("/bin/true")
            assert await process.wait() == 0

    loop.run_until_complete(run())


def main(name, case, count):
    if name == "uvloop":
        import uvloop

        loop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    print("READY", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter_ns()
        {"signals": signals, "jobs": jobs, "process_jobs": process_jobs, "children": children}[case](loop, int(count))
        print((time.perf_counter_ns() - begun) / int(count), flush=True)


main(*sys.argv[1:])
