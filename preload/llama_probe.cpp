// llama.cpp's forward passes: a "pass" record with token ids and positions before each, and the
// pass number for every record that follows on this thread.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/records.hpp"
#include "generated/hook_table.hpp"
#include "preload/llama_pass.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

constexpr std::int32_t max_tokens = 1 << 16;

thread_local constinit const LlamaBatch* batch_of_thread = nullptr;
thread_local constinit std::int32_t first_position_of_thread = 0;

/// Up to eight characters of a type's name: it may come from a library that is unloaded later.
struct TypeName {
    std::atomic<std::uint64_t> packed{0};

    void set(std::string_view name) noexcept {
        std::uint64_t bytes = 0;
        std::memcpy(&bytes, name.data(), std::min(name.size(), sizeof bytes));
        packed.store(bytes, std::memory_order_relaxed);
    }
    FixedString<8> text() const noexcept {
        char bytes[sizeof packed];
        const std::uint64_t now = packed.load(std::memory_order_relaxed);
        std::memcpy(bytes, &now, sizeof bytes);
        return FixedString<8>{{bytes, ::strnlen(bytes, sizeof bytes)}};
    }
};
constinit TypeName key_type{};
constinit TypeName value_type{};

/// "f16", or "q8_0,f16" where keys and values differ.
FixedString<17> cache_type() noexcept {
    FixedString<17> type{std::string_view{key_type.text()}};
    const FixedString<8> values = value_type.text();
    if (std::string_view{values} == std::string_view{type} || values.empty()) return type;
    type.append(",");
    type.append(values);
    return type;
}

enum Layout : int { unchecked, known, foreign };
constinit std::atomic<int> layout{unchecked};

/// Room for a longer structure, which the callee would write past the end of ours.
struct RoomyBatch {
    LlamaBatch batch;
    char room[192];
};

/// The library fills its own structure with values of ours; they must come out where we look.
bool layout_is_known(const void* caller) noexcept {
    int now = layout.load(std::memory_order_acquire);
    if (now != unchecked) return now == known;
    using GetOne = RoomyBatch (*)(std::int32_t * tokens, std::int32_t count);
    const auto get_one = reinterpret_cast<GetOne>(find_for_caller("llama_batch_get_one", caller));
    now = foreign;
    if (get_one != nullptr) {
        std::int32_t tokens[7] = {};
        const RoomyBatch roomy = get_one(tokens, 7);
        const LlamaBatch& batch = roomy.batch;
        const bool fits = batch.n_tokens == 7 && batch.token == tokens && batch.embd == nullptr &&
                          batch.pos == nullptr && batch.n_seq_id == nullptr &&
                          batch.seq_id == nullptr && batch.logits == nullptr;
        now = fits ? known : foreign;
    }
    if (now == foreign)
        session::blind_spot("llama_batch", "its layout is not the one that is known");
    layout.store(now, std::memory_order_release);
    return now == known;
}

/// Without positions of its own, a batch goes on where sequence 0 ends. -1: this llama.cpp does not
/// say.
std::int32_t next_position(void* ctx, const void* caller) noexcept {
    using GetMemory = void* (*)(void* ctx);
    using MaxPosition = std::int32_t (*)(void* memory, std::int32_t sequence);
    const auto memory = reinterpret_cast<GetMemory>(find_for_caller("llama_get_memory", caller));
    const auto last =
        reinterpret_cast<MaxPosition>(find_for_caller("llama_memory_seq_pos_max", caller));
    if (memory == nullptr || last == nullptr) return -1;
    return last(memory(ctx), 0) + 1;
}

class Pass {
  public:
    Pass(const Hook& hook, std::string_view op, void* ctx, const LlamaBatch& batch) noexcept {
        Trace* trace = session::trace();
        if (trace == nullptr || !layout_is_known(hook.caller.address)) return;
        if (batch.n_tokens <= 0 || batch.n_tokens > max_tokens) return;
        open_ = true;
        const std::int64_t pass = session::begin_pass();
        batch_of_thread = &batch;
        first_position_of_thread =
            batch.pos == nullptr ? next_position(ctx, hook.caller.address) : 0;
        bump(trace->ledger()[RecordClass::pass].seen);
        write(*trace, op, pass, batch);
    }
    ~Pass() {
        if (!open_) return;
        batch_of_thread = nullptr;
        session::end_pass();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

  private:
    static void write(Trace& trace, std::string_view op, std::int64_t pass,
                      const LlamaBatch& batch) noexcept {
        constexpr std::size_t max_listed = 4096;  // on the engine's stack
        std::int32_t positions[max_listed];
        std::int32_t sequences[max_listed];
        const std::size_t listed = std::min(static_cast<std::size_t>(batch.n_tokens), max_listed);
        bool several = false;
        for (std::size_t i = 0; i < listed; ++i) {
            positions[i] = batch.pos != nullptr
                               ? batch.pos[i]
                               : first_position_of_thread + static_cast<std::int32_t>(i);
            const bool named =
                batch.seq_id != nullptr && batch.n_seq_id != nullptr && batch.n_seq_id[i] > 0;
            sequences[i] = named ? batch.seq_id[i][0] : 0;
            several = several || sequences[i] != 0;
        }
        const FixedString<17> kv_dtype = cache_type();
        PassRecord record;
        record.pass = pass;
        record.kv_dtype = kv_dtype;
        record.op = op;
        record.n_tokens = batch.n_tokens;
        const std::int32_t last = batch.n_tokens - 1;
        if (batch.token != nullptr) record.tokens = {batch.token, listed};
        if (batch.pos != nullptr || first_position_of_thread >= 0) {
            record.positions = {positions, listed};
            record.last_position =
                batch.pos != nullptr ? batch.pos[last] : first_position_of_thread + last;
        }
        if (several) record.sequences = {sequences, listed};
        write_pass(trace, record);
    }

    bool open_ = false;
};

}  // namespace

bool positions_of_pass(std::int64_t tokens, std::int32_t* out) noexcept {
    const LlamaBatch* batch = batch_of_thread;
    if (batch == nullptr || batch->n_tokens != tokens) return false;
    if (batch->pos == nullptr && first_position_of_thread < 0) return false;
    for (std::int64_t i = 0; i < tokens; ++i) {
        out[i] = batch->pos != nullptr ? batch->pos[i]
                                       : first_position_of_thread + static_cast<std::int32_t>(i);
    }
    return true;
}

void note_cache_tensor(std::string_view name, std::string_view type) noexcept {
    constexpr std::string_view keys = "cache_k_l";
    constexpr std::string_view values = "cache_v_l";
    if (name.starts_with(keys)) key_type.set(type);
    if (name.starts_with(values)) value_type.set(type);
}

namespace probe {

int llama_decode(const Hook& hook, llama_decode_fn real, void* ctx, LlamaBatch batch) {
    const Pass pass(hook, "llama_decode", ctx, batch);
    return real(ctx, batch);
}

int llama_encode(const Hook& hook, llama_encode_fn real, void* ctx, LlamaBatch batch) {
    const Pass pass(hook, "llama_encode", ctx, batch);
    return real(ctx, batch);
}

}  // namespace probe
}  // namespace orch
