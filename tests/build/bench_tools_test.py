#!/usr/bin/env python3
"""Protects the driver of `./meander bench mlp` and `bench compare` without building anything: bad input is one line,
contenders that crash, hang, eat memory or compute something else are rows that say so, an interruption keeps what was
measured, and a change is told from noise. Workers are scripts that make up their times.

    bench_tools_test.py SOURCE [PART...]    PART: of the functions below, such as pictures
"""
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

source = os.path.abspath(sys.argv[1])
sys.path[:0] = [os.path.join(source, "bench", name) for name in ("mlp", "compare", "peers")]
import compare  # noqa: E402
import mlp  # noqa: E402
import peers  # noqa: E402
import picture  # noqa: E402

failures = []
WORKER = '''#!/usr/bin/env python3
import json, os, random, signal, sys, time
name = os.path.basename(sys.argv[0])
with open(os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "behaviour.json")) as file:
    behaviour = json.load(file).get(name, {})
noise = random.Random(name + str(behaviour))
def say(answer):
    print(json.dumps(answer), flush=True)
say({"version": name, "note": "", "cases": ["machine/fma_fp32"], "passes": ["forward", "jvp"]})
for line in sys.stdin:
    request = json.loads(line)
    what = behaviour.get("does")
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang" or what == "hang at 2" and "/2/" in request["case"]:
        time.sleep(100)
    if what == "eat":
        held = []
        while True:
            held.append(bytearray(os.urandom(1 << 22)))
            time.sleep(0.01)
    if "write" in request:
        open(request["write"], "w").close()
        say({"plain": 1e-7, "flop": 1e6, "bytes": 1e5})
        continue
    us = [100 * behaviour.get("factor", 1) * noise.lognormvariate(0, 0.02) for _ in range(request["samples"])]
    say({"us": us, "deviation": behaviour.get("deviation", 1e-7), "flop": 1e7})
'''


def check(what, holds):
    print(f"{'passed' if holds else 'FAILED'} {what}")
    if not holds:
        failures.append(what)


def workers(folder, **behaviour):
    """A folder of programs that behave so; -> it."""
    os.makedirs(folder, exist_ok=True)
    for name in ("peer_machine", "peer_meander", "peer_onednn", "peer_openblas"):
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write(WORKER)
        os.chmod(path, 0o755)
    with open(os.path.join(folder, "behaviour.json"), "w") as file:
        json.dump(behaviour, file)
    return folder


def command(name, *arguments):
    return [sys.executable, "-E", os.path.join(source, "bench", name, name + ".py"), *arguments]


