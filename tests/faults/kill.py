#!/usr/bin/env python3
"""Kills runs (SIGKILL) at random moments and goes on with them.

    kill.py [--program P] [--kills N] [--seed S] [--jobs N]

Runs of SAC on Pendulum and, with MuJoCo, of MFPO on InvertedPendulum, three seeds each, both small and with a
checkpoint every few steps. Each is killed up to three times, at moments drawn evenly over the time that an undisturbed
one takes, then goes on to its end. Expected: --resume goes on after the checkpoint that is there; without one it starts
again, or says in one line why not and a new run into the same folder does; the end has the bits of an undisturbed run.
"""
import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402

RUNS = [("sac", "Pendulum-v1", 600), ("mfpo", "InvertedPendulum-v5", 300)]
SEEDS = 3
KILLS_A_RUN = 3


class Reference:
    """An undisturbed run, and how long it takes."""

    def __init__(self, program, scratch, run, seed):
        self.algorithm, self.environment, self.steps = run
        self.seed, self.folder = seed, scratch / f"{self.algorithm}-{seed}"
        self.folder.mkdir()
        begin = time.monotonic()
        harness.must(program, self.command(), self.folder)
        self.seconds = time.monotonic() - begin

    def command(self):
        return harness.train_command(self.algorithm, self.environment, self.steps, "run", self.seed)


def killed_after(program, words, folder, seconds):
    """Status, and the lines on standard error, of a command that is killed after so many seconds."""
    process = subprocess.Popen([str(program), *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL)
    try:
        _, complaint = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        _, complaint = process.communicate()
    return harness.Outcome(process.returncode, "", complaint.decode(errors="replace"))


def step_there(folder):
    file = folder / "run/last.safetensors"
    return harness.checkpoint_step(file.read_bytes()) if file.exists() else 0


class Killer:
    def __init__(self, program, references, kills, seed):
        self.program, self.references, self.left, self.seed = program, references, kills, seed
        self.lock = threading.Lock()

    def take_one(self):
        """Whether there is a kill left to make."""
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def one_run(self, folder, number):
        """(kills made, of them before the first checkpoint, problem or '')."""
        reference, draw = self.references[number % len(self.references)], random.Random(f"{self.seed} {number}")
        folder.mkdir()
        kills = early = 0
        while kills < KILLS_A_RUN and self.take_one():
            resume = (folder / "run").is_dir() and (folder / "run/config.toml").exists()
            words = harness.resume_command("run", reference.steps) if resume else reference.command()
            outcome = killed_after(self.program, words, folder, draw.uniform(0, reference.seconds))
            if outcome.status != -signal.SIGKILL:
                with self.lock:
                    self.left += 1
                if outcome.status == 0 or "is at step" in " ".join(outcome.complaint):
                    break   # it was faster than the undisturbed one, or killed after its last checkpoint
                return kills, early, f"after {kills} kills, {words[1]}: {outcome}"
            kills += 1
            early += step_there(folder) == 0
        there = step_there(folder)
        if there is None:
            return kills, early, "last.safetensors is damaged"
        problem, after = harness.finish(self.program, folder, "run", reference.steps, reference.command(),
                                        reference.folder / "run")
        if not problem and after != there:
            problem = f"went on after step {after}, the checkpoint was of step {there}"
        return kills, early, problem


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, default=harness.PROGRAM)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    program = options.program.resolve()
    with harness.scratch_folder() as name, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        scratch = pathlib.Path(name)
        references = [Reference(program, scratch, run, seed) for seed in range(SEEDS) for run in RUNS]
        killer = Killer(program, references, options.kills, options.seed)
        results, number = [], 0
        while killer.left > 0:
            count = -(-killer.left // KILLS_A_RUN)   # more follow if some end before they are killed
            results += pool.map(lambda i: killer.one_run(scratch / f"k{i}", i), range(number, number + count))
            number += count
    problems = collections.defaultdict(list)
    for i, (_, _, problem) in enumerate(results):
        if problem:
            problems[harness.kind_of(problem)].append(f"run {i}: {problem}")
    for kind, cases in problems.items():
        print(f"{len(cases)} times: {kind}\n    {cases[0]}")
    bad = sum(map(len, problems.values()))
    print(f"{sum(kills for kills, _, _ in results)} kills in {len(results)} runs "
          f"({sum(early for _, early, _ in results)} kills before the first checkpoint), {bad} runs failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
