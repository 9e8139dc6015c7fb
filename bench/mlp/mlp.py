#!/usr/bin/env python3
"""Any perceptron, any pass, beside any framework's version: ./meander bench mlp --help, and ../README.md."""
import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "peers")]
import picture  # noqa: E402
from frameworks import Contender, Interpreters, contenders  # noqa: E402
from participants import DEPS, Unavailable, cpu_line, say  # noqa: E402
from peers import commit, processor_time  # noqa: E402
from table import microseconds, quantile, rounded  # noqa: E402
from turns import Machine, Turns  # noqa: E402
from virtual_environment import ROOT  # noqa: E402

PASSES = ("forward", "jvp", "backward", "jvp+backward", "hvp", "input-gradient", "candidates")
ROUNDED_PASSES = ("forward", "candidates")
ACTIVATIONS = ("relu", "gelu", "mish", "tanh", "silu")
NORMS = ("layer", "layer-after", "none")
PRECISIONS = ("float32", "tf32", "bfloat16")
MOST_WIDTH, MOST_LAYERS, MOST_ROWS = 16384, 8, 1 << 20
# What a result may deviate from float64: some times what plain float32 arithmetic does, or the rounding of the factors
# of the products (half a unit of 8 and 11 bits, through some layers). A slope of ReLU is another number on the other
# side of 0, where float32 may see it: one unit of thousands.
FLOAT32_TIMES, LEAST_TOLERANCE, RELU_TOLERANCE = 8, 2e-6, 2e-3
ROUNDED_TOLERANCE = {"bfloat16": 5e-2, "tf32": 5e-3}


# ---- rows ------------------------------------------------------------------------------------------------------------

class Row:
    def __init__(self, case, contender, threads):
        self.case, self.who, self.family, self.threads = case, contender.who, contender.family, threads
        self.visits, self.deviation, self.reason, self.best = [], None, None, False
        self.tolerance = self.flop = self.bytes = self.peak = self.reading = self.control = self.ratio = None

    @property
    def times(self):
        return sorted(us for visit in self.visits for us in visit)

    @property
    def median(self):
        return statistics.median(self.times) if self.visits else None

    @property
    def gflops(self):
        return self.flop / self.median / 1e3

    @property
    def share(self):
        return self.gflops / self.peak if self.peak else None

    @property
    def limit(self):
        """Which of the machine's two ceilings binds: the products, or reading as many bytes as the case has."""
        if not self.peak or not self.reading:
            return None
        return "products" if self.flop / self.peak > self.bytes / self.reading else "reading"

    def json(self):
        _, layers, activation, norm, what, rows, precision = self.case.split("/")
        row = {"case": self.case, "layers": layers.replace("-", ","), "activation": activation, "norm": norm,
               "pass": what, "rows": int(rows), "precision": precision, "threads": self.threads, "who": self.who}
        if self.reason:
            return row | {"not_measured": self.reason}
        times = self.times
        row |= {"median_us": self.median, "min_us": times[0], "p10_us": quantile(times, 0.1),
                "p90_us": quantile(times, 0.9), "max_us": times[-1], "gflops": self.gflops,
                "share_of_peak": self.share, "bytes": self.bytes, "flop": self.flop,
                "flop_per_byte": self.flop / self.bytes, "limit": self.limit, "ceiling_gflops": self.peak,
                "ceiling_gbytes_per_s": self.reading, "deviation": self.deviation, "tolerance": self.tolerance,
                "x_meander": self.ratio, "best_of_its_variants": self.best, "visits_us": self.visits,
                "control_us": self.control}
        return {key: [[rounded(t) for t in visit] for visit in value] if key == "visits_us" else rounded(value)
                for key, value in row.items() if value is not None}


def tolerance_of(plain, precision, activation, what):
    """What a result may deviate from float64, plain being what plain float32 does."""
    kinks = activation == "relu" and what not in ("forward", "candidates")
    return max(FLOAT32_TIMES * plain, LEAST_TOLERANCE, RELU_TOLERANCE if kinks else 0,
               ROUNDED_TOLERANCE.get(precision, 0))


