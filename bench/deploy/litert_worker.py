#!/usr/bin/env python3
"""LiteRT with XNNPACK, by its Python package: a worker of `bench deploy` as worker.h describes them. Its package has
no stable C interface, so Python calls it; the median of an empty call (one addition) is taken off every time."""
import ctypes
import json
import os
import resource
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from litert_graph import empty

CHECKED_ROWS = 64


def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def microseconds_of(call):
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e3


def main():
    observations, numbers, candidates = map(int, sys.argv[2:5])
    rows = np.fromfile(sys.argv[1], np.float32).reshape(-1, observations + candidates * numbers)
    start = time.perf_counter_ns()
    interpreter = Interpreter(sys.argv[5], num_threads=1)
    interpreter.allocate_tensors()
    load_us = (time.perf_counter_ns() - start) / 1e3
    observation, noise = (each["index"] for each in interpreter.get_input_details())
    action = interpreter.get_output_details()[0]["index"]
    invoke = interpreter.invoke

    def call(i):
        row = rows[i % len(rows)]
        interpreter.set_tensor(observation, row[:observations].reshape(1, -1))
        interpreter.set_tensor(noise, row[observations:].reshape(candidates, -1))
        return microseconds_of(invoke)

    first = call(0)
    from importlib.metadata import version
    print(json.dumps({"version": version("ai-edge-litert"), "load_us": load_us, "first_us": first,
                      "resident_kib": resident_kib()}), flush=True)
    nothing = Interpreter(model_content=empty(), num_threads=1)
    nothing.allocate_tensors()
    counter = getattr(ctypes.CDLL(None), "meander_bench_allocations", None) if "LD_PRELOAD" in os.environ else None
    if counter:
        counter.restype = ctypes.c_ulong
    for line in sys.stdin:
        request = json.loads(line)
        size = 0.0
        for i in range(CHECKED_ROWS):
            call(i)
            size += float(np.abs(interpreter.get_tensor(action)).mean())
        took_nothing = float(np.median([microseconds_of(nothing.invoke) for _ in range(500)]))
        us = np.empty(request["calls"], np.float32)
        other = np.zeros(request.get("cold", 0), np.uint8)
        for i in range(request["calls"]):
            other[::64] += 1
            us[i] = call(i)
        if counter:
            before = counter()
            for _ in range(100):
                invoke()
            allocations = (counter() - before) / 100
        np.maximum(us - np.float32(took_nothing), 0).tofile(request["to"])
        print(json.dumps({"check": size / CHECKED_ROWS, "empty_us": took_nothing}
                         | ({"allocations": allocations} if counter else {})), flush=True)


if __name__ == "__main__":
    main()
