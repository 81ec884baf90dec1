#include "preload/ggml_notes.hpp"

#include <sched.h>

#include "core/hash.hpp"

namespace orch {
namespace {

constexpr std::size_t capacity = 1U << 16;  ///< tensors; a 100-layer model's graph has about 5,000
constexpr std::size_t max_probes = 256;

// Zero pages until they are used: an engine without ggml pays address space only.
constinit TensorNote registry[capacity] = {};
constinit std::atomic<bool> busy{false};
constinit std::atomic<std::uint64_t> changes{0};

std::size_t home(const void* tensor) noexcept {
    return mix64(reinterpret_cast<std::uintptr_t>(tensor)) % capacity;
}

}  // namespace

Notes::Notes() noexcept {
    bool free = false;
    while (!busy.compare_exchange_weak(free, true, std::memory_order_acquire)) {
        free = false;
        ::sched_yield();
    }
}

Notes::~Notes() {
    busy.store(false, std::memory_order_release);
}

TensorNote* Notes::find(const void* tensor) noexcept {
    const std::size_t first = home(tensor);
    for (std::size_t i = 0; i < max_probes; ++i) {
        TensorNote& note = registry[(first + i) % capacity];
        if (note.tensor == tensor) return &note;
        if (note.tensor == nullptr) return nullptr;
    }
    return nullptr;
}

TensorNote* Notes::at(void* tensor) noexcept {
    changes.fetch_add(1, std::memory_order_relaxed);
    const std::size_t first = home(tensor);
    for (std::size_t i = 0; i < max_probes; ++i) {
        TensorNote& note = registry[(first + i) % capacity];
        if (note.tensor == tensor) return &note;
        if (note.tensor == nullptr) {
            note.tensor = tensor;
            return &note;
        }
    }
    return nullptr;
}

void* Notes::owner(const GgmlApi& api, void* tensor) noexcept {
    constexpr int longest_chain = 8;  // views of views; a stale cycle must not hang us
    for (int i = 0; i < longest_chain && is_view_operation(api.op(tensor)); ++i) {
        const TensorNote* note = find(tensor);
        if (note == nullptr || note->kind != NoteKind::view || note->source == nullptr) break;
        tensor = note->source;
    }
    return tensor;
}

std::uint64_t Notes::generation() noexcept {
    return changes.load(std::memory_order_acquire);
}

}  // namespace orch
