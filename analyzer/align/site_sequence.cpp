#include "analyzer/align/site_sequence.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <set>

namespace orch {
namespace {

constexpr float same_place = 0.3F;
constexpr float same_content = 0.7F;  ///< on top, for the share of slots that have it
constexpr float cost_of_gap = 0.4F;
/// 4 MB of steps, 20 ms. A pass of a real model has up to some hundred sites.
constexpr std::size_t max_cells = 4'000'000;
constexpr float impossible = -std::numeric_limits<float>::infinity();

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

/// By content: the sites that have it.
std::map<int, std::set<int>> sites_with_content(const Slots& side) {
    std::map<int, std::set<int>> result;
    for (const Slot& slot : side.slots) {
        if (slot.site >= 0 && slot.content >= 0) result[slot.content].insert(slot.site);
    }
    return result;
}

/// The only site of the other side that has any of this site's contents; -1: none, or several.
int counterpart(const Slots& side, int site, const std::map<int, std::set<int>>& other) {
    int result = -1;
    for (const int slot : side.sites[at(site)]) {
        const int content = side.slots[at(slot)].content;
        const auto found = other.find(content);
        if (content < 0 || found == other.end()) continue;
        if (found->second.size() != 1) return -1;
        if (result >= 0 && *found->second.begin() != result) return -1;
        result = *found->second.begin();
    }
    return result;
}

/// Neighbours whose counterpart is one and the same site of several slots, or that are parts of one
/// fused weight.
std::vector<bool> joins(const Slots& side, const Slots& other) {
    const auto sites = sites_with_content(other);
    std::vector<bool> result(side.sites.size());
    for (std::size_t i = 1; i < side.sites.size(); ++i) {
        const int before = counterpart(side, static_cast<int>(i) - 1, sites);
        if (before < 0 || counterpart(side, static_cast<int>(i), sites) != before) continue;
        const int last = side.slots[at(side.sites[i - 1].back())].content;
        const int next = side.slots[at(side.sites[i].front())].content;
        const bool parts = last == next && other.sites[at(before)].size() == 1;
        result[i] = parts || other.sites[at(before)].size() > 1;
    }
    return result;
}

/// What the alignment compares of a site.
struct Site {
    std::vector<int> contents;  ///< of its slots, sorted; without the unknown
    std::vector<int> kinds;     ///< the same, each once
    std::size_t slots = 0;
    std::int64_t inputs = 0;
    std::int64_t outputs = 0;
    bool one_input = true;
    bool wanders = false;
};

std::vector<Site> sites_of(const Slots& side, const std::vector<bool>& wanders) {
    std::vector<Site> result;
    for (const std::vector<int>& slots : side.sites) {
        Site site;
        site.slots = slots.size();
        for (const int index : slots) {
            const Slot& slot = side.slots[at(index)];
            site.one_input = site.one_input && (site.inputs == 0 || site.inputs == slot.inputs);
            site.inputs = slot.inputs;
            site.outputs += slot.outputs;
            if (slot.content < 0) continue;
            site.contents.push_back(slot.content);
            site.wanders = site.wanders || wanders[at(slot.content)];
        }
        std::sort(site.contents.begin(), site.contents.end());
        std::unique_copy(site.contents.begin(), site.contents.end(),
                         std::back_inserter(site.kinds));
        result.push_back(std::move(site));
    }
    return result;
}

std::size_t count_common(const Site& site, const Site& other) {
    return static_cast<std::size_t>(
        std::count_if(site.contents.begin(), site.contents.end(), [&](int content) {
            return std::binary_search(other.kinds.begin(), other.kinds.end(), content);
        }));
}

float score(const Site& a, const Site& b) {
    const std::size_t common = count_common(a, b) + count_common(b, a);
    if (common > 0) {
        return same_place +
               same_content * static_cast<float>(common) / static_cast<float>(a.slots + b.slots);
    }
    const bool fits = a.one_input && b.one_input && a.inputs == b.inputs && a.outputs == b.outputs;
    return fits && !(a.wanders && b.wanders) ? same_place : impossible;
}

bool are_equal(const Site& a, const Site& b) {
    return !a.kinds.empty() && a.kinds == b.kinds && a.slots == a.contents.size() &&
           b.slots == b.contents.size();
}

using Pairs = std::vector<std::pair<int, int>>;

/// Sites that are equal and the only ones of their kind, in an order that both sides share.
Pairs anchors_of(const std::vector<Site>& a, const std::vector<Site>& b) {
    const auto unique = [](const std::vector<Site>& sites) {
        std::map<std::vector<int>, int> place;
        for (std::size_t i = 0; i < sites.size(); ++i) {
            if (sites[i].kinds.empty()) continue;
            const auto [found, fresh] = place.emplace(sites[i].kinds, static_cast<int>(i));
            if (!fresh) found->second = -1;
        }
        return place;
    };
    const auto of_a = unique(a);
    std::map<int, int> partner;  // of a site of a
    for (const auto& [kinds, j] : unique(b)) {
        const auto found = of_a.find(kinds);
        if (j >= 0 && found != of_a.end() && found->second >= 0) partner[found->second] = j;
    }
    // The longest ascending sequence, by patience: the last element of the best of each length.
    Pairs candidates(partner.begin(), partner.end());
    std::vector<std::size_t> tails;
    std::vector<std::size_t> before(candidates.size(), candidates.size());
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const auto place = std::lower_bound(
            tails.begin(), tails.end(), i, [&](std::size_t tail, std::size_t candidate) {
                return candidates[tail].second < candidates[candidate].second;
            });
        if (place != tails.begin()) before[i] = *std::prev(place);
        if (place == tails.end())
            tails.push_back(i);
        else
            *place = i;
    }
    Pairs result;
    for (std::size_t i = tails.empty() ? candidates.size() : tails.back(); i < candidates.size();
         i = before[i])
        result.push_back(candidates[i]);
    std::reverse(result.begin(), result.end());
    return result;
}

enum class Step : unsigned char { none, both, only_a, only_b };

/// Needleman and Wunsch over [a0, a1) and [b0, b1).
void line_up(const std::vector<Site>& a, std::size_t a0, std::size_t a1, const std::vector<Site>& b,
             std::size_t b0, std::size_t b1, Pairs& pairs) {
    const std::size_t n = a1 - a0;
    const std::size_t m = b1 - b0;
    if (n == 0 || m == 0 || n * m > max_cells) return;
    std::vector<float> above(m + 1);
    std::vector<float> row(m + 1);
    std::vector<Step> steps((n + 1) * (m + 1), Step::none);
    for (std::size_t i = 0; i <= n; ++i) {
        for (std::size_t j = 0; j <= m; ++j) {
            Step& step = steps[i * (m + 1) + j];
            float best = i == 0 && j == 0 ? 0 : impossible;
            const auto consider = [&](float value, Step way) {
                if (value <= best) return;
                best = value;
                step = way;
            };
            if (i > 0 && j > 0)
                consider(above[j - 1] + score(a[a0 + i - 1], b[b0 + j - 1]), Step::both);
            if (i > 0) consider(above[j] - cost_of_gap, Step::only_a);
            if (j > 0) consider(row[j - 1] - cost_of_gap, Step::only_b);
            row[j] = best;
        }
        std::swap(above, row);
    }
    Pairs found;
    std::size_t i = n;
    std::size_t j = m;
    while (i > 0 || j > 0) {
        const Step step = steps[i * (m + 1) + j];
        if (step == Step::both)
            found.emplace_back(static_cast<int>(a0 + i - 1), static_cast<int>(b0 + j - 1));
        if (step != Step::only_b) --i;
        if (step != Step::only_a) --j;
    }
    pairs.insert(pairs.end(), found.rbegin(), found.rend());
}

/// Where the whole would take too long; the parts may still be: then they stay unpaired.
void line_up_between_anchors(const std::vector<Site>& a, std::size_t a0, std::size_t a1,
                             const std::vector<Site>& b, std::size_t b0, std::size_t b1,
                             Pairs& pairs) {
    for (const auto& [i, j] : anchors_of(a, b)) {
        if (at(i) < a0 || at(j) < b0 || at(i) >= a1 || at(j) >= b1) continue;
        line_up(a, a0, at(i), b, b0, at(j), pairs);
        pairs.emplace_back(i, j);
        a0 = at(i) + 1;
        b0 = at(j) + 1;
    }
    line_up(a, a0, a1, b, b0, b1, pairs);
}

}  // namespace

