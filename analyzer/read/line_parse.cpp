// The thorough way: any JSON, any order of keys.
#include <algorithm>

#include "analyzer/read/json_parser.hpp"
#include "analyzer/read/line.hpp"
#include "analyzer/read/text_hash.hpp"

namespace orch {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

/// Steps over the values of a line that is known to be JSON: simdjson does not say where a value
/// stands in its text.
class Members {
  public:
    explicit Members(std::string_view line) : line_(line), at_(line.find('{') + 1) {}

    /// The text of the next member's value, from its first byte to its last.
    std::string_view next() {
        skip_string();
        at_ = line_.find(':', at_) + 1;
        at_ = line_.find_first_not_of(" \t\r", at_);
        const std::size_t begin = at_;
        skip_value();
        const std::string_view value = line_.substr(begin, at_ - begin);
        at_ = std::min(line_.find_first_of(",}", at_), line_.size() - 1) + 1;
        return value;
    }

  private:
    /// From anywhere before a string to behind it.
    void skip_string() {
        at_ = std::min(line_.find('"', at_), line_.size() - 1) + 1;
        while (at_ < line_.size() && line_[at_] != '"')
            at_ += line_[at_] == '\\' ? 2 : 1;
        at_ = std::min(at_ + 1, line_.size());
    }

    void skip_value() {
        if (at_ >= line_.size()) return;
        if (line_[at_] == '"') return skip_string();
        if (line_[at_] != '{' && line_[at_] != '[') {
            at_ = std::min(line_.find_first_of(" \t\r,}]", at_), line_.size());
            return;
        }
        std::size_t depth = 0;
        while (at_ < line_.size()) {
            const char c = line_[at_];
            if (c == '"') {
                skip_string();
                continue;
            }
            ++at_;
            if (c == '{' || c == '[') ++depth;
            if ((c == '}' || c == ']') && --depth == 0) return;
        }
    }

    std::string_view line_;
    std::size_t at_;
};

/// Where in the line the members are that the index needs the text of.
struct Places {
    std::string_view x;
    std::string_view y;
    std::string_view values;
};

/// Of keys that stand twice, simdjson finds the first.
Places places_in(object json, std::string_view line) {
    Places places;
    Members members{line};
    for (const auto [name, value] : json) {
        const std::string_view text = members.next();
        if (name == "x" && places.x.empty()) places.x = text;
        if (name == "y" && places.y.empty()) places.y = text;
        if (name == "values" && places.values.empty()) places.values = text;
    }
    return places;
}

void read_sides(object json, const Places& places, Entry& entry) {
    object side;
    if (json.at_key("x").get(side) == simdjson::SUCCESS) {
        entry.x_key = text_hash(places.x);
        entry.x_cols = extent_of(integer_at(side, "cols", 0));
    }
    if (json.at_key("y").get(side) == simdjson::SUCCESS) {
        entry.y_key = text_hash(places.y);
        entry.rows = extent_of(integer_at(side, "rows", 0));
        entry.y_cols = extent_of(integer_at(side, "cols", 0));
        if (side.at_key("nan").error() == simdjson::SUCCESS) entry.nonfinite = true;
    }
}

}  // namespace

struct LineParser::State {
    simdjson::dom::parser json;
};

LineParser::LineParser() : state_(std::make_unique<State>()) {}
LineParser::~LineParser() = default;

std::string LineParser::parse(std::string_view line, LineFacts& facts) {
    facts = {};
    if (line.size() > max_line) return "longer than 64 MiB";
    element root;
    if (const auto error = state_->json.parse(line.data(), line.size(), false).get(root)) {
        return why_invalid(line, error);
    }
    object json;
    if (root.get(json) != simdjson::SUCCESS) return "not a JSON object";
    if (json.at_key("checkpoint").get(facts.checkpoint) != simdjson::SUCCESS) {
        return "not a record (no \"checkpoint\")";
    }
    facts.team = string_at(json, "team");
    facts.weight = string_at(json, "weight");
    facts.dtype = string_at(json, "dtype");
    facts.shape = string_at(json, "shape");
    Entry& entry = facts.entry;
    entry.kind = kind_of(string_at(json, "kind"));
    entry.token_idx = integer_at(json, "token_idx", 0);
    entry.call = integer_at(json, "call", -1);
    entry.pass = pass_of(integer_at(json, "pass", -1));
    entry.first_position = integer_at(json, "first_position", 0);
    entry.token_positions = string_at(json, "positions") == "token";
    entry.nonfinite = json.at_key("nonfinite").error() == simdjson::SUCCESS;
    const Places places = places_in(json, line);
    read_sides(json, places, entry);
    if (places.values.starts_with('[')) {
        entry.values = static_cast<std::uint32_t>(places.values.data() - line.data());
    }
    return {};
}

}  // namespace orch
