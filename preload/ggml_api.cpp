#include "preload/ggml_api.hpp"

#include <cstring>

#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

enum State : int { unknown, loading, ready, off };

constinit std::atomic<int> state{unknown};
constinit std::atomic<bool> verified{false};
constinit GgmlApi the_api{};

struct Function {
    const char* name;
    std::size_t offset;
};

#define MEMBER(member, name)            \
    Function {                          \
        name, offsetof(GgmlApi, member) \
    }
constexpr Function functions[] = {
    MEMBER(set_output, "ggml_set_output"),
    MEMBER(get_name, "ggml_get_name"),
    MEMBER(nelements, "ggml_nelements"),
    MEMBER(nbytes, "ggml_nbytes"),
    MEMBER(get_data, "ggml_get_data"),
    MEMBER(tensor_element_size, "ggml_element_size"),
    MEMBER(op_desc, "ggml_op_desc"),
    MEMBER(is_contiguous, "ggml_is_contiguous"),
    MEMBER(unravel_index, "ggml_unravel_index"),
    MEMBER(type_name, "ggml_type_name"),
    MEMBER(type_size, "ggml_type_size"),
    MEMBER(blck_size, "ggml_blck_size"),
    MEMBER(is_quantized, "ggml_is_quantized"),
    MEMBER(get_type_traits, "ggml_get_type_traits"),
    MEMBER(graph_n_nodes, "ggml_graph_n_nodes"),
    MEMBER(graph_node, "ggml_graph_node"),
    MEMBER(get_first_tensor, "ggml_get_first_tensor"),
    MEMBER(get_next_tensor, "ggml_get_next_tensor"),
    MEMBER(tensor_get, "ggml_backend_tensor_get"),
    MEMBER(sched_synchronize, "ggml_backend_sched_synchronize"),
    MEMBER(sched_get_tensor_backend, "ggml_backend_sched_get_tensor_backend"),
    MEMBER(backend_get_default_buffer_type, "ggml_backend_get_default_buffer_type"),
    MEMBER(buft_is_host, "ggml_backend_buft_is_host"),
    MEMBER(buffer_is_host, "ggml_backend_buffer_is_host"),
    MEMBER(buffer_name, "ggml_backend_buffer_name"),
    MEMBER(sched_set_eval_callback, "ggml_backend_sched_set_eval_callback"),
};
#undef MEMBER

void turn_off(std::string_view why) noexcept {
    state.store(off, std::memory_order_release);
    session::blind_spot("ggml", why);
}

int load(const void* caller) noexcept {
    int expected = unknown;
    if (!state.compare_exchange_strong(expected, loading, std::memory_order_acq_rel)) {
        while ((expected = state.load(std::memory_order_acquire)) == loading) {
        }
        return expected;
    }
    const Guard guard;
    for (const Function& function : functions) {
        void* address = find_for_caller(function.name, caller);
        if (address == nullptr) {
            FixedString<127> why{"this ggml does not export "};
            why.append(function.name);
            turn_off(why);
            return off;
        }
        std::memcpy(reinterpret_cast<char*>(&the_api) + function.offset, &address, sizeof address);
    }
    state.store(ready, std::memory_order_release);
    return ready;
}

}  // namespace

const GgmlApi* ggml_api(const void* caller) noexcept {
    int now = state.load(std::memory_order_acquire);
    if (now == unknown || now == loading) now = load(caller);
    return now == ready ? &the_api : nullptr;
}

GgmlShape GgmlApi::shape(const void* tensor) const noexcept {
    GgmlShape s;
    const std::int64_t n = nelements(tensor);
    if (n <= 0) return s;
    unravel_index(tensor, n - 1, &s.ne[0], &s.ne[1], &s.ne[2], &s.ne[3]);
    for (std::int64_t& extent : s.ne)
        ++extent;
    return s;
}

int GgmlApi::type(const void* tensor) const noexcept {
    int type;
    std::memcpy(&type, tensor, sizeof type);
    return type;
}

bool GgmlApi::describe_type(int type, MatrixView& out) const noexcept {
    const std::string_view wanted = type_name(type);
    out.decode = nullptr;
    if (parse_dtype(wanted, out.dtype)) return true;
    if (!is_quantized(type)) return false;
    const GgmlTypeTraits* traits = get_type_traits(type);
    // The very pointer: in another layout there may be anything in its place.
    const bool as_known = traits != nullptr && traits->type_name == wanted.data() &&
                          traits->blck_size == blck_size(type) &&
                          traits->type_size == type_size(type) && traits->is_quantized &&
                          traits->to_float != nullptr;
    if (!as_known) {
        session::blind_spot(wanted, "ggml_type_traits of this ggml are not laid out as known");
        return false;
    }
    out.dtype = DType::block;
    out.decode = traits->to_float;
    out.block_values = traits->blck_size;
    out.block_bytes = static_cast<std::int64_t>(traits->type_size);
    return true;
}

void verify_ggml_layout(const GgmlApi& api, const void* tensor) noexcept {
    if (verified.load(std::memory_order_acquire)) return;
    const int type = api.type(tensor);
    constexpr int plausible_types = 256;
    const bool fits =
        type >= 0 && type < plausible_types &&
        api.type_size(type) == api.tensor_element_size(tensor) &&
        api.shape(tensor).elements() == api.nelements(tensor) &&
        (!api.is_contiguous(tensor) || api.nelements(tensor) / api.blck_size(type) *
                                               static_cast<std::int64_t>(api.type_size(type)) ==
                                           static_cast<std::int64_t>(api.nbytes(tensor)));
    if (fits) {
        verified.store(true, std::memory_order_release);
    } else {
        turn_off("a tensor's type is not where it was in the ggml versions that are known");
    }
}

}  // namespace orch
