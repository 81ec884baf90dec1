// Weights in device memory: as core/weights does for the host's, but the content is only seen when
// a record comes back, so ids are given then.
#pragma once
#include <atomic>
#include <cstdint>

#include "core/weights.hpp"
#include "device/protocol.hpp"

namespace orch::cuda {

/// An operand in a weight's place: an address of its own, or an entry of a list of pointers. What
/// stands behind a list may be another weight with each call (experts), or never one (attention).
struct WeightEntry {
    /// Uses that a weight has before its memory goes.
    static constexpr std::uint32_t uses_of_a_weight = 8;
    /// So many lives in a row with fewer: a temporary of the engine's.
    static constexpr std::uint32_t short_lives_of_a_temporary = 16;

    std::atomic<std::uint64_t> key{0};          ///< of address, shape, layout; 0: free
    std::atomic<const void*> context{nullptr};  ///< of ours, whose memory the probes are in
    std::atomic<std::uint32_t> ended{0};        ///< how often its memory went
    std::atomic<std::uint32_t> uses{0};         ///< products in this life, about
    std::atomic<std::uint32_t> short_lives{0};  ///< in a row
    std::atomic<std::uint32_t> asked{0};        ///< the life whose digest is under way or done
    std::atomic<bool> wanted{false};            ///< behind a list: its next call is to ask for one
    std::atomic<bool> holds_weights{false};     ///< behind a list: some of what it showed has an id
    std::atomic<std::uint32_t> changes{0};      ///< how often it held something else than before
    std::atomic<std::uint64_t> probes{0};       ///< their device address; 0: none
    std::atomic<void*> probes_stream{nullptr};  ///< they are there for what follows on this stream
    std::atomic<std::uint32_t> probes_ready{0};  ///< the life that has them for all others

    // The drain thread's own.
    std::uint64_t sample = 0;           ///< of the content that has the number
    std::uint64_t digested_sample = 0;  ///< of the content that was digested, and probed
    std::uint32_t number = 0;           ///< its id is "w" and this; 0: not seen yet
    std::uint32_t strangers = 0;        ///< behind a list: contents in a row that nobody knew
    std::uint32_t known_life = 0;       ///< the newest that a record came from

    /// No id is looked for any more.
    bool is_activation() const noexcept {
        return changes.load(std::memory_order_relaxed) >= changes_of_a_weight ||
               short_lives.load(std::memory_order_relaxed) >= short_lives_of_a_temporary;
    }
    /// Between two frees of its memory; the first is 1.
    std::uint32_t life() const noexcept { return ended.load(std::memory_order_acquire) + 1; }
    void used() noexcept {
        // Two threads may count one use: nothing depends on the exact number.
        uses.store(uses.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    /// Its memory goes: whatever comes to this address is new.
    void end_life() noexcept;
    void give_up() noexcept { changes.store(changes_of_a_weight, std::memory_order_relaxed); }
};

/// What a digest says of an operand that may be a weight.
struct Sight {
    const device::Operand& operand;
    int device = 0;
    std::uint64_t sample = 0;  ///< Slot::sample
    std::uint64_t call = 0;    ///< of the engine: the same for all members of a batch
    std::uint32_t life = 0;    ///< of the entry, when the engine made the call
};

/// What operands held, by shape and sample. The drain thread's own.
class WeightContents {
  public:
    struct Content {
        std::uint64_t key = 0;  ///< 0: free
        std::uint64_t sample = 0;
        std::uint64_t last_call = 0;   ///< of a list, that showed it
        std::uint64_t age = 0;         ///< when it was seen last; the oldest go first
        WeightEntry* owner = nullptr;  ///< it has the number by its address; null: by a list
        std::uint32_t number = 0;
        std::uint32_t calls = 0;  ///< of lists, that showed it; as far as proves it a weight
        bool recorded = false;    ///< its weight record is written
    };

    /// Null: all places of its kind hold weights.
    Content* find(const Sight& sight) noexcept;

  private:
    static constexpr std::size_t ways = 8;

    Content contents_[1U << 12][ways];
    std::uint64_t now_ = 0;
};

class DeviceWeights {
  public:
    /// Null: more operands than the table holds, or none. `context` is what is ours on the one
    /// that the operand belongs to.
    WeightEntry* find(const device::Operand& operand, int device, const void* context) noexcept;

    /// False: no operand that was ever found lies behind this address, in the same allocation.
    bool may_lie_behind(std::uint64_t address) const noexcept {
        return ~address <= highest_complement_.load(std::memory_order_relaxed) &&
               address <= highest_.load(std::memory_order_relaxed);
    }
    /// Memory goes, and what is known of the operands in it.
    void forget(std::uint64_t address, std::uint64_t bytes) noexcept;

    // For the drain thread.

    /// Of what a product was computed with; 0: no id, or none yet.
    std::uint32_t number_of(WeightEntry& entry, const Sight& sight) noexcept;
    /// Of what was digested; 0: its record is written already, or it is not worth one.
    std::uint32_t digested(WeightEntry& entry, const Sight& sight) noexcept;

  private:
    /// What lists showed of one shape and type.
    struct ListedShape {
        std::atomic<std::uint64_t> key{0};
        std::uint32_t asked = 0;
        std::uint32_t proven = 0;  ///< weights that many calls showed
    };

    /// Where the operand of an entry lies.
    struct Extent {
        std::atomic<WeightEntry*> entry{nullptr};
        std::uint64_t first = 0;
        std::uint64_t end = 0;
    };
    static constexpr std::size_t most_operands = 1U << 14;

    void remember(WeightEntry& entry, const device::Operand& operand) noexcept;
    std::uint32_t at_address(WeightEntry& entry, const Sight& sight) noexcept;
    std::uint32_t behind_list(WeightEntry& entry, const Sight& sight) noexcept;
    void ask(WeightEntry& entry, const Sight& sight) noexcept;

    WeightEntry entries_[most_operands];
    Extent extents_[most_operands];  ///< in the order in which they were found
    std::atomic<std::size_t> extents_used_{0};
    std::atomic<std::uint64_t> highest_{0};
    /// Of the lowest address. All zeros at first: so the tables are no part of the library's file.
    std::atomic<std::uint64_t> highest_complement_{0};
    /// Apart: attention makes new ones as long as a text grows, and must not fill the others'
    /// table.
    WeightEntry listed_[1U << 12];
    ListedShape shapes_[1U << 9];
    std::uint32_t listed_weights_ = 0;
    WeightContents contents_;
};

}  // namespace orch::cuda
