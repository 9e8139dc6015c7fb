"""What the frameworks' workers for perceptrons share: the conversation with the driver, the numbers, the clock.

    WORKER --threads N [--variant NAME] [--device cpu|cuda]

answers a line of JSON for each line, as the C++ workers do (../peers/protocol.h).
"""
import argparse
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers"))
import numpy as np  # noqa: E402

from worker import time_calls  # noqa: E402

PASSES = ["forward", "jvp", "backward", "jvp+backward", "hvp", "input-gradient", "candidates"]
CANDIDATES = 32
EPS = 1e-6


class Description:
    """A perceptron and what is asked of it, from the name of a case: mlp/87-256-6/gelu/layer/forward/256/float32."""

    def __init__(self, name):
        _, layers, self.activation, self.norm, self.what, rows, self.precision = name.split("/")
        self.widths, self.rows = [int(width) for width in layers.split("-")], int(rows)
        self.layers = len(self.widths) - 1

    def normed(self, layer):
        return self.norm != "none" and layer + 1 < self.layers

    def names(self):
        """Of the parameters, in the order of their derivatives."""
        return [f"{kind}_{layer}" for layer in range(self.layers)
                for kind in (("weight", "bias", "scale", "shift") if self.normed(layer) else ("weight", "bias"))]


def load(path):
    """A safetensors file as a dictionary of arrays."""
    types = {"F32": np.float32, "F64": np.float64}
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    header.pop("__metadata__", None)
    return {name: np.frombuffer(body[slice(*entry["data_offsets"])], types[entry["dtype"]])
            .reshape(entry["shape"]).copy() for name, entry in header.items()}


def deviation(results, data):
    """|result - expected| / |expected|, the largest of all arrays."""
    expected = [data[f"expected.{i}"] for i in range(sum(name.startswith("expected.") for name in data))]
    if len(results) != len(expected):
        return 1e30
    worst = 0.0
    for got, want in zip(results, expected):
        got = np.asarray(got, np.float64).reshape(-1)
        if got.shape != want.shape or not np.isfinite(got).all():
            return 1e30
        difference, size = np.linalg.norm(got - want), np.linalg.norm(want)
        worst = max(worst, difference / size if size else 1e30 * (difference > 0))
    return float(worst)


def serve(make):
    """make(options) gives version, note, passes and prepare(description, data), which gives (call, results): call()
    does the work once and returns when it is done, results() are its arrays in the order of expected.0, ..."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--variant", default="")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    out = os.fdopen(os.dup(1), "w", buffering=1)   # what a library prints must not end up between the answers
    os.dup2(2, 1)
    version, note, passes, prepare = make(options)

    def say(**answer):
        out.write(json.dumps(answer) + "\n")
        out.flush()

    say(version=version, note=note, passes=passes, cases=[])
    ready, call, results, data = None, None, None, {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if ready != (request["case"], request["data"]):
                ready, call, results = None, None, None
                data = load(request["data"])
                call, results = prepare(Description(request["case"]), data)
                for _ in range(3):
                    call()
                ready = request["case"], request["data"]
            times = time_calls(call, request["samples"], request["seconds"])
            say(us=times, deviation=deviation(results(), data))
        except Exception as error:   # one case that fails must not end the others
            say(error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
