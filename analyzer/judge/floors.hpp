// What correct arithmetic may differ by. Every constant of the judge that decides between noise and
// news stands here, with its reason and what was measured. "Measured" means: llama.cpp against
// PyTorch on the models of tests/faults, largest value over layers, rows and passes.
#pragma once
#include <string>
#include <string_view>

#include "analyzer/align/alignment.hpp"

namespace orch {

/// What lies between two products, or is one.
enum class Step {
    embedding,  ///< embedding, and the first norm
    norm,       ///< residual addition and norm
    attention,  ///< rotation, scores, mask, softmax, cache
    activation,
    product,
    tensor,   ///< a named tensor
    unknown,  ///< no name tells
};

/// The element types that an engine computes with, as far as its trace shows them.
struct Arithmetic {
    std::string activations = "f32";  ///< of the inputs of products
    bool inferred = false;            ///< records say f32, the values have fewer digits
    std::string kv;                   ///< of the cache; empty: not known
    std::string weights = "f32";      ///< of most weights
    bool named = false;               ///< it names its weights: ggml's arithmetic
    /// What most products were allowed to be computed in, as their records say; empty: what the
    /// types of their operands imply.
    std::string products;
};

namespace floors {

/// Relative L2 error of one rounding of normal values: 2^-p / sqrt(3) and the spread of a binade.
/// Measured over 2^20 normal values: f16 2.1e-4, bf16 1.7e-3, e4m3 2.7e-2, q8_0 5.4e-3,
/// q4_0 8.6e-2.
double rounding(std::string_view dtype);

/// Two correct f32 programs: other order of additions, fused multiply-adds, other exp. Measured:
/// 1e-7 for products and norms, 4e-6 behind four layers.
inline constexpr double f32 = 5e-6;

/// Flash attention adds up values in f16 when the cache is f16. Measured at layer 0: 2e-4 at
/// position 0 to 1.0e-3 at position 19; grows with the number of additions.
inline constexpr double f16_attention = 4e-4;
inline constexpr double f16_attention_growth = 1.0 / 16;  ///< per position, under a square root

/// Roundings in each step of an engine that keeps every result in its narrow type.
inline constexpr double norm_roundings = 2.5;
inline constexpr double attention_roundings = 4;  ///< q, k rotated, scores, weights, result
inline constexpr double activation_roundings = 2;
inline constexpr double attention_products = 2;  ///< scores, and what they weigh

/// Roundings of a product whose operands are brought to a narrower type first: x and W. Simulated
/// with normal values, 64 to 4096 inputs: 1.4 if rounded to the nearest, 3.7 if cut off, which is
/// below `suspicious` times this.
inline constexpr double narrowed_operands = 2;
/// Sums that are kept in f16, of this many terms at a time, round so often. Simulated as above: 0.9
/// of what follows from it.
inline constexpr double terms_of_f16_sums = 16;

/// How much larger than its input's a correct step's relative error may become before it is looked
/// at. Softmax and norms with outlier channels amplify; measured on correct engines: 1.9.
inline constexpr double amplification = 2;

/// Where only sums can be compared, an error is one normal sample, not the root of sixteen: three
/// standard deviations are no news.
inline constexpr double of_one_sample = 2;

/// An error is looked at from `suspicious` times what is expected. It is blamed from `certain`
/// times, or if most rows are suspicious; between the two a signature of this confidence must
/// explain it. Measured over 760 pairs of correct engines (f32, f16, bf16, q8_0, q4_0, fused, in
/// chunks, random and trained weights), largest of all rows and typical of a place: norms 0.9 and
/// 0.7, products 1.4 and 1.0, activations 1.1 and 0.9, attention 1.8 and 1.2, embeddings 1.5 and
/// 1.1, places without a name 2.0 and 0.8.
inline constexpr double suspicious = 2;
inline constexpr double certain = 3;
inline constexpr double certain_of_attention = 4.5;
inline constexpr double explained = 0.8;
/// From here on the report speaks of it, although nothing is blamed. Of all 158 pairs of the fault
/// suite one is beyond `suspicious` in an attention, by 2.2.
inline constexpr double doubtful = 2.5;
/// Rows from which on a typical row says something.
inline constexpr std::size_t several_rows = 4;

}  // namespace floors

/// From how many times the expected error on a step is blamed.
double certain_of(Step step);

/// Expected relative error that a step adds between two engines. `position` is of the row.
double step_floor(Step step, const Arithmetic& a, const Arithmetic& b, std::int64_t position);

/// Of a result that is kept in the engine's narrow type; 0 for f32.
double narrow_rounding(const Arithmetic& engine);

/// Of a product by its record's key "arithmetic"; 0: no coarser than its operands. `type` and
/// `inputs` are of its x.
double arithmetic_rounding(std::string_view arithmetic, std::string_view type, std::int64_t inputs);

/// Of a product: the weights' element types, and what the engine does to its input on the way.
double product_floor(const Arithmetic& a, const Arithmetic& b, std::string_view weight_a,
                     std::string_view weight_b, Content content);

/// "bf16 against f32", "f16 KV cache", "products in tf32": what explains differences of this size;
/// may be empty.
std::string arithmetic_text(const Arithmetic& a, const Arithmetic& b);

}  // namespace orch
