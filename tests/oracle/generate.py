#!/usr/bin/env python3
"""The oracle: makes random scripts, and lets CPython's asyncio say what they do.

    generate.py            writes scripts.txt
    generate.py --check    makes it anew and compares
    generate.py --trace F  executes the scripts of F again and writes their traces
    generate.py --shrink N [F]  makes the smallest script that differs of script N

A script is a list of operations, one a line; a body in braces is what a
callback, a task or a timeout does. Its trace, after `--`, has one line for each
thing that can be observed. `main.rs` executes the same script on rondel and
must print the same lines.

The clock counts nanoseconds and moves only when the loop waits, or by `work`.
No two deadlines of a script are equal: asyncio leaves their order undefined.

Operations (f1 is a future, t1 a task, h1 a handle, d1 a done callback):

    soon 1 {..}  later 1 d {..}  at 1 when {..}  hcancel 1
    fut 1  setr 1 v  sete 1 e  fcancel 1  result 1  exc 1  drop 1
    add 1 f1 {..}  rm 1  task 1 {..}  tcancel 1  take 1  q f1
    stop  work d  raise e  ret v  run  ruc 1 {..}  rucw f1  nest
    await f1 m  wait f1 m  sleep d m  yield m  timeout d m {..}  gather m 1 2  gatherx m 1 2  me

`m` says what a task does about a failure: p passes it on, c goes on, r returns
900, x raises error 7. What refers to nothing (yet, or any more) is skipped.

Lines of a trace: `>n@t` n iterations later in which something ran, at t; `c1`
callback 1 ran; `d1` done callback 1; `t1` task 1 began; `t1 x` an await of it
ended with x; `t1=x` it ended; `xc e1` the exception handler got the error of a
callback, `xf1 e1` that of future 1; `r=x` a run returned; `idle` nothing is
left to wait for. Outcomes: a number is a value, `!e1` an error, `C` the
cancellation of the awaiting task, `K` that of what it awaits, `O` a timeout,
`T` a result that was taken, `N` none yet, `A` a task that awaits itself. `nest`
is an attempt to run the loop that runs.

Where rondel differs from asyncio by decision, either asyncio is given an
equivalent construct, or the combination is left out. Each place is marked
"Difference", and docs/asyncio.md lists them.
"""

import asyncio
import difflib
import gc
import os
import pathlib
import random
import subprocess
import sys
import tempfile
from asyncio import base_events, events

SCRIPTS = 5000
PAIRS_MIN = 50
ITERATIONS_MAX = 10_000
HERE = pathlib.Path(__file__).parent

# The loop counts nanoseconds; asyncio's "one day" is in seconds.
base_events.MAXIMUM_SELECT_TIMEOUT = 1 << 62

IN_TASKS = ["await", "wait", "sleep", "yield", "timeout", "gather", "gatherx", "me"]
AT_TOP = ["run", "ruc", "rucw"]
ANYWHERE = [
    "soon", "later", "at", "hcancel", "fut", "setr", "sete", "fcancel", "result", "exc", "drop", "add", "rm",
    "task", "tcancel", "take", "q", "stop", "work",
]
IN_BODIES = ["nest"]
ENDS = ["raise", "ret"]
KINDS = ANYWHERE + IN_BODIES + ENDS + AT_TOP + IN_TASKS


class Op:
    def __init__(self, kind, args=(), body=None):
        self.kind, self.args, self.body = kind, list(args), body

    def lines(self):
        head = " ".join([self.kind, *map(str, self.args)])
        if self.body is None:
            yield head
        else:
            yield head + " {"
            for op in self.body:
                yield from op.lines()
            yield "}"


def parse(lines):
    stack = [[]]
    for line in lines:
        if line == "}":
            stack.pop()
            continue
        kind, *args = line.split()
        op = Op(kind, args)
        stack[-1].append(op)
        if args and args[-1] == "{":
            op.args.pop()
            op.body = []
            stack.append(op.body)
    return stack[0]


class Endless(BaseException):
    """Tasks that gather each other pass a cancellation round and round."""


