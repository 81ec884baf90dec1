// Products of small known integers through oneDNN (2.x or 3.x, whichever it is built with). Prints
// one JSON line for each product with what a trace of it must hold.
#include <cstdio>
#include <cstring>
#include <dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using dnnl::memory;
using Dims = memory::dims;
using Type = memory::data_type;

dnnl::engine& cpu() {
    static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}

Dims dense(const Dims& dims) {
    Dims strides(dims.size(), 1);
    for (std::size_t d = dims.size() - 1; d-- > 0;)
        strides[d] = strides[d + 1] * dims[d + 1];
    return strides;
}

std::int64_t product(const Dims& dims) {
    std::int64_t count = 1;
    for (std::int64_t d : dims)
        count *= d;
    return count;
}

void store(Type type, char* at, float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (type == Type::f32) std::memcpy(at, &bits, sizeof bits);
    if (type == Type::bf16) std::memcpy(at, reinterpret_cast<char*>(&bits) + 2, 2);
    if (type == Type::s8) *at = static_cast<char>(value);
}

float fetch(Type type, const char* at) {
    std::uint32_t bits = 0;
    if (type == Type::f32) std::memcpy(&bits, at, sizeof bits);
    if (type == Type::bf16) std::memcpy(reinterpret_cast<char*>(&bits) + 2, at, 2);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

/// A tensor of small integers in memory of any plain layout.
struct Tensor {
    Tensor(Dims d, Type t, int seed, Dims s = {}, std::int64_t first = 0)
        : dims(std::move(d)),
          strides(s.empty() ? dense(dims) : std::move(s)),
          type(t),
          begin(first) {
        std::int64_t last = begin;
        for (std::size_t i = 0; i < dims.size(); ++i)
            last += (dims[i] - 1) * strides[i];
        size = t == Type::f32 ? 4 : t == Type::bf16 ? 2 : 1;
        bytes.assign(static_cast<std::size_t>(last + 1) * size, 0x41);
        values.resize(static_cast<std::size_t>(product(dims)));
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = seed < 0
                            ? 0.F
                            : static_cast<float>(static_cast<int>((i * 5 + i / 3 + seed) % 7) - 3);
            store(type, at(i), values[i]);
        }
        mem = memory(desc(), cpu(), bytes.data());
    }

    /// `begin` elements in, as a part of a larger tensor is described.
    memory::desc desc() const {
        if (begin == 0) return {dims, type, strides};
        Dims outer = dims;
        outer[0] += begin / strides[0];
        Dims offsets(dims.size(), 0);
        offsets[0] = begin / strides[0];
        return memory::desc(outer, type, strides).submemory_desc(dims, offsets);
    }

    char* at(std::size_t index) {
        std::int64_t offset = begin;
        auto rest = static_cast<std::int64_t>(index);
        for (std::size_t d = dims.size(); d-- > 0;) {
            offset += rest % dims[d] * strides[d];
            rest /= dims[d];
        }
        return bytes.data() + offset * size;
    }
    void load() {
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = fetch(type, at(i));
    }

    Dims dims;
    Dims strides;
    Type type;
    std::int64_t begin;
    int size;
    std::vector<char> bytes;
    std::vector<float> values;
    memory mem;
};

/// One matrix, its rows as lists; where it lies transposed, its columns.
void print_matrix(const char* key, const float* values, std::int64_t rows, std::int64_t cols,
                  bool transposed) {
    std::printf(",\"%s\":[", key);
    for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) {
            const float value = values[transposed ? c * rows + r : r * cols + c];
            std::printf("%s%g", c != 0 ? "," : r != 0 ? "],[" : "[", value);
        }
    }
    std::printf("]]");
}

struct Printed {
    const char* name;
    const char* op;
    std::int64_t batch, m, k, n;
    bool x_transposed;
    bool w_transposed;  ///< it is in x out
    bool w_readable;
};

void print_product(const Printed& p, const float* x, const float* w, const float* y) {
    std::printf("{\"case\":\"%s\",\"op\":\"%s\"", p.name, p.op);
    if (p.batch >= 0) std::printf(",\"batch_index\":%d", static_cast<int>(p.batch));
    print_matrix("x", x, p.m, p.k, p.x_transposed);
    if (p.w_readable) print_matrix("w", w, p.n, p.k, p.w_transposed);
    print_matrix("y", y, p.m, p.n, false);
    std::printf("}\n");
}

using Arguments = std::unordered_map<int, memory>;

void execute(const dnnl::primitive& primitive, const Arguments& arguments) {
    dnnl::stream stream(cpu());
    primitive.execute(stream, arguments);
    stream.wait();
}

template <class Primitive, class... Parts>
typename Primitive::primitive_desc describe(const dnnl::primitive_attr& attr,
                                            const Parts&... parts) {
#if DNNL_VERSION_MAJOR >= 3
    return {cpu(), parts..., attr};
#else
    return {{parts...}, attr, cpu()};
#endif
}

/// Some builds of oneDNN know no bf16, some no integers.
template <class Case>
void attempt(const char* name, Case run) {
    try {
        run();
    } catch (const dnnl::error& e) {
        if (e.status != dnnl_unimplemented) throw;
        std::printf("# %s: not implemented\n", name);
    }
}

