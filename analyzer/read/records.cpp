#include "analyzer/read/records.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "analyzer/read/json_parser.hpp"
#include "analyzer/read/number_list.hpp"

namespace orch {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

/// null says that the number could not be represented.
double number_of(element value) {
    double number = std::numeric_limits<double>::quiet_NaN();
    return value.get(number) == simdjson::SUCCESS ? number
                                                  : std::numeric_limits<double>::quiet_NaN();
}

double number_at(object json, std::string_view key) {
    element value;
    return json.at_key(key).get(value) == simdjson::SUCCESS ? number_of(value) : 0;
}

std::optional<double> optional_number(object json, std::string_view key) {
    double value = 0;
    if (json.at_key(key).get(value) != simdjson::SUCCESS) return std::nullopt;
    return value;
}

std::optional<std::int64_t> optional_integer(object json, std::string_view key) {
    std::int64_t value = 0;
    if (json.at_key(key).get(value) != simdjson::SUCCESS) return std::nullopt;
    return value;
}

std::optional<std::uint64_t> optional_hash(object json, std::string_view key) {
    const std::string_view text = string_at(json, key);
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, 16);
    if (text.empty() || error != std::errc{} || stop != end) return std::nullopt;
    return value;
}

/// A sketch with a sum that could not be represented is none.
std::optional<Sketch> optional_sketch(object json, std::string_view key) {
    array list;
    if (json.at_key(key).get(list) != simdjson::SUCCESS) return std::nullopt;
    Sketch sketch{};
    std::size_t count = 0;
    for (const element item : list) {
        if (count == sketch.size() || item.get(sketch[count]) != simdjson::SUCCESS) {
            return std::nullopt;
        }
        ++count;
    }
    if (count != sketch.size()) return std::nullopt;
    return sketch;
}

Nonfinite nonfinite_of(object json) {
    return {integer_at(json, "nan", 0), integer_at(json, "pos_inf", 0),
            integer_at(json, "neg_inf", 0)};
}

RowDigest row_digest_of(object json) {
    RowDigest row;
    row.energy = number_at(json, "energy");
    row.sum = number_at(json, "sum");
    row.absmax = number_at(json, "absmax");
    row.max = optional_number(json, "max");
    row.argmax = optional_integer(json, "argmax");
    row.nonfinite = nonfinite_of(json);
    row.sketch = optional_sketch(json, "sketch");
    return row;
}

Side side_of(object json) {
    Side side;
    side.dtype = string_at(json, "dtype");
    side.rows = integer_at(json, "rows", 0);
    side.cols = integer_at(json, "cols", 0);
    side.energy = number_at(json, "energy");
    side.sum = number_at(json, "sum");
    side.absmax = number_at(json, "absmax");
    side.min = optional_number(json, "min");
    side.max = optional_number(json, "max");
    side.argmax = optional_integer(json, "argmax");
    side.hash = optional_hash(json, "hash");
    side.nonfinite = nonfinite_of(json);
    side.mixed = optional_sketch(json, "mixed");
    object row;
    if (json.at_key("last_row").get(row) == simdjson::SUCCESS) side.last_row = row_digest_of(row);
    return side;
}

/// Which null is which: "nonfinite":[[3,"-inf"]].
void restore_infinities(object json, std::vector<double>& values) {
    array list;
    if (json.at_key("nonfinite").get(list) != simdjson::SUCCESS) return;
    for (const element item : list) {
        array pair;
        std::uint64_t index = 0;
        std::string_view what;
        if (item.get(pair) != simdjson::SUCCESS || pair.at(0).get(index) != simdjson::SUCCESS ||
            index >= values.size() || !std::isnan(values[index]) ||
            pair.at(1).get(what) != simdjson::SUCCESS) {
            continue;
        }
        constexpr double infinity = std::numeric_limits<double>::infinity();
        if (what == "inf") values[index] = infinity;
        if (what == "-inf") values[index] = -infinity;
    }
}

std::vector<double> values_of(object json) {
    std::vector<double> values;
    array list;
    if (json.at_key("values").get(list) != simdjson::SUCCESS) return values;
    values.reserve(list.size());
    for (const element item : list)
        values.push_back(number_of(item));
    restore_infinities(json, values);
    return values;
}

std::vector<std::int64_t> integers_at(object json, std::string_view key) {
    std::vector<std::int64_t> result;
    array list;
    if (json.at_key(key).get(list) != simdjson::SUCCESS) return result;
    result.reserve(list.size());
    for (const element item : list) {
        std::int64_t value = -1;
        result.push_back(item.get(value) == simdjson::SUCCESS ? value : -1);
    }
    return result;
}

/// "[17,128]" -> {17, 128}
std::pair<std::int64_t, std::int64_t> extents_of(std::string_view shape) {
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    const char* end = shape.data() + shape.size();
    if (!shape.starts_with('[')) return {};
    const auto first = std::from_chars(shape.data() + 1, end, rows);
    if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ',') return {};
    const auto second = std::from_chars(first.ptr + 1, end, cols);
    if (second.ec != std::errc{}) return {};
    return {rows, cols};
}

}  // namespace