class Fail(Exception):
    """An error of a script; `code` is what the trace calls it."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


# ---------------------------------------------------------------- asyncio


class Counting:
    """Notes that something ran; what rondel has no counterpart for is not counted."""

    __slots__ = ()

    def _run(self):
        self._loop.ran(self._callback)
        super()._run()


class Handle(Counting, events.Handle):
    __slots__ = ()


class TimerHandle(Counting, events.TimerHandle):
    __slots__ = ()


class Selector:
    def __init__(self, loop):
        self.loop = loop

    def select(self, timeout):
        if timeout is None:
            self.loop.idle()
        else:
            self.loop.clock += timeout
        return []


class Loop(base_events.BaseEventLoop):
    """asyncio's loop under a clock that only moves to the next deadline."""

    def __init__(self, world):
        super().__init__()
        self.world = world
        self.clock = 0
        self.iteration = self.last_busy = self.busy = 0
        self.deadlines, self.has_equal_deadlines = set(), False
        # A timer is due at its deadline, and not one tick later.
        self._clock_resolution = 1
        self._selector = Selector(self)

    def time(self):
        return self.clock

    def _process_events(self, event_list):
        pass

    def _write_to_self(self):
        pass

    def _run_once(self):
        self.iteration += 1
        if self.iteration > ITERATIONS_MAX:
            raise Endless
        super()._run_once()

    def _call_soon(self, callback, args, context):
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(self, when, callback, *args, context=None):
        self.has_equal_deadlines |= when in self.deadlines
        self.deadlines.add(when)
        timer = TimerHandle(when, callback, args, self, context)
        base_events.heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def idle(self):
        self.world.log("idle")
        self.world.is_idle = True
        self.stop()

    def ran(self, callback):
        if self.iteration != self.last_busy and not self.is_stale(callback):
            self.last_busy = self.iteration
            self.busy += 1

    def is_stale(self, callback):
        """Tells whether this does nothing, because asyncio has no way to take it back."""
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, Link):
            return owner.over
        if isinstance(owner, asyncio.Task):
            # Cancelled before its first step: rondel runs no step for it.
            unborn = owner not in self.world.started and owner._must_cancel
            return unborn or owner in self.world.abandoned
        if getattr(callback, "__qualname__", "") == "gather.<locals>._done_callback":
            outer = callback.__closure__[callback.__code__.co_freevars.index("outer")].cell_contents
            return outer.done() or outer in self.world.abandoned
        return False


class Ended:
    """What a task is woken with."""

    def __init__(self, exception=None):
        self.exception = exception

    def result(self):
        if self.exception:
            raise self.exception()


DONE, CANCELLED = Ended(), Ended(asyncio.CancelledError)


class Link:
    """Waits for a future or task, in as many iterations as a bare await of it.

    Difference: a cancellation is delivered to the awaiting task directly, in the
    next iteration; asyncio cancels what is awaited and lets that travel back. A
    future or task awaited by value is asked to end when the awaiting task hears
    of it; one that is waited for is not.

    Difference: waiting does not count as looking at an exception.
    """

    _asyncio_future_blocking = False

    def __init__(self, loop, inner):
        self.loop, self.inner = loop, inner
        self.over = self.asked = False
        self.wakeup = None

    def get_loop(self):
        return self.loop

    def add_done_callback(self, wakeup, context=None):
        self.wakeup = wakeup
        self.inner.add_done_callback(self.inner_done)

    def inner_done(self, _inner):
        if not self.over:
            self.over = True
            self.wakeup(DONE)

    def cancel(self, msg=None):
        if self.inner.done():
            return False
        if not self.asked:
            self.asked = True
            self.loop.call_soon(self.ask)
        return True

    def ask(self):
        if not self.over:
            self.give_up()
            self.wakeup(CANCELLED)

    def give_up(self):
        self.over = True
        self.inner.remove_done_callback(self.inner_done)

    def __await__(self):
        self._asyncio_future_blocking = True
        try:
            yield self
        finally:
            if not self.over:
                self.give_up()
            self.wakeup = None


