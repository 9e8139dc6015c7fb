#!/usr/bin/env python3
"""A mutation run: plants one mistake at a time in a copy of the sources and looks which tests notice it.

    tests/mutate/mutate.py list [--operator OPERATOR] [--file PART]     the sites there are
    tests/mutate/mutate.py run --work DIR [--seed 1] [--sites 40]       goes on until so many mutants are judged
    tests/mutate/mutate.py run --work DIR --again                       once more what no test killed and no one argued
    tests/mutate/mutate.py report [--seed 1]                            the table, and what survived
    tests/mutate/mutate.py planted --work DIR                           the mistakes of planted.tsv, each to be caught

A site is a place in algos, nn, core or kernels/formulas where one of ten operators (sites.py) changes the text. A seed
puts the sites in an order: operators by turns, an operator's folders by turns. `run` copies the tree to DIR/source,
builds it in DIR/build (-O1, one instruction set; by ccache where it is found), and takes the sites in that order. For
each mutant it builds the test programs that see the folder, the nearest first, and runs them until one fails; then
`meander verify` of the recorded updates. What comes of it is one of

    killed        a test failed, crashed, or took five times as long as it does
    verify alone  the tests passed and `meander verify` did not
    survived      nothing noticed
    same program  neither the library nor a test program differs by a byte from those without the mistake: equivalent
    no mutant     it does not compile; another site takes its place

and is one line of results-seed-S.tsv beside this file, so that a run that was stopped goes on. The last line of a site
counts. equivalents.tsv, written by hand, has the id of a survivor and, after a tab, the argument why no test could tell
the mutant from the original: same numbers, or the same up to the tolerance that is promised.
"""

import argparse
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import sites  # noqa: E402

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The test programs that see a folder's code, the nearest first, and those of what is for devices only.
PROGRAMS = {"kernels/formulas": ("kernels", "core", "nn", "algos"), "core": ("core", "nn", "algos"),
            "nn": ("nn", "algos"), "algos": ("algos",), "deploy": ("deploy",), "app": ("deploy",)}
DEVICE_SOURCES = ("algos/device_agent", "algos/replay_mirror", "core/arena", "nn/policy")
COLUMNS = ("id", "file", "line", "operator", "before", "after", "outcome", "killed by", "seconds")
JUDGED = ("killed", "verify alone", "survived", "same program")
MEMORY = 8 << 30  # bytes; a mutant that asks for more gets none. Address space is not counted: arenas reserve it.


def programs_of(site):
    return PROGRAMS[site.folder] + (("devices",) if site.file.startswith(DEVICE_SOURCES) else ())


class Failure(Exception):
    pass


