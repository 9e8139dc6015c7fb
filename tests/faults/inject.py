#!/usr/bin/env python3
"""Fails each operation on files, one after another, in a short run of each verb that writes, and looks at what is left.

    inject.py [--program P] [--verbs train,plot] [--stride N] [--jobs N] [--json FILE]

A verb's run is repeated with its n-th operation failing, for every n (or each N-th, --stride) and every fault:
ENOSPC and EIO once and from then on (a full disk, a dying one; the full one takes half of a write first), EINTR, a
short write, and ENOMEM for mmap. Expected:
  - the status is 0 only where the fault did no harm: what the verb leaves is complete, to the bit. A failed fsync, or
    close of what was not synced, is harm. A short write is none.
  - else there is one line on standard error, no signal, no hang, and nothing partial is left behind;
  - the file that was there before has its old bytes, or all of the new ones;
  - the next command (--resume, or the same again) ends with the bits of an undisturbed one.
Prints a table of outcomes by verb and each kind of failure once, with the operations and faults that led to it. Status
1 if there was a failure.
"""
import argparse
import collections
import concurrent.futures
import errno
import json
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402

# What each operation can fail with.
ERRORS = {
    "write": ["ENOSPC", "EIO", "EINTR", "SHORT"], "create": ["ENOSPC", "EIO", "EINTR"], "open": ["EIO"],
    "mkdir": ["ENOSPC", "EIO"], "rename": ["ENOSPC", "EIO"], "link": ["ENOSPC", "EIO"], "unlink": ["EIO"],
    "truncate": ["EIO", "EINTR"], "sync": ["ENOSPC", "EIO", "EINTR"], "syncfolder": ["EIO", "EINTR"],
    "close": ["ENOSPC", "EIO", "EINTR"], "mmap": ["ENOMEM"],
}
ONWARDS = ["ENOSPC", "EIO"]  # that may go on from then on


class Fault:
    def __init__(self, name, onwards):
        self.name, self.onwards = name, onwards
        self.short = name == "SHORT" or (name == "ENOSPC" and onwards)
        self.error = getattr(errno, name, 0)

    def kinds(self):
        return [kind for kind, errors in ERRORS.items() if self.name in errors]

    def __str__(self):
        return self.name + (" from then on" if self.onwards else "")


FAULTS = [Fault(name, False) for name in ("ENOSPC", "EIO", "EINTR", "SHORT", "ENOMEM")]
FAULTS += [Fault(name, True) for name in ONWARDS]

TRAIN = dict(checkpoint_interval=15)
OLD = b"what was here before\n"


def files_of(folder):
    folder = pathlib.Path(folder)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Verb:
    """`words` are run in a copy of the folder that `prepare` fills; `made` are the files or folders that count. Of a
    slow verb only each fault in `every` is tried, of a very slow one none unless it is named."""

    def __init__(self, name, words, made, prepare=None, output=None, complaints=1, skip="", every=1, named=False):
        self.name, self.words, self.made, self.prepare = name, words, made, prepare or (lambda program, folder: None)
        self.output, self.complaints, self.skip, self.every, self.named = output, complaints, skip, every, named

    def product(self, folder):
        return {name: data for name, data in files_of(folder).items()
                if any(name == made or name.startswith(made + "/") for made in self.made)}

    def run(self, program, folder, environment=None):
        return harness.run(program, self.words, folder, environment, folder / self.output if self.output else None)

    def incomplete(self, folder, wanted):
        return "" if self.product(folder) == self.product(wanted) else "what it wrote is not what it should be"

    def unchanged(self, folder, base, wanted):
        """'' if each file there before has its old bytes or the new ones."""
        old, new, now = self.product(base), self.product(wanted), self.product(folder)
        broken = [name for name in old if now.get(name) not in (old[name], new.get(name))]
        broken += [name for name in now if name not in old and now[name] != new.get(name) and not self.output]
        return f"{broken[0]} is neither the old one nor the new one" if broken else ""

    def next_command(self, program, folder, base, wanted):
        if files_of(folder) == files_of(base):
            return ""   # as if nothing had been
        if not self.incomplete(folder, wanted):
            return ""   # there is nothing left to do
        outcome = self.run(program, folder)
        if outcome.status != 0:
            return f"the same command again: {outcome}"
        problem = self.incomplete(folder, wanted)
        return problem and f"after the same command again, {problem}"


class TrainVerb(Verb):
    """A run to 30 steps, or, resumed, from there to 60; goes on to 90 afterwards."""

    def __init__(self, name, words, prepare=None):
        super().__init__(name, words, ["run"], prepare)

    def incomplete(self, folder, wanted):
        return harness.difference(folder / "run", wanted / "run")

    def unchanged(self, folder, base, wanted):
        return ""   # whether a run's files are intact shows when it goes on

    def next_command(self, program, folder, base, wanted):
        afresh = harness.train_command("sac", "Pendulum-v1", 90, "run", **TRAIN)
        return harness.finish(program, folder, "run", 90, afresh, wanted.parent / "end/run")[0]


