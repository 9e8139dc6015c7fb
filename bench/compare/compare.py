#!/usr/bin/env python3
"""Two measurements beside each other: ratios with 95 % intervals, and which of them are more than noise. Two files of
`bench mlp --json`, or two builds in turns: ./meander bench compare --help, and ../README.md."""
import json
import math
import os
import random
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "mlp"), os.path.join(os.path.dirname(HERE), "peers")]
from frameworks import Contender  # noqa: E402
from mlp import Parser, add_measuring, finish_measuring, guarded, numbers  # noqa: E402
from participants import DEPS, Unavailable, say  # noqa: E402
from table import microseconds, rounded  # noqa: E402
from turns import Machine, Turns  # noqa: E402

RESAMPLES = 2000
# Of two runs at different times: what they may differ by for the same program beside the drift that the control loop
# shows, caches and clocks having another history. Of builds in turns: what is too little to be called a change.
BETWEEN_RUNS, WITHIN_RUN = 0.05, 0.01


class Comparison:
    """ratio: time of B / time of A; low, high: its 95 % interval; allowed: what it may be off 1 by and mean nothing."""

    def __init__(self, case, threads, who, a, b, interval, allowed):
        self.case, self.threads, self.who, self.a, self.b = case, threads, who, a, b
        self.ratio, self.low, self.high = interval
        self.allowed = allowed

    @property
    def verdict(self):
        return ("slower" if self.low > 1 + self.allowed else
                "faster" if self.high < 1 / (1 + self.allowed) else "no change")

    def fails(self, over):
        return self.verdict == "slower" and self.ratio > over

    def json(self):
        return {"case": self.case, "threads": self.threads, "who": self.who, "a_us": rounded(self.a),
                "b_us": rounded(self.b), "ratio": rounded(self.ratio), "low": rounded(self.low),
                "high": rounded(self.high), "allowed": rounded(self.allowed), "verdict": self.verdict}


# ---- intervals -------------------------------------------------------------------------------------------------------

def fastest(samples):
    """Of a visit: what else the machine does only ever adds."""
    return min(samples)


def percentiles(estimate, draw):
    """The estimate with its 95 % bootstrap interval; draw() gives it of resampled data."""
    drawn = sorted(draw() for _ in range(RESAMPLES))
    return estimate, drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES) - 1]


def of_pairs(ratios):
    """The median of the ratios of pairs, resampled by pairs."""
    generator = random.Random(1)
    return percentiles(statistics.median(ratios), lambda: statistics.median(generator.choices(ratios, k=len(ratios))))


def of_visits(a, b):
    """The ratio of the medians over visits of their fastest samples, each resampled by visits."""
    generator = random.Random(1)
    a, b = list(map(fastest, a)), list(map(fastest, b))
    resampled = lambda times: statistics.median(generator.choices(times, k=len(times)))
    return percentiles(statistics.median(b) / statistics.median(a), lambda: resampled(b) / resampled(a))


# ---- two files -------------------------------------------------------------------------------------------------------

def read(path):
    """The rows of a file that have times, by what they measure; raises ValueError."""
    try:
        with open(path) as file:
            result = json.load(file)
        rows = {(row["case"], row["threads"], row["who"]): row for row in result["rows"] if "not_measured" not in row}
        if not all(row["visits_us"] and all(row["visits_us"]) and row["control_us"] for row in rows.values()):
            raise KeyError("visits_us")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} holds no figures of bench mlp --json") from None
    return rows, result.get("machine", {}).get("processor")


def compare_files(paths):
    (a, processor_a), (b, processor_b) = map(read, paths)
    if processor_a != processor_b:
        say(f"two processors: {processor_a} and {processor_b}")
    common = [key for key in a if key in b]
    for path, rows in zip(paths, (a, b)):
        if left := len(rows) - len(common):
            say(f"{left} rows are only in {path}")
    if not common:
        raise ValueError("the two files have no row in common")
    comparisons = []
    for key in common:
        visits = [rows[key]["visits_us"] for rows in (a, b)]
        control = [statistics.median(rows[key]["control_us"]) for rows in (a, b)]
        drift = abs(math.log(control[1] / control[0]))
        medians = [statistics.median(map(fastest, each)) for each in visits]
        comparisons.append(Comparison(*key, *medians, of_visits(*visits), BETWEEN_RUNS + drift))
    return comparisons


# ---- two builds ------------------------------------------------------------------------------------------------------

class Build(Contender):
    def __init__(self, label, folder):
        super().__init__(programs=os.path.join(folder, "bench"))
        self.who = label


def compare_builds(options):
    comparisons, builds = [], [Build(label, folder) for label, folder in zip("AB", options.builds)]
    os.makedirs(DEPS, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DEPS) as folder:
        for threads in options.threads:
            machine = Machine(options, threads)
            turns = Turns(builds, options, threads, None)
            try:
                for number, case in enumerate(options.case, 1):
                    say(f"{threads} thread{'s' * (threads > 1)}, {number} of {len(options.case)}: {case}")
                    comparisons.append(compare_case(case, threads, options, machine, turns, folder))
            finally:
                turns.stop()
                machine.stop()
    return comparisons


