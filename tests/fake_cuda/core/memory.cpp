#include "core/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

namespace fake {
namespace {

struct Physical {
    int file;
    std::size_t bytes;
    int device;
    int mappings;
    bool dropped;
};

struct State {
    std::map<Address, Block> blocks;
    std::map<Address, std::size_t> reserved;
    std::map<unsigned long long, Physical> physical;
    std::map<Address, unsigned long long> mapped;  ///< which handle lies at an address
    std::uint64_t ids = 0;
    int accesses = 0;
    const bool protect = std::getenv("FAKE_CUDA_PROTECT") != nullptr;
};

State& state() {
    static State* const one = new State;
    return *one;
}

std::size_t rounded(std::size_t bytes, std::size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

/// Filled with what no program wants to compute with: forgotten copies show.
constexpr int garbage = 0xA5;

void set_access(const Block& block, bool allowed) {
    if (block.kind != Memory::device || block.mapping == 0) return;
    ::mprotect(reinterpret_cast<void*>(block.start), block.mapping,
               allowed ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void set_access_of(int device, bool allowed) {
    for (const auto& [start, block] : state().blocks) {
        if (device == memory::Access::all_devices || block.device == device)
            set_access(block, allowed);
    }
}

void free_storage(const Block& block) {
    if (block.mapping != 0) {
        ::munmap(reinterpret_cast<void*>(block.start), block.mapping);
    } else if (!block.registered) {
        std::free(reinterpret_cast<void*>(block.start));
    }
}

void close_if_unused(unsigned long long handle) {
    const auto it = state().physical.find(handle);
    if (it == state().physical.end() || !it->second.dropped || it->second.mappings > 0) return;
    ::close(it->second.file);
    state().physical.erase(it);
}

}  // namespace

std::mutex& world() {
    static auto* const mutex = new std::mutex;
    return *mutex;
}

namespace memory {

std::size_t total() {
    static const std::size_t bytes = [] {
        const char* text = std::getenv("FAKE_CUDA_MEMORY");
        return text != nullptr ? std::strtoull(text, nullptr, 10) : std::size_t{8} << 30;
    }();
    return bytes;
}

std::size_t used(int device) {
    std::size_t sum = 0;
    for (const auto& [start, block] : state().blocks) {
        if (block.kind == Memory::device && block.device == device && !block.virtual_map)
            sum += block.bytes;
    }
    for (const auto& [handle, physical] : state().physical) {
        if (physical.device == device) sum += physical.bytes;
    }
    return sum;
}

int allocate(std::size_t bytes, Memory kind, int device, std::uint64_t context, unsigned flags,
             void** out) {
    if (out == nullptr) return invalid_value;
    *out = nullptr;
    if (kind != Memory::host && bytes > total() - std::min(total(), used(device)))
        return out_of_memory;
    if (bytes == 0) return ok;
    Block block{0, bytes, kind, device, flags, ++state().ids, context, false, 0, false};
    void* storage = nullptr;
    if (kind == Memory::device && state().protect) {
        block.mapping = rounded(bytes, 4096);
        storage = ::mmap(nullptr, block.mapping, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (storage == MAP_FAILED) return out_of_memory;
    } else {
        storage = std::aligned_alloc(512, rounded(bytes, 512));
        if (storage == nullptr) return out_of_memory;
    }
    // Large buffers stay untouched, or a pool that reserves gigabytes would take them.
    if (bytes <= 1U << 20) __builtin_memset(storage, garbage, bytes);
    block.start = reinterpret_cast<Address>(storage);
    if (state().protect && state().accesses == 0) set_access(block, false);
    state().blocks[block.start] = block;
    *out = storage;
    return ok;
}

std::optional<Block> find(const void* pointer) {
    const auto address = reinterpret_cast<Address>(pointer);
    auto it = state().blocks.upper_bound(address);
    if (it == state().blocks.begin()) return std::nullopt;
    --it;
    if (address - it->second.start >= it->second.bytes) return std::nullopt;
    return it->second;
}

int release(const void* pointer, Memory kind) {
    if (pointer == nullptr) return ok;
    const auto it = state().blocks.find(reinterpret_cast<Address>(pointer));
    if (it == state().blocks.end() || it->second.registered || it->second.virtual_map)
        return invalid_value;
    if ((it->second.kind == Memory::host) != (kind == Memory::host)) return invalid_value;
    free_storage(it->second);
    state().blocks.erase(it);
    return ok;
}

int enlist(void* pointer, std::size_t bytes, unsigned flags, std::uint64_t context) {
    if (pointer == nullptr || bytes == 0) return invalid_value;
    if (find(pointer)) return 712;  // already registered
    const auto start = reinterpret_cast<Address>(pointer);
    state().blocks[start] = {start,         bytes,   Memory::host, 0, flags,
                             ++state().ids, context, true,         0, false};
    return ok;
}

int unlist(const void* pointer) {
    const auto it = state().blocks.find(reinterpret_cast<Address>(pointer));
    if (it == state().blocks.end() || !it->second.registered) return 713;  // not registered
    state().blocks.erase(it);
    return ok;
}

void release_context(std::uint64_t context) {
    for (auto it = state().blocks.begin(); it != state().blocks.end();) {
        if (it->second.context == context && !it->second.virtual_map) {
            free_storage(it->second);
            it = state().blocks.erase(it);
        } else {
            ++it;
        }
    }
}

bool is_device(const void* pointer) {
    const auto block = find(pointer);
    return block && block->kind != Memory::host;
}

bool is_pinned(const void* pointer) {
    const auto block = find(pointer);
    return block && block->kind == Memory::host;
}

bool fits(const void* pointer, std::size_t bytes) {
    const auto block = find(pointer);
    return !block || block->start + block->bytes - reinterpret_cast<Address>(pointer) >= bytes;
}

bool contains(const void* pointer, std::size_t bytes) {
    return find(pointer) && fits(pointer, bytes);
}

int reserve(std::size_t bytes, std::size_t alignment, Address* out) {
    if (out == nullptr || bytes == 0 || bytes % granularity != 0) return invalid_value;
    const std::size_t unit = std::max(alignment, granularity);
    void* area = ::mmap(nullptr, bytes + unit, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) return out_of_memory;
    const auto address = reinterpret_cast<Address>(area);
    *out = rounded(address, unit);
    if (*out > address) ::munmap(area, *out - address);
    if (const std::size_t rest = address + unit - *out; rest > 0)
        ::munmap(reinterpret_cast<void*>(*out + bytes), rest);
    state().reserved[*out] = bytes;
    return ok;
}

int unreserve(Address start, std::size_t bytes) {
    const auto it = state().reserved.find(start);
    if (it == state().reserved.end() || it->second != bytes) return invalid_value;
    ::munmap(reinterpret_cast<void*>(start), bytes);
    state().reserved.erase(it);
    return ok;
}

int create(std::size_t bytes, int device, unsigned long long* handle) {
    if (handle == nullptr || bytes == 0 || bytes % granularity != 0) return invalid_value;
    if (bytes > total() - std::min(total(), used(device))) return out_of_memory;
    const int file = ::memfd_create("fake_cuda", MFD_CLOEXEC);
    if (file < 0 || ::ftruncate(file, static_cast<off_t>(bytes)) != 0) return out_of_memory;
    *handle = ++state().ids;
    state().physical[*handle] = {file, bytes, device, 0, false};
    return ok;
}

int drop(unsigned long long handle) {
    const auto it = state().physical.find(handle);
    if (it == state().physical.end() || it->second.dropped) return invalid_value;
    it->second.dropped = true;
    close_if_unused(handle);
    return ok;
}

int map(Address start, std::size_t bytes, std::size_t offset, unsigned long long handle) {
    const auto it = state().physical.find(handle);
    if (it == state().physical.end() || offset + bytes > it->second.bytes) return invalid_value;
    void* at = reinterpret_cast<void*>(start);
    if (::mmap(at, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, it->second.file,
               static_cast<off_t>(offset)) != at) {
        return invalid_value;
    }
    ++it->second.mappings;
    state().mapped[start] = handle;
    state().blocks[start] = {
        start, bytes, Memory::device, it->second.device, 0, ++state().ids, 0, false, bytes, true};
    return ok;
}

int unmap(Address start, std::size_t bytes) {
    // A range may cover several mappings, as a pool makes them.
    bool any = false;
    for (auto it = state().mapped.lower_bound(start);
         it != state().mapped.end() && it->first < start + bytes;) {
        const Block block = state().blocks[it->first];
        void* at = reinterpret_cast<void*>(block.start);
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
        if (::mmap(at, block.bytes, PROT_NONE, flags, -1, 0) != at) return invalid_value;
        --state().physical[it->second].mappings;
        close_if_unused(it->second);
        state().blocks.erase(block.start);
        it = state().mapped.erase(it);
        any = true;
    }
    return any ? ok : invalid_value;
}

int grant(Address start, std::size_t bytes) {
    const bool allowed = !state().protect || state().accesses > 0;
    const int access = allowed ? PROT_READ | PROT_WRITE : PROT_NONE;
    return ::mprotect(reinterpret_cast<void*>(start), bytes, access) == 0 ? ok : invalid_value;
}

Access::Access(int device) {
    if (!state().protect) return;
    const Lock lock(world());
    if (state().accesses++ == 0) set_access_of(device, true);
}

Access::~Access() {
    if (!state().protect) return;
    const Lock lock(world());
    if (--state().accesses == 0) set_access_of(all_devices, false);
}

}  // namespace memory
}  // namespace fake
