#!/usr/bin/env python3
"""Meander and its peers in turns on this machine: one table of times, one JSON file. Run by ./meander bench peers.

Every peer is a process that answers requests (see ../README.md). For each case and number of threads they are asked in
the order A B C ... C B A, a few rounds of it, each only once the one before has stopped using the processor. The
Python packages are installed to .deps/peers, as pinned in the files requirements-*.txt here.
"""
import argparse
import array
import contextlib
import datetime
import fnmatch
import json
import math
import os
import platform
import random
import select
import signal
import statistics
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DEPS = os.path.join(ROOT, ".deps", "peers")

MLP_ROWS = (1, 32, 64, 256, 4096, 12288)
CHAIN_ROWS = (32, 64, 256, 4096, 12288)
CASES = (["mfpo_update/HalfCheetah", "mfpo_update/Humanoid", "act/mfpo_explore", "act/mfpo_evaluate_10",
          "act/one_step_32"]
         + [f"mlp_{what}/{rows}" for what in ("forward", "value_and_tangent", "backward") for rows in MLP_ROWS]
         + [f"chain/{rows}" for rows in CHAIN_ROWS]
         + ["actor_jvp_reverse/256", "candidates/256x10", "adam_ema/1048576", "layer_norm_gelu/12288",
            "c51_projection/256"]
         + [f"environment_step/{name}" for name in ("HalfCheetah-v4", "Hopper-v4", "Humanoid-v4", "Pendulum-v1")]
         + ["sac_pendulum/10000"])
QUICK_CASES = ("mfpo_update/HalfCheetah", "act/mfpo_explore", "mlp_forward/256", "chain/256", "adam_ema/*",
               "layer_norm_gelu/*", "c51_projection/*", "environment_step/HalfCheetah-v4",
               "environment_step/Pendulum-v1")
# One thread is all they use.
SINGLE = ("environment_step/", "sac_pendulum/")
ACTING_CALLS = 100_000
ACTING_SECONDS = 5  # a visit; a slow peer is called less often, and its row says how often

NETWORKS = [case for case in CASES if not case.startswith(SINGLE)]
PRODUCTS = ["mlp_forward/*", "chain/*"]
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "4294967296",
          "MALLOC_TOP_PAD_": "268435456"}


class Unavailable(Exception):
    """A peer that cannot take part, and why, in one line."""


def say(text):
    print(f"bench peers: {text}", file=sys.stderr, flush=True)


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


# ---- who takes part --------------------------------------------------------------------------------------------------

class Peer:
    """Who it is, the patterns of its cases, how its process is started."""

    def __init__(self, who, cases, program=None, venv=None, script=None, arguments=(), environment=None):
        self.who, self.cases, self.program, self.venv, self.script = who, cases, program, venv, script
        self.arguments, self.environment = list(arguments), environment or {}

    def takes(self, case):
        return any(fnmatch.fnmatch(case, pattern) for pattern in self.cases)

    def command(self, options):
        """Makes what is missing; raises Unavailable."""
        if self.who == "jax_authors":
            repository = require_checkout(options.mfpo_repository, "--mfpo-repository", "jaxrl5")
            self.arguments = ["--repository", repository]
        if self.who.startswith("rltools"):
            repository = require_checkout(options.rltools_repository, "--rltools-repository", "include/rl_tools")
            return [build_rltools(repository)]
        if self.venv:
            return [python_of(self.venv, options), os.path.join(HERE, self.script), *self.arguments]
        program = os.path.join(options.programs, self.program)
        if not os.path.exists(program):
            raise Unavailable(f"not installed: no {program}")
        return [program, *self.arguments]


