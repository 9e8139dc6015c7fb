#!/usr/bin/env python3
"""Runs for half an hour each what people leave running, and watches memory, descriptors and threads.

    soak.py [--program P] [--minutes M] [--what sac,mfpo,collect,sweep] [--json FILE]

SAC on Pendulum; MFPO, small, on HalfCheetah with evaluations; collect; and a sweep of runs of a few seconds, of which
the process that stays is watched. Each is sampled once a second and stopped by SIGINT at the end, which must take
effect. Criterion: the median of the last minute is at most that of the first full minute (seconds 60 to 120; of a run
under four minutes its second quarter and its last) plus 2 % and 2 MiB of resident memory, and no descriptor and no
thread more. `collect` keeps its data until it writes them: there memory may grow by up to 3.5 times the size of the
file (its vectors double, and are copied once when the file is written).
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402

MIB = 1 << 20
FOREVER = 10 ** 9
# A replay that is full within the first minute, for its memory is only taken as it fills.
LONG = dict(start_steps=1000, evaluation_interval=5000, evaluation_episodes=2, log_interval=1000,
            checkpoint_interval=20000, time_limit=1000, replay_capacity=4000)


def commands(steps):
    def train(algorithm, task, **more):
        return harness.train_command(algorithm, task, steps, "run", threads=2, **{**LONG, **more})
    sweep = harness.settings("sac", **{**LONG, "checkpoint_interval": 5000})
    return {
        "sac": train("sac", "Pendulum-v1"),
        "mfpo": train("mfpo", "HalfCheetah-v4", evaluation_interval=1000),
        "collect": ["collect", "agent", "--steps", str(steps), "--threads", "1", "--out", "d.npz"],
        "sweep": ["sweep", "--algo", "sac", "--env", "Pendulum-v1", "--steps", "10000", "--seeds", "0..9999", "--jobs",
                  "1", "--out", "sweep", *sweep],
    }


def sample(pid):
    """(resident bytes, descriptors, threads), or None if the process has ended."""
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        return (pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd")),
                len(os.listdir(f"/proc/{pid}/task")))
    except (OSError, IndexError):
        return None


def soak(program, what, words, folder, minutes):
    """What was measured, with what is wrong under "problem"."""
    if what == "collect":   # by an agent that takes its time, so that the data of half an hour are not gigabytes
        harness.must(program, harness.train_command("mfpo", "HalfCheetah-v4", 30, "agent", sampling_steps=100,
                                                    actor_width=64), folder)
    log = open(folder / "errors", "wb")
    # A shell's background job, which this may be, ignores SIGINT, and so would the program.
    process = subprocess.Popen([str(program), *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=log,
                               stdin=subprocess.DEVNULL,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    begin, samples = time.monotonic(), []
    try:
        while (now := time.monotonic() - begin) < 60 * minutes and process.poll() is None:
            if one := sample(process.pid):
                samples.append((round(now, 1), *one))
            time.sleep(1)
        ended_early = process.poll() is not None
        process.send_signal(signal.SIGINT)
        status = process.wait(120)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        log.close()
    result = {"what": what, "minutes": minutes, "command": words, "status": status, "samples": samples}
    first, last = ((60, 120), (60 * minutes - 60, 60 * minutes)) if minutes >= 4 else (
        (15 * minutes, 30 * minutes), (45 * minutes, 60 * minutes))
    names = ("memory", "descriptors", "threads")
    medians = []
    for begin, end in (first, last):
        inside = [s[1:] for s in samples if begin <= s[0] <= end]
        medians.append([statistics.median(column) for column in zip(*inside)] if inside else None)
    if ended_early or None in medians:
        result["problem"] = f"ended before its time with status {status}: {(folder / 'errors').read_text().strip()}"
        return result
    before, after = (dict(zip(names, m)) for m in medians)
    result.update(first=before, last=after, problem="")
    written = sum(p.stat().st_size for p in folder.glob("d.npz"))
    room = 0.02 * before["memory"] + 2 * MIB + 3.5 * written
    if status not in (0, 130):
        result["problem"] = f"status {status} after SIGINT: {(folder / 'errors').read_text().strip()}"
    elif what == "collect" and not written:
        result["problem"] = "wrote no file"
    elif after["memory"] > before["memory"] + room:
        result["problem"] = "memory grows"
    elif after["descriptors"] > before["descriptors"] or after["threads"] > before["threads"]:
        result["problem"] = "descriptors or threads grow"
    result["written"] = written
    return result


def line(result):
    text = f"{result['what']:8} {result['minutes']:g} min"
    if "first" in result:
        first, last = result["first"], result["last"]
        text += (f": memory {first['memory'] / MIB:.1f} then {last['memory'] / MIB:.1f} MiB, descriptors "
                 f"{first['descriptors']:g} then {last['descriptors']:g}, threads {first['threads']:g} then "
                 f"{last['threads']:g}")
        if result["written"]:
            text += f", wrote {result['written'] / MIB:.1f} MiB"
    return text + (f": {result['problem']}" if result["problem"] else ": level")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, default=harness.PROGRAM)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--what", default="sac,mfpo,collect,sweep")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    known = commands(FOREVER)
    results = []
    for what in options.what.split(","):
        if what not in known:
            sys.exit(f"no soak {what}: there are {' '.join(known)}")
        with harness.scratch_folder() as folder:
            results.append(soak(options.program.resolve(), what, known[what], pathlib.Path(folder), options.minutes))
        print(line(results[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results) + "\n")
    return 1 if any(result["problem"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
