#include "core/proof.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/product_support.hpp"
#include "tests/unit/records_support.hpp"

namespace orch {
namespace {

constexpr DType types[] = {DType::f32, DType::f64, DType::f16, DType::bf16};

Buffer normal(Shape shape, unsigned seed, float scale = 1) {
    return f32_buffer(shape, normal_values(shape, seed, scale));
}

// ---- Probes of a weight, and rows times probes. -------------------------------------------------

TEST(Probes, AreTheSignedSumsOfEverySixteenthRow) {
    for (Kind kind : kinds) {
        for (Shape shape : {Shape{1, 1}, {3, 17}, {40, 1025}, {1030, 70}, {2050, 3}}) {
            const Buffer w = whole_numbers(kind, shape);
            SCOPED_TRACE(std::string(dtype_name(w.view.dtype)) + " " + std::to_string(w.view.rows) +
                         "x" + std::to_string(w.view.cols));
            const OwnProbes own = probes_of(w);
            const std::vector<double> wanted = naive_probes(w);
            const auto cols = static_cast<std::size_t>(w.view.cols);
            const auto stride = static_cast<std::size_t>(probe_stride(w.view.cols));
            for (std::size_t j = 0; j < 16; ++j) {
                for (std::size_t k = 0; k < stride; ++k) {
                    double sum = k < cols ? wanted[j * cols + k] : 0;
                    for (std::size_t i = j + 4; j < 4 && k < cols && i < 16; i += 4)
                        sum += wanted[i * cols + k];
                    ASSERT_EQ(own.floats[j * stride + k], sum) << j << ", " << k;
                }
            }
        }
    }
}

TEST(Probes, OfATransposedWeightAreTheSame) {
    for (Kind kind : {Kind::f32, Kind::f64, Kind::f16, Kind::bf16}) {
        const Shape shape{70, 1100};
        const OwnProbes plain = probes_of(whole_numbers(kind, shape));
        const OwnProbes transposed = probes_of(whole_numbers(kind, shape, {3, 1, true}));
        EXPECT_EQ(plain.floats, transposed.floats);
    }
}

TEST(Probes, LeaveTheDigestAsItIs) {
    const Buffer w = normal({1500, 1100}, 3);
    DigestRequest request;
    request.sign_rows = false;
    const Digest without = digest_of(w, request);
    std::vector<float> probes(probe_bytes(w.view.cols) / sizeof(float));
    std::vector<float> workspace(ProbeOutput::workspace_floats);
    request.probes = {probes.data(), workspace.data()};
    const Digest with = digest_of(w, request);
    EXPECT_EQ(with.mixed, without.mixed);
    EXPECT_EQ(with.hash, without.hash);
    EXPECT_EQ(with.energy, without.energy);
}

TEST(Projection, IsEachRowTimesTheProbes) {
    for (Kind kind : kinds) {
        for (std::int64_t rows : {1, 2, 15, 16, 40, 1100}) {
            const Buffer x = whole_numbers(kind, {rows, 256});
            const Buffer w = whole_numbers(Kind::f32, {70, x.view.cols}, {}, 9);
            const OwnProbes own = probes_of(w);
            const std::vector<double> p = naive_probes(w);
            SCOPED_TRACE(std::string(dtype_name(x.view.dtype)) + ", rows " + std::to_string(rows));
            Projection projection;
            projection.probes = own.probes;
            DigestRequest request = from_position(4);  // of sign -
            request.projections = &projection;
            const Digest d = digest_of(x, request);
            const std::size_t count = rows < 16 ? 4 : 16;
            const auto wanted = [&](std::int64_t row, std::size_t probe) {
                double sum = 0;
                for (std::size_t j = probe; j < 16; j += count) {
                    for (std::int64_t k = 0; k < x.view.cols; ++k)
                        sum += static_cast<double>(x.at(row, k)) *
                               p[j * static_cast<std::size_t>(x.view.cols) +
                                 static_cast<std::size_t>(k)];
                }
                return sum;
            };
            for (std::size_t q = 0; q < count; ++q) {
                double mixed = 0;
                for (std::int64_t r = 0; r < rows; ++r)
                    mixed += static_cast<double>(position_sign(4 + r)) * wanted(r, q);
                EXPECT_EQ(projection.mixed[q], mixed);
                for (int i = 0; i < d.selected; ++i) {
                    const auto at = static_cast<std::size_t>(i);
                    EXPECT_EQ(projection.row[at][q], wanted(d.row[at].row, q)) << d.row[at].row;
                }
            }
        }
    }
}

TEST(Projection, OntoSeveralWeightsAtOnceIsAsOntoEach) {
    const Buffer x = normal({30, 1100}, 1);
    const OwnProbes a = probes_of(normal({50, 1100}, 2));
    const OwnProbes b = probes_of(normal({90, 1100}, 3));
    Projection alone[2];
    alone[0].probes = a.probes;
    alone[1].probes = b.probes;
    for (Projection& one : alone) {
        DigestRequest request;
        request.projections = &one;
        digest_of(x, request);
    }
    Projection second;
    second.probes = b.probes;
    Projection first;
    first.probes = a.probes;
    first.next = &second;
    DigestRequest request;
    request.projections = &first;
    digest_of(x, request);
    EXPECT_EQ(first.mixed, alone[0].mixed);
    EXPECT_EQ(second.mixed, alone[1].mixed);
    EXPECT_EQ(second.row[3], alone[1].row[3]);
}

// ---- Right products. ----------------------------------------------------------------------------

TEST(Proof, OfARightProductIsTheRoundingOfItsType) {
    for (std::int64_t rows : {1, 3, 24, 1100}) {
        const Shape of_x{rows, rows > 100 ? 96 : 1100};
        const Buffer x = normal(of_x, 1);
        const Buffer w = normal({300, of_x.cols}, 2, 0.05F);
        const OwnProbes own = probes_of(w);
        const Matrix right = times_transposed(x, w);
        for (DType type : types) {
            SCOPED_TRACE(std::string(dtype_name(type)) + ", rows " + std::to_string(rows));
            const Buffer y = stored_as(type, right);
            const std::optional<Proof> proof = proof_of(x, own.probes, y, 1, 12);
            ASSERT_TRUE(proof);
            EXPECT_EQ(proof->count, rows < 16 ? 4 : 16);
            if (type == DType::f32 || type == DType::f64) {
                // The mixed sums of 1024 rows are f32: they are what limits it there.
                EXPECT_LT(proof->error, rows > 1000 ? 1.5e-6 : 5e-7);
                EXPECT_LT(proof->worst, 5e-7);
                continue;
            }
            // Estimated from 4 or 16 numbers: within a factor of 2.5, and all rows count.
            const double error = true_error(y, right);
            EXPECT_GT(error, type == DType::bf16 ? 1e-3 : 1e-4);
            EXPECT_GT(proof->error, error / 2.5);
            EXPECT_LT(proof->error, error * 2.5);
            EXPECT_LT(proof->worst, error * 2.5);
        }
    }
}

TEST(Proof, TakesAlphaIntoAccount) {
    const Buffer x = normal({20, 64}, 1);
    const Buffer w = normal({48, 64}, 2);
    const OwnProbes own = probes_of(w);
    const Buffer y = stored_as(DType::f32, times_transposed(x, w, -0.125));
    EXPECT_LT(proof_of(x, own.probes, y, -0.125)->error, 1e-6);
    EXPECT_NEAR(proof_of(x, own.probes, y, 1)->error, 9, 3);
}

TEST(Proof, OfALargeVocabularyHasTheSameFloor) {
    const Buffer x = normal({1, 64}, 1);
    const Buffer w = normal({150'000, 64}, 2);
    const OwnProbes own = probes_of(w);
    const Buffer y = stored_as(DType::f32, times_transposed(x, w));
    EXPECT_LT(proof_of(x, own.probes, y)->error, 1e-6);
}

TEST(Proof, OfZerosIsZero) {
    const Buffer x = f32_buffer({4, 8}, std::vector<float>(32));
    const Buffer w = normal({5, 8}, 2);
    const OwnProbes own = probes_of(w);
    const Buffer y = f32_buffer({4, 5}, std::vector<float>(20));
    const std::optional<Proof> proof = proof_of(x, own.probes, y);
    ASSERT_TRUE(proof);
    EXPECT_EQ(proof->error, 0);
    EXPECT_EQ(proof->worst, 0);
}

// ---- Wrong products. ----------------------------------------------------------------------------

struct Fault {
    const char* name;
    double size;  ///< of the error, relative to y
    std::function<void(Matrix& y, const Buffer& x, const Buffer& w)> plant;
};

constexpr std::int64_t outputs = 1024;
constexpr std::int64_t inputs = 512;

const Fault faults[] = {
    {"one of 1024 outputs is scaled by 1.25", 7.8e-3,
     [](Matrix& y, const Buffer&, const Buffer&) {
         for (std::int64_t t = 0; t < y.shape.rows; ++t)
             y.at(t, 700) *= 1.25;
     }},
    {"the last 8 of 512 inputs are dropped", 0.125,
     [](Matrix& y, const Buffer& x, const Buffer& w) { y = times_transposed(x, w, 1, 8); }},
    {"two outputs are swapped", 6.2e-2,
     [](Matrix& y, const Buffer&, const Buffer&) {
         for (std::int64_t t = 0; t < y.shape.rows; ++t)
             std::swap(y.at(t, 3), y.at(t, 900));
     }},
    {"the bias of another layer is added", 0.1,
     [](Matrix& y, const Buffer&, const Buffer&) {
         for (double& v : y.values)
             v += 0.1;
     }},
    {"all is scaled by 0.5", 1,
     [](Matrix& y, const Buffer&, const Buffer&) {
         for (double& v : y.values)
             v *= 0.5;
     }},
    {"the weight is another", 1.41,
     [](Matrix& y, const Buffer& x, const Buffer& w) {
         y = times_transposed(x, normal({w.view.rows, w.view.cols}, 77, 0.044F));
     }},
    {"nothing was written", 1,
     [](Matrix& y, const Buffer&, const Buffer&) {
         std::fill(y.values.begin(), y.values.end(), 0);
     }},
};

TEST(Proof, OfAWrongProductSaysHowWrongItIs) {
    for (std::int64_t rows : {1, 20}) {
        const Buffer x = normal({rows, inputs}, 1);
        const Buffer w = normal({outputs, inputs}, 2, 0.044F);
        const OwnProbes own = probes_of(w);
        const Matrix right = times_transposed(x, w);
        for (const Fault& fault : faults) {
            Matrix wrong = right;
            fault.plant(wrong, x, w);
            for (DType type : types) {
                SCOPED_TRACE(std::string(fault.name) + ", " + std::string(dtype_name(type)) +
                             ", rows " + std::to_string(rows));
                const Proof clean = *proof_of(x, own.probes, stored_as(type, right));
                const Proof proof = *proof_of(x, own.probes, stored_as(type, wrong));
                EXPECT_GT(proof.error, fault.size / 3);
                EXPECT_LT(proof.error, fault.size * 3);
                EXPECT_GT(proof.error, 2 * clean.error);
                // One number of one row stands out of its rounding further than the whole does.
                EXPECT_GT(proof.worst, 3 * clean.worst);
            }
        }
    }
}

TEST(Proof, SeesOneWrongElementOfARowThatIsNotSelected) {
    const Buffer x = normal({100, 64}, 1);
    const Buffer w = normal({128, 64}, 2, 0.125F);
    const OwnProbes own = probes_of(w);
    Matrix y = times_transposed(x, w);
    y.at(50, 77) += 1;
    const Proof proof = *proof_of(x, own.probes, stored_as(DType::f32, y));
    EXPECT_NEAR(proof.error, 1 / y.norm(), 0.01 / y.norm());
    EXPECT_LT(proof.worst, 1e-6);
    for (std::size_t j = 0; j < 16; ++j)
        EXPECT_NEAR(std::fabs(proof.residual[j]), j == 77 % 16 ? 1 : 0, 1e-4) << j;
}

TEST(Proof, NamesTheRowAndTheProbeOfTheWorst) {
    const Buffer x = normal({20, 64}, 1);
    const Buffer w = normal({128, 64}, 2, 0.125F);
    const OwnProbes own = probes_of(w);
    Matrix y = times_transposed(x, w);
    y.at(5, 77) += 1;  // of the selected rows this is the one at position 8
    const Proof proof = *proof_of(x, own.probes, stored_as(DType::f32, y), 1, 3);
    EXPECT_EQ(proof.token_idx, 8);
    EXPECT_EQ(proof.probe, 77 % 16);
    double energy = 0;
    for (std::int64_t n = 0; n < 128; ++n)
        energy += y.at(5, n) * y.at(5, n);
    EXPECT_NEAR(proof.worst, 1 / std::sqrt(energy), 1e-5);
}

TEST(Proof, LeavesTheSketchOfTheError) {
    const Buffer x = normal({20, 64}, 1);
    const Buffer w = normal({128, 64}, 2, 0.125F);
    const OwnProbes own = probes_of(w);
    for (std::int64_t rows : {20, 10}) {
        const Buffer part =
            f32_buffer({rows, 64}, {x.values.begin(), x.values.begin() + rows * 64});
        Matrix wrong = times_transposed(part, w, 2);
        const Matrix right = times_transposed(part, w);
        const Proof proof = *proof_of(part, own.probes, stored_as(DType::f32, wrong));
        for (std::size_t i = 0; i < wrong.values.size(); ++i)
            wrong.values[i] -= right.values[i];
        const Digest error = digest_of(stored_as(DType::f32, wrong));
        ASSERT_EQ(proof.count, rows < 16 ? 4 : 16);
        for (std::size_t q = 0; q < static_cast<std::size_t>(proof.count); ++q) {
            double wanted = 0;
            for (std::size_t j = q; j < 16; j += static_cast<std::size_t>(proof.count))
                wanted += static_cast<double>(error.mixed[j]);
            EXPECT_NEAR(proof.residual[q], wanted, 1e-4);
        }
    }
}

// ---- Where nothing can be said. -----------------------------------------------------------------

TEST(Proof, IsNotGivenForWhatDoesNotFitOrIsNotFinite) {
    const Buffer x = normal({4, 8}, 1);
    const Buffer w = normal({5, 8}, 2);
    const OwnProbes own = probes_of(w);
    const Matrix right = times_transposed(x, w);
    const Buffer y = stored_as(DType::f32, right);
    EXPECT_TRUE(proof_of(x, own.probes, y));
    EXPECT_FALSE(proof_of(x, Probes{}, y));
    Probes of_more_outputs = own.probes;
    ++of_more_outputs.outputs;
    EXPECT_FALSE(proof_of(x, of_more_outputs, y));
    EXPECT_FALSE(proof_of(normal({3, 8}, 1), own.probes, y));
    for (float bad : {not_a_number, infinity}) {
        Matrix spoilt = right;
        spoilt.at(1, 1) = static_cast<double>(bad);
        EXPECT_FALSE(proof_of(x, own.probes, stored_as(DType::f32, spoilt)));
        std::vector<float> values = x.values;
        values[3] = bad;
        EXPECT_FALSE(proof_of(f32_buffer({4, 8}, values), own.probes, y));
    }
}

TEST(Proof, OfSumsThatLeaveTheRangeOfF32IsNotGiven) {
    const Buffer x = normal({4, 8}, 1, 1e30F);
    const Buffer w = normal({5, 8}, 2, 1e30F);
    const OwnProbes own = probes_of(w);
    const Buffer y = normal({4, 5}, 3);
    EXPECT_FALSE(proof_of(x, own.probes, y));
}

// ---- Memory, and the record. --------------------------------------------------------------------

TEST_F(RecordsTest, ProbesTakeNoMoreMemoryThanTheyMay) {
    ProbeMemory memory;
    void* all = memory.take(trace(), ProbeMemory::limit - 4096);
    ASSERT_NE(all, nullptr);
    void* rest = memory.take(trace(), 4096);
    ASSERT_NE(rest, nullptr);
    EXPECT_EQ(memory.take(trace(), 64), nullptr);
    EXPECT_EQ(memory.take(trace(), 64), nullptr);
    memory.give_back(rest, 4096);
    EXPECT_NE(memory.take(trace(), 64), nullptr);
    memory.give_back(all, ProbeMemory::limit - 4096);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0]["kind"], "blind_spot");
    EXPECT_EQ(records[0]["what"], "proofs");
}

TEST_F(RecordsTest, AProofIsAMemberOfItsProduct) {
    const std::vector<float> values = counting(8);
    const MatrixView view = view_of(values, DType::f32, 2);
    Proof proof;
    proof.error = 0.25;
    proof.worst = 0.5;
    proof.token_idx = 8;
    proof.probe = 3;
    proof.count = 4;
    proof.residual = {1, -2, 3, -4, 5};
    for (double error : {0.25, 9e-6, 1e300}) {
        Call call(view);
        call.add_input(view);
        call.record.kind = "gemm";
        call.record.record_class = RecordClass::gemm;
        proof.error = error;
        if (error > 1) proof.count = 16;
        call.record.proof = &proof;
        write_call(trace(), call.record);
    }
    Call without(view);
    without.add_input(view);
    write_call(trace(), without.record);
    std::vector<Json> records = finish();
    std::erase_if(records, [](const Json& r) { return r["kind"] == "row"; });
    ASSERT_EQ(records.size(), 4U);
    EXPECT_EQ(records[0]["proof"], Json::parse(R"({"error":0.25,"worst":0.5,"token_idx":8,
                                                   "probe":3,"residual":[1,-2,3,-4]})"));
    EXPECT_EQ(keys_of(records[1]["proof"]),
              (std::vector<std::string>{"error", "worst", "token_idx", "probe"}));
    EXPECT_EQ(records[2]["proof"]["error"], 1e300);
    EXPECT_EQ(records[2]["proof"]["residual"].size(), 16U);
    EXPECT_FALSE(records[3].contains("proof"));
}

}  // namespace
}  // namespace orch