class GatherLink(Link):
    """Waits for asyncio's gather.

    Difference: the awaiting task hears of the cancellation first, and asks the
    children in that step; asyncio asks them within `cancel`.
    """

    def cancel(self, msg=None):
        if self.inner.done():
            return False
        if not self.asked:
            self.asked = True
            self.loop.call_soon(self.ask)
        return True

    def ask(self):
        self.asked = False
        if not self.over and (self.inner.done() or not self.inner.cancel()):
            self.give_up()
            self.wakeup(CANCELLED)


class Limit(asyncio.Timeout):
    """A timeout that always arms a timer.

    Difference: asyncio calls the end of one that is over already soon, before
    what is called later in the same iteration.
    """

    def reschedule(self, when):
        self._when = when
        if self._timeout_handler is not None:
            self._timeout_handler.cancel()
        self._timeout_handler = asyncio.get_running_loop().call_at(when, self._on_timeout)


class Me:
    """The task that executes a body."""

    def __init__(self, label):
        self.label = label
        # Difference: a task that cancels itself hears of it at its next await,
        # in the same step; asyncio lets an iteration pass, and only at an await
        # that suspends. So asyncio's task is asked only if there is no next await.
        self.cancels_itself = False
        self.timeouts = 0


class World:
    """Executes one script."""

    def __init__(self):
        self.loop = Loop(self)
        self.loop.set_exception_handler(self.handler)
        self.trace, self.order = [], []
        self.last = (0, 0)
        self.handles, self.futures, self.tasks, self.added = {}, {}, {}, {}
        self.taken, self.gathered, self.shared = set(), set(), set()
        self.started, self.abandoned = set(), set()
        self.names = {}
        self.is_idle = self.is_left_out = False

    def log(self, line):
        busy, time = self.loop.busy, self.loop.clock
        if (busy, time) != self.last:
            count = busy - self.last[0]
            at = f"@{time}" if time != self.last[1] else ""
            self.trace.append(f">{count if count != 1 else ''}{at}")
            self.last = (busy, time)
        self.trace.append(line)

    def handler(self, _loop, context):
        message, exception = context["message"], context.get("exception")
        if message.startswith("Exception in callback"):
            if not isinstance(exception, Fail):
                raise SystemExit(f"the executor failed: {exception!r}") from exception
            self.log(f"xc {exception.code}")
        elif message.startswith("Future exception"):
            self.log(f"xf{self.names[id(context['future'])]} {exception.code}")
        # What remains are asyncio's own futures and abandoned tasks.

    def source(self, name):
        number = int(name[1:])
        if name[0] == "t":
            return self.tasks.get(number)
        self.shared.add(number)
        return self.futures.get(number)

    # What takes a result: Difference, awaiting moves it out, to the first who asks.
    def take(self, source):
        if not source.done():
            return "N", "N"
        if source.cancelled():
            return "K", "K"
        if source in self.taken:
            return "T", "T"
        self.taken.add(source)
        exception = source.exception()
        if exception is not None:
            return "!" + exception.code, exception.code
        return str(source.result()), None

    def callback(self, label, body):
        def run(*_):
            self.log(label)
            self.perform(body)

        return run

    def perform(self, body):
        """Executes a body that can't await."""
        for op in body:
            if op.kind == "ret":
                self.order.append(op.kind)
                return
            self.step(op)

    def step(self, op):
        loop, args = self.loop, op.args
        kind = op.kind
        if kind == "raise":
            self.order.append(kind)
            raise Fail("e" + args[0])
        if kind in ("hcancel", "rm", "setr", "sete", "fcancel", "result", "exc", "drop", "tcancel", "take"):
            table = {"hcancel": self.handles, "rm": self.added, "tcancel": self.tasks, "take": self.tasks}
            target = table.get(kind, self.futures).get(int(args[0]))
            if target is None:
                return
        elif kind in ("q", "add"):
            target = self.source(args[-1]) if args[-1][0] != "h" else self.handles.get(int(args[-1][1:]))
            if target is None:
                return
        self.order.append(kind)
        number = int(args[0]) if args and args[0].lstrip("-").isdigit() else None
        if kind == "soon":
            self.handles[number] = loop.call_soon(self.callback(f"c{number}", op.body))
        elif kind == "later":
            self.handles[number] = loop.call_later(int(args[1]), self.callback(f"c{number}", op.body))
        elif kind == "at":
            self.handles[number] = loop.call_at(int(args[1]), self.callback(f"c{number}", op.body))
        elif kind == "hcancel":
            target.cancel()
        elif kind == "fut":
            future = loop.create_future()
            self.futures[number] = future
            self.names[id(future)] = number
        elif kind == "setr" or kind == "sete":
            try:
                if kind == "setr":
                    target.set_result(int(args[1]))
                else:
                    target.set_exception(Fail("e" + args[1]))
            except asyncio.InvalidStateError:
                self.log(f"f{number} invalid")
        elif kind == "fcancel":
            self.log(f"f{number} cancel {target.cancel():d}")
        elif kind == "result":
            self.log(f"f{number} {self.result(target)}")
        elif kind == "exc":
            self.log(f"f{number} {self.exception(target)}")
        elif kind == "drop":
            # Difference: the exception is reported when the last handle goes, in
            # CPython when the last frame goes that knew the future. So only one
            # that nobody waited for is dropped.
            if number not in self.shared:
                del self.futures[number], target
        elif kind == "add":
            callback = self.callback(f"d{number}", op.body)
            self.added[number] = (args[1], callback)
            target.add_done_callback(callback)
        elif kind == "rm":
            source, callback = target
            source = self.source(source)
            if source is not None:
                self.log(f"d{number} removed {source.remove_done_callback(callback):d}")
        elif kind == "task":
            self.tasks[number] = loop.create_task(self.run_task(Me(f"t{number}"), op.body))
        elif kind == "tcancel":
            self.log(f"t{number} cancel {target.cancel():d}")
        elif kind == "take":
            self.log(f"t{number} {self.take(target)[0]}")
        elif kind == "q":
            done = "" if args[0][0] == "h" else f"{target.done():d}"
            self.log(f"{args[0]} {done}{target.cancelled():d}")
        elif kind == "stop":
            loop.stop()
        elif kind == "work":
            loop.clock += number
        elif kind == "nest":
            try:
                loop.run_forever()
            except RuntimeError:
                self.log("nest refused")
        else:
            raise SystemExit(f"no such operation here: {kind}")

    def result(self, future):
        """`result` leaves a value, and moves an exception out."""
        shown, _failure = self.take(future)
        if shown.isdigit():
            self.taken.remove(future)
        return shown

    def exception(self, future):
        if not future.done():
            return "N"
        if future.cancelled():
            return "K"
        if future in self.taken:
            return "-"
        exception = future.exception()
        return "-" if exception is None else "!" + exception.code

    # ------------------------------------------------------------ tasks

    async def run_task(self, me, body):
        self.started.add(asyncio.current_task())
        self.log(me.label)
        end = None
        try:
            value = await self.execute(me, body)
            shown = str(value or 0)
        except asyncio.CancelledError:
            shown, end = "C", asyncio.CancelledError
        except Fail as failure:
            shown, end = "!" + failure.code, failure.code
        # Raised anew, so that no traceback keeps the futures of the body alive.
        self.log(f"{me.label}={shown}")
        if end is asyncio.CancelledError:
            raise end
        if end is not None:
            raise Fail(end)
        if me.cancels_itself:
            asyncio.current_task().cancel()
        return value or 0

    async def execute(self, me, body):
        """Returns the value of a `ret`, `None` without one."""
        for op in body:
            if op.kind == "ret":
                self.order.append(op.kind)
                return int(op.args[0])
            if op.kind == "me" or op.kind == "tcancel" and self.is_me(op.args[0]):
                # Difference: there are no cancellation counts, so a timeout can't
                # tell a request that the task made itself.
                if not me.timeouts:
                    self.order.append(op.kind)
                    me.cancels_itself = True
                    self.log(f"{me.label} cancel 1")
                continue
            if op.kind not in IN_TASKS:
                self.step(op)
                continue
            targets = self.targets(op)
            if targets is None:
                continue
            self.order.append(op.kind)
            value, failure = None, None
            try:
                shown, failure, value = await self.wait_for(me, op, targets)
            except asyncio.CancelledError:
                shown, failure = "C", "C"
            except Fail as error:
                shown, failure = "!" + error.code, error.code
            targets = None
            self.log(f"{me.label} {shown}")
            mode = op.args[{"await": 1, "wait": 1, "sleep": 1, "timeout": 1}.get(op.kind, 0)]
            if failure is None:
                if value is not None:
                    return value
            elif mode == "p":
                raise asyncio.CancelledError if failure == "C" else Fail(failure)
            elif mode == "r":
                return 900
            elif mode == "x":
                raise Fail("e7")
        return None

    def is_me(self, number):
        return self.tasks.get(int(number)) is asyncio.current_task()

    def targets(self, op):
        """What an operation waits for; `None` if it can't."""
        if op.kind in ("await", "wait"):
            return self.source(op.args[0])
        if op.kind in ("gather", "gatherx"):
            tasks = [self.tasks.get(int(number)) for number in op.args[1:]]
            tasks = [task for task in dict.fromkeys(tasks) if task not in (None, asyncio.current_task())]
            return tasks or None
        return ()

    async def wait_for(self, me, op, target):
        """Returns what to show, the failure, and the value of a `ret` within."""
        kind = op.kind
        if kind == "timeout":
            # Difference: no cancellation counts, so a request from before counts as
            # one from within.
            self.is_left_out |= me.cancels_itself
            me.timeouts += 1
            try:
                async with Limit(self.loop.time() + int(op.args[0])):
                    value = await self.execute(me, op.body)
                return ".", None, value
            except TimeoutError:
                return "O", "O", None
            finally:
                me.timeouts -= 1
        if kind == "gather" or kind == "gatherx":
            return await self.gather(me, target, kind == "gatherx")
        by_value = kind == "await"
        if me.cancels_itself:
            # A task that awaits itself by value is what it asks to end.
            me.cancels_itself = by_value and target is asyncio.current_task()
            if by_value and not me.cancels_itself:
                target.cancel()
            raise asyncio.CancelledError
        # Difference: a task that awaits itself hears of it at once (TK-7).
        if target is asyncio.current_task():
            return "A", "A", None
        if kind == "sleep":
            await asyncio.sleep(int(op.args[0]))
            return ".", None, None
        if kind == "yield":
            await asyncio.sleep(0)
            return ".", None, None
        if not target.done():
            try:
                await Link(self.loop, target)
            except asyncio.CancelledError:
                if by_value:
                    target.cancel()
                raise
        if not by_value:
            return ".", None, None
        return *self.take(target), None

    async def gather(self, me, tasks, return_exceptions):
        # Difference: asyncio silences the errors of children that fail after the
        # first; rondel reports them. So gathered tasks are looked at in the end.
        self.gathered.update(tasks)
        outer = asyncio.gather(*tasks, return_exceptions=return_exceptions)
        try:
            if me.cancels_itself:
                me.cancels_itself = False
                if not outer.cancel():
                    self.abandoned.add(outer)
                    raise asyncio.CancelledError
            await GatherLink(self.loop, outer)
        except (asyncio.CancelledError, GeneratorExit):
            self.abandoned.add(outer)
            raise
        exception = outer.exception()
        if isinstance(exception, asyncio.CancelledError):
            if outer._cancel_requested:
                raise asyncio.CancelledError
            return "K", "K", None
        if exception is not None:
            failed = [task for task in tasks if task.done() and not task.cancelled()]
            failed = [task for task in failed if task.exception() is exception]
            return *self.take(failed[0]), None
        if return_exceptions:
            return "[" + ",".join(self.take(task)[0] for task in tasks) + "]", None, None
        values = []
        for task in tasks:
            shown, failure = self.take(task)
            if failure is not None:
                return shown, failure, None
            values.append(shown)
        return "[" + ",".join(values) + "]", None, None

    # ------------------------------------------------------------ runs

    def run(self):
        self.loop.run_forever()
        self.log("r")

    def run_until_complete(self, coroutine):
        """Runs a body; Difference: stopped before its end, it is dropped."""
        task = self.loop.create_task(coroutine)
        try:
            shown = str(self.loop.run_until_complete(task))
        except asyncio.CancelledError:
            shown = "C"
        except Fail as failure:
            shown = "!" + failure.code
        except RuntimeError as error:
            if str(error) != "Event loop stopped before Future completed.":
                raise
            shown = "S"
            self.abandoned.add(task)
            task._log_destroy_pending = False
            task.get_coro().close()
        # Difference: a hook that is about to run can't stop the next run.
        for handle in self.loop._ready:
            if handle._callback is base_events._run_until_complete_cb:
                handle.cancel()
        self.log(f"r={shown}")

    # Difference: a future or task that exists is awaited by a task of the run's own.
    async def wait_until_done(self, source):
        self.started.add(asyncio.current_task())
        if not source.done():
            await Link(self.loop, source)
        return "."

    def execute_script(self, script):
        for op in script:
            if op.kind == "run":
                self.order.append(op.kind)
                self.run()
            elif op.kind == "ruc":
                self.order.append(op.kind)
                self.run_until_complete(self.run_task(Me(f"t{op.args[0]}"), op.body))
            elif op.kind == "rucw":
                source = self.source(op.args[0])
                if source is not None:
                    self.order.append(op.kind)
                    self.run_until_complete(self.wait_until_done(source))
            else:
                self.step(op)
        while True:
            self.is_idle = False
            self.run()
            if self.is_idle:
                break
        # Difference: an exception nobody looked at is reported when the last
        # handle goes, not when the garbage is collected. In this order:
        for number, future in sorted(self.futures.items()):
            if future._log_traceback:
                self.log(f"xf{number} {future._exception.code}")
                future._log_traceback = False
        for number, task in sorted(self.tasks.items()):
            if task in self.gathered and task.done() and not task.cancelled():
                task.exception()
            if task._log_traceback:
                self.log(f"xt{number} {task._exception.code}")
                task._log_traceback = False
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False
        self.loop.close()