# ---- results ---------------------------------------------------------------------------------------------------------
def read_table(path):
    if not path.exists():
        return []
    return [line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#")]


class Results:
    def __init__(self, seed):
        self.path = HERE / f"results-seed-{seed}.tsv"
        self.last = {row[0]: dict(zip(COLUMNS, row)) for row in read_table(self.path)}
        self.equivalents = {row[0]: row[1] for row in read_table(HERE / "equivalents.tsv")}

    def append(self, row):
        if not self.path.exists():
            self.path.write_text("# " + "\t".join(COLUMNS) + "\n")
        with self.path.open("a") as file:
            file.write("\t".join(str(row[column]) for column in COLUMNS) + "\n")
        self.last[row["id"]] = row

    def judged(self):
        return [row for row in self.last.values() if row["outcome"] in JUDGED]

    def kind(self, row):
        """killed, survived or equivalent"""
        if row["outcome"] == "same program" or row["outcome"] == "survived" and row["id"] in self.equivalents:
            return "equivalent"
        return "survived" if row["outcome"] == "survived" else "killed"


# ---- the copy --------------------------------------------------------------------------------------------------------
class Copy:
    """A copy of the tree with a build folder of its own."""

    def __init__(self, work, jobs):
        self.source, self.build_folder, self.scratch = work / "source", work / "build", work / "scratch"
        self.log, self.jobs = work / "log", jobs
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "TMPDIR": str(self.scratch)}
        # Objects are found again wherever the copy lies, and with headers parsed once.
        self.environment.setdefault("CCACHE_BASEDIR", str(work))
        self.environment.setdefault("CCACHE_NOHASHDIR", "1")
        self.environment.setdefault("CCACHE_SLOPPINESS", "pch_defines,time_macros")
        self.update()
        self.configure()

    def update(self):
        """Files that differ are copied, and others keep their times, so that they are not compiled again."""
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                                check=True, capture_output=True, text=True).stdout.split("\0")
        wanted = {name for name in listed if name and (ROOT / name).is_file()}
        for name in sorted(wanted):
            here, there = ROOT / name, self.source / name
            if not there.exists() or here.read_bytes() != there.read_bytes():
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(here, there)
                shutil.copymode(here, there)
        for there in self.source.rglob("*"):
            name = there.relative_to(self.source).as_posix()
            if there.is_file() and not name.startswith(".deps") and name not in wanted:
                there.unlink()
        packages = self.source / ".deps"
        if packages.is_symlink():   # of a checkout that may be gone
            packages.unlink()
        if (ROOT / ".deps").exists():
            packages.symlink_to(ROOT / ".deps")

    def configure(self):
        options = ["-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1 -DNDEBUG", "-DMEANDER_BENCH=OFF",
                   "-DMEANDER_INSTALL=OFF"]
        if os.uname().machine == "x86_64":
            options.append("-DMEANDER_ISAS=avx2")
        if shutil.which("ccache"):
            options.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        if shutil.which("ld.lld"):
            options.append("-DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld")
        if self.call(["cmake", "-S", self.source, "-B", self.build_folder, "-G", "Ninja", *options])[0]:
            raise Failure(f"the copy cannot be configured: see {self.log}")

    def call(self, command, limit=None):
        """The exit status (None: it ran past the limit, in seconds) and what was written."""
        def limits():
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # A session of its own, so that whatever it started ends with it.
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors="replace", env=self.environment, cwd=self.scratch,
                                   start_new_session=True, preexec_fn=limits)
        try:
            output, status = process.communicate(timeout=limit)[0], process.returncode
        except BaseException as error:
            os.killpg(process.pid, 9)
            output, status = process.communicate()[0], None
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        self.log.write_text(output)
        return status, output

    def build(self, target):
        return self.call(["ninja", "-C", self.build_folder, "-j", self.jobs, target])[0] == 0

    def program(self, name):
        return self.build_folder / "tests" / f"test_{name}"

    def digest(self, name):
        """Of a test program, or of the library where no name is given."""
        file = self.program(name) if name else self.build_folder / "libmeander.a"
        return hashlib.sha1(file.read_bytes()).hexdigest()

    def run(self, name, limit=None):
        """What of this program failed first; None if nothing did."""
        status, output = self.call([self.program(name), "--abort-after=1", "--no-colors=1"], limit)
        if status == 0:
            return None
        cases = re.findall(r"^TEST CASE:\s*(.*)$", output, re.MULTILINE)
        return f"{name}: " + ("time is up" if status is None else cases[-1] if cases else f"status {status}")

    def verify(self, limit=None):
        data = self.source / "tests/data"
        updates = [path for name in ("mfpo", "som", "mvp", "qc", "fql", "flow_map", "sac")
                   for path in sorted(data.glob(f"{name}_*.safetensors"))]
        status, _ = self.call([self.build_folder / "meander", "verify", *updates], limit)
        return status == 0


# ---- a run -----------------------------------------------------------------------------------------------------------
class Judge:
    def __init__(self, copy):
        self.copy, self.digests, self.limits = copy, {}, {}
        for name in (*PROGRAMS["kernels/formulas"], "devices"):
            if not copy.build(f"test_{name}"):
                raise Failure(f"test_{name} cannot be built without a mistake: see {copy.log}")
            start = time.monotonic()
            failed = copy.run(name)
            if failed:
                raise Failure(f"fails without a mistake: {failed}")
            self.limits[name] = 5 * (time.monotonic() - start) + 5
            self.digests[name] = copy.digest(name)
        self.digests[None] = copy.digest(None)
        if not (copy.build("meander_command") and copy.verify()):
            raise Failure(f"meander verify fails without a mistake: see {copy.log}")

    def judge(self, site):
        """The outcome for a mutant and what killed it."""
        path = self.copy.source / site.file
        original = path.read_text()
        path.write_text(site.apply(original))
        try:
            differs = False
            for name in programs_of(site):
                if not self.copy.build(f"test_{name}"):
                    return "no mutant", ""
                if self.copy.digest(name) == self.digests[name]:
                    continue
                differs = True
                killer = self.copy.run(name, self.limits[name])
                if killer:
                    return "killed", killer
            if not differs and self.copy.digest(None) == self.digests[None]:
                return "same program", ""
            if not self.copy.build("meander_command"):
                return "no mutant", ""
            return ("survived", "") if self.copy.verify(60) else ("verify alone", "verify")
        finally:
            path.write_text(original)
            for left in self.copy.scratch.iterdir():
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()


