// The proof of a product: y = alpha x W^T is checked with nothing but its own x, W and y. For
// vectors r of random signs, y r must be alpha x (W^T r) (Freivalds). The vectors are those of the
// sketch, so y r is the digest of y; W^T r is computed once per weight, together with its digest;
// what each call pays is x (W^T r), of the signed sum of all its rows and of the selected ones.
// docs/FORMAT.md ("Proof") states the maths.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>

#include "core/digest.hpp"
#include "core/json_line.hpp"

namespace orch {

class Trace;

struct Proof {
    double error = 0;            ///< of all rows, relative to the norm of y
    double worst = 0;            ///< of one selected row and one probe, relative to that row's norm
    std::int64_t token_idx = 0;  ///< of that row
    int probe = 0;
    int count = 0;                               ///< residuals: 16, or 4 in a call of few rows
    std::array<double, sketch_size> residual{};  ///< mixed sketch of y - alpha x W^T
};

/// False where nothing can be said: the sides do not fit together, or hold values that are not
/// finite. `projection` is of x, digested with the same request as y.
bool prove(const Projection& projection, const Digest& x, const Digest& y, double alpha,
           Proof& proof) noexcept;

/// More than rounding in these types explains: the product is wrong, or W is no longer what its
/// probes were made of.
bool exceeds_rounding(const Proof& proof, DType x, DType w, DType y) noexcept;

void write_proof(JsonLine& line, const Proof& proof) noexcept;

/// Memory for the probes of weights. It is bounded, and once in use never given back: another
/// thread may be reading it.
class ProbeMemory {
  public:
    static constexpr std::uint64_t limit = 1ULL << 30;

    /// Zeroed, or null; then a blind spot says so, once.
    void* take(Trace& trace, std::size_t bytes) noexcept;
    /// Of memory that nobody else has seen.
    void give_back(void* memory, std::size_t bytes) noexcept;

  private:
    std::atomic<std::uint64_t> used_{0};
    std::atomic<bool> told_{false};
};

constexpr std::size_t probe_bytes(std::int64_t inputs) {
    return static_cast<std::size_t>(probe_stride(inputs)) * sketch_size * sizeof(float);
}

/// Probes are sixteen rows of W's length: they are not made where they would be much more to read
/// than W itself, or out of all proportion.
constexpr bool worth_probing(const MatrixView& weight) {
    constexpr std::int64_t few_inputs = 4096;
    constexpr std::int64_t most_inputs = 1 << 20;
    return weight.cols <= few_inputs || (weight.cols <= most_inputs && weight.rows >= sketch_size);
}

/// The digest that a weight's record shows, and its probes where `probes` has room for them. They
/// are good if this returns true: not where W holds values that are not finite.
bool digest_weight(Trace& trace, const MatrixView& weight, int selected_rows, float* probes,
                   Digest& out) noexcept;

}  // namespace orch
