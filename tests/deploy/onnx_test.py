#!/usr/bin/env python3
"""Protects the ONNX graphs of `meander export --onnx`: small runs of several algorithms are trained and exported, and
ONNX Runtime decides as deploy/meander_policy.h does, on random observations with the noise of meander_normals.

    onnx_test.py --program MEANDER --runtime MODULE    MODULE: meander_policy.cpp as a shared library
    onnx_test.py --install                             makes the virtual environment .deps/onnx, and nothing else

Without that environment the test says "skipped: ..." and why.
"""
import argparse
import ctypes
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench", "peers"))
from virtual_environment import ROOT, NotInstalled, python_in, read_requirements  # noqa: E402

ENVIRONMENT = os.path.join(ROOT, ".deps", "onnx")
REQUIREMENTS = os.path.join(HERE, "requirements-onnx.txt")
OBSERVATIONS = 200
# Both sum in float32, each in its own order: numbers of actions agree to 1e-5, and so do values, relative to 1 + |q|.
# One that is the mean of a distribution is a sum of returns, of whose size are its errors: some units in the last place.
TOLERANCE, TOLERANCE_OF_RETURNS = 1e-5, 1e-6
# Of two candidates worth the same to rounding either may be taken: that is rare, and it is another action altogether.
MOST_TIES, OTHER_ACTION = 2, 1e-3

# name -> words of `train`, words of `export`. The networks have their usual sizes, on which rounding depends.
RUNS = {
    "mfpo": (["--algo", "mfpo", "--env", "HalfCheetah-v4", "--set", "observation_scaling=standard"], []),
    "mfpo, 1 candidate": ("mfpo", ["--candidates", "1"]),
    "som": (["--algo", "som", "--env", "HalfCheetah-v4"], []),
    "som, tanh": (["--algo", "som", "--env", "Hopper-v4", "--set", "bound=tanh"], ["--candidates", "8"]),
    "mvp": (["--algo", "mvp", "--env", "Pendulum-v1", "--data", "data.npz"], []),
    "qc": (["--algo", "qc", "--env", "Pendulum-v1", "--data", "data.npz"], []),
    "fql": (["--algo", "fql", "--env", "Pendulum-v1", "--data", "data.npz"], ["--candidates", "16"]),
    "flow_map": (["--algo", "flow_map", "--env", "Pendulum-v1", "--data", "data.npz"], []),
    "sac": (["--algo", "sac", "--env", "HalfCheetah-v4", "--set", "observation_scaling=standard"], []),
}


# ---- the runtime ----------------------------------------------------------------------------------------------------

class Policy(ctypes.Structure):
    _fields_ = [("blob", ctypes.c_void_p), ("fallback", ctypes.c_void_p),
                *[(name, ctypes.c_uint32) for name in ("observations", "actions", "chunk", "candidates", "has_critics",
                                                       "tests", "isa")]]


class Noise(ctypes.Structure):
    _fields_ = [("seed", ctypes.c_uint64), ("step", ctypes.c_uint64), ("purpose", ctypes.c_uint32)]


class Runtime:
    """meander_policy.h on one blob."""

    def __init__(self, module, blob):
        self.c = ctypes.CDLL(module)
        self.c.meander_workspace_size.restype = ctypes.c_size_t
        self.c.meander_status_text.restype = ctypes.c_char_p
        self.blob, self.policy = aligned(len(blob)), Policy()
        self.blob[:] = np.frombuffer(blob, np.uint8)
        self.call("meander_policy_open", address(self.blob), ctypes.c_size_t(len(blob)), 1)
        self.workspace = aligned(self.c.meander_workspace_size(ctypes.byref(self.policy), 0))
        self.numbers = self.policy.chunk * self.policy.actions

    def call(self, name, *arguments):
        status = getattr(self.c, name)(ctypes.byref(self.policy), *arguments)
        if status:
            sys.exit(f"{name}: {self.c.meander_status_text(status).decode()}")

    def normals(self, noise, rows):
        drawn = np.empty((rows, self.numbers), np.float32)
        self.call("meander_normals", noise, ctypes.c_size_t(drawn.size), address(drawn))
        return drawn

    def act(self, observation, noise, with_q):
        action, q = np.empty(self.numbers, np.float32), ctypes.c_float()
        self.call("meander_act", address(self.workspace), ctypes.c_size_t(self.workspace.size), address(observation),
                  noise, 0, address(action), ctypes.byref(q) if with_q else None)
        return action, q.value

    def text(self):
        text, size = ctypes.c_char_p(), ctypes.c_size_t()
        self.call("meander_policy_text", ctypes.byref(text), ctypes.byref(size))
        return ctypes.string_at(text, size.value).decode()


def address(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def aligned(size):
    """Bytes from a multiple of 64 on."""
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start:start + size]


# ---- the test -------------------------------------------------------------------------------------------------------