def execute(script):
    """Returns the trace of a script, and the kinds of its operations as executed.

    Left out: equal deadlines, tasks that gather each other, a timeout that a task
    enters after it has cancelled itself; `None` then.
    """
    world = World()
    try:
        world.execute_script(script)
    except Endless:
        for task in asyncio.all_tasks(world.loop):
            task._log_destroy_pending = False
        world.loop.set_exception_handler(lambda *_: None)
        world.loop.close()
        return None
    if world.loop.has_equal_deadlines or world.is_left_out:
        return None
    return world.trace, world.order


# ---------------------------------------------------------------- generator


class Generator:
    """Makes random scripts, and prefers pairs of kinds that were rare so far."""

    def __init__(self):
        self.pairs = {(a, b): 0 for a in KINDS for b in KINDS}

    def script(self, seed):
        self.random = random.Random(seed)
        self.budget = self.random.choice([50, 50, 50, 60, 60, 70, 80, 100, 120, 160, 190])
        self.ids = {"h": 0, "f": 0, "t": 0, "d": 0}
        self.previous = "run"
        script = []
        # Some to refer to.
        for kind in ["fut", "fut", "task"]:
            script.append(self.op(kind, 0, False))
        while self.budget > 1:
            script.append(self.op(self.kind(ANYWHERE + AT_TOP, 0), 0, False))
        self.budget += 1
        script.append(self.op("run", 0, False))
        return script

    def kind(self, kinds, depth):
        def weight(kind):
            if kind == "stop" and self.random.random() < 0.35:
                return 0.0
            base = 1.0
            if kind in ("fut", "add"):
                base = 1.6
            if kind == "task":
                base = 5
            if kind in AT_TOP:
                base = 3
            return base / (5 + self.pairs[self.previous, kind])

        weights = [weight(kind) for kind in kinds]
        return self.random.choices(kinds, weights)[0]

    def body(self, depth, in_task, longest):
        body = []
        # So that the next operation outside follows.
        shortest = 1
        if self.previous in ("timeout", "ruc") and self.random.random() < 0.35:
            shortest = longest = 0
        for _ in range(self.random.randint(shortest, longest)):
            if self.budget <= 2:
                break
            kinds = ANYWHERE + IN_BODIES + (IN_TASKS * 3 + ["gather", "gatherx"] * 3 if in_task else [])
            last = self.random.random() < 0.15
            kind = self.kind(ENDS, depth) if last else self.kind(kinds, depth)
            body.append(self.op(kind, depth, in_task))
            if last or kind in ("me", "timeout") and self.random.random() < 0.5:
                break
        return body

    def new(self, letter):
        self.ids[letter] += 1
        return self.ids[letter]

    def old(self, letter):
        """One of those so far, the latest more often."""
        last = self.ids[letter]
        back = min(int(self.random.expovariate(0.35)), max(last - 1, 0))
        return max(last - back, 1)

    def source(self):
        letter = self.random.choice("fft")
        return f"{letter}{self.old(letter)}"

    def delay(self):
        return self.random.randint(1, self.random.choice([300, 3_000, 30_000]))

    def limit(self):
        """A delay, or none at all."""
        return 0 if self.random.random() < 0.1 else self.delay()

    def mode(self):
        return self.random.choice("pccccrx")

    def op(self, kind, depth, in_task):
        self.budget -= 1
        self.previous = kind
        nested = depth + 1
        if depth >= 4 and kind in ("soon", "later", "at", "add", "task", "timeout"):
            kind = "work"
        number = self.random.randint(1, 99)
        match kind:
            case "soon":
                return Op(kind, [self.new("h")], self.body(nested, False, 4))
            case "later":
                return Op(kind, [self.new("h"), self.limit()], self.body(nested, False, 4))
            case "at":
                return Op(kind, [self.new("h"), self.random.randint(1, 60_000)], self.body(nested, False, 4))
            case "fut":
                return Op(kind, [self.new("f")])
            case "setr" | "sete":
                return Op(kind, [self.old("f"), number])
            case "fcancel" | "result" | "exc" | "drop":
                return Op(kind, [self.old("f")])
            case "hcancel":
                return Op(kind, [self.old("h")])
            case "rm":
                return Op(kind, [self.old("d")])
            case "tcancel" | "take":
                return Op(kind, [self.old("t")])
            case "add":
                return Op(kind, [self.new("d"), self.source()], self.body(nested, False, 3))
            case "task" | "ruc":
                return Op(kind, [self.new("t")], self.body(nested, True, 9))
            case "rucw":
                return Op(kind, [self.source()])
            case "q":
                letter = self.random.choice("hft")
                return Op(kind, [f"{letter}{self.old(letter)}"])
            case "work":
                return Op(kind, [self.delay()])
            case "raise" | "ret":
                return Op(kind, [number])
            case "await" | "wait":
                return Op(kind, [self.source(), self.mode()])
            case "sleep":
                return Op(kind, [self.delay(), self.mode()])
            case "yield":
                return Op(kind, [self.mode()])
            case "timeout":
                return Op(kind, [self.limit(), self.mode()], self.body(nested, True, 5))
            case "gather" | "gatherx":
                count = self.random.randint(1, 3)
                return Op(kind, [self.mode(), *(self.old("t") for _ in range(count))])
        return Op(kind)

    def count(self, order):
        for pair in zip(order, order[1:]):
            self.pairs[pair] += 1


