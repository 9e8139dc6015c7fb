"""The numbers all peers work on, in one file."""
import array
import json
import math
import os
import random
import struct

DATA_VERSION = 1  # a change of write_data gives a new file


def write_data(path):
    """A safetensors file of float32, from Python's own generator: the same on every machine."""
    gauss, uniform = random.Random(1).gauss, random.Random(2).uniform
    tensors = {}

    def normal(name, shape, deviation=1.0, mean=0.0):
        tensors[name] = shape, array.array("f", [gauss(mean, deviation) for _ in range(math.prod(shape))])

    def network(prefix, widths, normed_layers):
        for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            normal(f"{prefix}.weight_{layer}", (inputs, outputs), inputs ** -0.5)
            normal(f"{prefix}.bias_{layer}", (outputs,), 0.1)
            if layer < normed_layers:
                normal(f"{prefix}.scale_{layer}", (outputs,), 0.1, 1.0)
                normal(f"{prefix}.shift_{layer}", (outputs,), 0.1)

    network("mlp", (87, 256, 256, 256, 6), 3)
    normal("mlp.x", (12288, 87))
    normal("mlp.dx", (12288, 87))
    normal("mlp.dy", (12288, 6))
    network("chain", (256, 256, 256, 256, 16), 3)
    normal("chain.x", (12288, 256))
    network("one_step.actor", (73, 512, 512, 512, 512, 25), 0)
    for critic in ("critic_0", "critic_1"):
        network(f"one_step.{critic}", (71, 512, 512, 512, 512, 1), 4)
    normal("one_step.state", (1, 46))
    normal("one_step.noise", (32, 25))
    for task, observations, actions in (("HalfCheetah", 17, 6), ("Humanoid", 376, 17)):
        prefix = f"update.{task}."
        normal(prefix + "state", (256, observations))
        normal(prefix + "action", (256, actions))
        shape, values = tensors[prefix + "action"]
        tensors[prefix + "action"] = shape, array.array("f", [min(1.0, max(-1.0, a)) for a in values])
        normal(prefix + "reward", (256, 1))
        tensors[prefix + "mask"] = (256, 1), array.array("f", [1.0] * 256)
        normal(prefix + "next_state", (256, observations))
    normal("norm.x", (12288, 256))
    normal("norm.scale", (256,), 0.1, 1.0)
    normal("norm.shift", (256,), 0.1)
    prob = []
    for _ in range(256):
        row = [math.exp(gauss(0, 1)) for _ in range(101)]
        prob += [p / sum(row) for p in row]
    tensors["c51.prob"] = (256, 101), array.array("f", prob)
    tensors["c51.position"] = (256, 101), array.array("f", [uniform(-1700, 1700) for _ in range(256 * 101)])
    for name in ("params", "gradient", "m", "v"):
        normal(f"adam.{name}", (1, 1048576))
    tensors["adam.v"] = (1, 1048576), array.array("f", [abs(v) + 1e-3 for v in tensors["adam.v"][1]])

    header, offset = {}, 0
    for name, (shape, values) in tensors.items():
        size = 4 * len(values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".partial", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, values in tensors.values():
            file.write(values.tobytes())
    os.replace(path + ".partial", path)