def finish(rows, work, precision, peaks, reading, control, activation, what):
    """What rows of one case have in common, and how they stand to each other."""
    tolerance = tolerance_of(work["plain"], precision, activation, what)
    for row in rows:
        row.flop, row.bytes, row.reading, row.control, row.tolerance = (work["flop"], work["bytes"], reading, control,
                                                                        tolerance)
        row.peak = max((peaks.get(name) or 0 for name in
                        ("fma_fp32", *(["fma_bf16"] if precision == "bfloat16" else []))), default=0) or None
        if row.deviation is not None and row.deviation > tolerance:
            row.reason = f"its result is off: {row.deviation:.1e} of its size, {tolerance:.1e} are allowed"
    measured = [row for row in rows if not row.reason and row.visits]
    ours = next((row.median for row in measured if row.who == "meander"), None)
    for row in measured:
        row.ratio = row.median / ours if ours else None
        row.best = row.median == min(other.median for other in measured if other.family == row.family)


# ---- the table -------------------------------------------------------------------------------------------------------

COLUMNS = (("us a call", 11), ("10 to 90 %", 19), ("x meander", 10), ("GFLOP/s", 9), ("of peak", 8), ("KB", 9),
           ("flop/byte", 10), ("limit", 9), ("deviation", 10),
           ("allowed", 9))


def print_table(rows):
    def block_of(row):
        layers, activation, norm, what, _, precision = row.case.split("/")[1:]
        return layers, activation, norm, what, precision, row.threads

    for block in dict.fromkeys(map(block_of, rows)):
        here = [row for row in rows if block_of(row) == block]
        layers, activation, norm, what, precision, threads = block
        print(f"\n{what} of {layers.replace('-', ',')}, {activation}, norm {norm}, {precision}, "
              f"{threads} thread{'s' * (threads > 1)}")
        width = max(len(row.who) for row in here) + 3
        print(f"  {'rows':>7}  {'who':{width}}" + "".join(f"{title:>{size}}" for title, size in COLUMNS))
        never = {who: reason for who, reason in ((row.who, row.reason) for row in here)
                 if reason and all(row.reason == reason for row in here if row.who == who)}
        for row in here:
            if row.who in never:
                continue
            first = f"  {row.case.split('/')[5]:>7}  "
            if row.reason or not row.visits:
                print(f"{first}{row.who:{width}}{row.reason or 'not measured'}")
                continue
            times = row.times
            cells = [microseconds(row.median),
                     f"{microseconds(quantile(times, 0.1))} to {microseconds(quantile(times, 0.9))}",
                     f"{row.ratio:.2f}" if row.ratio else "", f"{row.gflops:.1f}",
                     f"{row.share:.0%}" if row.share else "", f"{row.bytes / 1024:.0f}", f"{row.flop / row.bytes:.1f}",
                     row.limit or "", f"{row.deviation:.1e}", f"{row.tolerance:.1e}"]
            variants = {other.who for other in here if other.family == row.family}
            mark = " *" if row.best and len(variants) > 1 else ""
            print(f"{first}{row.who + mark:{width}}" + "".join(f"{cell:>{size}}" for cell, (_, size) in
                                                                zip(cells, COLUMNS)))
        for who, reason in never.items():
            print(f"  {'':7}  {who:{width}}{reason}")


# ---- the command -----------------------------------------------------------------------------------------------------

def numbers(parser, option, text, most):
    try:
        values = [int(word) for word in text.split(",")]
    except ValueError:
        parser.error(f"{option} wants whole numbers with commas between, got '{text}'")
    if not values or not all(1 <= value <= most for value in values):
        parser.error(f"{option} wants numbers from 1 to {most}, got '{text}'")
    return list(dict.fromkeys(values))


def words(parser, option, text, known):
    values = list(dict.fromkeys(text.split(",")))
    for value in values:
        if value not in known:
            parser.error(f"{option}: no '{value}': there are {', '.join(known)}")
    return values


class Parser(argparse.ArgumentParser):
    """Errors in one line."""

    def error(self, text):
        self.exit(2, f"{self.prog}: {text}\n")


