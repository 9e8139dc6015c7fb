"""Running peers."""
import contextlib
import json
import os
import select
import signal
import subprocess
import time

from participants import DEPS, Unavailable
from virtual_environment import last_line


def resident_bytes(process):
    """Of a process and its children; 0 where the system does not say."""
    total = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{process}/statm") as file:
            total += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        with open(f"/proc/{process}/task/{process}/children") as file:
            total += sum(map(resident_bytes, file.read().split()))
    return total


class Process:
    """A program that answers lines of JSON, on cores of its own; what it says besides goes to `log`. One that takes
    more than `memory` bytes (None: any number) is ended."""

    def __init__(self, command, cores, environment, log, memory=None):
        self.buffer, self.failed, self.log, self.memory = b"", None, log, memory
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, env=environment, bufsize=0,
                start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def read(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, min(left, 0.2)))
            if self.memory and resident_bytes(self.process.pid) > self.memory:
                self.give_up(f"stopped: it took more than {self.memory / 1e9:.1f} GB of memory")
            if not ready:
                if left > 0:
                    continue
                self.give_up(f"stopped: no answer within {seconds:g} s")
            piece = os.read(self.process.stdout.fileno(), 1 << 20)
            if not piece:
                self.process.wait()
                status, end_of = self.process.returncode, "ended with status"
                if status < 0:
                    status, end_of = signal.Signals(-status).name, "ended by signal"
                with open(self.log, errors="replace") as log:
                    self.give_up(f"{end_of} {status}: {last_line(log.read())}")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError:
            self.give_up("answered with something that is not JSON")

    def request(self, line, limit=900):
        """The answer to a line; raises Unavailable."""
        if self.failed:
            raise Unavailable(self.failed)
        try:
            self.process.stdin.write(json.dumps(line).encode() + b"\n")
        except OSError:
            pass  # read() finds out why
        answer = self.read(limit)
        self.settle()
        if "error" in answer:
            raise Unavailable(answer["error"])
        return answer

    def give_up(self, reason):
        self.failed = reason
        self.stop()
        raise Unavailable(reason)

    def busy(self):
        """Nanoseconds of processor time of all its threads."""
        total, tasks = 0, f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            with contextlib.suppress(OSError), open(f"{tasks}/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        return total

    def settle(self):
        """Waits until its threads have gone to sleep: some libraries' go on spinning after the work is done."""
        try:
            before = self.busy()
            for _ in range(50):
                time.sleep(0.02)
                now = self.busy()
                if now - before < 200_000:
                    return
                before = now
        except OSError:
            time.sleep(0.3)

    def stop(self):
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(OSError):  # with the compilers it may have started
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Worker(Process):
    """A peer. greet() waits until it is ready, ask() gives its answer to a request; both may raise Unavailable."""

    def __init__(self, peer, command, threads, data, on_gpu=False):
        self.peer = peer
        # On a GPU all peers are there at the same time: none may take all of its memory.
        place = ({"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if on_gpu
                 else {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""})
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
                                    "OPENBLAS_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3",
                                    **place} | peer.environment
        super().__init__([*command, "--threads", str(threads), "--data", data],
                         sorted(os.sched_getaffinity(0))[-threads:], environment,
                         os.path.join(DEPS, "logs", f"{peer.who}-{threads}.txt"))

    def greet(self):
        hello = self.read(300)
        self.version, self.note, self.cases = hello["version"], hello["note"], set(hello["cases"])
        return self

    def ask(self, case, samples, seconds, limit=900):
        return self.request({"case": case, "samples": samples, "seconds": seconds}, limit)
