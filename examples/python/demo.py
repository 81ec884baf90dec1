"""A toy engine in Python with checkpoints; uses numpy and torch where they are installed."""

import array
import math
import sys

import orch_log

for token in range(3):
    x = array.array("f", (math.sin(token * 16 + i) for i in range(16)))
    orch_log.log("embedding", x, token, shape=(1, 16))
    for layer in range(2):
        x = array.array("f", (math.tanh(1.5 * v + 0.1 * (layer + 1)) for v in x))
        orch_log.log(f"layer_{layer}_output", x, token, shape="[1,16]")
    orch_log.log("logits", array.array("d", (math.exp(v) for v in x)), token)

orch_log.log("nonfinite", array.array("f", [1, math.nan, math.inf, -math.inf, -0.0]))
orch_log.log("bits", array.array("H", [0x3F80, 0xC000]), dtype="bf16")
orch_log.log("tokens", [1, 15043, 29892])

if "numpy" in sys.argv:
    import numpy

    matrix = numpy.arange(12, dtype=numpy.float32).reshape(3, 4) / 7
    orch_log.log("numpy", matrix)
    orch_log.log("numpy_strided", matrix.T)
    orch_log.log("numpy_f16", matrix.astype(numpy.float16))

if "torch" in sys.argv:
    import torch

    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7
    orch_log.log("torch", tensor)
    orch_log.log("torch_strided", tensor.t())
    orch_log.log("torch_bf16", tensor.to(torch.bfloat16).requires_grad_())

orch_log.flush()
print("done")