dnnl::primitive_attr with_relu(bool relu) {
    dnnl::post_ops ops;
    const auto kind = dnnl::algorithm::eltwise_relu;
#if DNNL_VERSION_MAJOR >= 3
    if (relu) ops.append_eltwise(kind, 0, 0);
#else
    if (relu) ops.append_eltwise(1, kind, 0, 0);
#endif
    dnnl::primitive_attr attr;
    attr.set_post_ops(ops);
    return attr;
}

/// A factor of the result: of the primitive in 2.x, handed over with each execution in 3.x.
dnnl::primitive_attr with_scale(Arguments& arguments, Tensor& scale) {
    dnnl::primitive_attr attr;
#if DNNL_VERSION_MAJOR >= 3
    attr.set_scales_mask(DNNL_ARG_WEIGHTS, 0);
    arguments.insert({DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, scale.mem});
#else
    (void)arguments;
    attr.set_output_scales(0, {scale.values[0]});
#endif
    return attr;
}

/// Not what x and the weight alone would give.
void scaled_matmul() {
    Tensor src({3, 5}, Type::f32, 0), weights({5, 4}, Type::f32, 1), dst({3, 4}, Type::f32, -1);
    Tensor scale({1}, Type::f32, 5);
    Arguments arguments{
        {DNNL_ARG_SRC, src.mem}, {DNNL_ARG_WEIGHTS, weights.mem}, {DNNL_ARG_DST, dst.mem}};
    const auto attr = with_scale(arguments, scale);
    execute(dnnl::matmul(describe<dnnl::matmul>(attr, src.desc(), weights.desc(), memory::desc(),
                                                dst.desc())),
            arguments);
    dst.load();
    print_product({"scaled", "dnnl_matmul", -1, 3, 5, 4, false, true, true}, src.values.data(),
                  weights.values.data(), dst.values.data());
}

void matmul_case(const char* name, Tensor& src, Tensor& weights, Tensor& dst, bool bias,
                 bool relu) {
    const std::size_t nd = dst.dims.size();
    Tensor b({1, dst.dims[nd - 1]}, Type::f32, 4);  // where there is one, it is 2-D
    const auto pd = describe<dnnl::matmul>(with_relu(relu), src.desc(), weights.desc(),
                                           bias ? b.desc() : memory::desc(), dst.desc());
    Arguments arguments{
        {DNNL_ARG_SRC, src.mem}, {DNNL_ARG_WEIGHTS, weights.mem}, {DNNL_ARG_DST, dst.mem}};
    if (bias) arguments.insert({DNNL_ARG_BIAS, b.mem});
    execute(dnnl::matmul(pd), arguments);
    dst.load();
    const std::string op =
        std::string("dnnl_matmul") + (bias ? "+bias" : "") + (relu ? "+post_ops" : "");
    const std::int64_t m = dst.dims[nd - 2];
    const std::int64_t n = dst.dims[nd - 1];
    const std::int64_t k = src.dims[nd - 1];
    const std::int64_t batches = product(dst.dims) / (m * n);
    for (std::int64_t i = 0; i < batches; ++i) {
        // The cases share the outermost batch dimension alone.
        const float* x = &src.values[i % (product(src.dims) / (m * k)) * m * k];
        const float* w = &weights.values[i % (product(weights.dims) / (k * n)) * k * n];
        print_product({name, op.c_str(), nd == 2 ? -1 : i, m, k, n, false, true, true}, x, w,
                      &dst.values[i * m * n]);
    }
}

void matmul(const char* name, Tensor src, Tensor weights, Tensor dst, bool bias = false,
            bool relu = false) {
    attempt(name, [&] { matmul_case(name, src, weights, dst, bias, relu); });
}

void inner_product_case(const char* name, Tensor& src, Tensor& weights, Tensor& dst, bool any) {
    const auto wanted =
        any ? memory::desc(weights.dims, weights.type, memory::format_tag::any) : weights.desc();
    const auto pd = describe<dnnl::inner_product_forward>({}, dnnl::prop_kind::forward_inference,
                                                          src.desc(), wanted, dst.desc());
    memory w = weights.mem;
    const bool plain = pd.weights_desc() == weights.desc();
    if (!plain) {
        w = memory(pd.weights_desc(), cpu());
        execute(dnnl::reorder(weights.mem, w), {{DNNL_ARG_FROM, weights.mem}, {DNNL_ARG_TO, w}});
    }
    execute(dnnl::inner_product_forward(pd),
            {{DNNL_ARG_SRC, src.mem}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, dst.mem}});
    dst.load();
    print_product({name, "dnnl_inner_product", -1, src.dims[0], product(src.dims) / src.dims[0],
                   dst.dims[1], false, false, plain},
                  src.values.data(), weights.values.data(), dst.values.data());
}

void inner_product(const char* name, Tensor src, Tensor weights, Tensor dst, bool any = false) {
    attempt(name, [&] { inner_product_case(name, src, weights, dst, any); });
}

