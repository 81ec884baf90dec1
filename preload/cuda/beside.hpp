// A process may hold several copies of a library, of two major versions: what a called function's
// own copy exports besides it is looked up once for each called function.
#pragma once
#include <array>
#include <atomic>

#include "preload/resolver.hpp"

namespace orch::cuda {

/// `Functions` is made from the address of a called function.
template <class Functions>
class FunctionsBeside {
  public:
    Functions of(const void* called) noexcept {
        for (const Entry& entry : entries_) {
            const void* known = entry.called.load(std::memory_order_acquire);
            if (known == called) return entry.functions;
            if (known == nullptr) break;
        }
        return add(called);
    }

  private:
    struct Entry {
        std::atomic<const void*> called{nullptr};
        Functions functions;
    };

    Functions add(const void* called) noexcept {
        const Functions found{called};
        bool free = false;
        if (!busy_.compare_exchange_strong(free, true, std::memory_order_acquire)) return found;
        for (Entry& entry : entries_) {
            const void* known = entry.called.load(std::memory_order_relaxed);
            if (known == called) break;
            if (known != nullptr) continue;
            entry.functions = found;
            entry.called.store(called, std::memory_order_release);
            break;
        }
        busy_.store(false, std::memory_order_release);
        return found;
    }

    std::atomic<bool> busy_{false};
    std::array<Entry, 512> entries_{};  ///< about a hundred functions, of up to five copies
};

/// find_beside() as a function of that type.
template <class Function>
Function function_beside(const char* name, const void* called) noexcept {
    return reinterpret_cast<Function>(find_beside(name, called));
}

}  // namespace orch::cuda