def text_of(number, script, trace):
    lines = [f"= {number}"]
    for op in script:
        lines.extend(op.lines())
    return "\n".join([*lines, "--", *trace]) + "\n"


def generate():
    generator = Generator()
    texts, operations = [], 0
    seed = 0
    while len(texts) < SCRIPTS:
        seed += 1
        script = parse([line for op in generator.script(seed) for line in op.lines()])
        length = sum(line != "}" for op in script for line in op.lines())
        if not 50 <= length <= 200:
            continue
        executed = execute(script)
        if executed is None:
            continue
        trace, order = executed
        generator.count(order)
        operations += length
        texts.append(text_of(len(texts) + 1, script, trace))
        if len(texts) % 200 == 0:
            gc.collect()
    rarest = min(generator.pairs, key=generator.pairs.get)
    text = "".join(texts)
    print(f"{len(texts)} scripts, {operations} operations, {len(text)} bytes")
    print(f"{len(KINDS)} kinds; rarest pair {' '.join(rarest)}: {generator.pairs[rarest]} times")
    if generator.pairs[rarest] < PAIRS_MIN:
        rare = [f"{a}-{b}:{n}" for (a, b), n in sorted(generator.pairs.items()) if n < PAIRS_MIN]
        sys.exit(f"too rare: {len(rare)}: {' '.join(rare)}")
    return text


