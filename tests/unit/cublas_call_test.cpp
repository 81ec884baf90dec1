// The normal form of cuBLAS calls, checked by multiplying with it: whatever the transposes, the
// leading dimensions and the batch, y must be x W^T.
#include "preload/cuda/cublas_call.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace orch::cublas {
namespace {

using device::Operand;

/// Element (r, c), of floats in this process.
float at(const Operand& o, std::int64_t r, std::int64_t c) {
    std::uint64_t base = o.data;
    if (o.indirect) base = *reinterpret_cast<const std::uint64_t*>(base);
    return reinterpret_cast<const float*>(base)[r * o.row_stride + c * o.col_stride];
}

void expect_product(const DeviceProduct& p) {
    ASSERT_EQ(p.x.rows, p.y.rows);
    ASSERT_EQ(p.x.cols, p.weight.cols);
    ASSERT_EQ(p.weight.rows, p.y.cols);
    for (std::int64_t t = 0; t < p.y.rows; ++t) {
        for (std::int64_t o = 0; o < p.y.cols; ++o) {
            float sum = 0;
            for (std::int64_t i = 0; i < p.x.cols; ++i)
                sum += at(p.x, t, i) * at(p.weight, o, i);
            EXPECT_NEAR(at(p.y, t, o), sum, 1e-4) << t << "," << o;
        }
    }
}

std::vector<float> random_values(std::size_t count, unsigned seed) {
    std::mt19937 random{seed};
    std::uniform_real_distribution<float> values{-1, 1};
    std::vector<float> result(count);
    for (float& v : result)
        v = values(random);
    return result;
}

/// C = op(A) op(B) as the BLAS defines it: column-major, with leading dimensions.
void multiply(const Call& call, const float* a, const float* b, float* c) {
    for (std::int64_t i = 0; i < call.m; ++i) {
        for (std::int64_t j = 0; j < call.n; ++j) {
            float sum = 0;
            for (std::int64_t l = 0; l < call.k; ++l) {
                const float left = call.transa != 0 ? a[l + i * call.lda] : a[i + l * call.lda];
                const float right = call.transb != 0 ? b[j + l * call.ldb] : b[l + j * call.ldb];
                sum += left * right;
            }
            c[i + j * call.ldc] = sum;
        }
    }
}

TEST(CublasCall, IsTokensByFeaturesInEveryForm) {
    for (int form = 0; form < 4; ++form) {
        Call call;
        call.inputs = call.output = Type::f32;
        call.transa = form & 1;
        call.transb = form >> 1;
        call.m = 5;
        call.n = 3;
        call.k = 7;
        call.lda = 11;
        call.ldb = 9;
        call.ldc = 6;
        const auto a = random_values(11 * 7, 1);
        const auto b = random_values(9 * 7, 2);
        std::vector<float> c(6 * 3);
        multiply(call, a.data(), b.data(), c.data());
        call.A = a.data();
        call.B = b.data();
        call.C = c.data();
        DeviceProduct product;
        ASSERT_TRUE(normalise(call, 0, product));
        EXPECT_EQ(product.y.rows, 3);
        EXPECT_EQ(product.y.cols, 5);
        expect_product(product);
    }
}

TEST(CublasCall, FindsTheMembersOfABatch) {
    Call call;
    call.inputs = call.output = Type::f32;
    call.m = call.n = call.k = call.lda = call.ldb = call.ldc = 4;
    call.batchCount = 3;
    const auto a = random_values(64, 3);
    const auto b = random_values(64, 4);
    std::vector<float> c(64);
    for (int i = 0; i < 3; ++i)
        multiply(call, a.data() + i * 16, b.data() + i * 20, c.data() + i * 16);
    const void* a_list[] = {a.data(), a.data() + 16, a.data() + 32};
    const void* b_list[] = {b.data(), b.data() + 20, b.data() + 40};
    const void* c_list[] = {c.data(), c.data() + 16, c.data() + 32};
    for (const bool strided : {true, false}) {
        Call one = call;
        if (strided) {
            one.A = a.data();
            one.B = b.data();
            one.C = c.data();
            one.strideA = one.strideC = 16;
            one.strideB = 20;
        } else {
            one.Aarray = a_list;
            one.Barray = b_list;
            one.Carray = c_list;
        }
        for (int i = 0; i < 3; ++i) {
            DeviceProduct product;
            ASSERT_TRUE(normalise(one, i, product));
            EXPECT_EQ(product.y.indirect, !strided);
            expect_product(product);
        }
    }
}

TEST(CublasCall, ReadsMatrixTimesVectorBackwardsToo) {
    for (const bool transposed : {false, true}) {
        for (const int increment : {1, 2, -2}) {
            Call call;
            call.inputs = call.output = Type::f32;
            call.trans = transposed ? 1 : 0;
            call.m = 4;
            call.n = 3;
            call.lda = 5;
            call.incx = increment;
            const auto a = random_values(15, 5);
            const auto x = random_values(16, 6);
            const std::int64_t inputs = transposed ? 4 : 3;
            const std::int64_t outputs = transposed ? 3 : 4;
            std::vector<float> y(8);
            for (std::int64_t o = 0; o < outputs; ++o) {
                for (std::int64_t i = 0; i < inputs; ++i) {
                    const std::int64_t from =
                        increment > 0 ? i * increment : (i - inputs + 1) * increment;
                    y[static_cast<std::size_t>(o)] +=
                        (transposed ? a[static_cast<std::size_t>(i + o * 5)]
                                    : a[static_cast<std::size_t>(o + i * 5)]) *
                        x[static_cast<std::size_t>(from)];
                }
            }
            call.A = a.data();
            call.x = x.data();
            call.y = y.data();
            DeviceProduct product;
            ASSERT_TRUE(normalise(call, 0, product));
            expect_product(product);
        }
    }
}

TEST(CublasCall, KnowsTheTypesOfExCallsAndRefusesComplexOnes) {
    Call call;
    call.m = call.n = call.k = call.lda = call.ldb = call.ldc = 2;
    float memory[8] = {};
    call.A = call.B = call.C = memory;
    call.Atype = call.Btype = 14;
    call.Ctype = 0;
    DeviceProduct product;
    ASSERT_TRUE(normalise(call, 0, product));
    EXPECT_EQ(product.x.type, device::Type::bf16);
    EXPECT_EQ(product.weight.type, device::Type::bf16);
    EXPECT_EQ(product.y.type, device::Type::f32);
    call.Ctype = 4;
    EXPECT_FALSE(normalise(call, 0, product));
}

TEST(CublasCall, ReadsScalarsByTheComputeType) {
    const double two = 2;
    const float three = 3;
    const std::uint16_t four_as_half = 0x4400;
    EXPECT_EQ(scalar(&two, Type::f64, -1), 2);
    EXPECT_EQ(scalar(&two, Type::given, 70), 2);
    EXPECT_EQ(scalar(&three, Type::given, 68), 3);
    EXPECT_EQ(scalar(&four_as_half, Type::given, 64), 4);
    EXPECT_EQ(scalar(&three, Type::f32, -1), 3);
}

std::string_view arithmetic(Type inputs, Type scalars, int compute, int mode,
                            bool forbidden = false, int a_type = -1) {
    Call call;
    call.inputs = inputs;
    call.scalars = scalars;
    call.computeType = compute;
    call.Atype = a_type;
    return arithmetic_name(arithmetic_of(call, {mode, forbidden}));
}

TEST(CublasCall, SaysItsArithmeticWhereTypesDoNotImplyIt) {
    constexpr int r32 = 0;
    constexpr int r16 = 2;
    constexpr int r8 = 3;
    constexpr Type given = Type::given;
    EXPECT_EQ(arithmetic(Type::f32, Type::f32, -1, 0), "");
    EXPECT_EQ(arithmetic(Type::f32, Type::f32, -1, 1), "f16");
    EXPECT_EQ(arithmetic(Type::f32, Type::f32, -1, 2), "");
    EXPECT_EQ(arithmetic(Type::f32, Type::f32, -1, 3), "tf32");
    EXPECT_EQ(arithmetic(Type::f32, Type::f32, -1, 3 | 16), "tf32");
    EXPECT_EQ(arithmetic(Type::f32, Type::f32, -1, 3, true), "");
    EXPECT_EQ(arithmetic(Type::f32, Type::f32, -1, 4), "bf16x9");
    EXPECT_EQ(arithmetic(given, given, 68, 3, false, r32), "tf32");
    EXPECT_EQ(arithmetic(given, given, 69, 3, false, r32), "");
    EXPECT_EQ(arithmetic(given, given, 74, 0, false, r32), "f16");
    EXPECT_EQ(arithmetic(given, given, 75, 0, false, r32), "bf16");
    EXPECT_EQ(arithmetic(given, given, 77, 0, false, r32), "tf32");
    EXPECT_EQ(arithmetic(given, given, 77, 0, true, r32), "");
    EXPECT_EQ(arithmetic(given, given, 78, 0, false, r32), "bf16x9");
    EXPECT_EQ(arithmetic(given, given, 68, 3, false, r16), "");
    EXPECT_EQ(arithmetic(given, given, 64, 0, false, r16), "f16");
    EXPECT_EQ(arithmetic(Type::f16, Type::f16, -1, 0), "f16");
    EXPECT_EQ(arithmetic(Type::f16, Type::f32, -1, 0), "");
    EXPECT_EQ(arithmetic(Type::f64, Type::f64, -1, 3), "");
    EXPECT_EQ(arithmetic(given, given, 70, 0, false, r32), "f64");
    EXPECT_EQ(arithmetic(given, given, 79, 0, false, 1), "fixed_point");
    EXPECT_EQ(arithmetic(given, given, 72, 0, false, r8), "");
    EXPECT_EQ(arithmetic(given, given, 68, 0, false, r8), "f32");
}

}  // namespace
}  // namespace orch::cublas
