// Short exclusive work on rare occasions, by threads of the engine.
#pragma once
#include <atomic>
#include <ctime>

namespace orch::cuda {

/// For another thread that is just at it: or this one's record would be lost. Never for long,
/// because a forked child may wait for a thread that it does not have.
template <class Condition>
bool wait_until(Condition condition) noexcept {
    constexpr timespec pause{0, 50'000};
    constexpr int most_pauses = 40'000;
    for (int i = 0; i < most_pauses; ++i) {
        if (condition()) return true;
        ::nanosleep(&pause, nullptr);
    }
    return false;
}

/// While it lives, and says true, no other thread does what `busy` stands for.
class Exclusive {
  public:
    explicit Exclusive(std::atomic<bool>& busy) noexcept
        : busy_(busy), mine_(wait_until([&busy] {
              bool free = false;
              return busy.compare_exchange_strong(free, true, std::memory_order_acquire);
          })) {}
    ~Exclusive() {
        if (mine_) busy_.store(false, std::memory_order_release);
    }
    Exclusive(const Exclusive&) = delete;
    Exclusive& operator=(const Exclusive&) = delete;

    explicit operator bool() const noexcept { return mine_; }

  private:
    std::atomic<bool>& busy_;
    bool mine_;
};

}  // namespace orch::cuda