def on_rondel(scripts):
    """Returns the traces that rondel makes of scripts."""
    with tempfile.TemporaryDirectory() as folder:
        into, out = pathlib.Path(folder, "scripts"), pathlib.Path(folder, "traces")
        into.write_text("".join(text_of(n, script, []) for n, script in enumerate(scripts)))
        names = {"RONDEL_ORACLE_SCRIPTS": str(into), "RONDEL_ORACLE_TRACES": str(out)}
        command = "cargo test --quiet --package rondel-tests --test oracle -- --exact trace"
        subprocess.run(
            command.split(), env=os.environ | names, check=True, cwd=HERE, stdout=subprocess.DEVNULL
        )
        parts = ("\n" + out.read_text()).split("\n= ")[1:]
        return [[line for line in part.split("\n")[2:] if line] for part in parts]


def smaller(ops):
    """Yields the bodies with one operation less, the largest cut first."""
    for index, op in enumerate(ops):
        yield ops[:index] + ops[index + 1 :]
        if op.body:
            for body in smaller(op.body):
                yield ops[:index] + [Op(op.kind, op.args, body)] + ops[index + 1 :]


def shrink(name, path):
    """Drops operations as long as asyncio and rondel differ."""
    part = next(part for part in ("\n" + path.read_text()).split("\n= ") if part.split("\n")[0] == name)
    lines = part.split("\n")
    ops = parse(line for line in lines[1 : lines.index("--")] if line)

    def differing(candidates):
        traces = [execute(parse(line for op in ops for line in op.lines())) for ops in candidates]
        candidates = [(ops, trace[0]) for ops, trace in zip(candidates, traces) if trace]
        for (ops, was), now in zip(candidates, on_rondel([ops for ops, _ in candidates])):
            if was != now:
                yield ops, was, now

    found = next(differing([ops]), None)
    if found is None:
        sys.exit("no difference")
    # Halves first.
    step = len(found[0]) // 2
    while step >= 1:
        ops = found[0]
        cuts = [ops[:i] + ops[i + step :] for i in range(0, len(ops), step)]
        better = next(differing(cuts), None)
        found, step = (better, step) if better else (found, step // 2)
    while better := min(differing([*smaller(found[0])]), key=lambda it: len(it[1]), default=None):
        found = better
    ops, was, now = found
    print(text_of(name, ops, was), end="")
    print("\n".join(difflib.unified_diff(was, now, "asyncio", "rondel", lineterm="", n=99)))


def retrace(path):
    """Executes the scripts of a file again; comments stay."""
    texts, kept, script, skips = [], [], None, False

    def end():
        if script is not None:
            executed = execute(parse(script[1:]))
            if executed is None:
                sys.exit(f"{script[0]}: asyncio leaves undefined what it does")
            texts.extend([*script, "--", *executed[0]])

    for line in path.read_text().splitlines():
        if line.startswith("#"):
            kept.append(line)
        elif line.startswith("= "):
            end()
            texts.extend(kept)
            script, kept, skips = [line], [], False
        elif line == "--":
            skips = True
        elif not skips:
            script.append(line)
    end()
    path.write_text("\n".join(texts) + "\n")


def main():
    path = HERE / "scripts.txt"
    match sys.argv[1:]:
        case []:
            path.write_text(generate())
        case ["--check"]:
            was, now = path.read_text().splitlines(), generate().splitlines()
            if was != now:
                sys.exit("\n".join([*difflib.unified_diff(was, now, lineterm="", n=3)][:40]))
        case ["--trace", file]:
            retrace(pathlib.Path(file))
        case ["--shrink", name, *files]:
            shrink(name, pathlib.Path(*files) if files else path)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
