#include "analyzer/read/entry_store.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

namespace orch {
namespace {

/// Memory becomes usable in steps. All but the small ones are of huge pages.
constexpr std::size_t small_step = std::size_t{64} << 10;
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t large_step = std::size_t{32} << 20;

std::size_t rounded_up(std::size_t bytes, std::size_t step) {
    return (bytes + step - 1) / step * step;
}

}  // namespace

EntryStore::EntryStore(std::size_t most) {
    reserved_ = rounded_up(most * sizeof(Entry), large_step);
    void* space =
        ::mmap(nullptr, reserved_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) throw std::bad_alloc{};
    begin_ = static_cast<Entry*>(space);
    if (reserved_ > large_step) ::madvise(space, reserved_, MADV_HUGEPAGE);
}

EntryStore::~EntryStore() {
    if (begin_ != nullptr) ::munmap(begin_, reserved_);
}

EntryStore::EntryStore(EntryStore&& other) noexcept {
    *this = std::move(other);
}

EntryStore& EntryStore::operator=(EntryStore&& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(size_, other.size_);
    std::swap(usable_, other.usable_);
    std::swap(reserved_, other.reserved_);
    return *this;
}

std::span<Entry> EntryStore::extend(std::size_t count) {
    const std::size_t needed = (size_ + count) * sizeof(Entry);
    if (needed > reserved_) throw std::bad_alloc{};
    if (needed > usable_) {
        const std::size_t step = needed > large_step / 2   ? large_step
                                 : needed > 8 * small_step ? huge_page
                                                           : small_step;
        const std::size_t wanted = std::min(rounded_up(needed, step), reserved_);
        if (::mprotect(begin_, wanted, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc{};
        usable_ = wanted;
    }
    const std::span<Entry> added{begin_ + size_, count};
    size_ += count;
    return added;
}

}  // namespace orch