def run(name, *arguments):
    done = subprocess.run(command(name, *arguments), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


# ---- bad input -------------------------------------------------------------------------------------------------------

def bad_input(folder):
    programs = ["--programs", workers(os.path.join(folder, "good"))]
    for arguments, says in ((["--layers", "0,3"], "widths from 1"), (["--layers", "4,1000000,2"], "widths from 1"),
                            (["--layers", "4"], "2 to 9 widths"), (["--pass", "sideways"], "no 'sideways'"),
                            (["--rows", "0"], "from 1 to"), (["--with", "torch=2"], "NAME==VERSION"),
                            (["--with", "tensorflow"], "no framework"), (["--with", "torch==2.0:fast"], "no variant"),
                            (["--with", "onednn==3"], "of one version"), (["--precision", "float8"], "no 'float8'"),
                            (["--pass", "jvp", "--precision", "bfloat16"], "float32 only"),
                            (["--pass", "candidates", "--layers", "1,8,1"], "share nothing"),
                            (["--plot", "x.pdf"], ".svg or .png"), (["--threads", "0"], "from 1 to"),
                            (["--json", os.path.join(folder, "no", "such")], "cannot write"),
                            (["--rounds", "0"], "from 1")):
        status, out, err = run("mlp", *programs, *arguments)
        check(f"mlp {' '.join(arguments)[:50]}: one line, status 2",
              status == 2 and err.count("\n") == 1 and says in err and not out)
    nonsense = os.path.join(folder, "nonsense.json")
    with open(nonsense, "w") as file:
        file.write('{"rows": [{"case": 1}]}')
    for arguments in ([], [nonsense], [nonsense, nonsense], [nonsense, "/nowhere.json"], ["--builds", folder, folder],
                      ["--builds", folder, folder, "--case", "x"]):
        status, out, err = run("compare", *arguments)
        check(f"compare with {len(arguments)} bad arguments: one line, status 2", status == 2 and err.count("\n") == 1)


# ---- contenders that fail --------------------------------------------------------------------------------------------

def contenders_that_fail(folder):
    path = os.path.join(folder, "rows.json")
    for does, says in (("crash", "ended by signal SIGSEGV"), ("hang", "no answer within 2 s"),
                       ("eat", "more than 0.1 GB of memory"), (None, "its result is off")):
        behaviour = {"does": does} if does else {"deviation": 0.01}
        programs = workers(os.path.join(folder, str(does)), peer_onednn=behaviour)
        began = time.monotonic()
        status, out, _ = run("mlp", "--programs", programs, "--with", "onednn", "--rows", "1,2",
                             "--pass", "forward,hvp,jvp", "--rounds", "1", "--time-limit", "2",
                             "--memory-limit", "0.1", "--json", path)
        with open(path) as file:
            rows = json.load(file)["rows"]
        of = lambda who: [row for row in rows if row["who"] == who]
        check(f"{does}: the run goes on", status == 0 and time.monotonic() - began < 60
              and len([row for row in of("meander") if row.get("median_us")]) == 4)
        check(f"{does}: a row that says so", len(of("onednn")) == 4
              and all(says in row["not_measured"] for row in of("onednn")[:3]) and says in out)
        check(f"{does}: what it lacks is no row", all(row["pass"] != "hvp" for row in rows))
    figures = of("meander")[0]
    check("a row's figures", 90 < figures["median_us"] < 110
          and abs(figures["gflops"] - 1e3 / figures["median_us"]) < 1e-2 and figures["flop_per_byte"] == 10 and figures["limit"] in ("products", "reading")
          and figures["deviation"] == 1e-7 and len(figures["visits_us"]) == 2 and len(figures["control_us"]) == 2)
    # 1e6 flop at 1e7 flop / 100 us, 1e5 bytes at the same: reading would take a tenth of the products.
    check("which ceiling binds", figures["limit"] == "products")
    os.remove(os.path.join(programs, "peer_onednn"))
    status, out, _ = run("mlp", "--programs", programs, "--with", "onednn", "--rows", "1", "--rounds", "1")
    check("what is not there is a row", status == 0 and "not installed: no peer_onednn" in out)


def interruption(folder):
    path = os.path.join(folder, "interrupted.json")
    programs = workers(os.path.join(folder, "slow"), peer_meander={"does": "hang at 2"})
    running = subprocess.Popen(command("mlp", "--programs", programs, "--rows", "1,2", "--json", path),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               # A shell's background jobs ignore it, and so would this one.
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    for _ in range(200):
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            if json.load(file)["rows"]:
                break
        time.sleep(0.1)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    with open(path) as file:
        rows = json.load(file)["rows"]
    check("Ctrl-C: what was measured is saved and shown", running.returncode == 130 and len(rows) == 1
          and rows[0]["rows"] == 1 and "interrupted: 1 row" in err and "of peak" in out)


def full_disk():
    said = io.StringIO()

    def fails():
        raise OSError(28, "No space left on device", "rows.json")
    with contextlib.redirect_stderr(said):
        status = mlp.guarded("bench mlp", fails)
    check("a full disk is one line", status == 1
          and said.getvalue() == "bench mlp: No space left on device: rows.json\n")


# ---- a change, or noise ----------------------------------------------------------------------------------------------

def statistics_of_changes():
    generator = random.Random(7)
    noise = lambda deviation: generator.lognormvariate(0, deviation)

    def verdict(factor, deviation):
        ratios = [factor * noise(deviation) / noise(deviation) for _ in range(20)]
        return compare.Comparison("", 1, "", 1, factor, compare.of_pairs(ratios), compare.WITHIN_RUN).verdict
    same = [verdict(1.0, 0.02) for _ in range(50)]
    check("pairs of the same: at most one of ten claims a change", sum(v != "no change" for v in same) <= 5)
    check("pairs of one 5 % slower: found", sum(verdict(1.05, 0.02) == "slower" for _ in range(20)) >= 19)
    check("pairs of one 5 % faster: found", sum(verdict(1 / 1.05, 0.02) == "faster" for _ in range(20)) >= 19)
    interval = compare.of_pairs([1.0] * 19 + [9.0])
    check("one pair in twenty that was disturbed is no change", interval[0] == 1 and interval[2] == 1)


def files_of_changes(folder):
    paths = {}
    for name, factor in (("a", 1.0), ("same", 1.001), ("slower", 1.15)):
        paths[name] = os.path.join(folder, name + ".json")
        programs = workers(os.path.join(folder, "files", name), peer_meander={"factor": factor})
        run("mlp", "--programs", programs, "--rows", "1,2,3", "--json", paths[name])
    status, out, _ = run("compare", paths["a"], paths["same"], "--fail-over", "1.05")
    check("two files of the same: no change", status == 0 and "0 of 3 changed" in out)
    status, out, _ = run("compare", paths["a"], paths["slower"], "--fail-over", "1.05")
    check("two files, 15 % slower: found, status 1", status == 1 and "3 of 3 changed" in out
          and out.count("slower") == 3)
    status, _, _ = run("compare", paths["a"], paths["slower"])
    check("without --fail-over status 0", status == 0)
    status, _, _ = run("compare", paths["a"], paths["slower"], "--fail-over", "1.3")
    check("under --fail-over status 0", status == 0)
    # The same change while the machine itself is that much slower says nothing.
    with open(paths["slower"]) as file:
        result = json.load(file)
    for row in result["rows"]:
        row["control_us"] = [1.15 * us for us in row["control_us"]]
    with open(paths["slower"], "w") as file:
        json.dump(result, file)
    status, out, _ = run("compare", paths["a"], paths["slower"], "--fail-over", "1.05")
    check("but not where the control loop is slower too", status == 0 and "0 of 3 changed" in out)


def builds_of_changes(folder):
    case = "mlp/4-8-2/gelu/layer/forward/1/float32"
    builds = {}
    for name, factor in (("before", 1.0), ("after", 1.05)):
        builds[name] = os.path.join(folder, "builds", name)
        workers(os.path.join(builds[name], "bench"), peer_meander={"factor": factor})
    programs = ["--programs", os.path.join(builds["before"], "bench"), "--case", case, "--fail-over", "1.03"]
    status, out, _ = run("compare", "--builds", builds["before"], builds["after"], *programs)
    check("two builds, 5 % slower: found, status 1", status == 1 and "slower" in out)
    status, out, _ = run("compare", "--builds", builds["after"], builds["before"], *programs)
    check("the other way round: faster, status 0", status == 0 and "faster" in out)
    status, out, _ = run("compare", "--builds", builds["before"], builds["before"], *programs)
    check("a build and itself: no change", status == 0 and "0 of 1 changed" in out)


# ---- pictures --------------------------------------------------------------------------------------------------------

def missing_tasks():
    check("bench peers names the command for tasks whose files are not here",
          peers.not_there("environment_steps/dmc-dog-run").endswith("./meander fetch dm_control")
          and peers.not_there("environment_step/robomimic-can").endswith("./meander fetch robomimic")
          and "fetch" not in peers.not_there("mfpo_update/Humanoid"))


def pictures(folder):
    gap = picture.apart([0.5, 0.5, 0.52, 0.1], 0.05)
    ordered = sorted(gap)
    check("names beside lines are apart, in the lines' order", all(b - a > 0.0499 for a, b in zip(ordered, ordered[1:]))
          and gap[3] == ordered[0] and gap[2] == ordered[3])
    if not shutil.which("gnuplot"):
        return print("skipped: without gnuplot nothing is drawn")
    path = os.path.join(folder, "rows.svg")
    run("mlp", "--programs", workers(os.path.join(folder, "good")), "--with", "onednn", "--with", "openblas:auto",
        "--rows", "1,8,64", "--pass", "forward,jvp", "--plot", path)
    with open(path) as file:
        drawn = file.read()
    check("a picture names its lines", drawn.startswith("<?xml") and drawn.count("openblas:auto") >= 3
          and "roofline" in drawn and "GFLOP/s" in drawn and "jvp, 87,256,256,256,6 gelu" in drawn)


PARTS = (bad_input, contenders_that_fail, interruption, full_disk, statistics_of_changes, files_of_changes,
         builds_of_changes, missing_tasks, pictures)
with tempfile.TemporaryDirectory() as scratch:
    for part in PARTS:
        if sys.argv[2:] and part.__name__ not in sys.argv[2:]:
            continue
        part(*([scratch] if part.__code__.co_argcount else []))
sys.exit(1 if failures else 0)
