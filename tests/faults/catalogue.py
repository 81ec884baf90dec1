"""What each fault of plants.py is and what a judge may call it. For scoring only: no trace holds a word of it."""
from dataclasses import dataclass

ONE_PLACE = ("first",)  # the embedding, the last norm and the head have no layer
EVERY = ("first", "middle", "last")
CHUNKED = ("chunked", "fused-chunked")
NO_SHIM = ("bf16", "fused-qkv-grouped")


@dataclass(frozen=True)
class Fault:
    op: str  # where it is; residuals: attn_residual stands before gate and up, ffn_residual behind down
    signatures: frozenset  # any of these words is right
    layers: tuple = EVERY
    forms: tuple = ()  # in these alone; empty: in all
    not_forms: tuple = ()
    same_as: tuple = ()  # ops that are as right: from outside, the fault cannot be told from one there
    blind: bool = False  # the sketch of what it spoils is the right one's
    why: str = ""  # of a restriction or of same_as


def fault(op, signatures, **rest):
    return Fault(op, frozenset(signatures.split()), **rest)


CATALOGUE = {
    # rotation
    "rope_style": fault("attention", "rope"),
    "rope_base_50x": fault("attention", "rope"),
    "rope_base_1.25x": fault("attention", "rope"),
    "rope_missing": fault("attention", "rope"),
    "rope_half_dims": fault("attention", "rope"),
    "rope_backwards": fault("attention", "rope"),
    "rope_q_offset": fault("attention", "rope position_offset"),
    "rope_decode_offset": fault("attention", "rope position_offset stale"),
    # scores and mask
    "scale_missing": fault("attention", "attention_scale"),
    "scale_other_dim": fault("attention", "attention_scale"),
    "scores_softcap": fault("attention", "attention_scale"),
    "mask_missing": fault("attention", "mask"),
    "mask_sees_next": fault("attention", "mask position_offset"),
    "mask_not_self": fault("attention", "mask position_offset"),
    "mask_chunk_from_0": fault("attention", "mask position_offset", forms=CHUNKED, why="needs a prompt in chunks"),
    "window_4": fault("attention", "mask"),
    # heads
    "gqa_repeat": fault("attention", "gqa_map"),
    "heads_swapped": fault("attention", "column_permutation gqa_map"),
    # cache
    "cache_not_written": fault("attention", "stale position_offset mask"),
    "cache_one_stale": fault("attention", "stale"),
    "cache_v_delayed": fault("attention", "stale position_offset row_permutation"),
    "cache_v_overwritten": fault("attention", "stale position_offset"),
    "cache_other_layer": fault("attention", "stale"),
    "cache_unrotated": fault("attention", "rope stale"),
    # attention's inputs and output
    "q_doubled": fault("attention", "attention_scale scale"),
    "k_negated": fault("attention", "sign attention_scale"),
    "k_bias": fault("attention", "bias"),
    "v_bias": fault("attention", "bias"),
    "v_fp8": fault("attention", "low_precision"),
    "v_columns_reversed": fault("attention", "column_permutation gqa_map"),
    "attention_transposed": fault("attention", "transposition row_permutation"),
    "attention_zeros": fault("attention", "zeros"),
    "attention_negated": fault("attention", "sign"),
    "attention_nan": fault("attention", "nonfinite"),
    "attention_stale": fault("attention", "stale"),
    # activation
    "gelu": fault("activation", "activation"),
    "relu": fault("activation", "activation"),
    "quick_gelu": fault("activation", "activation"),
    "no_activation": fault("activation", "activation"),
    "gate_up_swapped": fault("activation", "activation"),
    "up_missing": fault("activation", "activation"),
    "activation_scaled": fault("activation", "scale"),
    "activation_fp8": fault("activation", "low_precision"),
    "activation_zeros": fault("activation", "zeros"),
    "activation_inf": fault("activation", "nonfinite"),
    "activation_stale": fault("activation", "stale"),
    # embedding
    "embedding_scaled": fault("embedding", "scale norm residual", layers=ONE_PLACE,
                              same_as=("attn_residual", "ffn_norm"),
                              why="the first norm takes the scale out again; it shows at the second"),
    "embedding_next_row": fault("embedding", "wrong_weight row_permutation unknown", layers=ONE_PLACE),
    "embedding_delayed": fault("embedding", "row_permutation position_offset", layers=ONE_PLACE),
    "embedding_one_wrong": fault("embedding", "wrong_weight unknown", layers=ONE_PLACE),
    "embedding_fp8": fault("embedding", "low_precision", layers=ONE_PLACE),
    # residuals
    "o_doubled": fault("attn_residual", "scale residual"),
    "o_delayed": fault("attn_residual", "row_permutation position_offset residual"),
    "down_negated": fault("ffn_residual", "sign residual"),
    "down_bias": fault("ffn_residual", "bias residual"),
    "ffn_residual_of_block_input": fault("ffn_residual", "residual"),
    # the last norm
    "final_norm_missing": fault("final_norm", "norm scale", layers=ONE_PLACE),
    "final_norm_eps_1e-2": fault("final_norm", "norm_eps norm scale", layers=ONE_PLACE),
    "final_norm_no_weight": fault("final_norm", "norm", layers=ONE_PLACE),
    "final_norm_scaled": fault("final_norm", "scale norm", layers=ONE_PLACE),
    "final_norm_reversed": fault("final_norm", "column_permutation", layers=ONE_PLACE),
    "final_norm_bf16": fault("final_norm", "low_precision", layers=ONE_PLACE),
    # one norm of a layer
    "attn_norm_delayed": fault("attn_norm", "row_permutation position_offset"),
    "attn_norm_columns_swapped": fault("attn_norm", "column_permutation"),
    "attn_norm_columns_swapped_unseen": fault("attn_norm", "column_permutation unknown", blind=True),
    "attn_norm_bf16": fault("attn_norm", "low_precision"),
    "attn_norm_fp8": fault("attn_norm", "low_precision"),
    "attn_norm_stale": fault("attn_norm", "stale"),
    "ffn_norm_reversed": fault("ffn_norm", "row_permutation position_offset"),
    "ffn_norm_fp8": fault("ffn_norm", "low_precision"),
    "ffn_norm_uninitialised": fault("ffn_norm", "uninitialised"),
    "ffn_norm_stale": fault("ffn_norm", "stale"),
    # weights
    "o_transposed": fault("o", "transposition wrong_weight weight_changed"),
    "o_row_scaled": fault("o", "weight_changed"),
    "down_row_zeroed": fault("down", "weight_changed zeros"),
    "v_row_replaced": fault("v", "weight_changed"),
    "gate_negated": fault("gate", "sign weight_changed"),
    "up_scaled": fault("up", "scale weight_changed"),
    "head_is_embedding": fault("head", "wrong_weight weight_changed", layers=ONE_PLACE,
                               why="the embedding is in no product, and so in no trace"),
    "head_row_scaled": fault("head", "weight_changed", layers=ONE_PLACE),
    "k_v_exchanged": fault("k", "wrong_weight unknown", same_as=("v", "attention"),
                           why="an engine may multiply them in any order: only what attention makes of them is wrong"),
    "gate_up_exchanged": fault("gate", "wrong_weight activation", same_as=("up", "activation"),
                               why="the numbers are those of an activation of up instead of gate"),
}
for _part in ("attn", "ffn"):
    CATALOGUE |= {
        f"{_part}_norm_eps_1e-2": fault(f"{_part}_norm", "norm_eps norm scale"),
        f"{_part}_norm_eps_1e-3": fault(f"{_part}_norm", "norm_eps norm scale"),
        f"{_part}_norm_eps_1e-6": fault(f"{_part}_norm", "norm_eps norm scale"),
        f"{_part}_norm_no_weight": fault(f"{_part}_norm", "norm"),
        f"{_part}_norm_one_plus_weight": fault(f"{_part}_norm", "norm"),
        f"{_part}_norm_mean_subtracted": fault(f"{_part}_norm", "norm"),
        f"{_part}_norm_missing": fault(f"{_part}_norm", "norm scale"),
        f"{_part}_norm_scaled": fault(f"{_part}_norm", "scale norm"),
        f"{_part}_norm_of_other_layer": fault(f"{_part}_norm", "norm wrong_weight"),
        f"{_part}_residual_missing": fault(f"{_part}_residual", "residual"),
        f"{_part}_residual_twice": fault(f"{_part}_residual", "residual"),
        f"{_part}_residual_scaled": fault(f"{_part}_residual", "residual scale"),
        f"{_part}_residual_of_normed": fault(f"{_part}_residual", "residual"),
    }
