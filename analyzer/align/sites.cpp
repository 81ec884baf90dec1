#include "analyzer/align/sites.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "analyzer/align/sequence.hpp"
#include "analyzer/align/site_sequence.hpp"
#include "analyzer/align/slots.hpp"

namespace orch {
namespace {

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

std::vector<int> contents_of(const std::vector<int>& matched, const std::vector<int>& copied) {
    std::vector<int> result = matched;
    for (std::size_t i = 0; i < result.size(); ++i) {
        if (result[i] < 0) result[i] = copied[i];
    }
    return result;
}

/// Weights that fewer products use than others: experts, and what a narrowed pass leaves out.
std::vector<bool> used_sometimes(const EngineTrace& engine) {
    std::uint32_t most = 0;
    for (const Weight& weight : engine.weights) {
        if (!weight.is_activation) most = std::max(most, weight.uses);
    }
    std::vector<bool> result;
    for (const Weight& weight : engine.weights)
        result.push_back(weight.role.expert >= 0 || weight.uses < most);
    return result;
}

/// A side of the pass pair in work.
struct Side {
    const EngineTrace* engine = nullptr;
    Fates* fates = nullptr;
    const std::vector<int>* content = nullptr;
    const std::vector<bool>* sometimes = nullptr;
    Slots slots;
    std::vector<bool> used;  ///< by slot
    int last_paired = -1;    ///< slot
    bool has_lasting = false;

    void watch(const EngineTrace& trace, Fates& of, const std::vector<int>& contents,
               const std::vector<bool>& some) {
        engine = &trace;
        fates = &of;
        content = &contents;
        sometimes = &some;
        // Some weights serve several passes, so that one that does not is none.
        has_lasting = std::any_of(
            trace.weights.begin(), trace.weights.end(),
            [](const Weight& weight) { return weight.passes > 1 && !weight.is_activation; });
    }
    void read(const std::vector<int>& passes) { slots = slots_of(*engine, passes, *content); }
    void begin() {
        used.assign(slots.slots.size(), false);
        last_paired = -1;
    }
    const Slot& slot(int index) const { return slots.slots[at(index)]; }
    const Weight* weight(int index) const {
        const int number = slot(index).weight;
        return number < 0 ? nullptr : &engine->weights[at(number)];
    }
    /// Weights of slots; empty: one has none.
    std::vector<int> weights(const std::vector<int>& indices) const {
        std::vector<int> result;
        for (const int index : indices) {
            if (slot(index).weight < 0) return {};
            result.push_back(slot(index).weight);
        }
        return result;
    }
    std::vector<std::size_t> products(const std::vector<int>& indices) const {
        std::vector<std::size_t> result;
        for (const int index : indices) {
            const auto& own = slot(index).products;
            result.insert(result.end(), own.begin(), own.end());
        }
        return result;
    }
};

class ProductPairer {
  public:
    ProductPairer(const Identity& identity, Alignment& alignment, Fates& fates_a, Fates& fates_b)
        : alignment_(alignment),
          content_a_(contents_of(identity.of_a, identity.copy_a)),
          content_b_(contents_of(identity.of_b, identity.copy_b)),
          sometimes_a_(used_sometimes(*alignment.a)),
          sometimes_b_(used_sometimes(*alignment.b)) {
        a_.watch(*alignment.a, fates_a, content_a_, sometimes_a_);
        b_.watch(*alignment.b, fates_b, content_b_, sometimes_b_);
        alignment.weights = identity.matches;
        for (const WeightMatch& match : alignment.weights) {
            wanders_.push_back(sometimes_a_[at(match.a[0])] && sometimes_b_[at(match.b[0])]);
        }
    }

    void pair_all() {
        for (std::size_t i = 0; i < alignment_.passes.size(); ++i)
            pair_pass(static_cast<int>(i));
    }

  private:
    using Indices = std::vector<int>;