def peers():
    everything = [Peer("meander", CASES, program="peer_meander"),
                  Peer("meander_bf16", NETWORKS, program="peer_meander", arguments=["--who", "meander_bf16"]),
                  Peer("torch_eager", NETWORKS, venv="torch", script="torch_worker.py"),
                  Peer("torch_eager_tuned", NETWORKS, venv="torch", script="torch_worker.py", arguments=["--tuned"],
                       environment=MALLOC),
                  Peer("torch_compile", NETWORKS, venv="torch", script="torch_worker.py", arguments=["--compile"],
                       environment=MALLOC | {"TORCHINDUCTOR_CACHE_DIR": os.path.join(DEPS, "inductor")}),
                  Peer("jax", NETWORKS, venv="jax", script="jax_worker.py"),
                  Peer("jax_recent", NETWORKS, venv="jax-recent", script="jax_worker.py", arguments=["--recent"]),
                  Peer("jax_authors", ["mfpo_update/*", "act/mfpo_*"], venv="jax", script="authors_worker.py"),
                  Peer("openblas", PRODUCTS, program="peer_openblas"),
                  Peer("openblas_skylakex", PRODUCTS, program="peer_openblas", arguments=["--who", "openblas_skylakex"],
                       environment={"OPENBLAS_CORETYPE": "SKYLAKEX"}),
                  Peer("onednn", PRODUCTS, program="peer_onednn"),
                  Peer("gymnasium", ["environment_step/*"], venv="gymnasium", script="gymnasium_worker.py"),
                  Peer("mj_step", ["environment_step/*-v4"], program="peer_mj_step"),
                  Peer("rltools", ["sac_pendulum/*"]),
                  Peer("rltools_skylakex", ["sac_pendulum/*"], environment={"OPENBLAS_CORETYPE": "SKYLAKEX"})]
    if "avx512f" not in cpu_line("flags"):
        everything = [peer for peer in everything if not peer.who.endswith("_skylakex")]
    return everything


def require_checkout(path, option, inside):
    if not path:
        raise Unavailable(f"not installed: {option} names no checkout")
    if not os.path.isdir(os.path.join(path, inside)):
        raise Unavailable(f"no {inside} in {path}")
    return os.path.abspath(path)


# ---- what they need --------------------------------------------------------------------------------------------------

environments = {}  # name -> interpreter, or Unavailable


def python_of(name, options):
    """The interpreter of the virtual environment .deps/peers/NAME, made if need be."""
    if name not in environments:
        try:
            environments[name] = make_environment(name, options)
        except Unavailable as reason:
            environments[name] = reason
    if isinstance(environments[name], Unavailable):
        raise environments[name]
    return environments[name]


def make_environment(name, options):
    folder, requirements = os.path.join(DEPS, name), os.path.join(HERE, f"requirements-{name}.txt")
    python, stamp = os.path.join(folder, "bin", "python"), os.path.join(folder, "stamp")
    with open(requirements) as file:
        wanted = platform.python_version() + "\n" + file.read()
    if os.path.exists(stamp) and os.path.exists(python):
        with open(stamp) as file:
            if file.read() == wanted:
                return python
    if options.no_install:
        raise Unavailable("not installed: run without --no-install and --quick")
    say(f"installing {os.path.basename(requirements)} to {os.path.relpath(folder, ROOT)}")
    for command in ([sys.executable, "-m", "venv", "--clear", folder],
                    [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir", "--quiet",
                     "--requirement", requirements]):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace")
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if line.upper().startswith("ERROR")]
            raise Unavailable(f"not installed: {last_line(errors[0] if errors else done.stdout)}")
    with open(stamp, "w") as file:
        file.write(wanted)
    return python


def build_rltools(repository):
    """Our program against the user's checkout; OpenBLAS under it."""
    program = os.path.join(DEPS, "rltools_worker")
    source = os.path.join(HERE, "rltools", "rltools_worker.cpp")
    stamp = f"{repository} {os.path.getmtime(source)}"
    if os.path.exists(program) and os.path.exists(program + ".stamp"):
        with open(program + ".stamp") as file:
            if file.read() == stamp:
                return program
    command = ["g++", "-std=c++17", "-O3", "-march=native", "-ffast-math", "-DNDEBUG", "-I",
               os.path.join(repository, "include"), "-DRL_TOOLS_BACKEND_ENABLE_OPENBLAS", source, "-o", program,
               "-lopenblas", "-lpthread"]
    say("compiling the RLtools program")
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise Unavailable(f"not installed: {error}")
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise Unavailable(f"does not compile: {(errors or ['no message'])[0]}")
    with open(program + ".stamp", "w") as file:
        file.write(stamp)
    return program


