// What became of each product, tensor and line of one engine.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "analyzer/align/alignment.hpp"

namespace orch {

class Fates {
  public:
    explicit Fates(const EngineTrace& engine);

    /// The first word counts: what was matched stays matched.
    void match(std::size_t entry) { set(entry, State::matched, 0); }
    void merge(std::size_t entry) { set(entry, State::merged, 0); }
    void drop(std::size_t entry, std::string_view reason) {
        set(entry, State::dropped, text(reason));
    }
    void leave(std::size_t entry, std::string_view why) { set(entry, State::left, text(why)); }
    bool is_open(std::size_t entry) const;

    SideLedger ledger() const;

  private:
    enum class State : unsigned char { none, open, matched, merged, dropped, left };
    struct Fate {
        State state = State::none;
        unsigned text = 0;
    };
    void set(std::size_t entry, State state, unsigned text);
    unsigned text(std::string_view text);

    std::size_t begin_;
    std::vector<Fate> fates_;  ///< by entry of the run
    std::vector<std::string> texts_;
};

}  // namespace orch
