#include "support.hpp"

namespace fake_test {
namespace {

using fake::Value;

/// Memory of any type, filled with what that type makes of the values.
struct Typed {
    Typed(int element_type, const std::vector<double>& values)
        : type(element_type), host(values.size() * fake::size_of(element_type)) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            const Value value = {
                values[i], i % 3 == 0 ? 0.5 : -0.25};  // imaginary where there is such a thing
            fake::store(host.data(), type, static_cast<std::int64_t>(i), value);
        }
    }
    Value at(std::int64_t i) const { return fake::load(host.data(), type, i); }
    int type;
    std::vector<char> host;
};

struct Shape {
    int transa, transb, m, n, k, lda, ldb, ldc;
};

Value naive(const Shape& s, const Typed& a, const Typed& b, int row, int col) {
    Value sum = 0;
    for (int i = 0; i < s.k; ++i) {
        Value x = a.at(s.transa == 0 ? i * s.lda + row : row * s.lda + i);
        Value y = b.at(s.transb == 0 ? col * s.ldb + i : i * s.ldb + col);
        if (s.transa == 2) x = std::conj(x);
        if (s.transb == 2) y = std::conj(y);
        sum += x * y;
    }
    return sum;
}

/// How far a value may be from the true one, relative to 1: half a step of the type, and a bit.
double tolerance(int type) {
    switch (type) {
        case fake::r16f:
            return 1e-3;
        case fake::r16bf:
            return 8e-3;
        case fake::r64f:
        case fake::c64f:
            return 1e-14;
        default:
            return 1e-6;
    }
}

class Blas : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(cublasCreate_v2(&handle), 0); }
    void TearDown() override { EXPECT_EQ(cublasDestroy_v2(handle), 0); }

    /// Runs the product by `call`, which gets a, b, c on the device, and checks each element.
    template <class Call>
    void check(const Shape& s, int type, const Call& call, double alpha, double beta) {
        const auto elements = [](int ld, int cols) {
            return static_cast<std::size_t>(ld) * static_cast<std::size_t>(cols);
        };
        const Typed a(type, random_values(elements(s.lda, s.transa == 0 ? s.k : s.m), 1));
        const Typed b(type, random_values(elements(s.ldb, s.transb == 0 ? s.n : s.k), 2));
        const Typed c(type, random_values(elements(s.ldc, s.n), 3));
        const Device<char> da(a.host);
        const Device<char> db(b.host);
        const Device<char> dc(c.host);
        ASSERT_EQ(call(da.get(), db.get(), dc.get()), 0);
        Typed out = c;
        out.host = dc.values();
        const bool complex = type == fake::c32f || type == fake::c64f;
        for (int col = 0; col < s.n; ++col) {
            for (int row = 0; row < s.ldc; ++row) {
                const std::int64_t place = col * s.ldc + row;
                Value expected = c.at(place);
                if (row < s.m) expected = alpha * naive(s, a, b, row, col) + beta * expected;
                const double scale = std::max(1.0, std::abs(expected));
                EXPECT_NEAR(out.at(place).real(), expected.real(), tolerance(type) * scale)
                    << row << ' ' << col;
                if (complex) {
                    EXPECT_NEAR(out.at(place).imag(), expected.imag(), tolerance(type) * scale);
                }
            }
        }
    }

    void* handle = nullptr;
};

constexpr Shape shapes[] = {{0, 0, 5, 4, 3, 7, 6, 8},
                            {1, 0, 5, 4, 3, 6, 6, 5},
                            {0, 1, 5, 4, 3, 5, 4, 5},
                            {2, 2, 3, 2, 7, 9, 3, 4},
                            {1, 0, 1, 1, 9, 9, 9, 1}};

TEST_F(Blas, SimpleProducts) {
    const float alpha = 0.5F;
    const float beta = 0.25F;
    const double alpha64 = 0.5;
    const double beta64 = 0.25;
    const std::uint16_t alpha16 = 0x3800;
    const std::uint16_t beta16 = 0x3400;
    const float alpha_complex[] = {0.5F, 0};
    const float beta_complex[] = {0.25F, 0};
    for (const Shape& s : shapes) {
        const auto with = [&](auto function, const void* one, const void* two) {
            return [&, function, one, two](void* a, void* b, void* c) {
                return function(handle, s.transa, s.transb, s.m, s.n, s.k, one, a, s.lda, b, s.ldb,
                                two, c, s.ldc);
            };
        };
        check(s, fake::r32f, with(cublasSgemm_v2, &alpha, &beta), 0.5, 0.25);
        check(s, fake::r32f, with(cublasSgemm_v2_64, &alpha, &beta), 0.5, 0.25);
        check(s, fake::r64f, with(cublasDgemm_v2, &alpha64, &beta64), 0.5, 0.25);
        check(s, fake::r16f, with(cublasHgemm, &alpha16, &beta16), 0.5, 0.25);
        check(s, fake::c32f, with(cublasCgemm_v2, alpha_complex, beta_complex), 0.5, 0.25);
    }
}

