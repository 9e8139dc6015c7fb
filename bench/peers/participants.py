"""Who takes part, how each is started, and how what it needs is installed."""
import contextlib
import fnmatch
import os
import subprocess
import sys

from cases import CASES, DEVICE_CASES, ROUNDED
from virtual_environment import ROOT, NotInstalled, python_in

HERE = os.path.dirname(os.path.abspath(__file__))
DEPS = os.path.join(ROOT, ".deps", "peers")

NETWORKS = [case for case in CASES if not case.startswith(("environment_", "sac_"))]
PRODUCTS = ["mlp_forward/*", "chain/*"]
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "4294967296",
          "MALLOC_TOP_PAD_": "268435456"}


class Unavailable(Exception):
    """A peer that cannot take part, and why, in one line."""


def say(text):
    program = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    print(f"bench {program}: {text}", file=sys.stderr, flush=True)


def cpu_line(name):
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.split(":")[0].strip() == name:
                return line.split(":", 1)[1].strip()
    return ""


class Peer:
    """Who it is, the patterns of its cases, how its process is started."""

    def __init__(self, who, cases, program=None, venv=None, script=None, arguments=(), environment=None):
        self.who, self.cases, self.program, self.venv, self.script = who, cases, program, venv, script
        self.arguments, self.environment = list(arguments), environment or {}

    def takes(self, case):
        return any(fnmatch.fnmatch(case, pattern) for pattern in self.cases)

    def command(self, options):
        """Makes what is missing; raises Unavailable."""
        if self.who == "jax_authors":
            repository = require_checkout(options.mfpo_repository, "--mfpo-repository", "jaxrl5")
            self.arguments = ["--repository", repository]
        if self.who.startswith("rltools"):
            repository = require_checkout(options.rltools_repository, "--rltools-repository", "include/rl_tools")
            return [build_rltools(repository)]
        if self.venv:
            place = ["--device", "cuda"] if options.device == "cuda" else []  # without a GPU processors stand in
            return [python_of(self.venv, options), os.path.join(HERE, self.script), *self.arguments, *place]
        program = os.path.join(options.programs, self.program)
        if not os.path.exists(program):
            raise Unavailable(f"not installed: no {program}")
        return [program, *self.arguments, *(["--device", options.device] if self.who.startswith("meander") else [])]


def package(name, cases, venv="environments"):
    """A Python package of environments."""
    return Peer(name, cases, venv=venv, script="environments_worker.py", arguments=[name])


PRECISIONS = {"float32": ("", ["*"]), "tf32": ("_tf32", ["*"]), "bfloat16": ("_bf16", ROUNDED)}
DEVICE_MACHINE = Peer("machine", ["machine/*"], venv="torch", script="device_worker.py", arguments=["--graph"])


def device_peers():
    """Those that run on a GPU, in each precision of products they have."""
    def wanted(patterns, precision):
        return [case for case in DEVICE_CASES for pattern in PRECISIONS[precision][1]
                if fnmatch.fnmatch(case, pattern) and any(fnmatch.fnmatch(case, other) for other in patterns)]

    def scripted(who, script, venv="torch", patterns=("*",), arguments=(), precisions=tuple(PRECISIONS)):
        return [Peer(who + PRECISIONS[precision][0], wanted(patterns, precision), venv=venv,
                     script=script, arguments=[*arguments, "--precision", precision],
                     environment={"TORCHINDUCTOR_CACHE_DIR": os.path.join(DEPS, "inductor")})
                for precision in precisions]

    return [Peer("meander", DEVICE_CASES, program="peer_meander"),
            *(Peer(who, wanted(["*"], "bfloat16"), program="peer_meander", arguments=["--who", who])
              for who in ("meander_tf32", "meander_bf16")),
            *scripted("torch_eager", "torch_worker.py", precisions=("float32", "tf32")),
            *scripted("torch_compile", "torch_worker.py", arguments=["--compile"], precisions=("float32", "tf32")),
            *scripted("torch_graph", "torch_worker.py", arguments=["--graph"]),
            *scripted("jax", "jax_worker.py", venv="jax-recent"),
            *scripted("cublas", "device_worker.py", patterns=PRODUCTS, arguments=["--graph"])]


