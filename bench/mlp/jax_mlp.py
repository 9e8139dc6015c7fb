"""Any perceptron in JAX: one jitted function a case."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mlp_worker  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

ACTIVATIONS = {"relu": jax.nn.relu, "gelu": lambda x: jax.nn.gelu(x, approximate=True), "tanh": jnp.tanh,
               "mish": lambda x: x * jnp.tanh(jax.nn.softplus(x)), "silu": jax.nn.silu}


def layer_norm(x, scale, shift):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + mlp_worker.EPS) * scale + shift


def network(d):
    def product(x, weight):
        if d.precision != "bfloat16":
            return x @ weight
        return jnp.dot(x.astype(jnp.bfloat16), weight.astype(jnp.bfloat16), preferred_element_type=jnp.float32)

    def forward(p, x):
        for layer in range(d.layers):
            x = product(x, p[f"weight_{layer}"]) + p[f"bias_{layer}"]
            if layer + 1 == d.layers:
                return x
            if d.norm == "layer":
                x = layer_norm(x, p[f"scale_{layer}"], p[f"shift_{layer}"])
            x = ACTIVATIONS[d.activation](x)
            if d.norm == "layer-after":
                x = layer_norm(x, p[f"scale_{layer}"], p[f"shift_{layer}"])
    return forward


def functions(d):
    """The pass as a function of the numbers it reads, and their names."""
    net = network(d)
    loss = lambda p, x, c: (net(p, x) * c).sum()
    along = lambda p, x, dx: jax.jvp(lambda x: net(p, x), (x,), (dx,))
    in_order = lambda tree: [tree[name] for name in d.names()]

    def best(p, x, own):
        y = net(p, jnp.concatenate([jnp.repeat(x, mlp_worker.CANDIDATES, 0), own], 1))
        return [y.reshape(x.shape[0], -1).max(1)]

    def jvp_and_gradient(p, x, dx, c):
        def both(p):
            y, dy = along(p, x, dx)
            return (y * c).sum(), (y, jax.lax.stop_gradient(dy))
        gradient, (y, dy) = jax.grad(both, has_aux=True)(p)
        return [y, dy, *in_order(gradient)]

    def hessian_vector_product(p, x, c, v):
        return in_order(jax.jvp(lambda p: jax.grad(loss)(p, x, c), (p,), (v,))[1])

    return {"forward": (lambda p, x: [net(p, x)], ["x"]),
            "jvp": (lambda p, x, dx: list(along(p, x, dx)), ["x", "dx"]),
            "backward": (lambda p, x, c: in_order(jax.grad(loss)(p, x, c)), ["x", "c"]),
            "jvp+backward": (jvp_and_gradient, ["x", "dx", "c"]),
            "hvp": (hessian_vector_product, ["x", "c"]),
            "input-gradient": (lambda p, x, c: [jax.grad(loss, 1)(p, x, c)], ["x", "c"]),
            "candidates": (best, ["x", "own"])}[d.what]


def make(options):
    def prepare(d, data):
        if d.precision == "tf32" and options.device == "cpu":
            raise ValueError("no tf32 on this processor")
        if options.device != "cpu":   # JAX's own default there is tf32
            jax.config.update("jax_default_matmul_precision", "default" if d.precision == "tf32" else "highest")
        function, names = functions(d)
        inputs = [jnp.asarray(data["net." + name]) for name in names]
        p = {name: jnp.asarray(data["net." + name]) for name in d.names()}
        if d.what == "hvp":
            inputs.append({name: jnp.asarray(data["dnet." + name]) for name in d.names()})
        jitted = jax.jit(function)

        def call():
            call.last = jax.block_until_ready(jitted(p, *inputs))
        return call, lambda: [np.asarray(array) for array in call.last]

    return jax.__version__, "jit", mlp_worker.PASSES, prepare


if __name__ == "__main__":
    mlp_worker.serve(make)
