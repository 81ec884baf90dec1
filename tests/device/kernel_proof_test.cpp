// Probes and projections of the kernel, and the proofs that come of them.
#include <gtest/gtest.h>

#include "tests/device/run_job.hpp"
#include "tests/unit/product_support.hpp"

namespace orch::device {
namespace {

/// A weight's probes, made by the kernel, in 16-byte aligned memory as on a GPU.
struct KernelProbes {
    std::vector<LaunchScratch> memory;
    Digest digest;

    explicit KernelProbes(const Buffer& w)
        : memory(probe_bytes(w.view.cols) / sizeof(LaunchScratch) + 1) {
        std::fill_n(floats(), memory.size() * sizeof(LaunchScratch) / sizeof(float), not_a_number);
        Job job;
        job.side[0] = operand_of(w.view);
        job.sign_rows = false;
        job.probes_out = address();
        digest = decoded(run_job(job), job, 0);
    }

    float* floats() { return reinterpret_cast<float*>(memory.data()); }
    std::uint64_t address() const { return reinterpret_cast<std::uint64_t>(memory.data()); }
};

TEST(KernelProbes, AreThoseOfCore) {
    for (Kind kind : {Kind::f32, Kind::f64, Kind::f16, Kind::bf16}) {
        for (Shape shape : {Shape{1, 1}, {3, 17}, {40, 1025}, {1030, 70}, {2050, 3}, {20, 300}}) {
            for (bool transposed : {false, true}) {
                const Buffer w = whole_numbers(kind, shape, {2, 1, transposed});
                SCOPED_TRACE(std::string(dtype_name(w.view.dtype)) + " " +
                             std::to_string(shape.rows) + "x" + std::to_string(shape.cols));
                KernelProbes made(w);
                const OwnProbes wanted = probes_of(w);
                for (std::size_t i = 0; i < wanted.floats.size(); ++i)
                    ASSERT_EQ(made.floats()[i], wanted.floats[i]) << i;
                DigestRequest request;
                request.sign_rows = false;
                const Digest digest = digest_of(w, request);
                EXPECT_EQ(made.digest.mixed, digest.mixed);
                EXPECT_EQ(made.digest.hash, digest.hash);
                EXPECT_EQ(made.digest.energy, digest.energy);
            }
        }
    }
}

struct Product {
    Buffer x;
    Buffer w;
    Buffer y;
};

Product product(std::int64_t rows, std::int64_t inputs, std::int64_t outputs) {
    const Shape of_x{rows, inputs};
    const Shape of_w{outputs, inputs};
    Product p{f32_buffer(of_x, normal_values(of_x, 1)),
              f32_buffer(of_w, normal_values(of_w, 2, 0.05F)),
              {}};
    const Matrix y = times_transposed(p.x, p.w);
    p.y = f32_buffer(y.shape, {y.values.begin(), y.values.end()});
    return p;
}

/// Of y, with the projection that the kernel made of x.
Proof kernel_proof(const MatrixView& y, const MatrixView& x, const Buffer& w,
                   std::int64_t first_position = 0, unsigned seed = 0) {
    const KernelProbes probes(w);
    Job job;
    job.side[0] = operand_of(y);
    job.side[1] = operand_of(x);
    job.probes = probes.address();
    job.first_position = first_position;
    const Record record = run_job(job, seed);
    Projection projection;
    to_projection(record.slot.side[1], projection);
    projection.probes = {reinterpret_cast<const float*>(probes.address()), w.view.rows,
                         w.view.cols};
    Proof proof;
    EXPECT_TRUE(
        prove(projection, decoded(record, job, 1, false), decoded(record, job, 0), 1, proof));
    return proof;
}

TEST(KernelProof, AgreesWithTheProofOfTheCpu) {
    for (std::int64_t rows : {1, 3, 15, 16, 300}) {
        for (bool wrong : {false, true}) {
            SCOPED_TRACE("rows " + std::to_string(rows));
            Product p = product(rows, 500, 90);
            if (wrong) {
                float& element = *reinterpret_cast<float*>(p.y.memory.data() + (rows * 90 - 7) * 4);
                element += 1;
            }
            constexpr std::int64_t of_sign_minus = 4;
            const Proof proof = kernel_proof(p.y.view, p.x.view, p.w, of_sign_minus);
            const OwnProbes own = probes_of(p.w);
            const Proof wanted = *proof_of(p.x, own.probes, p.y, 1, of_sign_minus);
            EXPECT_EQ(proof.count, wanted.count);
            EXPECT_NEAR(proof.error, wanted.error, 1e-6);
            EXPECT_NEAR(proof.worst, wanted.worst, 1e-6);
            EXPECT_EQ(exceeds_rounding(proof, DType::f32, DType::f32, DType::f32), wrong);
            if (!wrong) continue;
            EXPECT_EQ(proof.token_idx, wanted.token_idx);
            EXPECT_EQ(proof.probe, wanted.probe);
            for (std::size_t j = 0; j < 16; ++j)
                EXPECT_NEAR(proof.residual[j], wanted.residual[j], 1e-4) << j;
        }
    }
}

TEST(KernelProof, HoldsInEveryShape) {
    for (Shape of_x : {Shape{1, 5}, {1, 9000}, {2, 4097}, {20, 5000}, {70, 33}, {1100, 96}}) {
        SCOPED_TRACE(std::to_string(of_x.rows) + "x" + std::to_string(of_x.cols));
        const Product p = product(of_x.rows, of_x.cols, 40);
        const Proof proof = kernel_proof(p.y.view, p.x.view, p.w, 0, 5);
        EXPECT_LT(proof.error, 2e-6);
        EXPECT_LT(proof.worst, 2e-6);
    }
}

TEST(KernelProof, OfTransposedOperandsIsTheSame) {
    const Product p = product(50, 200, 60);
    Buffer x = p.x;
    store(x, p.x.values, {3, 1, true});
    EXPECT_LT(kernel_proof(p.y.view, x.view, p.w).worst, 1e-6);
}

}  // namespace
}  // namespace orch::device
