"""Any perceptron in PyTorch. Variants: eager, as installed; tuned, the same with malloc thresholds in the environment;
compile, by torch.compile with these."""
import contextlib
import os
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mlp_worker  # noqa: E402

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

warnings.filterwarnings("ignore")
ACTIVATIONS = {"relu": F.relu, "gelu": lambda x: F.gelu(x, approximate="tanh"), "mish": F.mish, "tanh": torch.tanh,
               "silu": F.silu}


def written_out(x, scale, shift):
    """LayerNorm for torch.compile, which cannot trace the tangent of F.layer_norm and fuses this to one loop."""
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + mlp_worker.EPS) * scale + shift


def network(d, compiled):
    def layer_norm(x, p, layer):
        scale, shift = p[f"scale_{layer}"], p[f"shift_{layer}"]
        return written_out(x, scale, shift) if compiled else F.layer_norm(x, x.shape[-1:], scale, shift, mlp_worker.EPS)

    def forward(p, x):
        for layer in range(d.layers):
            x = torch.addmm(p[f"bias_{layer}"], x, p[f"weight_{layer}"])
            if layer + 1 == d.layers:
                return x
            if d.norm == "layer":
                x = layer_norm(x, p, layer)
            x = ACTIVATIONS[d.activation](x)
            if d.norm == "layer-after":
                x = layer_norm(x, p, layer)
    return forward


def make(options):
    torch.set_num_threads(options.threads)
    compiled, device = options.variant == "compile", options.device
    optimised = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)

    def prepare(d, data):
        torch._dynamo.reset() if compiled else None
        tensors = {name: torch.from_numpy(array).to(device) for name, array in data.items()
                   if not name.startswith("expected.")}
        differentiated = d.what in ("backward", "jvp+backward")
        p = {name: tensors["net." + name].requires_grad_(differentiated) for name in d.names()}
        net, parameters = network(d, compiled), list(p.values())
        x, get = tensors["net.x"], lambda name: tensors["net." + name]
        if device == "cuda":
            torch.set_float32_matmul_precision("high" if d.precision == "tf32" else "highest")
        elif d.precision == "tf32":
            raise ValueError("no tf32 on this processor")
        rounded = (torch.autocast(device, torch.bfloat16) if d.precision == "bfloat16" else contextlib.nullcontext())

        def values():
            along = optimised(lambda p, x: net(p, x))
            if d.what == "forward":
                return torch.inference_mode, lambda: [along(p, x)]
            if d.what == "candidates":
                own, count = get("own"), mlp_worker.CANDIDATES
                best = optimised(lambda p, x, own: net(p, torch.cat([x.repeat_interleave(count, 0), own], 1))
                                 .reshape(x.shape[0], -1).max(1).values)
                return torch.inference_mode, lambda: [best(p, x, own)]
            if d.what == "jvp":
                both = optimised(lambda p, x, dx: torch.func.jvp(lambda x: net(p, x), (x,), (dx,)))
                return torch.no_grad, lambda: list(both(p, x, get("dx")))
            if d.what == "input-gradient":
                of_input = optimised(lambda p, x, c: (net(p, x) * c).sum())
                leaf = x.clone().requires_grad_()
                return contextlib.nullcontext, lambda: list(torch.autograd.grad(of_input(p, leaf, get("c")), [leaf]))
            if d.what == "backward":
                loss = optimised(lambda p, x, c: (net(p, x) * c).sum())
                return contextlib.nullcontext, lambda: list(torch.autograd.grad(loss(p, x, get("c")), parameters))
            if d.what == "jvp+backward":
                both = optimised(lambda p, x, dx: torch.func.jvp(lambda x: net(p, x), (x,), (dx,)))

                def gradients():
                    y, dy = both(p, x, get("dx"))
                    return [y, dy, *torch.autograd.grad((y * get("c")).sum(), parameters)]
                return contextlib.nullcontext, gradients
            v = {name: tensors["dnet." + name] for name in d.names()}
            product = optimised(lambda p, v, x, c: torch.func.jvp(
                torch.func.grad(lambda p: (net(p, x) * c).sum()), (p,), (v,))[1])

            def in_order():
                found = product(p, v, x, get("c"))
                return [found[name] for name in d.names()]
            return contextlib.nullcontext, in_order

        mode, work = values()

        def call():
            with mode(), rounded:
                call.last = work()
            if device == "cuda":
                torch.cuda.synchronize()
        return call, lambda: [array.detach().float().cpu().numpy() for array in call.last]

    note = {"eager": "eager, as installed", "tuned": "eager, malloc thresholds",
            "compile": "compiled, malloc thresholds"}
    return torch.__version__, note[options.variant], mlp_worker.PASSES, prepare


if __name__ == "__main__":
    mlp_worker.serve(make)
