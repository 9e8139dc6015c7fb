"""What the Python peers share: the conversation with the driver, the data file, the networks of MFPO as arrays.

    WORKER --threads N --data FILE      answers requests on standard input, one line of JSON each (see ../README.md)
    WORKER --threads N --verify FILE    replays the recorded updates of FILE (tests/data/mfpo_small.safetensors), prints
                                        the largest relative error of each loss and fails above one in a thousand
PyTorch's and JAX's also take --device cpu or cuda and --precision float32, tf32 or bfloat16, of products.
"""
import argparse
import json
import math
import os
import struct
import sys
import time

import numpy as np

from cases import CHAIN_ROWS, MLP_ROWS

WIDTH, TIME_FEATURES, TIME_WIDTH, ATOMS = 256, 64, 64, 101
TASKS = {"HalfCheetah": dict(observations=17, actions=6, clipped_double_q=False),
         "Humanoid": dict(observations=376, actions=17, clipped_double_q=True)}


def option(name, default):
    """The value of an option of the command line, for what a module does when it is imported."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


# ---- files -----------------------------------------------------------------------------------------------------------

def load(path):
    """A safetensors file of float32 as a dictionary of arrays."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(body[begin:end], np.float32).reshape(entry["shape"]).copy()
    return tensors


def load_settings(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return json.loads(header["__metadata__"]["settings"])


def part(data, prefix):
    """The tensors of a dictionary whose names begin with prefix, without it."""
    return {name[len(prefix):]: array for name, array in data.items() if name.startswith(prefix)}


# ---- the networks of MFPO --------------------------------------------------------------------------------------------

def _dense(random, into, name, inputs, outputs):
    limit = math.sqrt(6 / (inputs + outputs))
    into[name + "/kernel"] = random.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
    into[name + "/bias"] = np.zeros(outputs, np.float32)


def _trunk(random, into, inputs, outputs):
    for layer, (rows, columns) in enumerate(((inputs, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, outputs))):
        _dense(random, into, f"dense_{layer}", rows, columns)
        if layer < 3:
            into[f"norm_{layer}/scale"] = np.ones(WIDTH, np.float32)
            into[f"norm_{layer}/bias"] = np.zeros(WIDTH, np.float32)
    return into


def flow_network(random, observations, actions, outputs):
    """Parameters of a network of (state, action, t, h): the mean velocity or the average divergence."""
    parameters = {}
    for embedding in ("emb_t", "emb_h"):
        parameters[embedding + "/freq"] = (0.2 * random.standard_normal((TIME_FEATURES, 1))).astype(np.float32)
        _dense(random, parameters, embedding + "/dense_0", 2 * TIME_FEATURES, TIME_WIDTH)
        _dense(random, parameters, embedding + "/dense_1", TIME_WIDTH, TIME_WIDTH)
    return _trunk(random, parameters, actions + observations + TIME_WIDTH, outputs)


class Settings:
    """Sizes and constants of one MFPO learner."""

    def __init__(self, observations, actions, clipped_double_q, v_min=-1600.0, v_max=1600.0, alpha=0.01):
        self.observations, self.actions, self.clipped_double_q = observations, actions, clipped_double_q
        self.v_min, self.v_max, self.alpha = v_min, v_max, alpha
        self.spacing = (v_max - v_min) / (ATOMS - 1)
        self.target_entropy = -0.5 * actions
        self.steps, self.policy_proposals, self.gauss_proposals, self.probes = 2, 16, 32, 2
        self.discount, self.tau, self.learning_rate, self.same_share = 0.99, 0.005, 3e-4, 0.75
        self.evaluation_candidates = 10

    def atoms(self):
        return np.linspace(self.v_min, self.v_max, ATOMS, dtype=np.float32)


def learner(task):
    """Settings and starting parameters of the learner of a task of TASKS."""
    settings = Settings(**TASKS[task])
    random = np.random.default_rng(1)
    s, a = settings.observations, settings.actions
    networks = {"actor": flow_network(random, s, a, a), "divergence": flow_network(random, s, a, 1),
                "critic1": _trunk(random, {}, s + a, ATOMS), "critic2": _trunk(random, {}, s + a, ATOMS),
                "log_alpha": np.full((), math.log(settings.alpha), np.float32)}
    return settings, networks


def batch_of(data, task):
    """The batch of a task in the data file, with column vectors squeezed."""
    batch = part(data, f"update.{task}.")
    return {name: batch[name].reshape(-1) if name in ("reward", "mask") else batch[name]
            for name in ("state", "action", "reward", "mask", "next_state")}


# ---- recorded updates ------------------------------------------------------------------------------------------------

def recorded(path):
    """Settings, starting networks and, for each recorded update, its batch, draws and losses."""
    data, sizes = load(path), load_settings(path)
    settings = Settings(sizes["obs"], sizes["act"], sizes["use_cdq"], sizes["v_min"], sizes["v_max"],
                        sizes["alpha_init"])
    networks = {own: part(data, f"init/{theirs}/params/") for own, theirs in
                (("actor", "actor"), ("divergence", "div"), ("critic1", "critic1"), ("critic2", "critic2"))}
    networks["log_alpha"] = data["init/log_alpha"].reshape(())
    updates = []
    for number in range(1, sizes["updates"] + 1):
        noise, out = part(data, f"u{number}/noise/"), part(data, f"u{number}/out/")
        read = part(data, f"u{number}/batch/")
        batch = {"state": read["obs"], "action": read["act"], "reward": read["rew"], "mask": read["mask"],
                 "next_state": read["next_obs"]}
        draws = {"next": noise["next_z"], "times": np.stack([noise["tr_normal_a"], noise["tr_normal_b"]]),
                 "policy": noise["k1_z"], "noise": noise["xt_e"], "gauss": noise["k2_uniform"],
                 "divergence_times": np.stack([noise["div_tr_normal_a"], noise["div_tr_normal_b"]]),
                 "divergence_noise": noise["div_e"], "probe": noise["div_probe"]}
        losses = {name: float(out[name][0]) for name in
                  ("critic_loss1", "critic_loss2", "actor_loss", "div_loss", "temp_loss", "entropy")}
        updates.append((batch, draws, losses))
    return settings, networks, updates


# ---- the conversation ------------------------------------------------------------------------------------------------

def named_cases(of, data):
    """The cases under their names, from the functions that a framework's worker has for them."""
    cases = {f"mfpo_update/{task}": of["update_case"](data, task) for task in TASKS}
    cases |= {"act/mfpo_explore": of["acting_case"](data, 1), "act/mfpo_evaluate_10": of["acting_case"](data, 10),
              "act/mfpo_evaluate_32": of["acting_case"](data, 32),
              "act/one_step_32": of["one_step_case"](data), "actor_jvp_reverse/256": of["actor_case"](data),
              "candidates/256x10": of["candidates_case"](data), "adam_ema/1048576": of["adam_case"](data),
              "layer_norm_gelu/12288": of["layer_norm_case"](data), "c51_projection/256": of["projection_case"](data)}
    for rows in MLP_ROWS:
        for what in ("forward", "value_and_tangent", "backward"):
            cases[f"mlp_{what}/{rows}"] = of["network_case"](data, "mlp", rows, what)
    for rows in CHAIN_ROWS:
        cases[f"chain/{rows}"] = of["network_case"](data, "chain", rows, "forward")
    return cases


def run(make):
    """Reads the command line and serves. make(threads, data) gives who, version, note and the cases: a dictionary of
    functions that prepare a case and give (call, check): call() does the work once and returns when it is done; with an
    attribute wait it queues the work, and wait() returns when all is done; with an attribute calls it does the work so
    many times. call.flop and call.bytes may state the work of one time. check, a number, a function or None, is the
    mean absolute value of the result. make.verify replays recorded updates."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--data")
    parser.add_argument("--verify")
    options, more = parser.parse_known_args()
    # Whatever a library prints must not end up between the answers.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if options.verify:
        sys.exit(_verify(make, options, out))
    who, version, note, cases = make(options.threads, load(options.data) if options.data else {}, more)

    def say(**answer):
        out.write(json.dumps(answer) + "\n")
        out.flush()

    say(who=who, version=version, note=note, cases=sorted(cases))
    prepared = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["case"]
        try:
            if name not in prepared:
                if name not in cases:
                    raise KeyError(f"no case {name}")
                call, check = cases[name]()
                for _ in range(3):
                    call()
                getattr(call, "wait", lambda: None)()
                prepared[name] = call, check() if callable(check) else check
            call, check = prepared[name]
            answer = {"us": time_calls(call, request["samples"], request["seconds"])}
            if check is not None:
                answer["check"] = float(check)
            answer |= {work: getattr(call, work) for work in ("flop", "bytes") if hasattr(call, work)}
            say(**answer)
        except Exception as error:  # one case that fails must not end the others
            say(error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def time_calls(call, samples, seconds):
    """Microseconds a call of each sample: a sample repeats the call until it took at least `seconds`."""
    clock, wait, calls = time.perf_counter_ns, getattr(call, "wait", None), getattr(call, "calls", 1)
    times, repeats = [], 1
    if seconds == 0 and not wait:
        for _ in range(samples):
            start = clock()
            call()
            times.append((clock() - start) / 1e3)
        return times
    while len(times) < samples:
        start = clock()
        for _ in range(repeats):
            call()
        if wait:
            wait()
        took = clock() - start
        if took < seconds * 1e9:
            repeats = max(repeats + 1, math.ceil(repeats * min(10, 1.1 * seconds * 1e9 / max(took, 1))))
        else:
            times.append(took / repeats / calls / 1e3)
    return times


def _verify(make, options, out):
    worst = 0.0
    for number, (expected, got) in enumerate(make.verify(options.threads, *recorded(options.verify)), 1):
        for name, value in expected.items():
            error = abs(got[name] - value) / max(abs(value), 1e-3)
            worst = max(worst, error)
            out.write(f"update {number}  {name:14} {got[name]:12.6f}  recorded {value:12.6f}  error {error:.1e}\n")
    out.write(f"largest relative error {worst:.1e}\n")
    return 0 if worst < 1e-3 else 1
