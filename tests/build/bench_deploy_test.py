#!/usr/bin/env python3
"""Protects `./meander bench deploy`: that one quick run trains, exports and times policies, installs nothing and writes
the rows it promises. Usage: bench_deploy_test.py SOURCE BUILD"""
import json
import os
import subprocess
import sys
import tempfile

source, build = map(os.path.abspath, sys.argv[1:])
failures = []


def check(what, holds):
    print(f"{'passed' if holds else 'FAILED'} {what}")
    if not holds:
        failures.append(what)


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "rows.json")
    command = [sys.executable, "-E", os.path.join(source, "bench", "deploy", "deploy.py"), "--quick", "--no-install",
               "--only", "meander", "--build", build, "--json", path]
    done = subprocess.run(command, capture_output=True, text=True)
    check("it ends well", done.returncode == 0)
    if done.returncode:
        sys.exit(done.stderr)
    with open(path) as file:
        result = json.load(file)
    rows = result["rows"]
    check("a row for each case", [row["case"] for row in rows] == ["mfpo/1", "mfpo/10", "mfpo/32", "mvp/1"]
          and all(row["who"] == "meander" for row in rows))
    for row in rows:
        case = row["case"]
        check(f"{case} was measured", "not_measured" not in row)
        for condition, calls in (("quiet", 1000), ("thrashed", 1000), ("cold", 10)):
            figures = row[condition]
            quantiles = [0, *(figures[key] for key in ("p50_us", "p99_us", "p999_us") if key in figures),
                         figures["max_us"]]
            check(f"{case}, {condition}: its calls, and quantiles in order", figures["calls"] == calls
                  and len(quantiles) == (3 if condition == "cold" else 5) and quantiles == sorted(quantiles))
        check(f"{case}: no allocations", row["allocations"] == 0)
        check(f"{case}: actions of trained networks' size", 0.05 < row["check"] < 1)
        check(f"{case}: sizes and times of opening", row["model_bytes"] > 100_000 and row["workspace"] > 1000
              and 0 < row["open_us"] < row["checked_open_us"])
    largest = {row["case"]: row["quiet"]["p50_us"] for row in rows}
    check("more candidates take longer", largest["mfpo/1"] < largest["mfpo/10"] < largest["mfpo/32"])
    check("no paths of this machine in the file",
          not any(path in json.dumps(rows) for path in (folder, source, build)))

sys.exit(1 if failures else 0)