class SweepVerb(Verb):
    def incomplete(self, folder, wanted):
        for name in ("s0", "s1"):
            if problem := harness.difference(folder / "sweep" / name, wanted / "sweep" / name):
                return f"{name}: {problem}"
        if not (folder / "sweep/table.csv").exists():
            return "there is no table.csv"
        right = harness.table(wanted / "sweep/table.csv")
        return "" if harness.table(folder / "sweep/table.csv") == right else "table.csv differs"

    def unchanged(self, folder, base, wanted):
        return ""

    def next_command(self, program, folder, base, wanted):
        outcome = self.run(program, folder)
        if outcome.status != 0:
            return f"the same command again: {outcome}"
        return self.incomplete(folder, wanted)


def verbs():
    train = harness.train_command("sac", "Pendulum-v1", 30, "run", **TRAIN)
    small = ["--set", "batch_size=8", "--set", "width=8"]

    def trained(program, folder):
        harness.must(program, train, folder)

    def old(name):
        return lambda program, folder: (folder / name).write_bytes(OLD)

    def trained_and_old(name):
        return lambda program, folder: (trained(program, folder), old(name)(program, folder))
    no_gnuplot = "" if shutil.which("gnuplot") else "gnuplot is not installed"
    cubes = list((harness.HERE.parents[1] / ".deps").glob("ogbench-*"))
    no_cubes = "" if cubes else "./meander fetch ogbench was not run"
    sweep = ["sweep", "--algo", "sac", "--env", "Pendulum-v1", "--steps", "30", "--seeds", "0..1", "--jobs", "1",
             "--out", "sweep", *harness.settings("sac", checkpoint_interval=1000)]
    collect = ["collect", "--env", "Pendulum-v1", "--steps", "40", "--out"]
    picture = ["render", "--env", "HalfCheetah-v4", "--width", "32", "--height", "32", "--out"]
    return [
        TrainVerb("train", train),
        TrainVerb("resume", harness.resume_command("run", 60), trained),
        Verb("collect-npz", [*collect, "d.npz"], ["d.npz"]),
        Verb("collect-tensors", [*collect, "d.safetensors"], ["d.safetensors"]),
        Verb("collect-play", ["collect", "--env", "cube-single-play", "--episodes", "1", "--out", "d.npz"], ["d.npz"],
             skip=no_cubes, every=20, named=True),
        SweepVerb("sweep", sweep, ["sweep"], complaints=2, skip=no_gnuplot, every=4),
        Verb("plot-png", ["plot", "run", "--out", "p.png"], ["p.png", "run"], trained_and_old("p.png"),
             skip=no_gnuplot),
        Verb("plot-svg", ["plot", "run", "--out", "p.svg"], ["p.svg", "run"], trained, skip=no_gnuplot),
        Verb("export", ["export", "run", "--out", "p.mpol", "--c-array", "p.h", "--onnx", "p.onnx"],
             ["p.mpol", "p.h", "p.onnx", "run"], trained_and_old("p.mpol")),
        Verb("render-picture", [*picture, "p.png", "--frame", "1"], ["p.png"], old("p.png")),
        Verb("render-pictures", [*picture, "p", "--steps", "1"], ["p"]),
        Verb("toy", ["toy", "--algo", "sac", "--updates", "2", "--out", "t.svg", *small], ["t.svg"], old("t.svg"),
             every=4),
        Verb("config-output", ["config", "--algo", "sac"], ["out"], output="out"),
        Verb("list-output", ["list"], ["out"], output="out"),
        Verb("info-output", ["info", "run"], ["out", "run"], trained, output="out"),
        Verb("eval-output", ["eval", "run", "--episodes", "1"], ["out", "run"], trained, output="out"),
    ]


# ---- one fault ------------------------------------------------------------------------------------------------------

def harmful(operations, place, fault):
    """Whether the verb must not end with status 0, although nothing of it can be seen in its files here."""
    operation = operations[place]
    if fault.name not in ("ENOSPC", "EIO") or operation.path.endswith("log.txt"):
        return False
    if operation.kind in ("sync", "syncfolder"):
        return True
    if operation.kind != "close":
        return False

    def of_the_file(some):
        return [o.kind for o in some if o.inode == operation.inode and o.kind in ("write", "truncate", "sync")]
    before, after = of_the_file(operations[:place]), of_the_file(operations[place:])
    return bool(before) and before[-1] != "sync" and "sync" not in after