struct RecordParser::State {
    explicit State(const Trace& of) : trace(of) {}
    ~State() {
        // Many short-lived parsers must not add up.
        constexpr std::uint64_t worth_a_call = std::uint64_t{1} << 18;
        if (bytes > worth_a_call) trace.forget_text(begin, end);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    const Trace& trace;
    simdjson::dom::parser json;
    object root;
    std::vector<double> values;
    std::string problem;
    std::uint64_t bad_records = 0;
    // What was looked at and not yet forgotten.
    std::uint64_t bytes = 0;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;

    std::string_view text(const Entry& entry) {
        constexpr std::uint64_t most_bytes = std::uint64_t{32} << 20;
        if (bytes > most_bytes) {
            trace.forget_text(begin, end);
            bytes = 0;
        }
        begin = bytes == 0 ? entry.offset : std::min(begin, entry.offset);
        const std::uint64_t entry_end = entry.offset + entry.length;
        end = bytes == 0 ? entry_end : std::max(end, entry_end);
        bytes += entry.length;
        problem.clear();
        return trace.text(entry);
    }

    /// False: the line is no JSON object after all, and problem says why.
    bool parse(const Entry& entry) {
        const std::string_view line = text(entry);
        element element;
        const auto error = json.parse(line.data(), line.size(), false).get(element);
        if (error != simdjson::SUCCESS) {
            problem = why_invalid(line, error);
        } else if (element.get(root) != simdjson::SUCCESS) {
            problem = "not a JSON object";
        }
        if (!problem.empty()) ++bad_records;
        return problem.empty();
    }

    /// Where nothing but plain numbers is to be read.
    std::optional<std::span<const double>> plain_values(const Entry& entry) {
        const std::string_view line = text(entry);
        if (entry.values == 0) return std::span<const double>{};
        if (entry.values >= line.size()) return std::nullopt;
        const std::size_t room = (line.size() - entry.values) / 2 + 1;
        if (values.size() < room) values.resize(room);
        const auto list = read_number_list(line.data() + entry.values, values.data());
        if (!list || (list->has_null && entry.nonfinite)) return std::nullopt;
        return std::span<const double>{values.data(), list->count};
    }
};

RecordParser::RecordParser(const Trace& trace) : state_(std::make_unique<State>(trace)) {}
RecordParser::~RecordParser() = default;

const std::string& RecordParser::problem() const {
    return state_->problem;
}

std::uint64_t RecordParser::bad_records() const {
    return state_->bad_records;
}

CallRecord RecordParser::call(const Entry& entry) {
    CallRecord call;
    if (!state_->parse(entry)) return call;
    const object json = state_->root;
    call.op = string_at(json, "op");
    call.name = string_at(json, "name");
    call.caller = string_at(json, "caller");
    call.arithmetic = string_at(json, "arithmetic");
    object part;
    if (json.at_key("x").get(part) == simdjson::SUCCESS) call.x = side_of(part);
    if (json.at_key("y").get(part) == simdjson::SUCCESS) call.y = side_of(part);
    if (json.at_key("proof").get(part) == simdjson::SUCCESS) {
        call.proof = Proof{number_at(part, "error"), number_at(part, "worst"), {}};
        array residual;
        if (part.at_key("residual").get(residual) == simdjson::SUCCESS)
            for (const element item : residual)
                if (double value = 0; item.get(value) == simdjson::SUCCESS)
                    call.proof->residual.push_back(value);
    }
    call.values = values_of(json);
    return call;
}

RowRecord RecordParser::row(const Entry& entry) {
    RowRecord row;
    row.position = entry.token_idx;
    if (!state_->parse(entry)) return row;
    const object json = state_->root;
    object part;
    if (json.at_key("x").get(part) == simdjson::SUCCESS) row.x = row_digest_of(part);
    if (json.at_key("y").get(part) == simdjson::SUCCESS) row.y = row_digest_of(part);
    row.values = values_of(json);
    return row;
}

WeightRecord RecordParser::weight(const Entry& entry) {
    WeightRecord weight;
    if (!state_->parse(entry)) return weight;
    const object json = state_->root;
    weight.id = string_at(json, "weight");
    weight.name = string_at(json, "name");
    weight.dtype = string_at(json, "dtype");
    std::tie(weight.rows, weight.cols) = extents_of(string_at(json, "shape"));
    weight.energy = number_at(json, "energy");
    weight.sum = number_at(json, "sum");
    weight.absmax = number_at(json, "absmax");
    weight.hash = optional_hash(json, "hash");
    weight.nonfinite = nonfinite_of(json);
    weight.sketch = optional_sketch(json, "sketch");
    array rows;
    if (json.at_key("row_digests").get(rows) != simdjson::SUCCESS) return weight;
    for (const element item : rows) {
        object digest;
        if (item.get(digest) != simdjson::SUCCESS) continue;
        weight.row_digests.emplace_back(integer_at(digest, "row", 0), row_digest_of(digest));
    }
    return weight;
}

PassRecord RecordParser::pass(const Entry& entry) {
    PassRecord pass;
    if (!state_->parse(entry)) return pass;
    const object json = state_->root;
    pass.number = integer_at(json, "pass", 0);
    pass.op = string_at(json, "op");
    pass.n_tokens = integer_at(json, "n_tokens", 0);
    pass.tokens = integers_at(json, "tokens");
    pass.positions = integers_at(json, "token_positions");
    pass.sequences = integers_at(json, "sequences");
    pass.kv_dtype = string_at(json, "kv_dtype");
    return pass;
}

std::span<const double> RecordParser::values_view(const Entry& entry) {
    if (const auto plain = state_->plain_values(entry)) return *plain;
    if (!state_->parse(entry)) return {};
    state_->values = values_of(state_->root);
    return state_->values;
}

std::vector<double> RecordParser::values(const Entry& entry) {
    const std::span<const double> view = values_view(entry);
    return {view.begin(), view.end()};
}

}  // namespace orch