def add_measuring(parser):
    """The options of all commands that measure in turns."""
    parser.add_argument("--rounds", type=int, default=2, help="of A B C ... C B A (%(default)s)")
    parser.add_argument("--samples", type=int, default=20, help="of a visit (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.005, help="at least, a sample (%(default)s)")
    parser.add_argument("--time-limit", type=float, default=300, metavar="SECONDS",
                        help="of one answer, compilation included; then the contender is ended (%(default)s)")
    parser.add_argument("--memory-limit", type=float, metavar="GB", help="of one contender; then it is ended (three "
                        "quarters of what is free)")
    parser.add_argument("--programs", metavar="PATH", default=os.path.join("build", "release", "bench"),
                        help="the folder of the programs peer_meander, ... (%(default)s)")


def finish_measuring(parser, options):
    options.programs = os.path.join(ROOT, options.programs)
    if options.rounds < 1 or options.samples < 1 or not options.seconds >= 0 or not options.time_limit > 0:
        parser.error("--rounds and --samples want numbers from 1, --seconds from 0, --time-limit above 0")
    options.memory = int(options.memory_limit * 1e9 if options.memory_limit else 0.75 * available_memory())
    if not os.path.exists(os.path.join(options.programs, "peer_machine")):
        parser.error(f"no programs in {os.path.relpath(options.programs)}: ./meander bench builds them")


def available_memory():
    with open("/proc/meminfo") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))


def add_network(parser):
    parser.add_argument("--layers", metavar="N,...", default="87,256,256,256,6",
                        help="inputs, hidden widths, outputs (%(default)s: MFPO's actor for HalfCheetah)")
    parser.add_argument("--activation", choices=ACTIVATIONS, default="gelu", help="(%(default)s)")
    parser.add_argument("--norm", choices=NORMS, default="layer",
                        help="LayerNorm before or after the activation, or none (%(default)s)")
    parser.add_argument("--rows", metavar="N,...", default="1,32,256,4096", help="of a batch (%(default)s)")
    parser.add_argument("--pass", dest="passes", metavar="NAME,...", default="forward", help="of " + ", ".join(PASSES)
                        + " (%(default)s)")
    parser.add_argument("--precision", metavar="NAME,...", default="float32",
                        help="of products: float32, tf32, bfloat16 (%(default)s); gradients have float32 only")


def cases_of(parser, options):
    widths = options.layers.split(",")
    if not 2 <= len(widths) <= MOST_LAYERS + 1 or not all(w.isdecimal() and 1 <= int(w) <= MOST_WIDTH for w in widths):
        parser.error(f"--layers wants 2 to {MOST_LAYERS + 1} widths from 1 to {MOST_WIDTH}, got '{options.layers}'")
    layers = "-".join(str(int(width)) for width in widths)
    rows = numbers(parser, "--rows", options.rows, MOST_ROWS)
    passes = words(parser, "--pass", options.passes, PASSES)
    precisions = words(parser, "--precision", options.precision, PRECISIONS)
    if "candidates" in passes and layers.startswith("1-"):
        parser.error("--pass candidates: with one input candidates share nothing")
    cases = [f"mlp/{layers}/{options.activation}/{options.norm}/{what}/{count}/{precision}"
             for what in passes for precision in precisions if precision == "float32" or what in ROUNDED_PASSES
             for count in rows]
    if not cases:
        parser.error(f"--precision {options.precision}: gradients have float32 only")
    return cases


def read_options():
    cores = len(os.sched_getaffinity(0))
    parser = Parser(prog="./meander bench mlp", description="Times any perceptron, beside any framework's version.")
    add_network(parser)
    parser.add_argument("--threads", metavar="N,...", default="1", help=f"(%(default)s; here up to {cores})")
    parser.add_argument("--device", choices=("cpu", "cuda", "cuda-emulated"), default="cpu")
    parser.add_argument("--with", dest="wishes", metavar="NAME==VERSION[:VARIANT]", action="append", default=[],
                        help="torch or jax in that version, installed to .deps/peers; onednn, openblas; repeatable")
    parser.add_argument("--no-install", action="store_true", help="leave out what is not installed")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--plot", metavar="FILE.svg", help="also draw it: roofline, time over rows, ratios (or .png)")
    add_measuring(parser)
    options = parser.parse_args()
    options.cases = cases_of(parser, options)
    options.threads = numbers(parser, "--threads", options.threads, cores)
    try:
        options.contenders = [Contender(), *contenders(options.wishes)]
        if options.plot:
            picture.check(options.plot)
    except (ValueError, picture.Unable) as error:
        parser.error(str(error))
    for path in filter(None, (options.json, options.plot)):
        try:
            open(path, "a").close()
        except OSError as error:
            parser.error(f"cannot write {path}: {error.strerror}")
    finish_measuring(parser, options)
    return options