def judge(verb, program, shim, operations, place, fault, base, wanted, folder):
    """(outcome, what failed or '')."""
    shutil.copytree(base, folder)
    operation = operations[place]
    environment = shim.environment(folder, operation.number, fault.error, fault.short, fault.onwards, fault.kinds())
    outcome = verb.run(program, folder, environment)
    if outcome.status is None:
        return "failed", "hung"
    if outcome.status < 0 or outcome.status > 130:
        return "failed", f"died: {outcome}"
    if outcome.status == 0:
        if problem := verb.incomplete(folder, wanted):
            return "failed", f"status 0, but {problem}"
        if harmful(operations, place, fault):
            return "failed", "went unnoticed: status 0"
    else:
        if fault.name == "SHORT":
            return "failed", f"was not tried again: {outcome}"
        if not 1 <= len(outcome.complaint) <= verb.complaints:
            return "failed", f"{len(outcome.complaint)} lines on standard error: {outcome}"
        if problem := verb.unchanged(folder, base, wanted):
            return "failed", f"{problem}; {outcome}"
        new = files_of(folder).keys() - files_of(base).keys()
        left = [name for name in new if ".partial" in name or ".npz." in name]
        if left and not fault.onwards and operation.kind != "unlink":
            return "failed", f"left {left[0]}; {outcome}"
    if problem := verb.next_command(program, folder, base, wanted):
        return "failed", f"status {outcome.status}, then {problem}"
    return ("no harm" if outcome.status == 0 else "refused"), ""


def inject(verb, program, shim, scratch, options, pool):
    """Every fault of a verb: (operations, faults, [(operation, fault, outcome, problem)] of those tried)."""
    base, wanted = scratch / "base", scratch / "wanted"
    base.mkdir(parents=True)
    verb.prepare(program, base)
    shutil.copytree(base, wanted)
    if verb.run(program, wanted, shim.environment(wanted)).status != 0:
        sys.exit(f"{verb.name}: fails undisturbed: {verb.run(program, wanted)}")
    operations = [operation for operation in shim.record(wanted) if operation.kind in ERRORS]
    if isinstance(verb, TrainVerb):
        (scratch / "end").mkdir()
        harness.must(program, harness.train_command("sac", "Pendulum-v1", 90, "run", **TRAIN), scratch / "end")
    tasks = [(place, fault) for place, operation in enumerate(operations) for fault in FAULTS
             if fault.name in ERRORS[operation.kind] and not (fault.onwards and fault.name == "SHORT")]
    possible, tasks = len(tasks), tasks[::options.stride * verb.every]

    def one(number):
        place, fault = tasks[number]
        folder = scratch / f"x{number}"
        try:
            outcome, problem = judge(verb, program, shim, operations, place, fault, base, wanted, folder)
            return operations[place], fault, outcome, problem
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            for kind in ("counter", "record"):
                pathlib.Path(f"{folder}.{kind}").unlink(missing_ok=True)
    return operations, possible, list(pool.map(one, range(len(tasks))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, default=harness.PROGRAM)
    parser.add_argument("--verbs", default="", help="by default all but collect-play, which takes an hour")
    parser.add_argument("--stride", type=int, default=1, help="only each N-th fault")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=pathlib.Path, help="every fault with its outcome, to this file")
    options = parser.parse_args()
    chosen, report, total, bad = options.verbs.split(",") if options.verbs else [], [], 0, 0
    if unknown := set(chosen) - {verb.name for verb in verbs()}:
        sys.exit(f"no verb {unknown.pop()}: there are {' '.join(verb.name for verb in verbs())}")
    print(f"{'verb':16} operations  faults  tried  refused  no harm  failed", flush=True)
    with harness.scratch_folder() as scratch, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        shim = harness.Shim(scratch)
        for verb in verbs():
            if verb.name not in chosen if chosen else verb.named:
                continue
            if verb.skip:
                print(f"{verb.name:16} skipped: {verb.skip}", flush=True)
                continue
            operations, possible, results = inject(verb, options.program.resolve(), shim,
                                                   pathlib.Path(scratch) / verb.name, options, pool)
            counts = collections.Counter(outcome for _, _, outcome, _ in results)
            print(f"{verb.name:16} {len(operations):10}  {possible:6}  {len(results):5}  {counts['refused']:7}  "
                  f"{counts['no harm']:7}  {counts['failed']:6}", flush=True)
            total, bad = total + len(results), bad + counts["failed"]
            kinds = collections.defaultdict(list)
            for operation, fault, outcome, problem in results:
                report.append({"verb": verb.name, "operation": str(operation), "number": operation.number,
                               "fault": str(fault), "outcome": outcome, "problem": problem})
                if problem:
                    kinds[harness.kind_of(problem)].append((str(operation), str(fault), problem))
            for cases in kinds.values():
                print(f"    {len(cases)} times: {cases[0][2]}")
                for operation in dict.fromkeys(operation for operation, _, _ in cases):
                    faults = dict.fromkeys(fault for other, fault, _ in cases if other == operation)
                    print(f"        {operation}: {', '.join(faults)}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    print(f"{total} faults tried, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