    void pair_pass(int pass) {
        pass_ = pass;
        const PassPair& pair = alignment_.passes[at(pass)];
        a_.read(pair.chunks_a);
        b_.read(pair.chunks_b);
        join_sites(a_.slots, b_.slots);
        a_.begin();
        b_.begin();
        products_of_site_.assign(a_.slots.sites.size(), {});

        const auto lines = line_up_sites(a_.slots, b_.slots, wanders_);
        for (const auto& [i, j] : lines) {
            const Indices& left = a_.slots.sites[at(i)];
            const Indices& right = b_.slots.sites[at(j)];
            pair_contents(left, right, by_order);
            pair_by_place(left, right);
        }
        // Work done in another order: parallel branches, experts.
        pair_contents(open_slots(a_, 0, a_.slots.sites.size()),
                      open_slots(b_, 0, b_.slots.sites.size()), 0);
        pair_gaps(lines);
        add_sites();
        explain(a_, b_);
        explain(b_, a_);
    }

    static Indices open_slots(const Side& side, std::size_t first_site, std::size_t last_site) {
        Indices result;
        for (std::size_t site = first_site; site < last_site; ++site) {
            for (const int slot : side.slots.sites[site]) {
                if (!side.used[at(slot)]) result.push_back(slot);
            }
        }
        return result;
    }

    /// Slots of one content that make up a whole match: each alone, or all parts together.
    static std::vector<Indices> wholes(const Side& side, const Indices& slots,
                                       const std::vector<int>& parts) {
        std::vector<Indices> result;
        Indices together;
        for (const int slot : slots) {
            const bool is_part =
                std::find(parts.begin(), parts.end(), side.slot(slot).weight) != parts.end();
            if (parts.size() == 1 || !is_part)
                result.push_back({slot});
            else
                together.push_back(slot);
        }
        if (parts.size() > 1 && together.size() == parts.size()) result.push_back(together);
        return result;
    }

    void pair_contents(const Indices& left, const Indices& right, unsigned evidence) {
        std::map<int, std::pair<Indices, Indices>> by_content;
        for (const int slot : left) {
            if (a_.slot(slot).content >= 0) by_content[a_.slot(slot).content].first.push_back(slot);
        }
        for (const int slot : right) {
            const auto found = by_content.find(b_.slot(slot).content);
            if (found != by_content.end()) found->second.second.push_back(slot);
        }
        for (const auto& [content, slots] : by_content) {
            const WeightMatch& match = alignment_.weights[at(content)];
            const auto of_a = wholes(a_, slots.first, match.a);
            const auto of_b = wholes(b_, slots.second, match.b);
            const unsigned known = has_sketches(match) ? by_weight : 0U;
            for (std::size_t i = 0; i < std::min(of_a.size(), of_b.size()); ++i)
                add(of_a[i], of_b[i], evidence | known | by_shape);
        }
    }

    bool has_sketches(const WeightMatch& match) const {
        return alignment_.a->weights[at(match.a[0])].record.sketch &&
               alignment_.b->weights[at(match.b[0])].record.sketch;
    }

    static std::vector<Place> places(const Side& side, const Indices& slots) {
        std::vector<Place> result;
        for (const int index : slots) {
            const Slot& slot = side.slot(index);
            result.push_back({slot.outputs, slot.inputs, slot.tokens, slot.transient});
        }
        return result;
    }

    void pair_by_place(const Indices& left, const Indices& right) {
        const auto open = [](const Side& side, const Indices& slots) {
            Indices result;
            std::copy_if(slots.begin(), slots.end(), std::back_inserter(result),
                         [&](int slot) { return !side.used[at(slot)]; });
            return result;
        };
        const Indices open_a = open(a_, left);
        const Indices open_b = open(b_, right);
        if (open_a.empty() || open_b.empty()) return;
        for (const PlacePair& pair : pair_places(places(a_, open_a), places(b_, open_b))) {
            Indices of_a;
            Indices of_b;
            for (const std::size_t i : pair.a)
                of_a.push_back(open_a[i]);
            for (const std::size_t j : pair.b)
                of_b.push_back(open_b[j]);
            if (!wander(of_a, of_b)) add(of_a, of_b, by_shape | by_order);
        }
    }

