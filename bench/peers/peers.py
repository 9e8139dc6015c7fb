#!/usr/bin/env python3
"""Meander and its peers in turns on this machine: one table of times, one JSON file. Run by ./meander bench peers, on a
GPU (--device cuda) by bench/gpu.sh.

Every peer is a process that answers requests (see ../README.md). For each case and number of threads they are asked in
the order A B C ... C B A, a few rounds of it, each only once the one before has stopped using the processor. The
Python packages are installed to .deps/peers, as pinned in participants.py and requirements-*.txt; on a GPU they are those
of the Python that runs this.
"""
import argparse
import contextlib
import datetime
import fnmatch
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from cases import (ACTING_CALLS, ACTING_SECONDS, CASES, DEVICE_CALLS, DEVICE_CASES, DEVICE_SECONDS, QUICK_CASES,
                   SEVERAL, SINGLE)
from data_file import DATA_VERSION, write_data
from participants import DEPS, DEVICE_MACHINE, Peer, Unavailable, cpu_line, device_peers, peers, say
from processes import Worker
from table import Row, print_rows
from targets import print_targets, targets
from virtual_environment import ROOT, last_line


# ---- the measurement -------------------------------------------------------------------------------------------------

def plan(case, who, options, took):
    """Samples of a visit and the least seconds of a sample; took is the microseconds of a call, as far as known."""
    visits = 2 * options.rounds
    if options.device != "cpu":
        for prefix, calls in DEVICE_CALLS.items():
            if case.startswith(prefix):
                return max(1, min(calls // visits, int(DEVICE_SECONDS * 1e6 / took))), 0
        return options.samples, options.seconds
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


def start(peer, options, threads, data):
    return Worker(peer, peer.command(options), threads, data, on_gpu=options.device == "cuda")


def measure_peaks(options, threads, data):
    """Flop or bytes a nanosecond of the machine's own loops, by name; empty without the program."""
    peer = Peer("machine", ["machine/*"], program="peer_machine") if options.device == "cpu" else DEVICE_MACHINE
    try:
        worker = start(peer, options, threads, data).greet()
    except Unavailable as reason:
        say(f"the machine's peaks are not measured: {reason}")
        return {}
    rates = {}
    for case in sorted(filter(peer.takes, worker.cases)):
        with contextlib.suppress(Unavailable):
            answer = worker.ask(case, 5 if options.quick else 15, 0.02)
            work = answer.get("flop", 0) + answer.get("bytes", 0)
            rates[case.split("/")[1]] = work / statistics.median(answer["us"]) / 1e3
    worker.stop()
    return rates


def measure(options, threads, chosen, cases, data, versions, rows, save):
    """Adds all rows of a number of threads, and saves after each case."""
    begun, started, reasons, took = {}, {}, {}, {}
    for step in "begin", "greet":  # all begin at once
        for who, peer in ((peer.who, peer) for peer in chosen if any(map(peer.takes, cases))):
            try:
                if step == "begin":
                    begun[who] = start(peer, options, threads, data)
                elif who in begun:
                    started[who], took[who] = begun[who].greet(), {}
                    versions[who] = f"{started[who].version}; {started[who].note}"
            except Unavailable as reason:
                reasons[who] = str(reason)
                say(f"{who}: {reason}")
    for number, case in enumerate(cases, 1):
        if options.limit and time.monotonic() - options.began > options.limit:
            say(f"no time left for {', '.join(cases[number - 1:])}")
            break
        here = {}
        for who in (peer.who for peer in chosen if peer.takes(case)):
            row = Row(case, who, threads)
            row.reason = reasons.get(who)
            if who in started and case not in started[who].cases:
                if who != "meander":
                    continue  # what a peer cannot do is no row
                row.reason = not_there(case)
            here[who] = row
        rows += here.values()
        order = [who for who, row in here.items() if not row.reason]
        say(f"{threads} thread{'s' * (threads > 1)}, {number} of {len(cases)}: {case}")
        for _ in range(options.rounds):
            for who in order + order[::-1]:
                visit(started[who], case, options, here[who], took[who])
        finish(list(here.values()))
        save()
    for worker in started.values():
        worker.stop()


FAMILIES = (("dmc-", "dm_control"), ("cube-", "ogbench"), ("robomimic-", "robomimic"))


def not_there(case):
    """Why Meander has no such case here."""
    family = next((family for prefix, family in FAMILIES if "/" + prefix in case), None)
    return f"its task files are not here: ./meander fetch {family}" if family else "not in this build of Meander"


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
        tolerance = 0.03 if row.who.endswith("_bf16") else 0.01
        if row.check is not None and abs(row.check - expected.check) > tolerance * abs(expected.check):
            row.reason = f"its result differs: mean {row.check:.6g}, {expected.who}'s {expected.check:.6g}"


# ---- the machine -----------------------------------------------------------------------------------------------------

def processor_time():
    """Ticks of all processors together, and those a hypervisor gave to others."""
    with contextlib.suppress(OSError), open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
        return sum(ticks), ticks[7]
    return 0, 0


def gpu():
    """Name and driver, or None."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        return last_line(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)


def commit():
    packed = os.path.join(ROOT, "commit")  # by bench/gpu.sh --pack
    if os.path.exists(packed):
        with open(packed) as file:
            return file.read().strip()

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
    parser.add_argument("--device", choices=("cpu", "cuda", "cuda-emulated"), default="cpu",
                        help="where Meander runs; with cuda the others too, in this Python; cuda-emulated tries the "
                        "comparison itself, with the others on processors")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="begin no case after so many")
    parser.add_argument("--rounds", type=int, help="rounds of A B C ... C B A (2; on a GPU 1)")
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
    options.began, short = time.monotonic(), options.quick or options.device != "cpu"
    options.rounds = options.rounds if options.rounds is not None else 1 if short else 2
    options.samples = options.samples if options.samples is not None else 3 if options.quick else 9
    options.seconds = 0.005 if options.quick else 0.02
    options.no_install |= short
    if options.rounds < 1 or options.samples < 1:
        parser.error("--rounds and --samples want a number from 1")
    try:
        threads = options.threads.split(",") if options.threads else [cores] if short else [1, cores]
        options.threads = sorted({int(number) for number in threads})
    except ValueError:
        parser.error(f"--threads wants numbers with commas between, got '{options.threads}'")
    if not all(1 <= number <= cores for number in options.threads):
        parser.error(f"--threads wants numbers from 1 to {cores}")
    everyone, every_case = (peers(), CASES) if options.device == "cpu" else (device_peers(), DEVICE_CASES)
    names = options.only.split(",") if options.only else [peer.who for peer in everyone]
    for name in names:
        if name not in [peer.who for peer in everyone]:
            parser.error(f"no peer '{name}': {', '.join(peer.who for peer in everyone)}")
    chosen = [peer for peer in everyone if peer.who in names
              and not (options.quick and not options.only and peer.who == "torch_compile")]
    patterns = options.cases or (QUICK_CASES if options.quick else ["*"])
    for pattern in patterns:
        if not fnmatch.filter(every_case, pattern):
            parser.error(f"no case '{pattern}': {', '.join(every_case)}")
    cases = [case for case in every_case if any(fnmatch.fnmatch(case, pattern) for pattern in patterns)]
    if options.json:
        try:
            open(options.json, "a").close()
        except OSError as error:
            parser.error(f"cannot write {options.json}: {error.strerror}")
    return options, chosen, cases


def main():
    options, chosen, cases = read_options()
    if options.device == "cuda" and not gpu():
        sys.exit("bench peers: nvidia-smi finds no GPU")
    os.makedirs(DEPS, exist_ok=True)
    data = os.path.join(DEPS, f"data-{DATA_VERSION}.safetensors")
    if not os.path.exists(data):
        say("writing the numbers all peers work on")
        write_data(data)
    for peer in (peer for peer in chosen if any(map(peer.takes, cases))):  # before the first time is taken
        with contextlib.suppress(Unavailable):
            peer.command(options)

    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"something else is running (load {load:.1f}): the times will not mean much")
    rows, peaks, before_and_after, versions = [], {}, {}, {}
    for threads in options.threads:
        wanted = [case for case in cases if (threads == options.threads[0] or not case.startswith(SINGLE))
                  and (threads > 1 or not case.startswith(SEVERAL))]
        ticks, stolen = processor_time()
        before = measure_peaks(options, threads, data)
        peaks[threads], before_and_after[threads] = before, {"before": before}
        save = lambda: write_json(options, rows, peaks, before_and_after, versions, load)
        measure(options, threads, chosen, wanted, data, versions, rows, save)
        after = measure_peaks(options, threads, data)
        now, stolen_now = processor_time()
        peaks[threads] = {name: (rate + after.get(name, rate)) / 2 for name, rate in before.items()}
        before_and_after[threads] = {"before": before, "after": after,
                                     "steal": (stolen_now - stolen) / max(1, now - ticks)}
    report(options, rows, peaks, before_and_after, versions, load)


def report(options, rows, peaks, before_and_after, versions, load):
    processor = f"{cpu_line('model name') or platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    print(f"{processor if options.device == 'cpu' else f'{gpu() or options.device}; {processor}'}; commit {commit()}")
    for who, version in versions.items():
        print(f"  {who:20}{version}")
    print("machine, GFLOP/s or GB/s before and after the run")
    for threads, figures in before_and_after.items():
        print(f"  {threads} thread{'s' * (threads > 1):1}  " + ", ".join(
            f"{name} {rate:.1f} and {figures['after'].get(name, 0):.1f}" for name, rate in figures["before"].items())
            + f"{', ' if figures['before'] else ''}stolen by other guests {figures['steal']:.1%}")
    print_rows(rows, peaks)
    if options.device == "cpu":
        print_targets(targets(rows, peaks), max(options.threads))
    write_json(options, rows, peaks, before_and_after, versions, load)


def write_json(options, rows, peaks, before_and_after, versions, load):
    if not options.json:
        return
    result = {"rows": [row.json(peaks.get(row.threads, {})) for row in rows],
              "targets": [dict(zip(("number", "claim", "wanted", "measured", "met"), target))
                          for target in (targets(rows, peaks) if options.device == "cpu" else [])],
              "machine": {"processor": cpu_line("model name") or platform.machine(),
                          "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
                          "load_before": load,
                          "peaks": {str(threads): figures for threads, figures in before_and_after.items()}},
              "versions": versions | {"python": platform.python_version()},
              "commit": commit(),
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "command": sys.argv[1:], "rounds": options.rounds, "samples": options.samples}
    if options.device != "cpu":
        result["machine"] |= {"device": options.device, "gpu": gpu()}
    partial = options.json + ".partial"  # a time limit may end this at any moment
    with open(partial, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    os.replace(partial, options.json)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