TEST_F(Blas, ExTakesTheTypesApart) {
    const Shape s = shapes[1];
    const float alpha = 2;
    const float beta = 0;
    for (const int type : {fake::r16f, fake::r16bf, fake::r32f}) {
        check(
            s, type,
            [&](void* a, void* b, void* c) {
                return cublasGemmEx(handle, s.transa, s.transb, s.m, s.n, s.k, &alpha, a, type,
                                    s.lda, b, type, s.ldb, &beta, c, type, s.ldc, 68, -1);
            },
            2, 0);
    }
    const std::vector<std::int8_t> a{1, -2, 3, 100};
    const Device<std::int8_t> da(a);
    const Device<std::int32_t> dc(1);
    const std::int32_t one = 1;
    const std::int32_t zero = 0;
    ASSERT_EQ(cublasGemmEx(handle, 1, 0, 1, 1, 4, &one, da.get(), 3, 4, da.get(), 3, 4, &zero,
                           dc.get(), 10, 1, 72, -1),
              0);
    EXPECT_EQ(dc.values()[0], 10014);
    EXPECT_EQ(cublasGemmEx(handle, 1, 0, 1, 1, 4, &one, da.get(), 77, 4, da.get(), 3, 4, &zero,
                           dc.get(), 10, 1, 72, -1),
              15);
}

TEST_F(Blas, BatchesByStrideAndByPointer) {
    const std::vector<double> values = random_values(3 * 6, 4);
    const std::vector<float> floats(values.begin(), values.end());
    const Device<float> a(floats);
    const Device<float> strided(std::vector<float>(3 * 4));
    const Device<float> pointed(std::vector<float>(3 * 4));
    const Device<float> grouped(std::vector<float>(3 * 4));
    const float one = 1;
    const float zero = 0;
    // a (2x3) times its own transpose, three times
    ASSERT_EQ(cublasSgemmStridedBatched(handle, 0, 1, 2, 2, 3, &one, a.get(), 2, 6, a.get(), 2, 6,
                                        &zero, strided.get(), 2, 4, 3),
              0);
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    std::vector<void*> group_outputs;
    for (int i = 0; i < 3; ++i) {
        inputs.push_back(a.get() + i * 6);
        outputs.push_back(pointed.get() + i * 4);
        group_outputs.push_back(grouped.get() + i * 4);
    }
    const Device<const void*> in(inputs);
    const Device<void*> out(outputs);
    const Device<void*> group_out(group_outputs);
    ASSERT_EQ(cublasGemmBatchedEx(handle, 0, 1, 2, 2, 3, &one, in.get(), 0, 2, in.get(), 0, 2,
                                  &zero, out.get(), 0, 2, 3, 68, -1),
              0);
    const int trans[2][2] = {{0, 0}, {1, 1}};
    const std::int64_t m[] = {2, 2};
    const std::int64_t k[] = {3, 3};
    const std::int64_t sizes[] = {1, 2};
    const float ones[] = {1, 1};
    const float zeros[] = {0, 0};
    ASSERT_EQ(
        cublasGemmGroupedBatchedEx_64(handle, trans[0], trans[1], m, m, k, ones, in.get(), 0, m,
                                      in.get(), 0, m, zeros, group_out.get(), 0, m, 2, sizes, 68),
        0);
    const std::vector<float> first = strided.values();
    EXPECT_EQ(first, pointed.values());
    EXPECT_EQ(first, grouped.values());
    for (int i = 0; i < 3; ++i) {
        double dot = 0;
        for (int j = 0; j < 3; ++j)
            dot += static_cast<double>(floats[i * 6 + j * 2]) * floats[i * 6 + j * 2 + 1];
        EXPECT_NEAR(first[i * 4 + 1], dot, 1e-6);
    }
}