# ---- the numbers all work on -----------------------------------------------------------------------------------------

DATA_VERSION = 1  # a change of write_data gives a new file


def write_data(path):
    """A safetensors file of float32, from Python's own generator: the same on every machine."""
    gauss, uniform = random.Random(1).gauss, random.Random(2).uniform
    tensors = {}

    def normal(name, shape, deviation=1.0, mean=0.0):
        tensors[name] = shape, array.array("f", [gauss(mean, deviation) for _ in range(math.prod(shape))])

    def network(prefix, widths, normed_layers):
        for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            normal(f"{prefix}.weight_{layer}", (inputs, outputs), inputs ** -0.5)
            normal(f"{prefix}.bias_{layer}", (outputs,), 0.1)
            if layer < normed_layers:
                normal(f"{prefix}.scale_{layer}", (outputs,), 0.1, 1.0)
                normal(f"{prefix}.shift_{layer}", (outputs,), 0.1)

    network("mlp", (87, 256, 256, 256, 6), 3)
    normal("mlp.x", (12288, 87))
    normal("mlp.dx", (12288, 87))
    normal("mlp.dy", (12288, 6))
    network("chain", (256, 256, 256, 256, 16), 3)
    normal("chain.x", (12288, 256))
    network("one_step.actor", (73, 512, 512, 512, 512, 25), 0)
    for critic in ("critic_0", "critic_1"):
        network(f"one_step.{critic}", (71, 512, 512, 512, 512, 1), 4)
    normal("one_step.state", (1, 46))
    normal("one_step.noise", (32, 25))
    for task, observations, actions in (("HalfCheetah", 17, 6), ("Humanoid", 376, 17)):
        prefix = f"update.{task}."
        normal(prefix + "state", (256, observations))
        normal(prefix + "action", (256, actions))
        shape, values = tensors[prefix + "action"]
        tensors[prefix + "action"] = shape, array.array("f", [min(1.0, max(-1.0, a)) for a in values])
        normal(prefix + "reward", (256, 1))
        tensors[prefix + "mask"] = (256, 1), array.array("f", [1.0] * 256)
        normal(prefix + "next_state", (256, observations))
    normal("norm.x", (12288, 256))
    normal("norm.scale", (256,), 0.1, 1.0)
    normal("norm.shift", (256,), 0.1)
    prob = []
    for _ in range(256):
        row = [math.exp(gauss(0, 1)) for _ in range(101)]
        prob += [p / sum(row) for p in row]
    tensors["c51.prob"] = (256, 101), array.array("f", prob)
    tensors["c51.position"] = (256, 101), array.array("f", [uniform(-1700, 1700) for _ in range(256 * 101)])
    for name in ("params", "gradient", "m", "v"):
        normal(f"adam.{name}", (1, 1048576))
    tensors["adam.v"] = (1, 1048576), array.array("f", [abs(v) + 1e-3 for v in tensors["adam.v"][1]])

    header, offset = {}, 0
    for name, (shape, values) in tensors.items():
        size = 4 * len(values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".partial", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, values in tensors.values():
            file.write(values.tobytes())
    os.replace(path + ".partial", path)


# ---- processes -------------------------------------------------------------------------------------------------------

class Worker:
    """A running peer. ask() gives its answer to a request or raises Unavailable."""

    def __init__(self, peer, command, threads, data):
        self.peer, self.buffer, self.failed = peer, b"", None
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
                                    "OPENBLAS_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": "",
                                    "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"} | peer.environment
        self.log = os.path.join(DEPS, "logs", f"{peer.who}-{threads}.txt")
        os.makedirs(os.path.dirname(self.log), exist_ok=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*command, "--threads", str(threads), "--data", data], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, env=environment, bufsize=0, start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores))
        hello = self.read(300)
        self.version, self.note, self.cases = hello["version"], hello["note"], set(hello["cases"])

    def read(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                self.give_up(f"no answer within {seconds} s")
            piece = os.read(self.process.stdout.fileno(), 1 << 20)
            if not piece:
                self.process.wait()
                with open(self.log, errors="replace") as log:
                    self.give_up(f"ended with status {self.process.returncode}: {last_line(log.read())}")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError:
            self.give_up("answered with something that is not JSON")

    def ask(self, case, samples, seconds, limit=900):
        if self.failed:
            raise Unavailable(self.failed)
        try:
            request = json.dumps({"case": case, "samples": samples, "seconds": seconds})
            self.process.stdin.write(request.encode() + b"\n")
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


# ---- the measurement -------------------------------------------------------------------------------------------------

class Row:
    def __init__(self, case, who, threads):
        self.case, self.who, self.threads = case, who, threads
        self.times, self.reason, self.check = [], None, None
        self.flop = self.bytes = self.ratio = self.median = None

    def rate(self, work):
        return work / self.median / 1e3 if work and self.median else None  # per nanosecond

    def json(self, peak):
        if self.reason:
            return {"case": self.case, "who": self.who, "threads": self.threads, "not_measured": self.reason}
        times = sorted(self.times)
        row = {"case": self.case, "who": self.who, "threads": self.threads, "median_us": self.median,
               "min_us": times[0], "max_us": times[-1], "mean_us": statistics.fmean(times), "samples": len(times)}
        if self.case.startswith("act/"):
            row |= {"p50_us": self.median, "p99_us": quantile(times, 0.99)}
        row |= {"gflops": self.rate(self.flop), "gbytes_per_s": self.rate(self.bytes),
                "share_of_fma_peak": self.share(peak.get("fma_fp32")),
                "share_of_sgemm_peak": self.share(peak.get("sgemm")), "ratio": self.ratio, "check": self.check}
        return {key: rounded(value) for key, value in row.items() if value is not None}

    def share(self, peak):
        return self.rate(self.flop) / peak if peak and self.flop else None


def rounded(value):
    return float(f"{value:.6g}") if isinstance(value, float) else value


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def plan(case, who, options, took):
    """Samples of a visit and the least seconds of a sample; took is the microseconds of a call, as far as known."""
    visits = 2 * options.rounds
    if case.startswith("act/"):
        if options.quick:
            return 500, 0
        wanted = ACTING_CALLS // visits
        if not who.startswith("meander"):
            wanted = min(wanted, int(ACTING_SECONDS * 1e6 / took))
        return wanted, 0
    if case.startswith("sac_pendulum/"):
        return 1, 0
    return options.samples, 0 if case.startswith("mfpo_update/") else options.seconds


def visit(worker, case, options, row, took):
    if row.reason:
        return
    try:
        if case not in took:  # prepares it, and says how long a call takes
            took[case] = statistics.median(worker.ask(case, 3, 0)["us"])
        answer = worker.ask(case, *plan(case, worker.peer.who, options, took[case]))
    except Unavailable as reason:
        row.reason, row.times = str(reason), []
        return
    row.times += answer["us"]
    for name in ("check", "flop", "bytes"):
        if name in answer:
            setattr(row, name, answer[name])


def measure_peaks(options, threads, data):
    """Flop or bytes a nanosecond of the machine's own loops, by name; empty without the program."""
    peer = Peer("machine", ["machine/*"], program="peer_machine")
    try:
        worker = Worker(peer, peer.command(options), threads, data)
    except Unavailable as reason:
        say(f"the machine's peaks are not measured: {reason}")
        return {}
    rates = {}
    for case in sorted(worker.cases):
        with contextlib.suppress(Unavailable):
            answer = worker.ask(case, 5 if options.quick else 15, 0.02)
            work = answer.get("flop", 0) + answer.get("bytes", 0)
            rates[case.split("/")[1]] = work / statistics.median(answer["us"]) / 1e3
    worker.stop()
    return rates


def measure(options, threads, chosen, cases, data, versions):
    """All rows of a number of threads."""
    started, reasons, took = {}, {}, {}
    for peer in chosen:
        wanted = [case for case in cases if peer.takes(case)]
        if not wanted:
            continue
        try:
            started[peer.who] = Worker(peer, peer.command(options), threads, data)
            took[peer.who] = {}
            versions[peer.who] = f"{started[peer.who].version}; {started[peer.who].note}"
        except Unavailable as reason:
            reasons[peer.who] = str(reason)
            say(f"{peer.who}: {reason}")
    rows = []
    for number, case in enumerate(cases, 1):
        here = {}
        for who in (peer.who for peer in chosen if peer.takes(case)):
            row = Row(case, who, threads)
            row.reason = reasons.get(who)
            if who in started and case not in started[who].cases:
                if who != "meander":
                    continue  # what a peer cannot do is no row
                row.reason = "not in Meander yet"
            here[who] = row
        rows += here.values()
        order = [who for who, row in here.items() if not row.reason]
        say(f"{threads} thread{'s' * (threads > 1)}, {number} of {len(cases)}: {case}")
        for _ in range(options.rounds):
            for who in order + order[::-1]:
                visit(started[who], case, options, here[who], took[who])
        finish(list(here.values()))
    for worker in started.values():
        worker.stop()
    return rows


def finish(rows):
    """Medians, ratios to Meander, the work of the case for the peers that do not state it, the check of the results."""
    flop, size = (next((getattr(r, name) for r in rows if getattr(r, name)), None) for name in ("flop", "bytes"))
    for row in rows:
        row.flop, row.bytes = flop, size
        row.median = statistics.median(row.times) if row.times else None
    meander = next((row for row in rows if row.who == "meander" and row.median), None)
    expected = next((row for row in rows if row.check is not None), None)
    for row in rows:
        if meander and row.median:
            row.ratio = row.median / meander.median
        # bf16 has three digits
        tolerance = 0.03 if row.who == "meander_bf16" else 0.01
        if row.check is not None and abs(row.check - expected.check) > tolerance * abs(expected.check):
            row.reason = f"its result differs: mean {row.check:.6g}, {expected.who}'s {expected.check:.6g}"


# ---- the table -------------------------------------------------------------------------------------------------------

def microseconds(value):
    return f"{value:.2f}" if value < 100 else f"{value:.1f}" if value < 1e4 else f"{value:.0f}"


def print_rows(rows, peaks):
    for threads in sorted({row.threads for row in rows}):
        peak = peaks.get(threads, {})
        for case in dict.fromkeys(row.case for row in rows if row.threads == threads):
            acting = case.startswith("act/")
            columns = ["median", "mean", "p99", "max"] if acting else ["median", "min", "max"]
            print(f"\n{case}, {threads} thread{'s' * (threads > 1)}, us a call")
            titles = columns + ["x meander", "GFLOP/s", "of FMA", "GB/s"] + ["calls"] * acting
            print(f"  {'who':18}" + "".join(f"{title:>11}" for title in titles))
            for row in (row for row in rows if row.threads == threads and row.case == case):
                if row.reason:
                    print(f"  {row.who:18}{row.reason}")
                    continue
                times = sorted(row.times)
                numbers = ([row.median, statistics.fmean(times), quantile(times, 0.99), times[-1]] if acting
                           else [row.median, times[0], times[-1]])
                share = row.share(peak.get("fma_fp32"))
                cells = [microseconds(number) for number in numbers]
                rates = (row.ratio, ".2f"), (row.rate(row.flop), ".1f"), (share, ".0%"), (row.rate(row.bytes), ".1f")
                cells += [f"{value:{form}}" if value is not None else "" for value, form in rates]
                cells += [str(len(times))] * acting
                print(f"  {row.who:18}" + "".join(f"{cell:>11}" for cell in cells))


def targets(rows, peaks):
    """What the comparison is to show: (number, claim, wanted, measured or None, met)."""
    most, asked = max(row.threads for row in rows), {row.case for row in rows}
    measured = {(row.case, row.who, row.threads): row for row in rows if row.median and not row.reason}
    torch = ("torch_eager", "torch_eager_tuned", "torch_compile")
    jax = ("jax", "jax_recent")

    def time_of(case, who, threads):
        row = measured.get((case, who, threads))
        return row and row.median

    def best(case, names):
        """The fastest of some peers, on the threads it likes best."""
        return min((row.median for (c, who, _), row in measured.items() if c == case and who in names), default=None)

    def over(a, b):
        return a / b if a and b else None

    found = []

    def at_least(number, case, claim, wanted, value):
        if case in asked:
            found.append((number, claim, f">= {wanted:g}", rounded(value), value is not None and value >= wanted))

    def at_most(number, case, claim, wanted, value):
        if case in asked:
            found.append((number, claim, f"<= {wanted:g}", rounded(value), value is not None and value <= wanted))

    def mine(case, threads=most):
        return time_of(case, "meander", threads)

    cheetah, humanoid = "mfpo_update/HalfCheetah", "mfpo_update/Humanoid"
    at_least(1, cheetah, "HalfCheetah update: authors' learner / meander", 2.8,
             over(best(cheetah, ("jax_authors",)), mine(cheetah)))
    at_least(1, cheetah, "HalfCheetah update: best PyTorch / meander", 2.5, over(best(cheetah, torch), mine(cheetah)))
    at_least(1, cheetah, "HalfCheetah update: meander / meander_bf16", 1.5,
             over(mine(cheetah), time_of(cheetah, "meander_bf16", most)))
    at_least(1, humanoid, "Humanoid update: authors' learner / meander", 4.2,
             over(best(humanoid, ("jax_authors",)), mine(humanoid)))

    explore, evaluate, one_step = "act/mfpo_explore", "act/mfpo_evaluate_10", "act/one_step_32"
    others = torch + jax + ("jax_authors",)
    row = measured.get((explore, "meander", 1))
    at_most(2, explore, "exploration action, 1 thread: median us", 10, mine(explore, 1))
    at_most(2, explore, "exploration action, 1 thread: p99 / median", 2,
            over(quantile(sorted(row.times), 0.99), row.median) if row else None)
    at_least(2, explore, "exploration action: best peer / meander on 1 thread", 3,
             over(best(explore, others), mine(explore, 1)))
    at_most(2, evaluate, "10-candidate evaluation, 1 thread: median us", 70, mine(evaluate, 1))
    at_least(2, evaluate, "10-candidate evaluation: best peer / meander on 1 thread", 3,
             over(best(evaluate, others), mine(evaluate, 1)))
    at_most(2, one_step, "32-candidate policy, 1 thread: median us", 1000, mine(one_step, 1))
    at_most(2, one_step, "32-candidate policy, 2 threads: median us", 500, mine(one_step, 2))
    at_least(2, one_step, "32-candidate policy: best peer / meander, each at its best", 2.5,
             over(best(one_step, others), best(one_step, ("meander",))))

    for size in CHAIN_ROWS:
        case = f"chain/{size}"
        row = measured.get((case, "meander", most))
        at_least(3, case, f"{case}: share of the FMA peak", 0.8,
                 row.share(peaks.get(most, {}).get("fma_fp32")) if row else None)
        at_least(3, case, f"{case}: oneDNN and a pass / meander", 0.95, over(time_of(case, "onednn", most), mine(case)))
        blas = min(filter(None, (time_of(case, who, most) for who in ("openblas", "openblas_skylakex"))), default=None)
        at_least(3, case, f"{case}: better OpenBLAS and a pass / meander", 1.2, over(blas, mine(case)))
    for size in MLP_ROWS:
        case = f"mlp_value_and_tangent/{size}"
        at_most(3, case, f"value and tangent / forward, {size} rows", 2.1,
                over(mine(case), mine(f"mlp_forward/{size}")))
    jvp = "actor_jvp_reverse/256"
    at_least(3, jvp, "actor JVP and reverse, 256 rows: best JAX / meander", 2.2, over(best(jvp, jax), mine(jvp)))

    step, sac = "environment_step/HalfCheetah-v4", "sac_pendulum/10000"
    at_least(4, step, "HalfCheetah step: Gymnasium / meander", 1.9,
             over(best(step, ("gymnasium",)), best(step, ("meander",))))
    at_most(4, step, "HalfCheetah step: meander / mj_step", 1.05,
            over(best(step, ("meander",)), best(step, ("mj_step",))))
    at_least(5, sac, "SAC on Pendulum: RLtools / meander", 1,
             over(best(sac, ("rltools", "rltools_skylakex")), best(sac, ("meander",))))
    return found


def print_targets(found, most):
    print(f"\ntargets ({most} thread{'s' * (most > 1)} unless said; a peer counts with the threads it is fastest on)")
    for number, claim, wanted, value, met in found:
        state = "not measured" if value is None else "met" if met else "MISSED"
        print(f"  {number}  {claim:58}{wanted:>9}{'' if value is None else f'{value:.2f}':>9}  {state}")


# ---- the machine -----------------------------------------------------------------------------------------------------

def cpu_line(name):
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.split(":")[0].strip() == name:
                return line.split(":", 1)[1].strip()
    return ""


def processor_time():
    """Ticks of all processors together, and those a hypervisor gave to others."""
    with contextlib.suppress(OSError), open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
        return sum(ticks), ticks[7]
    return 0, 0


def commit():
    def git(*arguments):
        try:
            return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True).stdout.strip()
        except OSError:
            return ""
    return git("rev-parse", "HEAD") + ("-changed" if git("status", "--porcelain", "--untracked-files=no") else "")