def measure(options, rows, about, save):
    python = Interpreters(options)
    for contender in options.contenders:   # before the first time is taken
        with contextlib.suppress(Unavailable):
            contender.command(options, python)
    os.makedirs(DEPS, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DEPS) as folder:
        for threads in options.threads:
            machine = Machine(options, threads)
            turns = Turns(options.contenders, options, threads, python)
            try:
                peaks = {case.split("/")[1]: machine.rate(case) for case in machine.cases}
                about["peaks"][str(threads)] = peaks if options.device == "cpu" else {}
                turns.begin()
                for who, greeting in turns.about.items():
                    about["contenders"][who] = f"{greeting['version']}; {greeting['note']}"
                for number, case in enumerate(options.cases, 1):
                    say(f"{threads} thread{'s' * (threads > 1)}, {number} of {len(options.cases)}: {case}")
                    measure_case(case, options, threads, machine, turns, folder, about, rows)
                    save()
            finally:
                turns.stop()
                machine.stop()


def measure_case(case, options, threads, machine, turns, folder, about, rows):
    _, _, activation, _, what, _, precision = case.split("/")
    here = {contender.who: Row(case, contender, threads) for contender in options.contenders}
    reading, control = None, []
    path = os.path.join(folder, f"{len(rows)}.safetensors")   # a name that no process has read from
    try:
        work = machine.write(case, path, options.time_limit)
    except Unavailable as reason:
        for row in here.values():
            row.reason = f"no numbers to work on: {reason}"
        rows += here.values()
        return
    try:
        if options.device == "cpu":
            reading = machine.rate(f"machine/read/{int(work['bytes'])}")
        turns.measure(case, what, path, here, lambda: control.append(machine.control()))
    finally:   # an interruption keeps what was measured
        peaks = about["peaks"][str(threads)]
        finish(list(here.values()), work, precision, peaks, reading, control, activation, what)
        rows += (row for row in here.values() if row.visits or row.reason)
        with contextlib.suppress(OSError):
            os.remove(path)


def write_json(path, rows, about):
    if not path:
        return
    ticks, stolen = about["ticks"]
    now, stolen_now = processor_time()
    result = {"rows": [row.json() for row in rows],
              "machine": {"processor": cpu_line("model name") or platform.machine(),
                          "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
                          "load_before": about["load"], "stolen": (stolen_now - stolen) / max(1, now - ticks),
                          "peaks_gflops_or_gbytes_per_s": about["peaks"]},
              "contenders": about["contenders"], "commit": commit(), "command": sys.argv[1:],
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
    with open(path + ".partial", "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    os.replace(path + ".partial", path)


def main():
    options = read_options()
    rows = []
    about = {"peaks": {}, "contenders": {}, "load": os.getloadavg()[0], "ticks": processor_time()}
    if about["load"] > 0.5:
        say(f"something else is running (load {about['load']:.1f}): the times will not mean much")
    save = lambda: write_json(options.json, rows, about)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stopped, refused = False, None
    try:
        measure(options, rows, about, save)
    except KeyboardInterrupt:
        stopped = True
    except OSError as error:   # a full disk: what was measured is shown at least
        refused = error
    with contextlib.suppress(BrokenPipeError):
        report(rows, about)
        sys.stdout.flush()
    if refused:
        raise refused
    save()
    if options.plot:
        try:
            picture.draw(rows, about["peaks"], options.plot)
        except picture.Unable as reason:
            say(reason)
    if stopped:
        say(f"interrupted: {len(rows)} rows were measured" + f", they are in {options.json}" * bool(options.json))
        return 130
    return 0 if any(row.visits and not row.reason for row in rows) else 1


def report(rows, about):
    print(f"{cpu_line('model name') or platform.machine()}, {len(os.sched_getaffinity(0))} cores; commit {commit()}")
    for who, version in about["contenders"].items():
        print(f"  {who:24}{version}")
    for threads, peaks in about["peaks"].items():
        if peaks:
            print(f"  machine, {threads} thread{'s' * (threads != '1')}: " + ", ".join(
                f"{name} {rate:.0f} {'GB' if name == 'triad' else 'GFLOP'}/s" for name, rate in peaks.items() if rate))
    print_table(rows)


def guarded(name, work):
    """The status of work(); what the system refuses, such as room on the disk, is one line."""
    try:
        return work()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"{name}: {error.strerror}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(guarded("bench mlp", main))