def peers():
    everything = [Peer("meander", CASES, program="peer_meander"),
                  Peer("meander_bf16", NETWORKS, program="peer_meander", arguments=["--who", "meander_bf16"]),
                  Peer("meander_alone", ["environment_steps/*"], program="peer_meander",
                       arguments=["--who", "meander_alone"]),
                  Peer("torch_eager", NETWORKS, venv="torch", script="torch_worker.py"),
                  Peer("torch_eager_tuned", NETWORKS, venv="torch", script="torch_worker.py", arguments=["--tuned"],
                       environment=MALLOC),
                  Peer("torch_compile", NETWORKS, venv="torch", script="torch_worker.py", arguments=["--compile"],
                       environment=MALLOC | {"TORCHINDUCTOR_CACHE_DIR": os.path.join(DEPS, "inductor")}),
                  Peer("jax", NETWORKS, venv="jax", script="jax_worker.py"),
                  Peer("jax_recent", NETWORKS, venv="jax-recent", script="jax_worker.py", arguments=["--recent"]),
                  Peer("jax_authors", ["mfpo_update/*", "act/mfpo_*"], venv="jax", script="authors_worker.py"),
                  Peer("openblas", PRODUCTS, program="peer_openblas"),
                  Peer("openblas_skylakex", PRODUCTS, program="peer_openblas", arguments=["--who", "openblas_skylakex"],
                       environment={"OPENBLAS_CORETYPE": "SKYLAKEX"}),
                  Peer("onednn", PRODUCTS, program="peer_onednn"),
                  package("gymnasium", ["environment_step/*-v4", "environment_step/Pendulum-v1"]),
                  package("dm_control", ["environment_step/dmc-*"]),
                  package("ogbench", ["environment_step/cube-*"]),
                  package("robosuite", ["environment_step/robomimic-*"], venv="robosuite"),
                  Peer("mj_step", ["environment_step/*"], program="peer_mj_step"),
                  Peer("rltools", ["sac_pendulum/*"]),
                  Peer("rltools_skylakex", ["sac_pendulum/*"], environment={"OPENBLAS_CORETYPE": "SKYLAKEX"})]
    if "avx512f" not in cpu_line("flags"):
        everything = [peer for peer in everything if not peer.who.endswith("_skylakex")]
    return everything


def require_checkout(path, option, inside):
    if not path:
        raise Unavailable(f"not installed: {option} names no checkout")
    if not os.path.isdir(os.path.join(path, inside)):
        raise Unavailable(f"no {inside} in {path}")
    return os.path.abspath(path)


# ---- what they need --------------------------------------------------------------------------------------------------

environments = {}  # name -> interpreter, or Unavailable


def python_of(name, options):
    """The interpreter of the virtual environment .deps/peers/NAME, made if need be; on a GPU the one that runs this."""
    if options.device == "cuda":
        return sys.executable
    if name not in environments:
        try:
            environments[name] = make_environment(name, options)
        except Unavailable as reason:
            environments[name] = reason
    if isinstance(environments[name], Unavailable):
        raise environments[name]
    return environments[name]


def make_environment(name, options):
    refused = "run without --no-install, --quick and --device" if options.no_install else None
    try:
        return python_in(os.path.join(DEPS, name), os.path.join(HERE, f"requirements-{name}.txt"), refused, say)
    except NotInstalled as reason:
        raise Unavailable(reason) from None


def build_rltools(repository):
    """Our program against the user's checkout; OpenBLAS under it."""
    program = os.path.join(DEPS, "rltools_worker")
    source = os.path.join(HERE, "rltools", "rltools_worker.cpp")
    stamp = f"{repository} {os.path.getmtime(source)}"
    if os.path.exists(program) and os.path.exists(program + ".stamp"):
        with open(program + ".stamp") as file:
            if file.read() == stamp:
                return program
    command = ["g++", "-std=c++17", "-O3", "-march=native", "-ffast-math", "-DNDEBUG", "-I",
               os.path.join(repository, "include"), "-DRL_TOOLS_BACKEND_ENABLE_OPENBLAS", source, "-o", program,
               "-lopenblas", "-lpthread"]
    say("compiling the RLtools program")
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise Unavailable(f"not installed: {error}")
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise Unavailable(f"does not compile: {(errors or ['no message'])[0]}")
    with open(program + ".stamp", "w") as file:
        file.write(stamp)
    return program
