// A BLAS whose sgemm_ is wrong on demand. It is preloaded behind liborchtrace, which therefore sees
// the right operands and the wrong result, as with a broken kernel.
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

namespace {

using Sgemm = void(const char* transa, const char* transb, const int* m, const int* n, const int* k,
                   const float* alpha, const float* a, const int* lda, const float* b,
                   const int* ldb, const float* beta, float* c, const int* ldc);

Sgemm* next_sgemm() {
    // Linked against the BLAS, so that it stands behind us in the global scope. orchtrace leaves
    // RTLD_NEXT alone: the call is not traced twice.
    static auto* const function = reinterpret_cast<Sgemm*>(dlsym(RTLD_NEXT, "sgemm_"));
    return function;
}

struct Plan {
    std::string_view fault;  // empty: none
    int begin = 0;           // features of the result that are spoiled
    int end = 0;
};

Plan plan;
std::vector<float> previous_row;  // the last token's result in the previous spoiled call

float rounded_to_bf16(float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0x7fffU + ((bits >> 16U) & 1U)) & 0xffff0000U;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

float rounded_to_fp8(float value) {
    int exponent = 0;
    const float mantissa = std::frexp(value, &exponent);
    return std::ldexp(std::nearbyint(mantissa * 16.0F) / 16.0F, exponent);
}

// The part of the result that the plan names: features begin..end of every token.
class Block {
  public:
    Block(float* c, int ldc, int tokens) : first_{c + plan.begin}, stride_{ldc}, tokens_{tokens} {}

    int tokens() const { return tokens_; }
    int features() const { return plan.end - plan.begin; }
    float* token(int t) const { return first_ + static_cast<std::ptrdiff_t>(t) * stride_; }

    template <class Change>
    void each(Change change) const {
        for (int t = 0; t < tokens_; ++t)
            std::transform(token(t), token(t) + features(), token(t), change);
    }

    std::vector<float> copy() const {
        std::vector<float> values;
        for (int t = 0; t < tokens_; ++t)
            values.insert(values.end(), token(t), token(t) + features());
        return values;
    }

  private:
    float* first_;
    std::ptrdiff_t stride_;
    int tokens_;
};

void transpose(const Block& y) {
    const std::vector<float> values = y.copy();
    for (int t = 0, at = 0; t < y.tokens(); ++t)
        for (int n = 0; n < y.features(); ++n, ++at) {
            const int from = at % y.tokens() * y.features() + at / y.tokens();
            y.token(t)[n] = values.at(static_cast<std::size_t>(from));
        }
}

void delay_tokens(const Block& y) {
    for (int t = y.tokens() - 1; t > 0; --t)
        std::copy_n(y.token(t - 1), y.features(), y.token(t));
}

void keep_previous(const Block& y) {
    float* const last = y.token(y.tokens() - 1);
    std::vector<float> fresh{last, last + y.features()};
    if (previous_row.size() == fresh.size())
        std::copy(previous_row.begin(), previous_row.end(), last);
    previous_row = std::move(fresh);
}

void spoil(const Block& y) {
    const auto is = [](std::string_view name) { return plan.fault == name; };
    const int third = y.features() / 3;
    if (is("double"))
        y.each([](float v) { return 2 * v; });
    else if (is("negate"))
        y.each([](float v) { return -v; });
    else if (is("bias"))
        y.each([](float v) { return v + 0.5F; });
    else if (is("zeros"))
        y.each([](float) { return 0.0F; });
    else if (is("bf16"))
        y.each(rounded_to_bf16);
    else if (is("fp8"))
        y.each(rounded_to_fp8);
    else if (is("transpose"))
        transpose(y);
    else if (is("delay"))
        delay_tokens(y);
    else if (is("stale"))
        keep_previous(y);
    else
        for (int t = 0; t < y.tokens(); ++t) {
            float* const row = y.token(t);
            const bool last = t + 1 == y.tokens();
            if (is("feature"))
                row[third] *= 1.25F;
            else if (is("swap"))
                std::swap(row[1], row[2 * third]);
            else if (is("tile"))
                std::fill_n(row + 16, 16, 0.0F);
            else if (is("uninitialised") && last)
                std::fill_n(row + third, 8, 1.5e18F);
            else if (is("nan") && last)
                row[third] = std::numeric_limits<float>::quiet_NaN();
            else if (is("inf") && last)
                row[third] = std::numeric_limits<float>::infinity();
        }
}

}  // namespace

extern "C" {

// fault must outlive its use; an empty one ends it.
void faulty_blas_plan(const char* fault, int begin, int end) {
    plan = {fault, begin, end};
}

void sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
            const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
            const float* beta, float* c, const int* ldc) {
    next_sgemm()(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    if (plan.fault.empty()) return;
    if (plan.fault == "k_tail")  // only for weights in A, transposed: what torch's linear asks for
    {
        const int features = plan.end - plan.begin;
        const int inputs = *k - *k / 8;
        next_sgemm()(transa, transb, &features, n, &inputs, alpha,
                     a + static_cast<std::ptrdiff_t>(plan.begin) * *lda, lda, b, ldb, beta,
                     c + plan.begin, ldc);
    } else
        spoil(Block{c, *ldc, *n});
}
}