void integer_matmul() {
    Tensor src({3, 8}, Type::s8, 0), weights({8, 4}, Type::s8, 1), dst({3, 4}, Type::s8, -1);
    const auto pd =
        describe<dnnl::matmul>({}, src.desc(), weights.desc(), memory::desc(), dst.desc());
    execute(dnnl::matmul(pd),
            {{DNNL_ARG_SRC, src.mem}, {DNNL_ARG_WEIGHTS, weights.mem}, {DNNL_ARG_DST, dst.mem}});
}

/// Row-major; a is x and b the weight.
void sgemm(char ta, char tb) {
    constexpr std::int64_t m = 3, n = 4, k = 5, pad = 2;
    const bool at = ta == 'T';
    const bool bt = tb == 't';
    Tensor a(at ? Dims{k, m} : Dims{m, k}, Type::f32, 1, {(at ? m : k) + pad, 1});
    Tensor b(bt ? Dims{n, k} : Dims{k, n}, Type::f32, 2, {(bt ? k : n) + pad, 1});
    Tensor c({m, n}, Type::f32, -1, {n + pad, 1});
    const auto call = [&](std::int64_t rows) {
        const auto f = [](Tensor& t) { return reinterpret_cast<float*>(t.bytes.data()); };
        dnnl_sgemm(ta, tb, rows, n, k, 1, f(a), a.strides[0], f(b), b.strides[0], 0, f(c),
                   c.strides[0]);
    };
    call(m);
    c.load();
    print_product({"sgemm", "dnnl_sgemm", -1, m, k, n, at, !bt, true}, a.values.data(),
                  b.values.data(), c.values.data());
    call(-1);  // refused, so not a product
}

}  // namespace

int main() {
    const auto f32 = Type::f32;
    const auto bf16 = Type::bf16;
    matmul("plain", {{3, 5}, f32, 0}, {{5, 4}, f32, 1}, {{3, 4}, f32, -1});
    matmul("bf16", {{3, 16}, bf16, 0}, {{16, 4}, bf16, 1}, {{3, 4}, bf16, -1});
    matmul("bf16 to f32", {{3, 16}, bf16, 2}, {{16, 4}, bf16, 3}, {{3, 4}, f32, -1});
    matmul("weights out x in", {{3, 5}, f32, 0}, {{5, 4}, f32, 2, {1, 5}}, {{3, 4}, f32, -1});
    matmul("bf16 weights out x in", {{3, 16}, bf16, 0}, {{16, 4}, bf16, 2, {1, 16}},
           {{3, 4}, bf16, -1});
    matmul("long rows", {{3, 5}, f32, 0, {9, 1}}, {{5, 4}, f32, 3, {7, 1}},
           {{3, 4}, f32, -1, {6, 1}});
    // Odd strides: oneDNN's fast implementations forget where a part begins.
    matmul("part of a tensor", {{3, 5}, f32, 0, {10, 2}, 20}, {{5, 4}, f32, 4, {8, 2}, 16},
           {{3, 4}, f32, -1, {8, 2}, 8});
    matmul("one token", {{1, 5}, f32, 5}, {{5, 4}, f32, 5}, {{1, 4}, f32, -1});
    matmul("batch", {{2, 3, 5}, f32, 0}, {{2, 5, 4}, f32, 6}, {{2, 3, 4}, f32, -1});
    matmul("batch, shared", {{2, 3, 3, 5}, f32, 0}, {{1, 3, 5, 4}, f32, 1},
           {{2, 3, 3, 4}, f32, -1});
    matmul("heads in between", {{2, 3, 5}, f32, 3, {5, 10, 1}}, {{2, 5, 4}, f32, 5, {20, 1, 5}},
           {{2, 3, 4}, f32, -1, {4, 8, 1}});
    matmul("bias", {{3, 5}, f32, 0}, {{5, 4}, f32, 3}, {{3, 4}, f32, -1}, true);
    matmul("relu", {{3, 5}, f32, 0}, {{5, 4}, f32, 4}, {{3, 4}, f32, -1}, false, true);
    matmul("bias and relu", {{3, 5}, f32, 0}, {{5, 4}, f32, 5}, {{3, 4}, f32, -1}, true, true);
    inner_product("plain", {{3, 5}, f32, 0}, {{4, 5}, f32, 1}, {{3, 4}, f32, -1});
    inner_product("in x out", {{3, 5}, f32, 0}, {{4, 5}, f32, 2, {1, 4}}, {{3, 4}, f32, -1});
    inner_product("bf16", {{3, 16}, bf16, 0}, {{4, 16}, bf16, 2}, {{3, 4}, f32, -1});
    inner_product("image", {{3, 5, 2, 3}, f32, 0}, {{4, 5, 2, 3}, f32, 1}, {{3, 4}, f32, -1});
    inner_product("any", {{3, 64}, f32, 0}, {{32, 64}, f32, 1}, {{3, 32}, f32, -1}, true);
    attempt("integers", integer_matmul);
    attempt("scaled", scaled_matmul);
    for (char ta : {'N', 'T'}) {
        for (char tb : {'n', 't'})
            sgemm(ta, tb);
    }
    return 0;
}