    /// Two experts: the routers disagree.
    bool wander(const Indices& of_a, const Indices& of_b) const {
        const int a = a_.slot(of_a[0]).content;
        const int b = b_.slot(of_b[0]).content;
        return (a < 0 || a != b) && is_expert(a_, of_a[0]) && is_expert(b_, of_b[0]);
    }

    /// Chosen in some passes, as a weight is that both engines have; or, where the other engine
    /// never chose it, of the shape of such a weight.
    bool is_expert(const Side& side, int index) const {
        const Slot& slot = side.slot(index);
        if (slot.content >= 0) return wanders_[at(slot.content)];
        if (slot.weight < 0 || !(*side.sometimes)[at(slot.weight)]) return false;
        const WeightRecord& own = side.engine->weights[at(slot.weight)].record;
        for (std::size_t weight = 0; weight < side.content->size(); ++weight) {
            const int content = (*side.content)[weight];
            const WeightRecord& other = side.engine->weights[weight].record;
            if (content >= 0 && wanders_[at(content)] && other.rows == own.rows &&
                other.cols == own.cols)
                return true;
        }
        return false;
    }

    void pair_gaps(const std::vector<std::pair<int, int>>& lines) {
        std::size_t i = 0;
        std::size_t j = 0;
        const auto pair_until = [&](std::size_t end_a, std::size_t end_b) {
            pair_by_place(open_slots(a_, i, end_a), open_slots(b_, j, end_b));
            i = end_a + 1;
            j = end_b + 1;
        };
        for (const auto& [site_a, site_b] : lines)
            pair_until(at(site_a), at(site_b));
        pair_until(a_.slots.sites.size(), b_.slots.sites.size());
    }

    void add(const Indices& of_a, const Indices& of_b, unsigned evidence) {
        ProductPair pair;
        pair.pass = pass_;
        pair.a = a_.products(of_a);
        pair.b = b_.products(of_b);
        pair.evidence = evidence;
        const std::vector<int> weights_a = a_.weights(of_a);
        const std::vector<int> weights_b = b_.weights(of_b);
        if (!weights_a.empty() && !weights_b.empty()) {
            pair.match = match_of(weights_a, weights_b, of_a, of_b);
            const int other = b_.slot(of_b[0]).content;
            const bool same = other == a_.slot(of_a[0]).content || other < 0;
            if (!same && (evidence & by_weight) == 0) pair.wrong_match = other;
        }
        pair.evidence |= names_agree(of_a, of_b) ? by_name : 0U;
        pair.evidence |= values_agree(pair) ? by_value : 0U;
        close(a_, of_a);
        close(b_, of_b);
        products_of_site_[at(a_.slot(of_a[0]).site)].push_back(alignment_.products.size());
        alignment_.products.push_back(std::move(pair));
    }

    void close(Side& side, const Indices& slots) {
        for (const int slot : slots) {
            side.used[at(slot)] = true;
            side.last_paired = std::max(side.last_paired, slot);
            for (const std::size_t product : side.slot(slot).products) {
                const std::size_t entry = side.engine->products[product].entry;
                const bool alone = slots.size() == 1 && side.slot(slot).products.size() == 1;
                alone ? side.fates->match(entry) : side.fates->merge(entry);
            }
        }
    }

    /// The match of these very weights; made if there is none.
    int match_of(std::vector<int> weights_a, std::vector<int> weights_b, const Indices& of_a,
                 const Indices& of_b) {
        const int content = a_.slot(of_a[0]).content;
        if (content >= 0 && content == b_.slot(of_b[0]).content) {
            const WeightMatch& match = alignment_.weights[at(content)];
            if (is_same_set(match.a, weights_a) && is_same_set(match.b, weights_b)) return content;
        }
        const std::pair key{weights_a, weights_b};
        const auto [found, fresh] =
            by_place_.emplace(key, static_cast<int>(alignment_.weights.size()));
        if (fresh)
            alignment_.weights.push_back(match_by_place(
                *alignment_.a, *alignment_.b, std::move(weights_a), std::move(weights_b)));
        return found->second;
    }

