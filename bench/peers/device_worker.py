"""What a GPU does at best, through PyTorch: cuBLAS's products of the networks alone, a large product, a copy."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch_worker  # noqa: E402
import worker  # noqa: E402
from cases import CHAIN_ROWS, MLP_ROWS  # noqa: E402

import torch  # noqa: E402

SIZE = 8192 if torch_worker.CUDA else 512  # of the large product; the copy is of 16 times as many bytes
TYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}


def product_flop(x, weight):
    return 2 * x.shape[0] * weight.shape[0] * weight.shape[1]


def network_case(data, prefix, rows):
    """The products of a network one after the other, each layer's result the next one's input: no bias, no norm."""
    def prepare():
        place = lambda name: torch_worker.tensor(data[f"{prefix}.{name}"]).to(TYPES[torch_worker.PRECISION])
        x, weights = place("x")[:rows], [place(f"weight_{layer}") for layer in range(4)]
        between = [x] + [x.new_empty(rows, weight.shape[1]) for weight in weights]

        def products():
            for y, weight, z in zip(between, weights, between[1:]):
                torch.mm(y, weight, out=z)

        call = torch_worker.queued(torch.inference_mode, products)
        call.flop = sum(map(product_flop, between, weights))
        return call, None
    return prepare


def product_case(precision):
    def prepare():
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        a, b = (torch.randn(SIZE, SIZE, device=torch_worker.DEVICE, dtype=TYPES[precision]) for _ in range(2))
        c = torch.empty_like(a)
        call = torch_worker.queued(torch.inference_mode, lambda: torch.mm(a, b, out=c), calls=1)
        call.flop = product_flop(a, b)
        return call, None
    return prepare


def copy_case():
    a = torch.ones(4 * SIZE * SIZE, device=torch_worker.DEVICE)
    b = torch.empty_like(a)
    call = torch_worker.queued(torch.inference_mode, lambda: b.copy_(a), calls=1)
    call.bytes = 8 * a.numel()  # read and written
    return call, None


def make(threads, data, more):
    torch.set_num_threads(threads)
    cases = {f"machine/product_{precision}": product_case(precision) for precision in TYPES}
    cases["machine/copy"] = copy_case
    for prefix, what, all_rows in (("mlp", "mlp_forward", MLP_ROWS), ("chain", "chain", CHAIN_ROWS)):
        cases |= {f"{what}/{rows}": network_case(data, prefix, rows) for rows in all_rows}
    return "cublas", f"torch {torch.__version__}", f"products alone, {torch_worker.PRECISION}", cases


if __name__ == "__main__":
    worker.run(make)