TEST_F(Blas, PointersAreReadWhenTheProductRuns) {
    const Device<float> a(std::vector<float>{3});
    const Device<float> c(std::vector<float>{0});
    const Device<void*> pointers(std::vector<void*>{nullptr});
    const Device<void*> out(std::vector<void*>{c.get()});
    void* stream = make_stream();
    ASSERT_EQ(cublasSetStream_v2(handle, stream), 0);
    void* back = nullptr;
    ASSERT_EQ(cublasGetStream_v2(handle, &back), 0);
    EXPECT_EQ(back, stream);
    void* pinned = nullptr;
    ASSERT_EQ(cudaMallocHost(&pinned, sizeof(void*)), 0);
    const float one = 1;
    const float zero = 0;
    cudaMemcpyAsync(pointers.get(), pinned, sizeof(void*), 1, stream);
    const auto* inputs = reinterpret_cast<const void* const*>(pointers.get());
    ASSERT_EQ(cublasSgemmBatched(handle, 0, 0, 1, 1, 1, &one, inputs, 1, inputs, 1, &zero,
                                 out.get(), 1, 1),
              0);
    *static_cast<void**>(pinned) = a.get();
    cudaStreamSynchronize(stream);
    EXPECT_EQ(c.values()[0], 9);
    cudaFreeHost(pinned);
}

TEST_F(Blas, ScalarsOnTheDeviceAndBetaOfZero) {
    const Device<float> a(std::vector<float>{3});
    const Device<float> c(std::vector<float>{std::nanf("")});
    const Device<float> scalars(std::vector<float>{2, 0});
    ASSERT_EQ(cublasSetPointerMode_v2(handle, 1), 0);
    ASSERT_EQ(cublasSgemm_v2(handle, 0, 0, 1, 1, 1, scalars.get(), a.get(), 1, a.get(), 1,
                             scalars.get() + 1, c.get(), 1),
              0);
    EXPECT_EQ(c.values()[0], 18) << "c is not read";
}

TEST_F(Blas, MatrixTimesVector) {
    const Device<float> a(std::vector<float>{1, 2, 3, 4, 5, 6});  // 2x3
    const Device<float> x(std::vector<float>{1, 10, 100});
    const Device<float> y(std::vector<float>{7, 7, 7});
    const float one = 1;
    const float zero = 0;
    ASSERT_EQ(cublasSgemv_v2(handle, 0, 2, 3, &one, a.get(), 2, x.get(), 1, &one, y.get(), 2), 0);
    EXPECT_EQ(y.values(), (std::vector<float>{538, 7, 649}));
    ASSERT_EQ(cublasSgemv_v2_64(handle, 1, 2, 3, &one, a.get(), 2, x.get(), -1, &zero, y.get(), 1),
              0);
    EXPECT_EQ(y.values(), (std::vector<float>{12, 34, 56}))
        << "a negative step reads x from its end";
}

TEST_F(Blas, WrongUseIsAnError) {
    const float one = 1;
    const Device<float> a(std::vector<float>{3});
    EXPECT_EQ(
        cublasSgemm_v2(nullptr, 0, 0, 1, 1, 1, &one, a.get(), 1, a.get(), 1, &one, a.get(), 1), 1);
    EXPECT_EQ(cublasSgemm_v2(handle, 0, 0, 2, 1, 1, &one, a.get(), 1, a.get(), 1, &one, a.get(), 1),
              7);
    EXPECT_EQ(cublasSgemm_v2(handle, 5, 0, 1, 1, 1, &one, a.get(), 1, a.get(), 1, &one, a.get(), 1),
              7);
    EXPECT_EQ(cublasSgemm_v2(handle, 0, 0, 0, 1, 1, &one, nullptr, 1, nullptr, 1, &one, nullptr, 1),
              0)
        << "nothing to do";
    EXPECT_STREQ(cublasGetStatusName(7), "CUBLAS_STATUS_INVALID_VALUE");
}

TEST(Types, EveryShortFloatSurvives) {
    for (const int type : {fake::r16f, fake::r16bf, fake::e4m3, fake::e5m2}) {
        const unsigned count = fake::size_of(type) == 2 ? 65536 : 256;
        for (unsigned bits = 0; bits < count; ++bits) {
            const double value = fake::load(&bits, type, 0).real();
            if (std::isnan(value)) continue;
            unsigned back = 0;
            fake::store(&back, type, 0, value);
            ASSERT_EQ(back, bits) << type;
            // Halfway to the next one goes to the even one.
            const unsigned next_bits = bits + 1;
            const double next = fake::load(&next_bits, type, 0).real();
            if (std::isnan(next) || std::isinf(next) || std::isinf(value) || next_bits == count ||
                next_bits == count / 2)
                continue;
            fake::store(&back, type, 0, (value + next) / 2);
            ASSERT_EQ(back, bits % 2 == 0 ? bits : next_bits) << type;
        }
    }
    std::uint16_t bits = 0;
    fake::store(&bits, fake::r16f, 0, 1e9);
    EXPECT_EQ(bits, 0x7c00) << "too large is infinite";
    std::uint8_t byte = 0;
    fake::store(&byte, fake::e4m3, 0, 1e9);
    EXPECT_EQ(byte, 0x7f) << "which e4m3 has not";
    fake::store(&byte, fake::e4m3, 0, 448);
    EXPECT_EQ(byte, 0x7e);
}

