// cuBLASLt: descriptors are tables of attributes, as its getters and setters suggest.
#include <cmath>
#include <cstring>
#include <map>

#include "api.hpp"
#include "core/gemm.hpp"
#include "core/stream.hpp"
#include "nested.hpp"

namespace fake {
namespace {

enum DescAttribute : int {
    desc_compute = 0,
    desc_scale = 1,
    desc_pointer_mode = 2,
    desc_transa = 3,
    desc_transb = 4,
    desc_epilogue = 7,
    desc_bias = 8,
    desc_bias_stride = 10,
    desc_a_scale = 17,
    desc_b_scale = 18,
    desc_c_scale = 19,
    desc_d_scale = 20,
    desc_bias_type = 26,
};
enum LayoutAttribute : int {
    layout_type = 0,
    layout_order = 1,
    layout_rows = 2,
    layout_cols = 3,
    layout_ld = 4,
    layout_batch = 5,
    layout_stride = 6,
};
enum Epilogue : int { relu = 2, with_bias = 4, gelu = 32 };

constexpr int column_order = 0;
constexpr int row_order = 1;

/// What an object holds is kept here, by its address: that is of memory of ours, or of the
/// caller's.
using Table = std::map<int, std::vector<std::byte>>;
std::map<void*, Table>& tables() {
    static auto* const one = new std::map<void*, Table>;
    return *one;
}

template <class T>
void put(Table& table, int attribute, T value) {
    std::vector<std::byte>& bytes = table[attribute];
    bytes.resize(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
}

template <class T>
T get(const Table& table, int attribute, T otherwise) {
    const auto it = table.find(attribute);
    if (it == table.end() || it->second.size() > sizeof(T)) return otherwise;
    T value{};
    std::memcpy(&value, it->second.data(), it->second.size());
    return value;
}

int set_attribute(void* object, int attribute, const void* value, size_t bytes) {
    const Lock lock(world());
    const auto it = tables().find(object);
    if (it == tables().end() || value == nullptr || bytes == 0) return blas_invalid_value;
    const auto* from = static_cast<const std::byte*>(value);
    it->second[attribute].assign(from, from + bytes);
    return blas_ok;
}

int get_attribute(void* object, int attribute, void* value, size_t bytes, size_t* written) {
    const Lock lock(world());
    const auto table = tables().find(object);
    if (table == tables().end()) return blas_invalid_value;
    const auto it = table->second.find(attribute);
    if (it == table->second.end()) return blas_not_supported;
    if (written != nullptr) *written = it->second.size();
    if (bytes == 0) return written == nullptr ? blas_invalid_value : blas_ok;
    if (value == nullptr || bytes < it->second.size()) return blas_invalid_value;
    std::memcpy(value, it->second.data(), it->second.size());
    return blas_ok;
}

int create(void** out, Table table) {
    if (out == nullptr) return blas_invalid_value;
    const Lock lock(world());
    *out = new char{};
    tables()[*out] = std::move(table);
    return blas_ok;
}

int init(void* object, Table table) {
    if (object == nullptr) return blas_invalid_value;
    const Lock lock(world());
    tables()[object] = std::move(table);
    return blas_ok;
}

int destroy(void* object) {
    const Lock lock(world());
    if (tables().erase(object) != 1) return blas_invalid_value;
    delete static_cast<char*>(object);
    return blas_ok;
}

Table desc_table(int compute, int scale) {
    Table table;
    put(table, desc_compute, compute);
    put(table, desc_scale, scale);
    for (const int attribute : {2, 3, 4, 5, 6})
        put(table, attribute, 0);
    put(table, desc_epilogue, 1);
    for (const int attribute : {8, 11, 17, 18, 19, 20, 21})
        put(table, attribute, static_cast<void*>(nullptr));
    for (const int attribute : {10, 12, 13, 14})
        put(table, attribute, std::int64_t{0});
    put(table, desc_bias_type, -1);
    return table;
}

Table layout_table(int type, std::uint64_t rows, std::uint64_t cols, std::int64_t ld) {
    Table table;
    put(table, layout_type, type);
    put(table, layout_order, column_order);
    put(table, layout_rows, rows);
    put(table, layout_cols, cols);
    put(table, layout_ld, ld);
    put(table, layout_batch, 1);
    put(table, layout_stride, std::int64_t{0});
    return table;
}

struct Layout {
    Matrix matrix;
    std::int64_t rows = 0, cols = 0;
    std::int64_t batch = 1;
};

/// With the lock held; false for what is no layout, or one that is not known here.
bool read_layout(void* object, const void* data, Layout* out) {
    const auto it = tables().find(object);
    if (it == tables().end()) return false;
    const Table& t = it->second;
    const int order = get(t, layout_order, column_order);
    out->rows = static_cast<std::int64_t>(get<std::uint64_t>(t, layout_rows, 0));
    out->cols = static_cast<std::int64_t>(get<std::uint64_t>(t, layout_cols, 0));
    out->batch = get(t, layout_batch, 1);
    out->matrix = {data,
                   get(t, layout_type, -1),
                   get(t, layout_ld, std::int64_t{0}),
                   get(t, layout_stride, std::int64_t{0}),
                   false,
                   order == row_order};
    return (order == column_order || order == row_order) && size_of(out->matrix.type) != 0;
}

double apply(int epilogue, double v) {
    if ((epilogue & relu) != 0) return v > 0 ? v : 0;
    if ((epilogue & gelu) != 0) {  // the approximation by tanh
        constexpr double root = 0.79788456080286535588;
        return 0.5 * v * (1 + std::tanh(root * (v + 0.044715 * v * v * v)));
    }
    return v;
}

NestedMatmul announced[32] = {};

}  // namespace

void set_nested_matmul(int major, NestedMatmul function) {
    announced[major % 32] = function;
}
NestedMatmul nested_matmul(int major) {
    return announced[major % 32];
}

namespace api {

int cublasLtCreate(Call&, void** handle) {
    return create(handle, {});
}
int cublasLtDestroy(Call&, void* handle) {
    return destroy(handle);
}
size_t cublasLtGetVersion(Call& call) {
    return static_cast<size_t>(call.major()) * 10000;
}
size_t cublasLtGetCudartVersion(Call& call) {
    return static_cast<size_t>(call.major()) * 1000;
}
const char* cublasLtGetStatusString(Call& call, int status) {
    return cublasGetStatusName(call, status);
}
const char* cublasLtGetStatusName(Call& call, int status) {
    return cublasGetStatusName(call, status);
}
int cublasLtMatmulDescCreate(Call&, void** desc, int compute, int scale) {
    return create(desc, desc_table(compute, scale));
}
int cublasLtMatmulDescInit_internal(Call&, void* desc, size_t, int compute, int scale) {
    return init(desc, desc_table(compute, scale));
}
int cublasLtMatmulDescDestroy(Call&, void* desc) {
    return destroy(desc);
}
int cublasLtMatmulDescSetAttribute(Call&, void* desc, int attribute, const void* value,
                                   size_t bytes) {
    return set_attribute(desc, attribute, value, bytes);
}
int cublasLtMatmulDescGetAttribute(Call&, void* desc, int attribute, void* value, size_t bytes,
                                   size_t* written) {
    return get_attribute(desc, attribute, value, bytes, written);
}
int cublasLtMatrixLayoutCreate(Call&, void** layout, int type, uint64_t rows, uint64_t cols,
                               int64_t ld) {
    return create(layout, layout_table(type, rows, cols, ld));
}
int cublasLtMatrixLayoutInit_internal(Call&, void* layout, size_t, int type, uint64_t rows,
                                      uint64_t cols, int64_t ld) {
    return init(layout, layout_table(type, rows, cols, ld));
}
int cublasLtMatrixLayoutDestroy(Call&, void* layout) {
    return destroy(layout);
}
int cublasLtMatrixLayoutSetAttribute(Call&, void* layout, int attribute, const void* value,
                                     size_t bytes) {
    return set_attribute(layout, attribute, value, bytes);
}
int cublasLtMatrixLayoutGetAttribute(Call&, void* layout, int attribute, void* value, size_t bytes,
                                     size_t* written) {
    return get_attribute(layout, attribute, value, bytes, written);
}
int cublasLtMatmulPreferenceCreate(Call&, void** preference) {
    return create(preference, {});
}
int cublasLtMatmulPreferenceInit_internal(Call&, void* preference, size_t) {
    return init(preference, {});
}
int cublasLtMatmulPreferenceDestroy(Call&, void* preference) {
    return destroy(preference);
}
int cublasLtMatmulPreferenceSetAttribute(Call&, void* preference, int attribute, const void* value,
                                         size_t bytes) {
    return set_attribute(preference, attribute, value, bytes);
}
int cublasLtMatmulPreferenceGetAttribute(Call&, void* preference, int attribute, void* value,
                                         size_t bytes, size_t* written) {
    return get_attribute(preference, attribute, value, bytes, written);
}

int cublasLtMatmulAlgoGetHeuristic(Call&, void*, void*, void*, void*, void*, void*, void*,
                                   int requested, void* results, int* found) {
    struct Result {
        std::uint64_t algorithm[8];
        size_t workspace;
        int state;
        float waves;
        int reserved[4];
    };
    if (results == nullptr || found == nullptr || requested < 1) return blas_invalid_value;
    *static_cast<Result*>(results) = {{1}, 0, blas_ok, 1.0F, {}};
    *found = 1;
    return blas_ok;
}

int cublasLtMatmul(Call& call, void* handle, void* desc, const void* alpha, const void* a,
                   void* a_layout, const void* b, void* b_layout, const void* beta, const void* c,
                   void* c_layout, void* d, void* d_layout, const void*, void*, size_t,
                   void* stream) {
    Gemm gemm;
    int epilogue = 1;
    const void* bias = nullptr;
    int bias_type = -1;
    std::int64_t bias_stride = 0;
    const void* scales[4] = {};
    {
        const Lock lock(world());
        const auto it = tables().find(desc);
        Layout la;
        Layout lb;
        Layout lc;
        Layout ld;
        if (!tables().contains(handle) || it == tables().end() || alpha == nullptr ||
            beta == nullptr) {
            return blas_invalid_value;
        }
        if (!read_layout(a_layout, a, &la) || !read_layout(b_layout, b, &lb) ||
            !read_layout(c_layout, c, &lc) || !read_layout(d_layout, d, &ld)) {
            return blas_not_supported;
        }
        const Table& t = it->second;
        gemm.transa = get(t, desc_transa, 0);
        gemm.transb = get(t, desc_transb, 0);
        gemm.m = ld.rows;
        gemm.n = ld.cols;
        gemm.k = gemm.transa == 0 ? la.cols : la.rows;
        const std::int64_t k_of_b = gemm.transb == 0 ? lb.rows : lb.cols;
        const std::int64_t m_of_a = gemm.transa == 0 ? la.rows : la.cols;
        const std::int64_t n_of_b = gemm.transb == 0 ? lb.cols : lb.rows;
        if (gemm.k != k_of_b || gemm.m != m_of_a || gemm.n != n_of_b) return blas_invalid_value;
        gemm.a = la.matrix;
        gemm.b = lb.matrix;
        gemm.c = lc.matrix;
        gemm.d = ld.matrix;
        gemm.batch = ld.batch;
        constexpr int compute_fast_tf32 = 77;
        gemm.tf32 = in_tf32(gemm.a.type, gemm.b.type, get(t, desc_compute, 0) == compute_fast_tf32);
        const int scale = get(t, desc_scale, static_cast<int>(r32f));
        const int mode = get(t, desc_pointer_mode, 0);
        if (mode > 1 || size_of(scale) == 0) return blas_not_supported;
        gemm.alpha = {mode == 1 ? alpha : nullptr, scale,
                      mode == 1 ? Value{0} : load(alpha, scale, 0)};
        gemm.beta = {mode == 1 ? beta : nullptr, scale,
                     mode == 1 ? Value{0} : load(beta, scale, 0)};
        epilogue = get(t, desc_epilogue, 1);
        if ((epilogue & ~(1 | relu | with_bias | gelu)) != 0) return blas_not_supported;
        bias = get<void*>(t, desc_bias, nullptr);
        bias_stride = get(t, desc_bias_stride, std::int64_t{0});
        bias_type = get(t, desc_bias_type, -1);
        // Unless told: the output's type, or bf16 where that is a small one.
        if (bias_type < 0)
            bias_type = size_of(gemm.d.type) == 1 ? static_cast<int>(r16bf) : gemm.d.type;
        int which = 0;
        for (const DescAttribute attribute :
             {desc_a_scale, desc_b_scale, desc_c_scale, desc_d_scale}) {
            scales[which++] = get<void*>(t, attribute, nullptr);
        }
    }
    for (const auto& [key, value] : {std::pair{"m", gemm.m},
                                     {"n", gemm.n},
                                     {"k", gemm.k},
                                     {"batch", gemm.batch},
                                     {"lda", gemm.a.ld},
                                     {"ldb", gemm.b.ld},
                                     {"ldd", gemm.d.ld}}) {
        call.note(key, value);
    }
    for (const auto& [key, value] : {std::pair{"transa", gemm.transa},
                                     {"transb", gemm.transb},
                                     {"a_type", gemm.a.type},
                                     {"b_type", gemm.b.type},
                                     {"d_type", gemm.d.type},
                                     {"epilogue", epilogue}}) {
        call.note(key, value);
    }
    if (gemm.m == 0 || gemm.n == 0 || gemm.batch == 0) return blas_ok;
    const auto factor = [scales](int i) {
        return scales[i] == nullptr ? 1.0 : load(scales[i], r32f, 0).real();
    };
    if ((epilogue & ~1) != 0 || scales[3] != nullptr) {
        gemm.epilogue = [=](std::int64_t batch, std::int64_t row, Value v) -> Value {
            if ((epilogue & with_bias) != 0) v += load(bias, bias_type, batch * bias_stride + row);
            return apply(epilogue, v.real()) * factor(3);
        };
    }
    const auto run = [gemm, factor] {
        Gemm scaled = gemm;
        scaled.alpha = {nullptr, r64f, gemm.alpha.get() * factor(0) * factor(1)};
        scaled.beta = {nullptr, r64f, gemm.beta.get() * factor(2)};
        compute(scaled);
    };
    return blas_status(submit(call, stream, {NodeKind::kernel, call.name(), run, nullptr, 0}));
}

}  // namespace api
}  // namespace fake
