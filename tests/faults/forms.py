"""The forms of the PyTorch engine: how it keeps its weights, what it rounds, how it cuts its work."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    dtype: str = "f32"  # of weights and activations, and so of the products
    rounded: str = ""  # f32 products whose weights, inputs and results are rounded to this type
    fused_qkv: bool = False
    grouped: bool = False  # the rows of the fused QKV stand head group by head group
    fused_gate_up: bool = False
    gguf_order: bool = False  # rows of Q and K as GGUF has them, rotation of neighbours
    threads: int = 1
    chunk: int = 0  # tokens of the prompt in one pass; 0: all
    all_logits: bool = False  # the head multiplies every row, not the last alone


FORMS = {
    "unfused": Form(),
    "fused-qkv": Form(fused_qkv=True),
    "fused-qkv-grouped": Form(fused_qkv=True, grouped=True),
    "fused-gate-up": Form(fused_gate_up=True),
    "fused": Form(fused_qkv=True, fused_gate_up=True),
    "gguf-order": Form(gguf_order=True),
    "f16": Form(rounded="f16"),
    "bf16": Form(dtype="bf16"),
    "bf16-rounded": Form(rounded="bf16"),
    "threads-2": Form(threads=2),
    "chunked": Form(chunk=7),
    "fused-chunked": Form(fused_qkv=True, fused_gate_up=True, chunk=9),
    "all-logits": Form(all_logits=True),
}