# ---- the command -----------------------------------------------------------------------------------------------------

def read_options():
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="./meander bench peers", description="Times Meander and its peers in turns.")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--cases", metavar="GLOB", action="append",
                        help="only such cases, for example 'chain/*'; repeatable")
    parser.add_argument("--only", metavar="WHO,...", help="only these peers")
    parser.add_argument("--threads", metavar="N,...", help=f"numbers of threads (1 and all cores, here 1,{cores})")
    parser.add_argument("--rounds", type=int, help="rounds of A B C ... C B A (2)")
    parser.add_argument("--samples", type=int,
                        help="samples of a case and visit (9); acting has 100,000 calls altogether")
    parser.add_argument("--quick", action="store_true", help="a smoke test: few cases and samples, all cores, nothing "
                        "installed, no torch.compile")
    parser.add_argument("--no-install", action="store_true", help="leave out what is not installed")
    parser.add_argument("--programs", metavar="PATH", default=os.path.join("build", "release", "bench"),
                        help="the folder of the programs peer_meander, ... (%(default)s)")
    parser.add_argument("--mfpo-repository", metavar="PATH", help="a checkout of the MFPO authors' code")
    parser.add_argument("--rltools-repository", metavar="PATH", help="a checkout of RLtools")
    options = parser.parse_args()

    options.programs = os.path.join(ROOT, options.programs)
    options.rounds = options.rounds if options.rounds is not None else 1 if options.quick else 2
    options.samples = options.samples if options.samples is not None else 3 if options.quick else 9
    options.seconds = 0.005 if options.quick else 0.02
    options.no_install |= options.quick
    if options.rounds < 1 or options.samples < 1:
        parser.error("--rounds and --samples want a number from 1")
    try:
        threads = options.threads.split(",") if options.threads else [cores] if options.quick else [1, cores]
        options.threads = sorted({int(number) for number in threads})
    except ValueError:
        parser.error(f"--threads wants numbers with commas between, got '{options.threads}'")
    if not all(1 <= number <= cores for number in options.threads):
        parser.error(f"--threads wants numbers from 1 to {cores}")
    everyone = peers()
    names = options.only.split(",") if options.only else [peer.who for peer in everyone]
    for name in names:
        if name not in [peer.who for peer in everyone]:
            parser.error(f"no peer '{name}': {', '.join(peer.who for peer in everyone)}")
    chosen = [peer for peer in everyone if peer.who in names
              and not (options.quick and not options.only and peer.who == "torch_compile")]
    patterns = options.cases or (QUICK_CASES if options.quick else ["*"])
    for pattern in patterns:
        if not fnmatch.filter(CASES, pattern):
            parser.error(f"no case '{pattern}': {', '.join(CASES)}")
    cases = [case for case in CASES if any(fnmatch.fnmatch(case, pattern) for pattern in patterns)]
    if options.json:
        try:
            open(options.json, "a").close()
        except OSError as error:
            parser.error(f"cannot write {options.json}: {error.strerror}")
    return options, chosen, cases


