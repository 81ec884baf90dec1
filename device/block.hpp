// A block of threads, as the kernel sees it: phases that all threads run, with a barrier behind
// each. On the GPU a thread runs the body once; on the host one thread runs it for all, in turn.
//
// What stands between two phases is run by all threads, so it may depend only on what is the same
// for all of them. A shared value that it reads must not be written in the very next phase.
#pragma once
#include <cstdint>
#include <cstring>

#include "device/target.hpp"

namespace orch::device {

inline constexpr int block_threads = 512;
inline constexpr int warp_threads = 32;
inline constexpr int block_warps = block_threads / warp_threads;

#if defined(__CUDACC__)

template <class State, class Shared>
class Block {
  public:
    ORCH_DEVICE explicit Block(Shared& shared) : shared_(shared) {}

    ORCH_DEVICE int index() const { return static_cast<int>(blockIdx.x); }
    ORCH_DEVICE int count() const { return static_cast<int>(gridDim.x); }
    /// A number that the compiler does not know: loops that run once are better short.
    ORCH_DEVICE int warps() const { return static_cast<int>(blockDim.x) / warp_threads; }
    ORCH_DEVICE Shared& shared() { return shared_; }

    template <class Body>
    ORCH_DEVICE void each(Body body) {
        body(static_cast<int>(threadIdx.x), state_);
        __syncthreads();
    }

    /// Afterwards all threads of a warp hold the combination of what they held. `combine` must not
    /// depend on the order of its two arguments.
    template <class Member, class Combine>
    ORCH_DEVICE void across_lanes(Member member, Combine combine) {
        auto& mine = member(state_);
        repeat<5>([&](int step) { mine = combine(mine, of_lane_at(mine, 16 >> step)); });
    }

  private:
    template <class T>
    ORCH_DEVICE static T of_lane_at(const T& mine, int distance) {
        static_assert(sizeof(T) % 4 == 0);
        std::uint32_t words[sizeof(T) / 4];
        memcpy(words, &mine, sizeof mine);
        repeat<sizeof(T) / 4>(
            [&](int i) { words[i] = __shfl_xor_sync(0xffffffffU, words[i], distance); });
        T other;
        memcpy(&other, words, sizeof other);
        return other;
    }

    Shared& shared_;
    State state_{};
};

#else

template <class State, class Shared>
class Block {
  public:
    struct Memory {
        State states[block_threads];
        Shared shared;
    };

    Block(Memory& memory, int index, int count) : memory_(memory), index_(index), count_(count) {
        for (State& state : memory.states)
            state = State{};
        // Shared memory holds anything at first.
        std::memset(static_cast<void*>(&memory.shared), 0xab, sizeof memory.shared);
    }

    int index() const { return index_; }
    int count() const { return count_; }
    int warps() const { return block_warps; }
    Shared& shared() { return memory_.shared; }

    template <class Body>
    void each(Body body) {
        for (int thread = 0; thread < block_threads; ++thread)
            body(thread, memory_.states[thread]);
    }

    template <class Member, class Combine>
    void across_lanes(Member member, Combine combine) {
        for (int first = 0; first < block_threads; first += warp_threads) {
            State* lanes = memory_.states + first;
            for (int distance = warp_threads / 2; distance > 0; distance /= 2) {
                for (int lane = 0; lane < warp_threads; ++lane) {
                    if ((lane & distance) != 0) continue;
                    auto& low = member(lanes[lane]);
                    auto& high = member(lanes[lane + distance]);
                    low = combine(low, high);
                    high = low;
                }
            }
        }
    }

  private:
    Memory& memory_;
    int index_;
    int count_;
};

#endif

}  // namespace orch::device
