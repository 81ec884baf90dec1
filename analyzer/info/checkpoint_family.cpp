#include "analyzer/info/checkpoint_family.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

constexpr std::string_view digits = "0123456789";

bool is_separator(char c) {
    return std::string_view{"._-/:[] "}.find(c) != std::string_view::npos;
}

std::string_view without_zeros(std::string_view number) {
    return number.substr(std::min(number.find_first_not_of('0'), number.size() - 1));
}

/// Numbers of any length, by value.
bool less(std::string_view a, std::string_view b) {
    a = without_zeros(a);
    b = without_zeros(b);
    return a.size() != b.size() ? a.size() < b.size() : a < b;
}

std::uint64_t value_of(std::string_view number) {
    std::uint64_t value = 0;
    std::from_chars(number.data(), number.data() + number.size(), value);
    return value;
}

std::vector<std::string_view> split_shape(std::string_view shape) {
    std::vector<std::string_view> parts;
    if (shape.size() < 2 || shape.front() != '[' || shape.back() != ']') return parts;
    shape = shape.substr(1, shape.size() - 2);
    for (;;) {
        const std::size_t comma = shape.find(',');
        parts.push_back(shape.substr(0, comma));
        if (comma == std::string_view::npos) return parts;
        shape.remove_prefix(comma + 1);
    }
}

}  // namespace

std::vector<NameNumber> numbers_in(std::string_view name) {
    std::vector<NameNumber> numbers;
    for (std::size_t at = name.find_first_of(digits); at != std::string_view::npos;
         at = name.find_first_of(digits, at)) {
        const std::size_t end = std::min(name.find_first_not_of(digits, at), name.size());
        const bool alone = (at == 0 || is_separator(name[at - 1])) &&
                           (end == name.size() || is_separator(name[end]));
        if (alone) numbers.push_back({at, end - at});
        at = end;
    }
    return numbers;
}

std::string pattern_of(std::string_view name, const std::vector<NameNumber>& numbers) {
    std::string pattern;
    std::size_t at = 0;
    for (const NameNumber& number : numbers) {
        pattern.append(name.substr(at, number.begin - at));
        pattern += '#';
        at = number.begin + number.size;
    }
    return pattern.append(name.substr(at));
}

std::string common_shape(std::string_view a, std::string_view b) {
    if (a == b || a.empty()) return std::string{b};
    const auto left = split_shape(a);
    const auto right = split_shape(b);
    if (left.size() != right.size() || left.empty()) return "varies";
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < left.size(); ++i) {
        parts.emplace_back(left[i] == right[i] ? left[i] : "*");
    }
    return fmt::format("[{}]", joined(parts, ","));
}

void add_once(std::vector<std::string>& set, std::string_view value) {
    if (std::find(set.begin(), set.end(), value) == set.end()) set.emplace_back(value);
}

std::string CheckpointFamily::records_text() const {
    if (members == 1) return grouped(records);
    if (fewest == most) return fmt::format("{} x {}", grouped(members), grouped(most));
    return fmt::format("{} x {}..{}", grouped(members), grouped(fewest), grouped(most));
}

std::size_t FamilyCollector::find_family(std::string_view name) {
    const auto numbers = numbers_in(name);
    std::string pattern = pattern_of(name, numbers);
    const auto [found, is_new] = by_pattern_.try_emplace(pattern, families_.size());
    if (is_new) {
        families_.emplace_back().pattern = std::move(pattern);
        families_.back().ranges.resize(numbers.size());
    }
    Collected& collected = families_[found->second];
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const std::string_view text = name.substr(numbers[i].begin, numbers[i].size);
        Range& range = collected.ranges[i];
        if (is_new || less(text, range.first)) range.first = text;
        if (is_new || less(range.last, text)) range.last = text;
    }
    return found->second;
}

FamilyCollector::Place FamilyCollector::add_member(std::string_view name) {
    const std::size_t family = find_family(name);
    families_[family].records_of.push_back(0);
    return {family, families_[family].records_of.size() - 1};
}

FamilyCollector::Place FamilyCollector::place_of(const Entry& entry) {
    const StringId checkpoint = entry.checkpoint;
    const auto known = by_checkpoint_.find(checkpoint);
    if (known != by_checkpoint_.end()) return known->second;
    const std::string_view own = trace_.string(checkpoint);
    const std::string_view name = checkpoint_name(trace_, checkpoint, names_);
    Place place;
    if (name == own) {
        place = add_member(own);
    } else {
        thinned_.insert(pattern_of(own, numbers_in(own)));
        const auto [found, is_new] = given_.try_emplace(name);
        if (is_new) found->second = add_member(name);
        place = found->second;
    }
    // Products and copies take their numbers from one counter: neither has all of them.
    if (entry.kind == RecordKind::copy) thinned_.insert({"copy.#", "gemm.#"});
    by_checkpoint_.emplace(checkpoint, place);
    return place;
}

void FamilyCollector::add(const Entry& entry, std::string_view kind) {
    const Place place = place_of(entry);
    Collected& collected = families_[place.family];
    CheckpointFamily& family = collected.family;
    if (entry.kind == RecordKind::row) {
        ++family.rows;
        return;
    }
    const bool first = family.records == 0;
    family.first_token = first ? entry.token_idx : std::min(family.first_token, entry.token_idx);
    family.last_token = first ? entry.token_idx : std::max(family.last_token, entry.token_idx);
    ++family.records;
    ++collected.records_of[place.member];
    add_once(family.kinds, kind);
    if (collected.last_dtype != entry.dtype) {
        collected.last_dtype = entry.dtype;
        if (collected.dtypes.insert(entry.dtype).second) {
            family.dtypes.emplace_back(trace_.string(entry.dtype));
        }
    }
    if (collected.last_shape != entry.shape) {
        collected.last_shape = entry.shape;
        family.shape = common_shape(family.shape, trace_.string(entry.shape));
    }
    if (entry.nonfinite) ++family.nonfinite;
}

CheckpointFamily FamilyCollector::finish(const Collected& collected) const {
    CheckpointFamily family = collected.family;
    std::size_t number = 0;
    for (char c : collected.pattern) {
        // A '#' of the engine's own stands before or after ours; a name that mixes both is shown
        // as its pattern.
        if (c != '#' || number >= collected.ranges.size()) {
            family.name += c;
            continue;
        }
        const Range& range = collected.ranges[number++];
        family.name += range.first;
        if (range.first != range.last) family.name += ".." + range.last;
    }
    family.members = collected.records_of.size();
    family.fewest = family.records;
    for (const std::uint64_t records : collected.records_of) {
        family.fewest = std::min(family.fewest, records);
        family.most = std::max(family.most, records);
    }
    if (collected.ranges.size() == 1 && !thinned_.contains(collected.pattern)) {
        const Range& range = collected.ranges[0];
        const std::uint64_t span = value_of(range.last) - value_of(range.first) + 1;
        family.holes = span > family.members ? span - family.members : 0;
    }
    return family;
}

std::vector<CheckpointFamily> FamilyCollector::finish() const {
    std::vector<CheckpointFamily> result;
    for (const Collected& collected : families_)
        result.push_back(finish(collected));
    return result;
}

}  // namespace orch