class Lt : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(cublasLtCreate(&handle), 0);
        ASSERT_EQ(cublasLtMatmulDescCreate(&desc, 68, 0), 0);
    }
    void TearDown() override {
        EXPECT_EQ(cublasLtMatmulDescDestroy(desc), 0);
        EXPECT_EQ(cublasLtDestroy(handle), 0);
    }
    template <class T>
    void set(int attribute, T value) {
        ASSERT_EQ(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof value), 0);
    }
    void* handle = nullptr;
    void* desc = nullptr;
};

TEST_F(Lt, Epilogues) {
    const std::vector<double> values = random_values(2 * 3 + 3 * 4 + 2, 9);
    const std::vector<float> a(values.begin(), values.begin() + 6);
    const std::vector<float> b(values.begin() + 6, values.begin() + 18);
    const std::vector<float> bias(values.begin() + 18, values.end());
    const Device<float> da(a);
    const Device<float> db(b);
    const Device<float> dbias(bias);
    const Device<float> dd(8);
    void* layouts[3] = {};
    ASSERT_EQ(cublasLtMatrixLayoutCreate(&layouts[0], 0, 3, 2, 3), 0);  // turned
    ASSERT_EQ(cublasLtMatrixLayoutCreate(&layouts[1], 0, 3, 4, 3), 0);
    ASSERT_EQ(cublasLtMatrixLayoutCreate(&layouts[2], 0, 2, 4, 2), 0);
    set(3, 1);
    set(8, static_cast<void*>(dbias.get()));
    const float one = 1;
    const float zero = 0;
    const auto plain = [&](int row, int col) {
        double sum = 0;
        for (int i = 0; i < 3; ++i)
            sum += static_cast<double>(a[row * 3 + i]) * b[col * 3 + i];
        return sum;
    };
    const auto gelu = [](double v) {
        return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    };
    for (const int epilogue : {1, 2, 4, 6, 32, 36}) {
        set(7, epilogue);
        ASSERT_EQ(cublasLtMatmul(handle, desc, &one, da.get(), layouts[0], db.get(), layouts[1],
                                 &zero, dd.get(), layouts[2], dd.get(), layouts[2], nullptr,
                                 nullptr, 0, nullptr),
                  0);
        const std::vector<float> out = dd.values();
        for (int i = 0; i < 8; ++i) {
            double expected = plain(i % 2, i / 2) + ((epilogue & 4) != 0 ? bias[i % 2] : 0);
            if ((epilogue & 2) != 0) expected = std::max(expected, 0.0);
            if ((epilogue & 32) != 0) expected = gelu(expected);
            EXPECT_NEAR(out[i], expected, 1e-6) << epilogue;
        }
    }
    set(7, 64 | 128);
    EXPECT_EQ(
        cublasLtMatmul(handle, desc, &one, da.get(), layouts[0], db.get(), layouts[1], &zero,
                       dd.get(), layouts[2], dd.get(), layouts[2], nullptr, nullptr, 0, nullptr),
        15);
    for (void* layout : layouts)
        EXPECT_EQ(cublasLtMatrixLayoutDestroy(layout), 0);
}

TEST_F(Lt, AttributesAreKept) {
    int value = 0;
    size_t written = 0;
    ASSERT_EQ(cublasLtMatmulDescGetAttribute(desc, 0, &value, sizeof value, &written), 0);
    EXPECT_EQ(value, 68);
    EXPECT_EQ(written, sizeof value);
    EXPECT_EQ(cublasLtMatmulDescGetAttribute(desc, 8, &value, sizeof value, nullptr), 7)
        << "too small for a pointer";
    std::uint64_t opaque[8] = {};  // a layout in the caller's own memory
    ASSERT_EQ(cublasLtMatrixLayoutInit_internal(opaque, sizeof opaque, 2, 10, 20, 30), 0);
    std::int64_t ld = 0;
    ASSERT_EQ(cublasLtMatrixLayoutGetAttribute(opaque, 4, &ld, sizeof ld, nullptr), 0);
    EXPECT_EQ(ld, 30);
    EXPECT_EQ(cublasLtMatmulDescGetAttribute(&value, 0, &value, sizeof value, nullptr), 7);
}

}  // namespace
}  // namespace fake_test
