#!/usr/bin/env python3
"""Runs the commands of the pages, each page's in a folder of its own, in the order they stand in. By hand:

    tests/pages/commands.py [PROGRAM]    PROGRAM: build/release/meander, in place of the script ./meander; it fetches
    ./meander test -C pages -L pages     and installs nothing

Commands that would take long run with smaller numbers, by these rules; what is left out is said. The last line is the
sum.
"""
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/build"))
import pages  # noqa: E402

# Arguments put in the place of others of the same option, whatever those are.
SMALLER = {
    "train": {"--steps": "300", "--threads": "2"},
    "sweep": {"--steps": "300", "--seeds": "0..1"},
    "collect": {"--steps": "400", "--episodes": "2"},
    "eval": {"--episodes": "2"},
}
# Settings added at the end, where the last counts.
OF_THE_LOOP = ["start_steps=200", "evaluation_interval=150", "evaluation_episodes=1", "log_interval=50",
               "time_limit=50"]
OF_ALGORITHM = {
    "mfpo": ["batch_size=16", "actor_width=16", "critic_width=16", "policy_proposals=2", "gaussian_proposals=4"],
    "som": ["batch_size=16", "actor_width=16", "critic_width=16", "proposals=4"],
    "mvp": ["batch_size=16", "actor_width=16", "critic_width=16", "candidates=2"],
    "qc": ["batch_size=16", "actor_width=16", "critic_width=16", "candidates=2"],
    "sac": ["batch_size=16", "width=16"],
}
# Options added where the verb takes them.
ADDED = {"toy": ["--updates", "20"], "render": ["--steps", "5", "--width", "64", "--height", "48", "--out", "pictures"]}
LEFT_OUT = {
    "bench": "builds more, and most of it takes minutes to hours",
    "test": "the tests run it, or it runs them",
    "fetch": "downloads; the other verbs bring what they need",
}
SECONDS = 300  # of one command


def smaller(words):
    """The command with smaller numbers."""
    verb, out = words[0], list(words)
    for option, value in SMALLER.get(verb, {}).items():
        if option in out:
            out[out.index(option) + 1] = value
    if "--resume" in out:
        out += ["--steps", "400"]  # the run before it is at its end
    elif verb in ("train", "sweep") and "--report" not in out:
        if "--steps" not in out:
            out += ["--steps", SMALLER[verb]["--steps"]]
        algorithm = out[out.index("--algo") + 1]
        settings = OF_THE_LOOP + OF_ALGORITHM[algorithm]
        if any(word.startswith("offline_steps=") for word in out):
            settings = settings + ["offline_steps=100"]
        for setting in settings:
            out += ["--set", setting]
    return out + ADDED.get(verb, [])


def main():
    program = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else SOURCE / "meander"
    ran, failed, left = 0, [], []
    for path in pages.pages(SOURCE):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("tests", "bench"):
                (pathlib.Path(folder) / name).symlink_to(SOURCE / name)
            for begin, lines in pages.blocks(path.read_text()):
                for number, line in enumerate(lines, begin):
                    if not line.strip().startswith("./meander"):
                        continue
                    where = f"{path.relative_to(SOURCE)}:{number}"
                    command = line.partition(" #")[0].strip()
                    text, _, to = command.partition(" > ")
                    words = shlex.split(text)[1:]
                    if words[0] in LEFT_OUT:
                        left.append(f"{where}: {command}: {LEFT_OUT[words[0]]}")
                        continue
                    run = shlex.join([str(program), *smaller(words)]).replace("'tests/data/*.safetensors'",
                                                                              "tests/data/*.safetensors")
                    run += f" > {shlex.quote(to)}" if to else ""
                    began = time.time()
                    try:
                        done = subprocess.run(["bash", "-c", run], cwd=folder, capture_output=True, text=True,
                                              timeout=SECONDS)
                        good, said = done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
                    except subprocess.TimeoutExpired:
                        good, said = False, f"not done after {SECONDS} s"
                    ran += 1
                    verdict = "passed" if good else "FAILED"
                    print(f"{verdict} {time.time() - began:6.1f} s  {where}: {command}", flush=True)
                    if not good:
                        failed.append(where)
                        print(f"  as: {run}\n  {said.strip()}", flush=True)
    for line in left:
        print(f"left out  {line}")
    print(f"{ran} commands, {len(failed)} failed, {len(left)} left out")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
