// Memory of one thread that outlives a call: it grows, never shrinks, and is not the engine's heap.
#pragma once
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>

namespace orch {

/// Zeroed pages, or null. errno stays the engine's.
inline void* map_pages(std::size_t size) noexcept {
    const int saved = errno;
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    return memory == MAP_FAILED ? nullptr : memory;
}

class Scratch {
  public:
    /// What was in it is lost when it grows. Null without memory.
    void* at_least(std::size_t size) noexcept {
        if (size <= size_) return memory_;
        void* memory = map_pages(size);
        if (memory == nullptr) return nullptr;
        if (memory_ != nullptr) ::munmap(memory_, size_);
        memory_ = memory;
        size_ = size;
        return memory_;
    }

  private:
    void* memory_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace orch
