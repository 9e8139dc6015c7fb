#!/usr/bin/env python3
"""Exported policies by Meander's own source and by other runtimes, in turns on one core: one table, one JSON file. Run
by ./meander bench deploy; see ../README.md.

Every row is a process of its own. In each round, and for each case, all are asked in the order A B C ... C B A, first
on a quiet machine, then beside a process that thrashes the caches, then once more with cold caches.
"""
import argparse
import array
import contextlib
import datetime
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "peers"))
from participants import Unavailable, cpu_line, say
from peers import commit, processor_time
from processes import Process
from table import microseconds, quantile, rounded
from virtual_environment import ROOT, NotInstalled, last_line, python_in, read_requirements

DEPS = os.path.join(ROOT, ".deps", "deploy")
CORES = sorted(os.sched_getaffinity(0))
INPUT_ROWS = 256
LATE_US = 1000
COLD_CALLS = 50
CASES = {"mfpo/1": ("mfpo", 1), "mfpo/10": ("mfpo", 10), "mfpo/32": ("mfpo", 32), "mvp/1": ("mvp", 1)}
CONDITIONS = ("quiet", "thrashed", "cold")
PEERS = ("onnxruntime", "openvino", "litert")
EVERYONE = ("meander", "meander_float16", "engine", *PEERS, "spin")
# Networks as trained ones have them, of the default sizes, but not worth anything: a few steps and tiny updates.
TRAINING = ["--env", "HalfCheetah-v4", "--steps", "12", "--threads", "1", "--quiet"]
SHORT_SETTINGS = ["start_steps=10", "batch_size=8", "evaluation_episodes=1", "time_limit=8"]


def takes(who, case):
    if who == "spin":
        return case in ("mfpo/1", "mfpo/10")
    return who.startswith("meander") or case.startswith("mfpo/")


