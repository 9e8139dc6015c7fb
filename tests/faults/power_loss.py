#!/usr/bin/env python3
"""Builds the states in which a power failure can leave a run folder, and goes on with each.

    power_loss.py [--program P] [--states N] [--seed S] [--plant MISTAKE] [--jobs N]

The shim records what an undisturbed run with a checkpoint every few steps does to its files. After each operation the
power may fail. Then a file has what it had at its last fsync, and of what came later all, nothing, a beginning or zeros
of that length; a name in a folder is what it was at the folder's last fsync, or anything it was since. Built are the
extremes after each operation that matters, those where one file alone loses its data, and as many drawn at random;
N of all these (0: every one).

Each state is gone on with. Expected: after the step of the last checkpoint that the log had announced, or a later one;
before the first one, a new start or one line that says why not and a new run into the same folder; and in the end the
bits of an undisturbed run.

Of verbs that write one file the states are looked at alone: the file has its old bytes or the new ones, whole, and a
data set that `collect` has announced is there.

MISTAKE is made in the record, to see that it is found: `sync` and `syncfolder` leave out flushing files or folders,
`rename-first` puts the renaming before the writing. Then the status is 0 if something failed.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import os
import pathlib
import random
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
import inject  # noqa: E402

FOLDER = "folder"  # what a name may stand for, beside a file and nothing
LAST = "run/last.safetensors"
STEPS, END = 60, 90
FEWEST_CHECKPOINTS = 4


class File:
    """Bytes that are on the disk, and what was done since: (offset, data), or (length, None) of a truncation."""

    def __init__(self, synced=b""):
        self.synced, self.pending = synced, []

    @staticmethod
    def applied(content, changes, zeros=False):
        content = bytearray(content)
        for offset, data in changes:
            if data is None:
                content[offset:] = bytes(max(0, offset - len(content)))
                continue
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset:offset + len(data)] = bytes(len(data)) if zeros else data
        return bytes(content)

    def current(self):
        return self.applied(self.synced, self.pending)

    def kept(self, how, draw):
        if how == "random":
            how = draw.choice(["all", "none", "zeros", "prefix", "prefix"])
        if how != "prefix":
            return {"all": self.current, "none": lambda: self.synced,
                    "zeros": lambda: self.applied(self.synced, self.pending, zeros=True)}[how]()
        changes = self.pending[:draw.randint(0, len(self.pending))]
        if changes and changes[-1][1]:
            offset, data = changes[-1]
            changes[-1] = (offset, data[:draw.randint(0, len(data))])
        return self.applied(self.synced, changes)


class Disk:
    """Names below a folder. Of each what it stood for since its folder was flushed, the oldest first."""

    def __init__(self, root):
        """With what is below `root` now, flushed."""
        self.root, self.names, self.inodes, self.promised = str(root), {}, {}, 0
        for path in sorted(root.rglob("*")):
            file = FOLDER if path.is_dir() else self.inodes.setdefault(path.stat().st_ino, File(path.read_bytes()))
            self.names[self.short(str(path))] = [file]

    def short(self, path):
        return path[len(self.root) + 1:]

    def bind(self, name, to):
        self.names.setdefault(name, [None]).append(to)

    def now(self, name):
        return self.names.get(name, [None])[-1]

    def apply(self, operation):
        name, second = self.short(operation.path), self.short(operation.second)
        if operation.kind == "mkdir":
            self.bind(name, FOLDER)
        elif operation.kind == "create":
            self.inodes[operation.inode] = File()
            self.bind(name, self.inodes[operation.inode])
        elif operation.kind in ("rename", "link"):
            self.bind(second, self.now(name))
            if operation.kind == "rename":
                self.bind(name, None)
                for inside in [other for other in self.names if other.startswith(name + "/")]:
                    self.names[second + inside[len(name):]] = self.names.pop(inside)
        elif operation.kind == "unlink":
            self.bind(name, None)
        elif operation.kind == "write":
            self.inodes[operation.inode].pending.append((operation.offset, operation.data))
            if name == "run/log.txt" and b": checkpoint" in operation.data and self.now(LAST):
                self.promised = harness.checkpoint_step(self.now(LAST).current()) or 0
        elif operation.kind == "truncate":
            self.inodes[operation.inode].pending.append((operation.length, None))
        elif operation.kind == "sync":
            file = self.inodes[operation.inode]
            file.synced, file.pending = file.current(), []
        elif operation.kind == "syncfolder":
            for other in self.names:
                if os.path.dirname(other) == name:
                    self.names[other] = self.names[other][-1:]

    def state(self, names, data, draw, alone=None):
        """What is left: {name: bytes or FOLDER}. `alone`: the one name whose data are as `data` says."""
        left = {}
        for name in sorted(self.names):
            history = self.names[name]
            if (folder := os.path.dirname(name)) and left.get(folder) != FOLDER:
                continue
            one = draw.choice(history) if names == "random" else history[-1 if names == "all" else 0]
            if one is not None:
                left[name] = one if one is FOLDER else one.kept(data if alone in (None, name) else "all", draw)
        return left


EXTREMES = [("all", "all"), ("all", "none"), ("none", "all"), ("none", "none"), ("all", "zeros"), ("none", "zeros")]


def matters(operation):
    return operation.kind in ("mkdir", "create", "rename", "link", "unlink", "sync", "syncfolder") or (
        operation.kind == "write" and not operation.path.endswith(".partial"))


def states(operations, disk, seed):
    """The extremes and random ones, no two the same: [(what happened, promised step, {name: bytes or FOLDER})]."""
    draw, seen, found = random.Random(seed), set(), []

    def add(what, state):
        digest = hashlib.sha256(repr(sorted(state.items())).encode() + bytes(disk.promised)).digest()
        if digest not in seen:
            seen.add(digest)
            found.append((what, disk.promised, state))
    for operation in operations:
        disk.apply(operation)
        if matters(operation):
            for names, data in EXTREMES:
                add(f"after {operation}: names kept: {names}, unsynced data kept: {data}",
                    disk.state(names, data, draw))
            for name, history in disk.names.items():
                if history[-1] not in (None, FOLDER) and history[-1].pending:
                    add(f"after {operation}: {os.path.basename(name)} alone lost its unsynced data",
                        disk.state("all", "none", draw, name))
        add(f"after {operation}: drawn", disk.state("random", "random", draw))
    return found


def with_rename_first(operations):
    """Each file renamed right after it was opened, before anything was written to it."""
    out = []
    for operation in operations:
        opened = [i for i, o in enumerate(out) if o.kind in ("create", "open") and o.path == operation.path]
        out.insert(opened[-1] + 1 if operation.kind == "rename" and opened else len(out), operation)
    return out


def build(state, folder):
    folder.mkdir()
    for name, content in state.items():
        if content is FOLDER:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


def record(program, scratch, plant):
    shim = harness.Shim(scratch)
    root = scratch / "recorded"
    root.mkdir()
    disk = Disk(root)
    harness.must(program, harness.train_command("sac", "Pendulum-v1", STEPS, "run"), root,
                 environment=shim.environment(root, ignore=[plant] if plant in ("sync", "syncfolder") else []))
    operations = shim.record(root)
    if sum(b": checkpoint" in operation.data for operation in operations) < FEWEST_CHECKPOINTS:
        sys.exit("the log no longer says when there is a checkpoint: this test would find nothing")
    return disk, with_rename_first(operations) if plant == "rename-first" else operations


def single_files(program, scratch, seed):
    """Of the verbs that write one file: (number of states, [(what happened, problem)])."""
    shim, count, problems = harness.Shim(scratch), 0, []
    for verb in inject.verbs():
        if type(verb) is not inject.Verb or verb.output or verb.skip or verb.every > 1:
            continue
        root = scratch / verb.name
        root.mkdir()
        verb.prepare(program, root)
        old, disk = verb.product(root), Disk(root)
        outcome = verb.run(program, root, shim.environment(root))
        if outcome.status != 0:
            sys.exit(f"{verb.name}: {outcome}")
        new, made = verb.product(root), verb.made[0]
        found = states(shim.record(root), disk, seed)
        count += len(found)
        for what, _, state in found:
            torn = [name for name, content in state.items() if (name == made or name.startswith(made + "/"))
                    and content is not FOLDER and content not in (old.get(name), new.get(name))]
            if torn or any(name not in state for name in old):
                problems.append((f"{verb.name} {what}", f"{verb.name}: neither the old file nor the new one is there"))
        draw = random.Random(seed)
        if made.startswith("d."):   # a data set
            if any(disk.state(*how, draw).get(made) != new[made] for how in EXTREMES):
                problems.append(("at its end", f"{verb.name} announced its file, which is not on the disk"))
    return count, problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, default=harness.PROGRAM)
    parser.add_argument("--states", type=int, default=400, help="at most so many; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plant", choices=["sync", "syncfolder", "rename-first"])
    parser.add_argument("--jobs", type=int, default=8, help="at once: a run may wait for a claim that was torn")
    options = parser.parse_args()
    program = options.program.resolve()
    with harness.scratch_folder() as name, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        scratch = pathlib.Path(name)
        (scratch / "wanted").mkdir()
        afresh = harness.train_command("sac", "Pendulum-v1", END, "run")
        harness.must(program, afresh, scratch / "wanted")
        disk, operations = record(program, scratch, options.plant)
        all_states = states(operations, disk, options.seed)
        chosen = all_states
        if 0 < options.states < len(all_states):
            chosen = random.Random(options.seed).sample(all_states, options.states)

        def one(number):
            what, promised, state = chosen[number]
            folder = scratch / f"x{number}"
            try:
                build(state, folder)
                problem, after = harness.finish(program, folder, "run", END, afresh, scratch / "wanted/run")
                if not problem and after < promised:
                    problem = f"went on after step {after}, but a checkpoint of step {promised} had been announced"
                return what, problem, after
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        results = list(pool.map(one, range(len(chosen))))
        looked_at, torn = (0, []) if options.plant else single_files(program, scratch, options.seed)
    failed = collections.defaultdict(list)
    for what, problem in [(what, problem) for what, problem, _ in results if problem] + torn:
        failed[harness.kind_of(problem)].append((what, problem))
    worst = sorted(failed.items(), key=lambda item: -len(item[1]))
    for kind, cases in worst[:2] if options.plant else worst:
        print(f"{len(cases)} times: {kind}\n    {cases[0][0]}: {cases[0][1]}")
    good = [after for _, problem, after in results if not problem]
    bad, after_one = len(results) - len(good), sum(after > 0 for after in good)
    print(f"{len(operations)} operations, {len(all_states)} states, {len(chosen)} tried: {len(chosen) - bad} went on "
          f"or began again ({after_one} after a checkpoint), {bad} failed")
    if options.plant:
        print(f"planted: {options.plant}: {'found' if bad else 'NOT FOUND'}")
        return 0 if bad else 1
    print(f"verbs that write one file: {looked_at} states, {len(torn)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
