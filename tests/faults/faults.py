#!/usr/bin/env python3
"""The fault tests one after another, each in part; the last line is the sum.

    faults.py [--program P] [--quick]    --quick: a minute of it
    ./meander test --faults [--quick]

The whole of each, and the soak, are run by their own scripts: inject.py, power_loss.py, kill.py, soak.py.
"""
import argparse
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import harness  # noqa: E402

PARTS = [
    ("each operation fails, one after another", ["inject.py", "--stride", "9"]),
    ("the power fails", ["power_loss.py", "--states", "300"]),
    ("planted: files not flushed", ["power_loss.py", "--states", "60", "--plant", "sync"]),
    ("planted: folders not flushed", ["power_loss.py", "--states", "60", "--plant", "syncfolder"]),
    ("planted: renamed before it is written", ["power_loss.py", "--states", "60", "--plant", "rename-first"]),
    ("runs are killed", ["kill.py", "--kills", "30"]),
]
QUICK = [
    ("each operation fails, one after another",
     ["inject.py", "--stride", "25", "--verbs", "train,resume,collect-npz,collect-tensors,plot-svg,config-output"]),
    ("the power fails", ["power_loss.py", "--states", "80"]),
    ("planted: files not flushed", ["power_loss.py", "--states", "40", "--plant", "sync"]),
    ("runs are killed", ["kill.py", "--kills", "15"]),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, default=harness.PROGRAM)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not options.program.exists():
        sys.exit(f"{options.program}: no such program: ./meander --help builds it")
    begin, failed, parts = time.monotonic(), 0, QUICK if options.quick else PARTS
    for what, (script, *arguments) in parts:
        print(f"\n== {what} ({time.monotonic() - begin:.0f} s)", flush=True)
        failed += subprocess.run([sys.executable, "-I", HERE / script, "--program", options.program.resolve(),
                                  *arguments]).returncode != 0
    print(f"\n{len(parts) - failed} of {len(parts)} parts passed in {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
