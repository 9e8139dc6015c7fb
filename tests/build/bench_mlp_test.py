#!/usr/bin/env python3
"""Protects the cases of `./meander bench mlp`: that every pass of random networks agrees with float64, by Meander and
by every framework that is there, and that one that does not is noticed. Installs nothing.

    bench_mlp_test.py SOURCE BUILD [N]    N: how many networks PyTorch and JAX get (4; Meander and the C libraries 40)
"""
import argparse
import glob
import json
import os
import random
import sys
import tempfile

source, build = map(os.path.abspath, sys.argv[1:3])
DESCRIPTIONS, of_python = 40, int(sys.argv[3]) if len(sys.argv) > 3 else 4
sys.path[:0] = [os.path.join(source, "bench", name) for name in ("mlp", "peers")]
import mlp  # noqa: E402
from frameworks import FRAMEWORKS, Contender, Interpreters, contenders  # noqa: E402
from participants import DEPS, Unavailable  # noqa: E402
from turns import Machine, Turns  # noqa: E402

failures = []


def check(what, holds):
    if not holds:
        print(f"FAILED {what}")
        failures.append(what)


def random_network(generator):
    widths = [generator.randint(1, 40)] + [generator.choice((8, 17, 32, 64, 100, 256)) for _ in
                                          range(generator.randint(0, 4))] + [generator.choice((1, 1, 3, 16, 33))]
    return "-".join(map(str, widths)), generator.choice(mlp.ACTIVATIONS), generator.choice(mlp.NORMS)


def tampered(path):
    """The same file with one of the expected numbers another."""
    with open(path, "rb") as file:
        whole = bytearray(file.read())
    size = int.from_bytes(whole[:8], "little")
    begin = 8 + size + json.loads(whole[8:8 + size])["expected.0"]["data_offsets"][0]
    whole[begin:begin + 8] = b"\0\0\0\0\0\0\xf0\x3f"   # 1.0
    with open(path + ".tampered", "wb") as file:
        file.write(whole)
    return path + ".tampered"


def installed():
    """What .deps/peers has, in the variants that need no compilation of minutes."""
    wishes = ["onednn", "openblas"]
    for name in ("torch", "jax"):
        for folder in sorted(glob.glob(os.path.join(DEPS, name + "-[0-9]*"))):
            variant = ":eager" if name == "torch" else ""
            wishes.append(f"{name}=={os.path.basename(folder)[len(name) + 1:]}{variant}")
    return contenders(wishes)


def main():
    options = argparse.Namespace(programs=os.path.join(build, "bench"), device="cpu", memory=None, no_install=True,
                                 samples=1, seconds=0, time_limit=300, rounds=1)
    generator, measured = random.Random(3), {}
    machine = Machine(options, 2)
    turns = Turns([Contender(), *installed()], options, 2, Interpreters(options))
    turns.begin()
    for process in turns.running.values():
        process.settle = lambda: None   # nothing is timed
    with tempfile.TemporaryDirectory() as folder:
        for number in range(DESCRIPTIONS):
            layers, activation, norm = random_network(generator)
            for what in mlp.PASSES:
                if what == "candidates" and layers.startswith("1-"):
                    continue
                for precision in mlp.PRECISIONS if what in mlp.ROUNDED_PASSES else ("float32",):
                    rows = generator.choice((1, 2, 7, 33, 600 if what != "candidates" else 20))
                    case = f"mlp/{layers}/{activation}/{norm}/{what}/{rows}/{precision}"
                    path = os.path.join(folder, f"{number}-{what}-{precision}")
                    work = machine.write(case, path, 300)
                    allowed = mlp.tolerance_of(work["plain"], precision, activation, what)
                    for contender in turns.contenders:
                        if what not in turns.about.get(contender.who, {}).get("passes", []):
                            continue
                        if contender.who != "meander" and precision != "float32":
                            continue
                        if contender.version and number >= of_python:
                            continue
                        try:
                            answer = turns.process(contender).request({"case": case, "data": path, "samples": 1,
                                                                       "seconds": 0})
                        except Unavailable as reason:
                            check(f"{contender.who}, {case}: {reason}", False)
                            continue
                        measured[contender.who, what] = measured.get((contender.who, what), 0) + 1
                        check(f"{contender.who}, {case}: {answer['deviation']:.1e} of {allowed:.1e}",
                              answer["deviation"] <= allowed)
                        if number == 0 and contender.who == "meander" and precision == "float32":
                            other = turns.process(contender).request({"case": case, "data": tampered(path),
                                                                      "samples": 1, "seconds": 0})
                            check(f"{case}: a wrong number is noticed", other["deviation"] > allowed)
                    os.remove(path)
    turns.stop()
    machine.stop()
    for who in dict.fromkeys(who for who, _ in measured):
        print(f"{who}: " + ", ".join(f"{what} {count}" for (other, what), count in measured.items() if other == who))
    for what in mlp.PASSES:
        check(f"meander has {what}", measured.get(("meander", what), 0) >= 0.8 * DESCRIPTIONS)
    for name in FRAMEWORKS:
        if not any(who.startswith(name) for who, _ in measured):
            print(f"skipped: {name}, which is not installed")
    return 1 if failures else 0


sys.exit(main())
