// Products y = alpha x W^T with their true error known, and their proofs.
#pragma once
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/proof.hpp"
#include "tests/unit/digest_reference.hpp"

namespace orch {

/// Probes and the memory that they lie in.
struct OwnProbes {
    std::vector<float> floats;
    Probes probes;
};

inline OwnProbes probes_of(const Buffer& w) {
    OwnProbes own;
    // What was in the memory before must not matter.
    own.floats.assign(probe_bytes(w.view.cols) / sizeof(float), not_a_number);
    std::vector<float> workspace(ProbeOutput::workspace_floats);
    DigestRequest request;
    request.sign_rows = false;
    request.probes = {own.floats.data(), workspace.data()};
    digest_of(w, request);
    EXPECT_EQ(workspace, std::vector<float>(workspace.size())) << "the next digest needs zeros";
    own.probes = {own.floats.data(), w.view.rows, w.view.cols};
    return own;
}

/// P, slowly: [16][inputs], not folded.
inline std::vector<double> naive_probes(const Buffer& w) {
    std::vector<double> p(static_cast<std::size_t>(16 * w.view.cols));
    for (std::int64_t n = 0; n < w.view.rows; ++n) {
        for (std::int64_t k = 0; k < w.view.cols; ++k)
            p[static_cast<std::size_t>(n % 16 * w.view.cols + k)] += feature_sign(n) * w.at(n, k);
    }
    return p;
}

struct Matrix {
    Shape shape;
    std::vector<double> values;

    double& at(std::int64_t r, std::int64_t c) {
        return values[static_cast<std::size_t>(r * shape.cols + c)];
    }
    double norm() const {
        double energy = 0;
        for (double v : values)
            energy += v * v;
        return std::sqrt(energy);
    }
};

inline Matrix times_transposed(const Buffer& x, const Buffer& w, double alpha = 1,
                               std::int64_t inputs_dropped = 0) {
    Matrix y{{x.view.rows, w.view.rows}, {}};
    for (std::int64_t t = 0; t < x.view.rows; ++t) {
        for (std::int64_t n = 0; n < w.view.rows; ++n) {
            double sum = 0;
            for (std::int64_t k = 0; k + inputs_dropped < x.view.cols; ++k)
                sum += static_cast<double>(x.at(t, k)) * w.at(n, k);
            y.values.push_back(alpha * sum);
        }
    }
    return y;
}

/// Rounded to so many significant bits, ties to even.
inline double rounded(double value, int bits) {
    int exponent = 0;
    const double fraction = std::frexp(value, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits);
}

inline std::uint16_t f16_pattern(double value) {
    const double r = rounded(value, 11);
    int exponent = 0;
    const double fraction = std::frexp(std::fabs(r), &exponent);  // in [0.5, 1)
    const unsigned sign = std::signbit(r) ? 0x8000U : 0U;
    if (exponent + 14 <= 0) return static_cast<std::uint16_t>(sign);  // too small to matter here
    const auto mantissa = static_cast<unsigned>(std::ldexp(fraction, 11)) & 0x3ffU;
    return static_cast<std::uint16_t>(sign | static_cast<unsigned>(exponent + 14) << 10 | mantissa);
}

inline std::uint16_t bf16_pattern(double value) {
    const auto r = static_cast<float>(rounded(value, 8));
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(r) >> 16);
}

/// As a kernel with results of that type would write it.
inline Buffer stored_as(DType type, const Matrix& m) {
    if (type == DType::f16 || type == DType::bf16) {
        std::vector<std::uint16_t> patterns;
        for (double v : m.values)
            patterns.push_back(type == DType::f16 ? f16_pattern(v) : bf16_pattern(v));
        return half_buffer(type, m.shape, patterns);
    }
    const std::vector<float> floats(m.values.begin(), m.values.end());
    if (type == DType::f32) return f32_buffer(m.shape, floats);
    Buffer b;
    b.view.dtype = DType::f64;
    b.view.rows = m.shape.rows;
    b.view.cols = m.shape.cols;
    set_values(b, floats);
    store(b, m.values, {});
    return b;
}

/// ||y - right|| / ||y||, of what is stored.
inline double true_error(const Buffer& y, const Matrix& right) {
    double wrong = 0;
    double energy = 0;
    for (std::size_t i = 0; i < y.values.size(); ++i) {
        const double value = static_cast<double>(y.values[i]);
        wrong += (value - right.values[i]) * (value - right.values[i]);
        energy += value * value;
    }
    return std::sqrt(wrong / energy);
}

inline std::optional<Proof> proof_of(const Buffer& x, const Probes& probes, const Buffer& y,
                                     double alpha = 1, std::int64_t first_position = 0) {
    DigestRequest request = from_position(first_position);
    const Digest of_y = digest_of(y, request);
    Projection projection;
    projection.probes = probes;
    request.projections = probes.inputs == x.view.cols ? &projection : nullptr;
    request.extremes = false;
    const Digest of_x = digest_of(x, request);
    Proof proof;
    if (!prove(projection, of_x, of_y, alpha, proof)) return std::nullopt;
    return proof;
}

}  // namespace orch
