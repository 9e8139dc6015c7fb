#!/usr/bin/env python3
"""The kernels of bench_gpu in PyTorch (eager, compiled, CUDA graph) or JAX (jit), at their best: JSON on standard output.

    python3 bench/gpu_peers.py torch|jax

A network 87-256-256-256-6 with LayerNorm and GELU: forward, value and tangent, and the gradient by the parameters at a
value-and-tangent pass, in float32 (products in tf32 on and off). Times are medians of samples that wait for the device once.
"""
import json
import statistics
import sys
import time

ROWS = (64, 256, 1024, 4096, 12288)
WIDTHS = (87, 256, 256, 256, 6)
SAMPLES, CALLS = 20, 50


def measure(run, wait):
    """Microseconds of one call."""
    for _ in range(3):
        run()
    wait()
    times = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        for _ in range(CALLS):
            run()
        wait()
        times.append((time.perf_counter() - start) / CALLS * 1e6)
    times.sort()
    return {"us": statistics.median(times), "us_10": times[len(times) // 10], "us_90": times[-1 - len(times) // 10]}


def torch_cases():
    import torch

    device = torch.device("cuda")
    functional = torch.nn.functional
    params = []
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        params += [torch.randn(inputs, outputs, device=device) / inputs**0.5, torch.randn(outputs, device=device) * 0.1,
                   torch.ones(outputs, device=device), torch.zeros(outputs, device=device)]

    def forward(x, *p):
        for layer in range(len(WIDTHS) - 1):
            weight, bias, scale, shift = p[4 * layer:4 * layer + 4]
            x = torch.addmm(bias, x, weight)
            if layer + 2 < len(WIDTHS):
                x = functional.gelu(functional.layer_norm(x, x.shape[1:], scale, shift, 1e-6), approximate="tanh")
        return x

    def tangent(x, dx, *p):
        return torch.func.jvp(lambda v: forward(v, *p), (x,), (dx,))

    def gradient(x, cotangent, *p):
        return torch.func.grad(lambda q: (forward(x, *q) * cotangent).sum())(tuple(p))

    def graphed(function, arguments):
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                function(*arguments)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            function(*arguments)
        return graph.replay

    for tf32 in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        for rows in ROWS:
            x, dx = (torch.randn(rows, WIDTHS[0], device=device) for _ in range(2))
            cotangent = torch.randn(rows, WIDTHS[-1], device=device)
            for name, function, arguments in (("mlp_forward", forward, (x, *params)),
                                              ("mlp_value_and_tangent", tangent, (x, dx, *params)),
                                              ("mlp_backward", gradient, (x, cotangent, *params))):
                ways = {"eager": lambda: function(*arguments)}
                compiled = torch.compile(function)
                try:
                    compiled(*arguments)
                    ways["compiled"] = lambda: compiled(*arguments)
                    ways["graph"] = graphed(compiled, arguments)
                except Exception as error:   # some versions cannot compile a jvp: said, and the others go on
                    print(f"{name}: compiled: {error}", file=sys.stderr)
                for way, run in ways.items():
                    yield {"name": f"{name}/{rows}", "way": way + ("_tf32" if tf32 else ""),
                           **measure(run, torch.cuda.synchronize)}


def jax_cases():
    import jax
    import jax.numpy as jnp

    key = jax.random.PRNGKey(0)
    params = [(jax.random.normal(key, (inputs, outputs)) / inputs**0.5, jnp.zeros(outputs), jnp.ones(outputs),
               jnp.zeros(outputs)) for inputs, outputs in zip(WIDTHS, WIDTHS[1:])]

    def forward(p, x):
        for layer, (weight, bias, scale, shift) in enumerate(p):
            x = x @ weight + bias
            if layer + 1 < len(p):
                mean = x.mean(1, keepdims=True)
                x = (x - mean) * jax.lax.rsqrt(((x - mean)**2).mean(1, keepdims=True) + 1e-6) * scale + shift
                x = jax.nn.gelu(x, approximate=True)
        return x

    for precision in ("float32", "tensorfloat32"):
        with jax.default_matmul_precision(precision):
            for rows in ROWS:
                x, dx = jax.random.normal(key, (2, rows, WIDTHS[0]))
                cotangent = jax.random.normal(key, (rows, WIDTHS[-1]))
                cases = (("mlp_forward", jax.jit(forward), (params, x)),
                         ("mlp_value_and_tangent", jax.jit(lambda p, x, dx: jax.jvp(lambda v: forward(p, v), (x,), (dx,))),
                          (params, x, dx)),
                         ("mlp_backward", jax.jit(jax.grad(lambda p, x, c: (forward(p, x) * c).sum())),
                          (params, x, cotangent)))
                for name, function, arguments in cases:
                    last = [None]

                    def run():
                        last[0] = function(*arguments)

                    yield {"name": f"{name}/{rows}", "way": "jit" + ("_tf32" if precision != "float32" else ""),
                           **measure(run, lambda: jax.block_until_ready(last[0]))}


def main():
    peer = sys.argv[1] if len(sys.argv) > 1 else ""
    if peer not in ("torch", "jax"):
        sys.exit("gpu_peers.py: expected torch or jax")
    print(json.dumps({"peer": peer, "results": list(torch_cases() if peer == "torch" else jax_cases())}, indent=1))


if __name__ == "__main__":
    main()