def run(arguments):
    results = Results(arguments.seed)
    there = sites.sites_of_tree(ROOT)
    if arguments.again:
        again = {row["id"] for row in results.judged()
                 if results.kind(row) == "survived" or row["outcome"] == "verify alone"}
        queue = [site for site in there if site.id in again]
    else:
        queue = [site for site in sites.in_order(there, arguments.seed) if site.id not in results.last]
    judge = Judge(Copy(Path(arguments.work).resolve(), arguments.jobs))
    for site in queue:
        if not arguments.again and len(results.judged()) >= arguments.sites:
            break
        start = time.monotonic()
        outcome, killer = judge.judge(site)
        row = dict(zip(COLUMNS, (site.id, site.file, site.line, site.operator, one_line(site.before),
                                 one_line(site.after), outcome, one_line(killer), f"{time.monotonic() - start:.1f}")))
        results.append(row)
        print(f"{row['seconds']:>6} s  {outcome:12}  {site.file}:{site.line}  {site.operator}: {row['before']} -> "
              f"{row['after']}  {row['killed by']}", flush=True)
    report(arguments)


class Planted:
    """A mistake written by hand: one line of planted.tsv."""

    def __init__(self, file, before, after, what):
        self.file, self.before, self.after, self.what = file, before, after, what
        self.folder = file.rpartition("/")[0]

    def apply(self, text):
        if text.count(self.before) != 1:
            raise Failure(f"{self.file} has {text.count(self.before)} times: {self.before}")
        return text.replace(self.before, self.after)


def planted(arguments):
    mistakes = [Planted(*row) for row in read_table(HERE / "planted.tsv")]
    for mistake in mistakes:
        mistake.apply((ROOT / mistake.file).read_text())
    judge = Judge(Copy(Path(arguments.work).resolve(), arguments.jobs))
    missed = 0
    for mistake in mistakes:
        outcome, killer = judge.judge(mistake)
        missed += outcome not in ("killed", "verify alone")
        print(f"{outcome:12}  {mistake.file}: {mistake.what}  [{one_line(killer)}]", flush=True)
    print(f"{len(mistakes)} mistakes, {missed} not caught")
    if missed:
        raise Failure(f"{missed} planted mistakes were not caught")


def one_line(text):
    return " ".join(text.split())


# ---- what there is, what came of it ----------------------------------------------------------------------------------
def list_sites(arguments):
    for site in sites.sites_of_tree(ROOT):
        if arguments.operator in (None, site.operator) and arguments.file in site.file:
            print(f"{site.id}\t{site.line}\t{one_line(site.before)} -> {one_line(site.after)}")


def report(arguments):
    results = Results(arguments.seed)
    judged = results.judged()
    kinds = ("killed", "survived", "equivalent")
    print(f"{'':18}sampled  " + "  ".join(kinds))

    def line(name, rows):
        counts = [sum(results.kind(row) == kind for row in rows) for kind in kinds]
        print(f"{name:18}{len(rows):7}  " + "  ".join(f"{n:{len(kind)}}" for n, kind in zip(counts, kinds)))
    for operator in sites.OPERATORS:
        line(operator, [row for row in judged if row["operator"] == operator])
    for folder in sites.FOLDERS:
        line(folder, [row for row in judged if row["file"].rpartition("/")[0] == folder])
    line("all", judged)
    print(f"no mutant: {sum(row['outcome'] == 'no mutant' for row in results.last.values())}; by verify alone: "
          f"{sum(row['outcome'] == 'verify alone' for row in judged)}; seconds a mutant, those that do not compile "
          f"included: {sum(float(row['seconds']) for row in results.last.values()) / max(1, len(judged)):.1f}")
    for row in judged:
        if results.kind(row) == "survived":
            print(f"survived: {row['id']}  line {row['line']}: {row['before']} -> {row['after']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("list")
    verb.add_argument("--operator", choices=sites.OPERATORS)
    verb.add_argument("--file", default="", help="a part of the path")
    verb.set_defaults(act=list_sites)
    verb = verbs.add_parser("run")
    verb.add_argument("--work", required=True, help="a folder for the copy and its build")
    verb.add_argument("--sites", type=int, default=40, help="mutants judged in all, earlier runs included")
    verb.add_argument("--jobs", type=int, default=os.cpu_count())
    verb.add_argument("--again", action="store_true", help="survivors and what verify alone killed: tests were added")
    verb.add_argument("--seed", default="1")
    verb.set_defaults(act=run)
    verb = verbs.add_parser("report")
    verb.add_argument("--seed", default="1")
    verb.set_defaults(act=report)
    verb = verbs.add_parser("planted")
    verb.add_argument("--work", required=True, help="a folder for the copy and its build")
    verb.add_argument("--jobs", type=int, default=os.cpu_count())
    verb.set_defaults(act=planted)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("mutate: stopped"))  # what it started ends, the file is restored
    try:
        arguments.act(arguments)
    except Failure as failure:
        sys.exit(f"mutate: {failure}")


if __name__ == "__main__":
    main()