def compare_case(case, threads, options, machine, turns, folder):
    """Pairs A B, B A, A B, ..., a look at the control loop after each."""
    path, control = os.path.join(folder, f"{threads}-{options.case.index(case)}.safetensors"), []
    tolerance = max(8 * machine.write(case, path, options.time_limit)["plain"], 5e-2 if "float32" not in case else 2e-3)
    times = {build.who: [] for build in turns.contenders}
    for pair in range(options.pairs):
        if pair % 5 == 0:   # where the memory of a process lies may make it faster or slower: that is not the build
            turns.restart()
        for build in turns.contenders[::-1 if pair % 2 else 1]:
            answer = turns.process(build).request({"case": case, "data": path, "samples": options.samples,
                                                   "seconds": options.seconds}, options.time_limit)
            if answer["deviation"] > tolerance:
                raise Unavailable(f"{build.who}'s result of {case} is off: {answer['deviation']:.1e} of its size")
            times[build.who].append(fastest(answer["us"]))
        control.append(machine.control())
    os.remove(path)
    quarter = sorted(control)[len(control) // 4], sorted(control)[-1 - len(control) // 4]
    say(f"control loop: {quarter[0]:.0f} to {quarter[1]:.0f} us in half of the pairs")
    ratios = [b / a for a, b in zip(times["A"], times["B"])]
    medians = [statistics.median(times[who]) for who in "AB"]
    return Comparison(case, threads, "meander", *medians, of_pairs(ratios), WITHIN_RUN)


# ---- the command -----------------------------------------------------------------------------------------------------

def read_options():
    parser = Parser(prog="./meander bench compare", description="Ratios of two measurements with 95 % intervals.")
    parser.add_argument("files", metavar="FILE.json", nargs="*", help="A and B, of bench mlp --json")
    parser.add_argument("--builds", metavar=("A", "B"), nargs=2, help="instead: two folders of builds, such as "
                        "build/release, with the programs of bench in them")
    parser.add_argument("--case", action="append", default=[], help="of the builds, as the files name it: "
                        "mlp/87-256-256-6/gelu/layer/forward/256/float32; repeatable")
    parser.add_argument("--pairs", type=int, default=20, help="of a case, from 20 (%(default)s)")
    parser.add_argument("--threads", metavar="N,...", default="1", help="of the builds (%(default)s)")
    parser.add_argument("--fail-over", type=float, metavar="RATIO", help="status 1 if B is slower than A by more, "
                        "beyond noise")
    parser.add_argument("--json", metavar="FILE", help="also write the ratios to FILE")
    add_measuring(parser)
    parser.set_defaults(samples=15, seconds=0.002, device="cpu")
    options = parser.parse_args()
    if bool(options.builds) == bool(options.files) or options.files and len(options.files) != 2:
        parser.error("two files are wanted, or --builds A B --case NAME")
    if options.builds:
        if not options.case:
            parser.error("--builds wants a --case, such as mlp/87-256-256-6/gelu/layer/forward/256/float32")
        if options.pairs < 20:
            parser.error("--pairs wants a number from 20")
        for folder in options.builds:
            if not os.path.exists(os.path.join(folder, "bench", "peer_meander")):
                parser.error(f"no bench/peer_meander in {folder}: ninja -C {folder} meander_peers builds it")
        options.programs = os.path.join(os.path.abspath(options.builds[0]), "bench")
        options.threads = numbers(parser, "--threads", options.threads, len(os.sched_getaffinity(0)))
        finish_measuring(parser, options)
    return options


def main():
    options = read_options()
    try:
        comparisons = compare_builds(options) if options.builds else compare_files(options.files)
    except (ValueError, Unavailable) as error:
        print(f"./meander bench compare: {error}", file=sys.stderr)
        return 2
    width = max(len(one.case) for one in comparisons)
    who = max(10, *(len(one.who) + 2 for one in comparisons))
    print(f"{'case':{width}}  threads  {'who':{who}}{'A us':>10}{'B us':>10}{'B / A':>8}  {'95 %':18}verdict")
    for one in comparisons:
        print(f"{one.case:{width}}  {one.threads:7}  {one.who:{who}}{microseconds(one.a):>10}{microseconds(one.b):>10}"
              f"{one.ratio:8.3f}  {f'{one.low:.3f} to {one.high:.3f}':18}{one.verdict}")
    changed = [one for one in comparisons if one.verdict != "no change"]
    allowed = sorted(one.allowed for one in comparisons)
    print(f"{len(changed)} of {len(comparisons)} changed: their interval is more than {allowed[0]:.0%}"
          + (f" to {allowed[-1]:.0%}" if f"{allowed[0]:.0%}" != f"{allowed[-1]:.0%}" else "") + " from 1")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"comparisons": [one.json() for one in comparisons]}, file, indent=1)
            file.write("\n")
    return 1 if options.fail_over and any(one.fails(options.fail_over) for one in comparisons) else 0


if __name__ == "__main__":
    sys.exit(guarded("bench compare", main))