void join_sites(Slots& a, Slots& b) {
    merge_sites(a, joins(a, b));
    merge_sites(b, joins(b, a));
}

Pairs line_up_sites(const Slots& a, const Slots& b, const std::vector<bool>& wanders) {
    const std::vector<Site> left = sites_of(a, wanders);
    const std::vector<Site> right = sites_of(b, wanders);
    const std::size_t shorter = std::min(left.size(), right.size());
    std::size_t head = 0;
    while (head < shorter && are_equal(left[head], right[head]))
        ++head;
    std::size_t tail = 0;
    while (tail < shorter - head &&
           are_equal(left[left.size() - 1 - tail], right[right.size() - 1 - tail]))
        ++tail;
    Pairs pairs;
    for (std::size_t i = 0; i < head; ++i)
        pairs.emplace_back(static_cast<int>(i), static_cast<int>(i));
    const std::size_t a_end = left.size() - tail;
    const std::size_t b_end = right.size() - tail;
    if ((a_end - head) * (b_end - head) <= max_cells) {
        line_up(left, head, a_end, right, head, b_end, pairs);
    } else {
        line_up_between_anchors(left, head, a_end, right, head, b_end, pairs);
    }
    for (std::size_t i = tail; i > 0; --i)
        pairs.emplace_back(static_cast<int>(left.size() - i), static_cast<int>(right.size() - i));
    return pairs;
}

}  // namespace orch
