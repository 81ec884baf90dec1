#include "analyzer/align/slots.hpp"

#include <algorithm>
#include <list>
#include <map>
#include <utility>

namespace orch {
namespace {

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

class SlotMaker {
  public:
    SlotMaker(const EngineTrace& engine, std::span<const int> content)
        : engine_(engine), content_(content) {}

    Slots make(std::span<const int> passes) {
        for (const int pass : passes)
            add(engine_.passes[at(pass)]);
        Slots result;
        result.slots.reserve(slots_.size());
        for (Slot& slot : slots_)
            result.slots.push_back(std::move(slot));
        make_sites(result);
        return result;
    }

  private:
    /// The n-th use of a weight in a pass.
    using Key = std::pair<int, int>;

    /// A further chunk: its products join the slots that are there, new ones go behind the slot
    /// that they follow.
    void add(const Pass& pass) {
        std::map<int, int> uses;
        auto cursor = slots_.end();  // the last slot visited; end: none
        for (const std::size_t index : pass.products) {
            Slot slot = slot_of(index, pass);
            const bool lasts = slot.weight >= 0 && !slot.activation && !slot.transient;
            const Key key{slot.weight, lasts ? uses[slot.weight]++ : 0};
            const auto known = lasts ? known_.find(key) : known_.end();
            if (known != known_.end()) {
                cursor = known->second;
                cursor->products.push_back(index);
                cursor->tokens += slot.tokens;
                continue;
            }
            const auto behind = cursor == slots_.end() ? slots_.begin() : std::next(cursor);
            cursor = slots_.insert(behind, std::move(slot));
            if (lasts) known_.emplace(key, cursor);
        }
    }

    Slot slot_of(std::size_t index, const Pass& pass) const {
        const Product& product = engine_.products[index];
        const Entry& entry = engine_.entry(product);
        Slot slot;
        slot.weight = product.weight;
        slot.outputs = entry.y_cols;
        slot.inputs = entry.x_cols;
        slot.tokens = entry.rows;
        slot.products = {index};
        const std::int64_t context = pass.first_position + pass.tokens;
        const bool as_long_as_context = slot.outputs == context || slot.inputs == context;
        if (product.weight < 0) {
            slot.transient = true;
            slot.activation = as_long_as_context;
            return slot;
        }
        slot.content = content_[at(product.weight)];
        const Weight& weight = engine_.weights[at(product.weight)];
        if (slot.content >= 0 || weight.named_by_engine) return slot;
        slot.transient = weight.passes < 2;
        slot.activation = weight.is_activation || (slot.transient && as_long_as_context);
        return slot;
    }

    bool share_x(const Slot& one, const Slot& other) const {
        for (const std::size_t x : one.products) {
            for (const std::size_t y : other.products) {
                if (engine_.products[x].pass != engine_.products[y].pass) continue;
                const Entry& left = engine_.entry(engine_.products[x]);
                return left.x_key != 0 && left.x_key == engine_.entry(engine_.products[y]).x_key;
            }
        }
        return false;
    }

    void make_sites(Slots& result) const {
        int last = -1;
        for (std::size_t i = 0; i < result.slots.size(); ++i) {
            Slot& slot = result.slots[i];
            if (slot.activation) continue;
            if (last < 0 || !share_x(result.slots[at(last)], slot)) result.sites.emplace_back();
            slot.site = static_cast<int>(result.sites.size()) - 1;
            result.sites.back().push_back(static_cast<int>(i));
            last = static_cast<int>(i);
        }
    }

    const EngineTrace& engine_;
    std::span<const int> content_;
    std::list<Slot> slots_;
    std::map<Key, std::list<Slot>::iterator> known_;
};

}  // namespace

Slots slots_of(const EngineTrace& engine, std::span<const int> passes,
               std::span<const int> content) {
    return SlotMaker{engine, content}.make(passes);
}

void merge_sites(Slots& side, const std::vector<bool>& joins_the_one_before) {
    std::vector<std::vector<int>> merged;
    for (std::size_t i = 0; i < side.sites.size(); ++i) {
        if (i == 0 || !joins_the_one_before[i]) merged.emplace_back();
        for (const int slot : side.sites[i]) {
            side.slots[at(slot)].site = static_cast<int>(merged.size()) - 1;
            merged.back().push_back(slot);
        }
    }
    side.sites = std::move(merged);
}

}  // namespace orch
