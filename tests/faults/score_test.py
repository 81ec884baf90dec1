#!/usr/bin/python3
"""The scorer itself: what counts as exact, as the right bracket, and as wrong."""
import sys
import unittest

import catalogue
from forms import Form
from score import score

LAYERS = 4
catalogue.add_products({"down_product_k_tail": ("down", "k_tail"), "v_product_k_tail": ("v", "k_tail")})


def said(fault, layer, op, at, checkpoint="", signature="unknown", form=Form(), team="pytorch"):
    first = {"op": op, "layer": at, "checkpoint": checkpoint, "signature": signature, "team": team}
    return score({"verdict": "divergence", "first_divergence": first}, fault, layer, LAYERS, form)


class Scorer(unittest.TestCase):
    def test_the_same_operation_of_the_same_layer_is_exact(self):
        self.assertEqual(said("rope_style", 2, "attention", 2).where, "exact")
        self.assertEqual(said("down_product_k_tail", 2, "down", 2).where, "exact")
        self.assertEqual(said("embedding_fp8", 0, "embedding", None).where, "exact")

    def test_another_layer_is_wrong(self):
        self.assertEqual(said("rope_style", 2, "attention", 1).where, "wrong")
        self.assertEqual(said("attn_norm_scaled", 2, "attn_norm", 3).where, "wrong")

    def test_a_neighbour_between_the_same_two_products_is_the_bracket(self):
        self.assertEqual(said("ffn_norm_scaled", 1, "residual", 1, "layer_1_attn_residual").where, "bracket")
        self.assertEqual(said("attn_norm_scaled", 2, "residual", 1, "layer_1_ffn_residual").where, "bracket")
        self.assertEqual(said("down_bias", 1, "attn_norm", 2).where, "bracket")
        self.assertEqual(said("down_bias", 3, "final_norm", None).where, "bracket")
        self.assertEqual(said("embedding_fp8", 0, "attn_norm", 0).where, "bracket")

    def test_the_other_residual_of_the_layer_is_wrong(self):
        self.assertEqual(said("down_bias", 1, "residual", 1, "layer_1_attn_residual").where, "wrong")
        self.assertEqual(said("o_doubled", 1, "residual", 1, "layer_1_ffn_residual").where, "wrong")

    def test_a_product_next_to_the_fault_is_wrong(self):
        self.assertEqual(said("rope_style", 2, "o", 2).where, "wrong")
        self.assertEqual(said("attn_norm_scaled", 2, "q", 2).where, "wrong")
        self.assertEqual(said("gelu", 2, "down", 2).where, "wrong")

    def test_parts_of_a_product_are_one_only_where_the_engine_fuses_them(self):
        self.assertEqual(said("v_product_k_tail", 2, "q", 2).where, "wrong")
        self.assertEqual(said("v_product_k_tail", 2, "q", 2, form=Form(fused_qkv=True)).where, "exact")
        self.assertEqual(said("v_product_k_tail", 2, "gate", 2, form=Form(fused_gate_up=True)).where, "wrong")

    def test_only_the_words_of_the_catalogue_are_right(self):
        self.assertTrue(said("rope_style", 2, "attention", 2, signature="rope").signature_right)
        self.assertFalse(said("rope_style", 2, "attention", 2, signature="mask").signature_right)

    def test_blaming_the_reference_is_noted(self):
        self.assertTrue(said("rope_style", 2, "attention", 2, team="llama.cpp").blamed_reference)
        self.assertFalse(said("rope_style", 2, "attention", 2, team=None).blamed_reference)

    def test_parity_is_a_miss(self):
        self.assertEqual(score({"verdict": "parity", "first_divergence": None}, "gelu", 2, LAYERS, Form()).where, "missed")


if __name__ == "__main__":
    sys.exit(unittest.main())
