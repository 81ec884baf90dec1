#include "analyzer/align/ledger.hpp"

#include <algorithm>

namespace orch {

Fates::Fates(const EngineTrace& engine)
    : begin_(engine.run.begin), fates_(engine.run.end - engine.run.begin), texts_{{}} {
    const auto open = [this](std::size_t entry) { fates_[entry - begin_].state = State::open; };
    for (const Product& product : engine.products)
        open(product.entry);
    for (const std::size_t log : engine.logs)
        open(log);
    for (const std::size_t tensor : engine.tensors)
        open(tensor);
    for (const Pass& pass : engine.passes)
        std::for_each(pass.tensors.begin(), pass.tensors.end(), open);
}

bool Fates::is_open(std::size_t entry) const {
    return fates_[entry - begin_].state == State::open;
}

void Fates::set(std::size_t entry, State state, unsigned text) {
    Fate& fate = fates_[entry - begin_];
    if (fate.state == State::open) fate = {state, text};
}

unsigned Fates::text(std::string_view text) {
    const auto found = std::find(texts_.begin(), texts_.end(), text);
    if (found == texts_.end()) {
        texts_.emplace_back(text);
        return static_cast<unsigned>(texts_.size()) - 1;
    }
    return static_cast<unsigned>(found - texts_.begin());
}

SideLedger Fates::ledger() const {
    SideLedger ledger;
    for (std::size_t i = 0; i < fates_.size(); ++i) {
        const Fate& fate = fates_[i];
        if (fate.state == State::none) continue;
        ++ledger.total;
        switch (fate.state) {
            case State::matched:
                ++ledger.matched;
                break;
            case State::merged:
                ++ledger.merged;
                break;
            case State::dropped:
                ++ledger.dropped[texts_[fate.text]];
                break;
            default:
                ledger.unmatched.push_back({begin_ + i, fate.state == State::left
                                                            ? texts_[fate.text]
                                                            : "nothing explains it"});
                break;
        }
    }
    return ledger;
}

std::uint64_t SideLedger::dropped_total() const {
    std::uint64_t sum = 0;
    for (const auto& [reason, count] : dropped)
        sum += count;
    return sum;
}

}  // namespace orch
