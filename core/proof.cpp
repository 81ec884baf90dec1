#include "core/proof.hpp"

#include <algorithm>
#include <cmath>

#include "core/records.hpp"
#include "core/scratch.hpp"
#include "core/trace.hpp"

namespace orch {
namespace {

/// Below this a residual is rounding, in every type: sixteen numbers that say nothing.
constexpr double residual_shown = 1e-5;

/// The sketch of a row in as many buckets as the projection has.
Projection::Row folded(const Sketch& sketch, int count) noexcept {
    Projection::Row row{};
    for (std::size_t j = 0; j < sketch_size; ++j)
        row[j % static_cast<std::size_t>(count)] += static_cast<double>(sketch[j]);
    return row;
}

struct Residual {
    Projection::Row values{};
    double size = 0;
    double largest = 0;
    int probe = 0;
    double norm = 0;  ///< what size and largest are to be compared with
};

Residual residual_of(const Sketch& sketch, const Projection::Row& projected, double energy,
                     double alpha, int count) noexcept {
    Residual result;
    const Projection::Row found = folded(sketch, count);
    double expected_energy = 0;
    for (int j = 0; j < count; ++j) {
        const auto at = static_cast<std::size_t>(j);
        const double expected = alpha * projected[at];
        const double residual = found[at] - expected;
        result.values[at] = residual;
        expected_energy += expected * expected;
        result.size += residual * residual;
        if (std::fabs(residual) > result.largest) {
            result.largest = std::fabs(residual);
            result.probe = j;
        }
    }
    result.size = std::sqrt(result.size);
    // A result of zeros, as of a kernel that did not write, is compared with what it should be.
    result.norm = std::sqrt(energy > 0 ? energy : expected_energy);
    return result;
}

double relative(double size, double norm) noexcept {
    return norm > 0 ? size / norm : 0;
}

void write_size(JsonLine& line, const char* key, double value) noexcept {
    const auto narrow = static_cast<float>(value);
    if (std::isfinite(narrow)) {
        line.field(key, narrow);
    } else {
        line.field(key, value);
    }
}

}  // namespace

bool prove(const Projection& projection, const Digest& x, const Digest& y, double alpha,
           Proof& proof) noexcept {
    const bool fits = projection.probes.data != nullptr && x.rows == y.rows && x.rows > 0 &&
                      projection.probes.inputs == x.cols && projection.probes.outputs == y.cols &&
                      x.selected == y.selected;
    if (!fits || x.nonfinite.any() || y.nonfinite.any()) return false;
    proof = {};
    proof.count = probe_count(x.rows);
    const Residual all = residual_of(y.mixed, projection.mixed, y.energy, alpha, proof.count);
    proof.residual = all.values;
    proof.error = relative(all.size, all.norm);
    proof.worst = -1;
    for (int i = 0; i < y.selected; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const RowDigest& row = y.row[at];
        const Residual one =
            residual_of(row.sketch, projection.row[at], row.energy, alpha, proof.count);
        const double worst = relative(one.largest, one.norm);
        if (!std::isfinite(worst)) return false;
        if (worst <= proof.worst) continue;
        proof.worst = worst;
        proof.token_idx = row.position;
        proof.probe = one.probe;
    }
    return std::isfinite(proof.error);
}

bool exceeds_rounding(const Proof& proof, DType x, DType w, DType y) noexcept {
    const auto rounding = [](DType type) {
        switch (type) {
            case DType::f32:
            case DType::f64:
                return 1e-5;
            case DType::f16:
                return 2e-3;
            case DType::bf16:
                return 1e-2;
            case DType::block:
                return 5e-2;
        }
        return 0.0;
    };
    const double explained = std::max({rounding(x), rounding(w), rounding(y)});
    return std::max(proof.error, proof.worst) > explained;
}

void write_proof(JsonLine& line, const Proof& proof) noexcept {
    line.key("proof");
    line.open_object();
    write_size(line, "error", proof.error);
    write_size(line, "worst", proof.worst);
    line.field("token_idx", proof.token_idx);
    line.field("probe", proof.probe);
    if (proof.error >= residual_shown) {
        line.key("residual");
        line.open_array();
        for (int j = 0; j < proof.count; ++j)
            line.number(static_cast<float>(proof.residual[static_cast<std::size_t>(j)]));
        line.close_array();
    }
    line.close_object();
}

void* ProbeMemory::take(Trace& trace, std::size_t bytes) noexcept {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit) {
        if (void* memory = map_pages(bytes); memory != nullptr) return memory;
    }
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    if (!told_.exchange(true)) {
        write_blind_spot(trace, "proofs",
                         "there is no memory to check the products of more weights");
    }
    return nullptr;
}

void ProbeMemory::give_back(void* memory, std::size_t bytes) noexcept {
    ::munmap(memory, bytes);
    used_.fetch_sub(bytes, std::memory_order_relaxed);
}

bool digest_weight(Trace& trace, const MatrixView& weight, int selected_rows, float* probes,
                   Digest& out) noexcept {
    DigestRequest request;
    request.selected_rows = selected_rows;
    request.sign_rows = false;
    const bool wanted = probes != nullptr && worth_probing(weight);
    ThreadBuffer* thread = wanted ? trace.this_thread() : nullptr;
    if (thread != nullptr) {
        constexpr std::size_t size = ProbeOutput::workspace_floats * sizeof(float);
        request.probes = {probes, static_cast<float*>(thread->probe_workspace.at_least(size))};
        if (request.probes.workspace == nullptr) request.probes = {};
    }
    digest(weight, request, out);
    return request.probes.probes != nullptr && !out.nonfinite.any();
}

}  // namespace orch