for _op in ("q", "k", "v", "o", "gate", "up", "down"):
    CATALOGUE[f"{_op}_of_other_layer"] = fault(_op, "wrong_weight")
    CATALOGUE[f"{_op}_4_bits"] = fault(_op, "low_precision weight_changed")

_SIGNATURES_OF_PRODUCTS = {
    "k_tail": "dropped_k_tail", "feature": "product scale", "swap": "column_permutation product",
    "tile": "zeros product", "stale": "stale product", "double": "scale", "negate": "sign", "bias": "bias product",
    "delay": "row_permutation position_offset", "transpose": "transposition product", "zeros": "zeros",
    "uninitialised": "uninitialised", "nan": "nonfinite", "inf": "nonfinite", "bf16": "low_precision",
    "fp8": "low_precision"}


def add_products(products):
    """products: {name: (op, how)}"""
    for name, (op, how) in products.items():
        CATALOGUE[name] = fault(
            op, _SIGNATURES_OF_PRODUCTS[how], layers=ONE_PLACE if op == "head" else EVERY, not_forms=NO_SHIM,
            why="the wrong BLAS replaces sgemm_ alone, and spoils features that stand together")


def applies(name, form):
    f = CATALOGUE[name]
    return (not f.forms or form in f.forms) and form not in f.not_forms