def check_file(model, runtime):
    """What the graph says of itself, against the blob; returns the numbers of candidates and failures."""
    policy, failures = runtime.policy, []
    candidates = policy.candidates
    gaussian = candidates == 1 and len(model.graph.input) == 1
    expected = {"observation": [1, policy.observations], "action": [1, runtime.numbers]}
    if not gaussian:
        expected["noise"] = [candidates, runtime.numbers]
    if candidates > 1:
        expected["q"] = [1, 1]
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
              for value in [*model.graph.input, *model.graph.output]}
    if shapes != expected:
        failures.append(f"shapes {shapes}, expected {expected}")
    said = [f"{entry.key} {entry.value}" for entry in model.metadata_props
            if entry.key not in ("action_low", "action_high")]
    if said != runtime.text().splitlines():
        failures.append("the metadata are not the text of the blob")
    return candidates, failures


def compare(name, folder, module):
    """One line of what differs; returns failures."""
    path = os.path.join(folder, "policy.onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    with open(os.path.join(folder, "policy.mpol"), "rb") as file:
        runtime = Runtime(module, file.read())
    candidates, failures = check_file(model, runtime)
    constants = {constant.name: onnx.numpy_helper.to_array(constant) for constant in model.graph.initializer}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wants_noise = any(value.name == "noise" for value in session.get_inputs())

    random = np.random.default_rng(1)
    worst_action = worst_q = worst_of_tolerance = ties = 0
    largest_return = float(np.max(np.abs(constants.get("critic/atoms", 0))))
    for step in range(OBSERVATIONS):
        observation = random.standard_normal(runtime.policy.observations).astype(np.float32)
        if "observation/mean" in constants:
            observation = constants["observation/mean"] + constants["observation/deviation"] * observation
        noise = Noise(7, step, 18)
        feeds = {"observation": observation[None]}
        if wants_noise:
            feeds["noise"] = runtime.normals(noise, candidates)
        action, q = [*session.run(None, feeds), None][:2]
        expected, expected_q = runtime.act(observation, noise, candidates > 1)
        off_q = 0 if q is None else abs(float(q[0, 0]) - expected_q)
        off_q_of_tolerance = off_q / max(TOLERANCE * (1 + abs(expected_q)), TOLERANCE_OF_RETURNS * largest_return)
        off = float(np.max(np.abs(action[0] - expected)))
        worst_q, worst_of_tolerance = max(worst_q, off_q), max(worst_of_tolerance, off_q_of_tolerance)
        if candidates > 1 and off > OTHER_ACTION and off_q_of_tolerance <= 1:
            ties += 1
        else:
            worst_action = max(worst_action, off)
    if not worst_action <= TOLERANCE:
        failures.append(f"actions differ by {worst_action:.2g}")
    if not worst_of_tolerance <= 1:
        failures.append(f"values differ by {worst_q:.2g}, {worst_of_tolerance:.2g} times the tolerance")
    if ties > MOST_TIES:
        failures.append(f"{ties} times another candidate was taken")
    print(f"{name:<20} {candidates:>10} {len(model.graph.node):>6} {worst_action:>10.2g} {worst_q:>10.2g} {ties:>5}  "
          f"{'; '.join(failures) or 'passed'}", flush=True)
    return failures


def main(program, module):
    def meander(folder, *words):
        done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"meander {' '.join(words)}: {done.stderr.strip()}")

    failed = 0
    print(f"{'':<20} {'candidates':>10} {'nodes':>6} {'action':>10} {'q':>10} {'ties':>5}")
    with tempfile.TemporaryDirectory() as scratch:
        meander(scratch, "collect", "--env", "Pendulum-v1", "--steps", "600", "--out", "data.npz", "--threads", "1")
        for name, (train, export) in RUNS.items():
            run = train if isinstance(train, str) else name
            if run == name:
                meander(scratch, "train", *train, "--out", run, "--quiet", "--steps", "140", "--threads", "1", "--set",
                        "start_steps=100", "--set", "evaluation_episodes=1", "--set", "evaluation_interval=140",
                        "--set", "batch_size=32", *(["--set", "offline_steps=20"] if "--data" in train else []))
            meander(scratch, "export", run, "--out", "policy.mpol", "--onnx", "policy.onnx", *export)
            failed += bool(compare(name, scratch, module))
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--program")
    parser.add_argument("--runtime")
    options = parser.parse_args()
    if os.path.realpath(sys.prefix) != os.path.realpath(ENVIRONMENT):
        try:
            refused = None if options.install else "./meander test --onnx does that"
            python = python_in(ENVIRONMENT, read_requirements(REQUIREMENTS), refused,
                               lambda text: print(f"meander: {text}", file=sys.stderr, flush=True))
        except (NotInstalled, OSError) as reason:
            print(f"skipped: ONNX Runtime is {reason}")
            sys.exit(1 if options.install else 0)
        if options.install:
            sys.exit(0)
        os.execv(python, [python, "-I", os.path.abspath(__file__), *sys.argv[1:]])
    import numpy as np
    import onnx
    import onnxruntime
    sys.exit(main(os.path.abspath(options.program), os.path.abspath(options.runtime)))