def main():
    options, chosen, cases = read_options()
    os.makedirs(DEPS, exist_ok=True)
    data = os.path.join(DEPS, f"data-{DATA_VERSION}.safetensors")
    if not os.path.exists(data):
        say("writing the numbers all peers work on")
        write_data(data)
    for peer in chosen:  # before the first time is taken
        with contextlib.suppress(Unavailable):
            peer.command(options)

    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"something else is running (load {load:.1f}): the times will not mean much")
    rows, peaks, before_and_after, versions = [], {}, {}, {}
    for threads in options.threads:
        wanted = [case for case in cases if threads == options.threads[0] or not case.startswith(SINGLE)]
        ticks, stolen = processor_time()
        before = measure_peaks(options, threads, data)
        rows += measure(options, threads, chosen, wanted, data, versions)
        after = measure_peaks(options, threads, data)
        now, stolen_now = processor_time()
        peaks[threads] = {name: (rate + after.get(name, rate)) / 2 for name, rate in before.items()}
        before_and_after[threads] = {"before": before, "after": after,
                                     "steal": (stolen_now - stolen) / max(1, now - ticks)}
    report(options, rows, peaks, before_and_after, versions, load)


def report(options, rows, peaks, before_and_after, versions, load):
    print(f"{cpu_line('model name') or platform.machine()}, {len(os.sched_getaffinity(0))} cores; commit {commit()}")
    for who, version in versions.items():
        print(f"  {who:18}{version}")
    print("machine, GFLOP/s or GB/s before and after the run")
    for threads, figures in before_and_after.items():
        print(f"  {threads} thread{'s' * (threads > 1):1}  " + ", ".join(
            f"{name} {rate:.1f} and {figures['after'].get(name, 0):.1f}" for name, rate in figures["before"].items())
            + f"{', ' if figures['before'] else ''}stolen by other guests {figures['steal']:.1%}")
    print_rows(rows, peaks)
    found = targets(rows, peaks)
    print_targets(found, max(options.threads))
    if options.json:
        result = {"rows": [row.json(peaks.get(row.threads, {})) for row in rows],
                  "targets": [dict(zip(("number", "claim", "wanted", "measured", "met"), target)) for target in found],
                  "machine": {"processor": cpu_line("model name") or platform.machine(),
                              "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
                              "load_before": load,
                              "peaks": {str(threads): figures for threads, figures in before_and_after.items()}},
                  "versions": versions | {"python": platform.python_version()},
                  "commit": commit(),
                  "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                  "command": sys.argv[1:], "rounds": options.rounds, "samples": options.samples}
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
