// Device memory is host memory that is written down here.
//
//   FAKE_CUDA_MEMORY=BYTES   of each device (8 GiB)
//   FAKE_CUDA_PROTECT=1      the host may not touch device memory, nor a kernel that of another
//                            device: as on a GPU, it is killed if it does
#pragma once
#include <mutex>
#include <optional>
#include <vector>

#include "core/types.hpp"

namespace fake {

/// One lock for all state; never held while an operation of a stream runs.
std::mutex& world();
using Lock = std::unique_lock<std::mutex>;

enum class Memory : int { host = 1, device = 2, managed = 3 };

struct Block {
    Address start = 0;
    std::size_t bytes = 0;
    Memory kind = Memory::device;
    int device = 0;
    unsigned flags = 0;
    std::uint64_t id = 0;
    std::uint64_t context = 0;
    bool registered = false;   ///< memory of the program's own, made known by HostRegister
    std::size_t mapping = 0;   ///< bytes obtained by mmap
    bool virtual_map = false;  ///< cuMemMap
};

namespace memory {
// All of them with the lock held.
int allocate(std::size_t bytes, Memory kind, int device, std::uint64_t context, unsigned flags,
             void** out);
int release(const void* pointer, Memory kind);
int enlist(void* pointer, std::size_t bytes, unsigned flags, std::uint64_t context);
int unlist(const void* pointer);
void release_context(std::uint64_t context);
std::optional<Block> find(const void* pointer);
std::size_t total();
std::size_t used(int device);

int reserve(std::size_t bytes, std::size_t alignment, Address* out);
int unreserve(Address start, std::size_t bytes);
int create(std::size_t bytes, int device, unsigned long long* handle);
int drop(unsigned long long handle);
int map(Address start, std::size_t bytes, std::size_t offset, unsigned long long handle);
int unmap(Address start, std::size_t bytes);
int grant(Address start, std::size_t bytes);
inline constexpr std::size_t granularity = 2U << 20;

/// False if [pointer, pointer + bytes) leaves the block that pointer lies in.
bool fits(const void* pointer, std::size_t bytes);
/// True if all of [pointer, pointer + bytes) is known memory.
bool contains(const void* pointer, std::size_t bytes);
bool is_device(const void* pointer);
bool is_pinned(const void* pointer);

/// While one lives, this process may touch device memory: of one device, or of all.
class Access {
  public:
    static constexpr int all_devices = -1;
    explicit Access(int device);
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;
};
}  // namespace memory

}  // namespace fake