def calls_of(who, case, condition, options):
    """Of a visit. A cold call fills the caches first, which takes a thousand times as long."""
    if options.quick:
        return 10 if condition == "cold" else 500 // options.rounds
    if condition == "cold":
        return COLD_CALLS // options.rounds
    wanted = 1_000_000 if case in ("mfpo/1", "mfpo/10") and who.startswith(("meander", "spin")) else 100_000
    return max(10, int(wanted * options.share) // (2 * options.rounds))


# ---- what acts -------------------------------------------------------------------------------------------------------

def run(command, what):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise Unavailable(f"{what}: {last_line(done.stderr or done.stdout)}")
    return done.stdout


class Policies:
    """Runs, what is exported of them, and the inputs of each case, made when asked for in a folder."""

    def __init__(self, options, folder):
        self.options, self.folder, self.made = options, folder, {}

    def once(self, name, make):
        """The path of a file; a failure is remembered too."""
        path = os.path.join(self.folder, name)
        if name not in self.made:
            try:
                make(path)
                self.made[name] = None
            except Unavailable as reason:
                self.made[name] = reason
        if self.made[name]:
            raise self.made[name]
        return path

    def trained(self, algorithm):
        settings = [word for setting in SHORT_SETTINGS for word in ("--set", setting)]
        return self.once(algorithm, lambda path: run(
            [self.options.meander, "train", "--algo", algorithm, *TRAINING, *settings, "--out", path], "training"))

    def blob(self, case, weights="float32"):
        algorithm, candidates = CASES[case]
        return self.once(f"{algorithm}-{candidates}-{weights}.mpol", lambda path: run(
            [self.options.meander, "export", self.trained(algorithm), "--out", path, "--weights", weights,
             "--candidates", str(candidates)], "export"))

    def inputs(self, case):
        """The file of rows, and the sizes of an observation and of a decision."""
        sizes = os.path.join(self.folder, case.replace("/", "-") + ".json")

        def make(path):
            said = run([self.options.program("meander"), "--inputs", path, self.blob(case), str(CASES[case][1]),
                        str(INPUT_ROWS)], "inputs")
            with open(sizes, "w") as file:
                file.write(said)
        path = self.once(case.replace("/", "-") + ".f32", make)
        with open(sizes) as file:
            about = json.load(file)
        return path, about["observations"], about["numbers"]

    def graph(self, case):
        algorithm, candidates = CASES[case]
        return self.once(f"{algorithm}-{candidates}.onnx", lambda path: run(
            [self.options.meander, "export", self.trained(algorithm), "--out", path + ".mpol", "--candidates",
             str(candidates), "--onnx", path], "export"))

    def litert_graph(self, case):
        graph = self.graph(case)
        return self.once(os.path.basename(graph)[:-5] + ".tflite", lambda path: run(
            [self.options.python(), "-E", os.path.join(HERE, "litert_graph.py"), graph, path], "litert_graph.py"))

    def command(self, who, case):
        """How its process begins, and the file with the policy."""
        path, observations, numbers = self.inputs(case)
        rest = [path, str(observations), str(numbers), str(CASES[case][1])]
        program = self.options.program(who.split("_")[0]) if who != "litert" else None
        if who == "spin":
            return [program, *rest], None
        if who.startswith("meander"):
            model = self.blob(case, "float16" if who.endswith("float16") else "float32")
            return [program, *rest, model], model
        if who == "engine":
            model = os.path.join(self.trained(CASES[case][0]), "last.safetensors")
            return [program, *rest, model], model
        if who == "litert":
            model = self.litert_graph(case)
            return [self.options.python(), "-E", os.path.join(HERE, "litert_worker.py"), *rest, model], model
        model = self.graph(case)
        pattern = {"onnxruntime": "onnxruntime/capi/libonnxruntime.so.*",
                   "openvino": "openvino/libs/libopenvino_c.so*"}[who]
        packages = os.path.join(os.path.dirname(os.path.dirname(self.options.python())), "lib", "python*",
                                "site-packages")
        found = glob.glob(os.path.join(packages, pattern))
        if not found:
            raise Unavailable(f"no {pattern} in its package")
        return [program, *rest, model, found[0]], model


# ---- a row -----------------------------------------------------------------------------------------------------------

class Row:
    def __init__(self, case, who):
        self.case, self.who, self.reason, self.about = case, who, None, {}
        self.times = {condition: [] for condition in CONDITIONS}  # a list of microseconds each round

    def summary(self, condition):
        times = sorted(t for visit in self.times[condition] for t in visit)
        if not times:
            return None
        tails = {"p99_us": quantile(times, 0.99), "p999_us": quantile(times, 0.999)} if len(times) >= 1000 else {}
        return {"p50_us": quantile(times, 0.5), **tails, "max_us": times[-1],
                "late": sum(t > LATE_US for t in times), "calls": len(times)}

    def median(self, condition, round_number):
        return statistics.median(self.times[condition][round_number])

    def finish(self):
        self.figures = {condition: self.summary(condition) for condition in CONDITIONS}
        if self.times["quiet"]:
            self.medians = [self.median("quiet", i) for i in range(len(self.times["quiet"]))]

    def json(self):
        if self.reason:
            return {"case": self.case, "who": self.who, "not_measured": self.reason}
        figures = {condition: {key: rounded(value) for key, value in found.items()}
                   for condition, found in self.figures.items() if found}
        return {"case": self.case, "who": self.who} | figures | {
            key: rounded(value) for key, value in self.about.items() if key != "libraries"}


def cache_bytes():
    """Of the largest cache."""
    sizes = [64 << 20]
    for path in glob.glob("/sys/devices/system/cpu/cpu0/cache/index*/size"):
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            sizes.append(int(file.read().strip().removesuffix("K")) << 10)
    return max(sizes)


class Acting(Process):
    """A worker of one row, ready."""

    def __init__(self, row, command, options, preload=None):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        if preload:
            environment["LD_PRELOAD"] = preload
        name = f"{row.who}-{row.case.replace('/', '-')}.txt"
        super().__init__(command, options.cores, environment, os.path.join(options.logs, name))
        self.hello = self.read(300)

    def time(self, calls, condition, to):
        """Microseconds of so many calls, and what else it answers."""
        answer = self.request({"calls": calls, "cold": cache_bytes() // 4 * 5 * (condition == "cold"), "to": to})
        times = array.array("f")
        with open(to, "rb") as file:
            times.frombytes(file.read())
        return times, answer

    def mapped(self):
        """Bytes of the programs and libraries it runs, by path."""
        with open(f"/proc/{self.process.pid}/maps") as file:
            words = [line.split(None, 5) for line in file]
        paths = {line[5].strip() for line in words if len(line) == 6 and line[1] == "r-xp"}
        return {path: os.path.getsize(path) for path in paths if os.path.exists(path)}


@contextlib.contextmanager
def thrashing(options):
    """A process that fills the caches, on the other cores if there are any."""
    process = subprocess.Popen([options.program("thrash")], preexec_fn=lambda: os.sched_setaffinity(
        0, options.others or options.cores))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def begin(row, policies, options):
    """Starts the row's process; raises Unavailable."""
    command, model = policies.command(row.who, row.case)
    counted = Acting(row, command, options, preload=os.path.join(options.programs, "libdeploy_count_allocations.so"))
    answer = counted.time(100, "quiet", options.times)[1]
    counted.stop()
    worker = Acting(row, command, options)
    libraries = {path: size for path, size in worker.mapped().items()
                 if row.who != "litert" or "site-packages" in path}
    row.about = worker.hello | {"allocations": answer["allocations"], "check": answer["check"],
                                "model_bytes": os.path.getsize(model) if model else 0, "libraries": libraries}
    return worker


def visit(worker, row, condition, options):
    try:
        times, answer = worker.time(calls_of(row.who, row.case, condition, options), condition, options.times)
    except Unavailable as reason:
        row.reason = str(reason)
        return
    row.times[condition][-1].extend(times)
    if "empty_us" in answer:
        row.about["empty_us"] = answer["empty_us"]


def start(policies, options):
    """All rows, and the processes of those that can take part."""
    rows, workers = [Row(case, who) for case in options.cases for who in options.only if takes(who, case)], {}
    for row in rows:
        try:
            workers[row] = begin(row, policies, options)
        except Unavailable as reason:
            row.reason = str(reason)
            say(f"{row.case}, {row.who}: {reason}")
    return rows, workers


def measure(case, condition, rows, workers, options):
    """One round: the rows of the case in the order A B C ... C B A."""
    here = [row for row in rows if row.case == case and not (row.who == "spin" and condition == "cold")]
    ours = next((row for row in here if row.who == "meander"), None)
    for row in here:
        row.times[condition].append(array.array("f"))
    for row in here if condition == "cold" else here + here[::-1]:
        if row.reason:
            continue
        if row.who == "spin" and ours and not ours.reason:
            workers[row].request({"last": statistics.median(ours.times[condition][-1])})
        visit(workers[row], row, condition, options)


def finish(rows):
    ready = [row for row in rows if not row.reason]
    for row in ready:
        row.finish()
    for case in dict.fromkeys(row.case for row in ready):
        compare_checks([row for row in ready if row.case == case])
    for row in ready:
        if row.who != "spin":
            row.about["runtime_bytes"] = runtime_bytes(row, rows)


def compare_checks(rows):
    """A row whose actions are others than ours is no comparison."""
    ours = next((row for row in rows if row.who == "meander"), None)
    for row in rows:
        if ours and row.who != "spin" and abs(row.about["check"] - ours.about["check"]) > 0.01 * ours.about["check"]:
            row.reason = f"its actions differ: mean size {row.about['check']:.6g}, ours {ours.about['check']:.6g}"


# ---- the result ------------------------------------------------------------------------------------------------------

def spread(numbers):
    return {"median": statistics.median(numbers), "least": min(numbers), "most": max(numbers)}


def ratios(rows):
    """(what, wanted, {median, least, most} over the rounds), of quiet medians."""
    by_name = {(row.case, row.who): row for row in rows if not row.reason}
    found = []
    for case, wanted in (("mfpo/1", 1.25), ("mfpo/10", 1.4), ("mfpo/32", 1.15)):
        peers = [by_name[case, who] for who in PEERS if (case, who) in by_name]
        for who in ("meander", "meander_float16"):
            ours = by_name.get((case, who))
            if not ours or not peers:
                continue
            best = min(peers, key=lambda row: row.figures["quiet"]["p50_us"])
            found.append((f"{case}: {best.who} / {who}", wanted if who == "meander" else None,
                          spread([b / a for a, b in zip(ours.medians, best.medians)])))
        engine, ours = by_name.get((case, "engine")), by_name.get((case, "meander"))
        if engine and ours:
            found.append((f"{case}: engine / meander", None,
                          spread([b / a for a, b in zip(ours.medians, engine.medians)])))
    single, half = by_name.get(("mvp/1", "meander")), by_name.get(("mvp/1", "meander_float16"))
    if single and half:
        found.append(("mvp/1: meander / meander_float16", 3,
                      spread([a / b for a, b in zip(single.medians, half.medians)])))
    return found


def late_calls(rows):
    """Ours beside the loop that only spins: (case and condition, ours, spin's)."""
    by_name = {(row.case, row.who): row for row in rows if not row.reason}
    return [(f"{case}, {condition}", by_name[case, "meander"].figures[condition],
             by_name[case, "spin"].figures[condition])
            for case in CASES for condition in ("quiet", "thrashed")
            if (case, "spin") in by_name and (case, "meander") in by_name]


def runtime_bytes(row, rows):
    """Of code that the empty worker does not have: the libraries, and how much larger the program is."""
    spin = next((each for each in rows if each.who == "spin" and each.about), None)
    if not spin:
        return None
    def is_program(path):
        return os.path.basename(path).startswith("peer_deploy_")
    empty = sum(size for path, size in spin.about["libraries"].items() if is_program(path))
    return sum(size - empty * is_program(path) for path, size in row.about["libraries"].items()
               if path not in spin.about["libraries"])


def report(rows, options, versions):
    print(f"{cpu_line('model name') or platform.machine()}, core {next(iter(options.cores))} of {len(CORES)}; "
          f"commit {options.commit}; load before {options.load:.1f}, after {os.getloadavg()[0]:.1f}, stolen by other "
          f"guests {options.steal:.1%}; "
          f"{options.rounds_done} rounds; the thrashing process on "
          f"{'other cores' if options.others else 'the same core'}")
    for who, version in versions.items():
        print(f"  {who:18}{version}")
    for case in dict.fromkeys(row.case for row in rows):
        here = [row for row in rows if row.case == case]
        for condition in CONDITIONS:
            if not any(not row.reason and row.figures[condition] for row in here):
                continue
            print(f"\n{case}, {condition}, us a call\n  {'who':18}" + "".join(
                f"{title:>10}" for title in ("p50", "p99", "p99.9", "max", "> 1 ms", "calls")))
            for row in here:
                if row.reason:
                    if condition == "quiet":
                        print(f"  {row.who:18}{row.reason}")
                elif row.figures[condition]:
                    figures = row.figures[condition]
                    cells = [microseconds(figures[key]) if key in figures else "" for key in (
                        "p50_us", "p99_us", "p999_us", "max_us")]
                    note = f"  less an empty call's {row.about['empty_us']:.2f}" if "empty_us" in row.about else ""
                    print(f"  {row.who:18}" + "".join(f"{cell:>10}" for cell in (
                        *cells, figures["late"], figures["calls"])) + note)
        print(f"\n{case}\n  {'who':18}" + "".join(f"{title:>12}" for title in (
            "policy KB", "runtime KB", "load us", "first us", "memory KiB", "allocations")))
        for row in here:
            if not row.reason:
                about, size = row.about, row.about.get("runtime_bytes")
                cells = (f"{about['model_bytes'] / 1e3:.0f}", "" if size is None else f"{size / 1e3:.0f}",
                         f"{about['load_us']:.0f}", f"{about['first_us']:.0f}", about["resident_kib"],
                         f"{about['allocations']:g}")
                opened = (f"  opens in {about['open_us']:.2f} us, with the checksum {about['checked_open_us']:.0f}; "
                          f"workspace {about['workspace']} bytes" if "open_us" in about else "")
                print(f"  {row.who:18}" + "".join(f"{cell:>12}" for cell in cells) + opened)
    found = ratios(rows)
    if found:
        print("\nratios of medians, quiet: the median of the rounds, in brackets the least and the most")
    for what, wanted, ratio in found:
        state = "" if wanted is None else f"  >= {wanted:g}: {'met' if ratio['median'] >= wanted else 'MISSED'}"
        print(f"  {what:44}{ratio['median']:.2f} [{ratio['least']:.2f}-{ratio['most']:.2f}]{state}")
    late = late_calls(rows)
    if late:
        print("\nlate calls, beside a loop that only spins for as long: above 1 ms; p99.9 us")
    for what, ours, spin in late:
        print(f"  {what:24}meander {ours['late']} of {ours['calls']}, spin {spin['late']} of {spin['calls']};  "
              f"meander {microseconds(ours['p999_us'])}, spin {microseconds(spin['p999_us'])}")


def write_json(rows, options, versions):
    if not options.json:
        return
    result = {"rows": [row.json() for row in rows],
              "ratios": [{"what": what, "wanted": wanted} | {key: rounded(value) for key, value in ratio.items()}
                         for what, wanted, ratio in ratios(rows)],
              "machine": {"processor": cpu_line("model name") or platform.machine(), "cores": len(CORES),
                          "kernel": platform.release(), "load_before": options.load,
                          "load_after": os.getloadavg()[0], "steal": options.steal,
                          "thrashed_from": "other cores" if options.others else "the same core"},
              "versions": versions, "commit": options.commit, "rounds": options.rounds_done, "share": options.share,
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "command": sys.argv[1:]}
    partial = options.json + ".partial"
    with open(partial, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    os.replace(partial, options.json)


# ---- the command -----------------------------------------------------------------------------------------------------

def read_options():
    parser = argparse.ArgumentParser(prog="./meander bench deploy",
                                     description="Times exported policies beside other runtimes, on one core.")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--only", metavar="WHO,...", help=f"only these of {', '.join(EVERYONE)}")
    parser.add_argument("--cases", metavar="CASE,...", help=f"only these of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, help="of quiet, thrashed, cold, each A B C ... C B A (10; quick 1)")
    parser.add_argument("--share", type=float, help="so much of the calls: 1,000,000 of ours with 1 and 10 candidates, "
                        "100,000 else (1)")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="begin no round after so many")
    parser.add_argument("--quick", action="store_true", help="a smoke test: 1,000 calls, nothing installed")
    parser.add_argument("--no-install", action="store_true", help="leave out what is not installed")
    parser.add_argument("--build", metavar="PATH", default=os.path.join("build", "release"),
                        help="the folder of the programs (%(default)s)")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 10)
    options.share = options.share or 1
    options.no_install |= options.quick
    options.rounds_done = 0
    for name, everything in (("only", EVERYONE), ("cases", tuple(CASES))):
        asked = getattr(options, name).split(",") if getattr(options, name) else list(everything)
        for word in asked:
            if word not in everything:
                parser.error(f"no '{word}': {', '.join(everything)}")
        setattr(options, name, [word for word in everything if word in asked])
    if options.rounds < 1 or options.share <= 0:
        parser.error("--rounds wants a number from 1, --share one above 0")
    options.meander = os.path.join(ROOT, options.build, "meander")
    options.programs = os.path.join(ROOT, options.build, "bench")
    options.cores, options.others = {CORES[-1]}, set(CORES[:-1])
    options.program = lambda name: os.path.join(options.programs, f"peer_deploy_{name}")
    options.python = lambda: environment(options)
    return options


environments = []


def environment(options):
    """The interpreter of the peers' virtual environment, made if need be; raises Unavailable."""
    if not environments:
        refused = "run without --no-install and --quick" if options.no_install else None
        try:
            requirements = read_requirements(os.path.join(HERE, "requirements.txt"))
            environments.append(python_in(os.path.join(DEPS, "environment"), requirements, refused, say))
        except NotInstalled as reason:
            environments.append(Unavailable(reason))
    if isinstance(environments[0], Unavailable):
        raise environments[0]
    return environments[0]


def main():
    options, began = read_options(), time.monotonic()
    if set(options.only) & set(PEERS):
        with contextlib.suppress(Unavailable):
            environment(options)
    options.commit, options.load = commit(), os.getloadavg()[0]
    if options.load > 0.5:
        say(f"something else is running (load {options.load:.1f}): the times will not mean much")
    ticks, stolen = processor_time()
    with tempfile.TemporaryDirectory() as folder:
        options.logs, options.times = os.path.join(folder, "logs"), os.path.join(folder, "times.f32")
        rows, workers = start(Policies(options, folder), options)
        for round_number in range(options.rounds):
            if options.limit and time.monotonic() - began > options.limit:
                say("no time left for more rounds")
                break
            for case in options.cases:
                say(f"round {round_number + 1} of {options.rounds}: {case}")
                for condition in CONDITIONS:
                    with thrashing(options) if condition == "thrashed" else contextlib.nullcontext():
                        measure(case, condition, rows, workers, options)
            options.rounds_done = round_number + 1
        for worker in workers.values():
            worker.stop()
    now, stolen_now = processor_time()
    options.steal = (stolen_now - stolen) / max(1, now - ticks)
    finish(rows)
    versions = {row.who: row.about["version"] for row in rows if row.about and row.who != "spin"}
    report(rows, options, versions)
    write_json(rows, options, versions)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