    static bool is_same_set(std::vector<int> x, std::vector<int> y) {
        std::sort(x.begin(), x.end());
        std::sort(y.begin(), y.end());
        return x == y;
    }

    bool names_agree(const Indices& of_a, const Indices& of_b) const {
        if (of_a.size() != 1 || of_b.size() != 1) return false;
        const Weight* a = a_.weight(of_a[0]);
        const Weight* b = b_.weight(of_b[0]);
        if (a == nullptr || b == nullptr || !a->named_by_engine || !b->named_by_engine)
            return false;
        const bool same_role = a->role.part != Part::other && a->role.layer == b->role.layer &&
                               a->role.part == b->role.part && a->role.expert == b->role.expert;
        return same_role || a->name == b->name;
    }

    bool values_agree(const ProductPair& pair) const {
        if (pair.a.size() != 1 || pair.b.size() != 1) return false;
        const Entry& a = alignment_.a->entry(alignment_.a->products[pair.a[0]]);
        const Entry& b = alignment_.b->entry(alignment_.b->products[pair.b[0]]);
        return a.y_key != 0 && a.y_key == b.y_key;
    }

    void add_sites() {
        for (std::vector<std::size_t>& products : products_of_site_) {
            if (products.empty()) continue;
            // In the order of the reference's calls.
            std::sort(products.begin(), products.end(), [this](std::size_t x, std::size_t y) {
                return alignment_.products[x].a < alignment_.products[y].a;
            });
            Site site;
            site.pass = pass_;
            site.products = std::move(products);
            alignment_.sites.push_back(std::move(site));
        }
    }

    /// Why slots of a side have no partner.
    void explain(const Side& side, const Side& other) {
        std::set<int> contents;  // that the other side multiplies in this pass
        for (const Slot& slot : other.slots.slots)
            contents.insert(slot.content);
        for (std::size_t i = 0; i < side.slots.slots.size(); ++i) {
            if (side.used[i]) continue;
            const Slot& slot = side.slots.slots[i];
            const bool at_end = static_cast<int>(i) > side.last_paired;
            for (const std::size_t product : slot.products) {
                const std::size_t entry = side.engine->products[product].entry;
                if (slot.content < 0 && !slot.activation && is_expert(side, static_cast<int>(i)))
                    side.fates->drop(entry, other_expert);
                else if (slot.activation ||
                         (slot.transient && slot.weight >= 0 && side.has_lasting))
                    side.fates->drop(entry, "two activations, no weight");
                else if (slot.weight < 0)
                    side.fates->leave(entry,
                                      "its weight is not recorded, and nothing of its shape "
                                      "stands in its place in the other engine");
                else if (slot.content < 0)
                    side.fates->leave(entry, "its weight is not found in the other engine");
                else if (contents.contains(slot.content))
                    side.fates->leave(entry, "the other engine uses its weight less often");
                else if ((*side.sometimes)[at(slot.weight)] && !at_end)
                    side.fates->drop(entry, other_expert);
                else if (at_end)
                    side.fates->drop(entry, "rows that the other engine did not go on with");
                else
                    side.fates->leave(entry, "the other engine left it out of this pass");
            }
        }
    }

    Alignment& alignment_;
    std::vector<int> content_a_;
    std::vector<int> content_b_;
    std::vector<bool> sometimes_a_;
    std::vector<bool> sometimes_b_;
    std::vector<bool> wanders_;  ///< by content
    Side a_;
    Side b_;
    int pass_ = -1;
    std::vector<std::vector<std::size_t>> products_of_site_;  ///< by site of a
    std::map<std::pair<std::vector<int>, std::vector<int>>, int> by_place_;
};

}  // namespace

void pair_products(const Identity& identity, Alignment& alignment, Fates& fates_a, Fates& fates_b) {
    ProductPairer{identity, alignment, fates_a, fates_b}.pair_all();
}

}  // namespace orch
