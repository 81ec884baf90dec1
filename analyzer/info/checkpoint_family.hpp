// Checkpoints that differ only in numbers, as one: layer_0_output .. layer_31_output.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "analyzer/read/trace.hpp"
#include "analyzer/weights/given_names.hpp"

namespace orch {

/// A number in a name, as far as it may be counted: it stands between separators, as in
/// "layer_0_q" and "gemm.000123", but not in "ffn_w1".
struct NameNumber {
    std::size_t begin = 0;
    std::size_t size = 0;
};
std::vector<NameNumber> numbers_in(std::string_view name);
/// "layer_0_q" -> "layer_#_q"
std::string pattern_of(std::string_view name, const std::vector<NameNumber>& numbers);

struct CheckpointFamily {
    std::string name;  ///< "layer_0..31_output"
    std::vector<std::string> kinds;
    std::vector<std::string> dtypes;
    std::string shape;          ///< "[*,128]" where sizes differ, "varies" where ranks do
    std::uint64_t members = 0;  ///< distinct names
    std::uint64_t holes = 0;    ///< numbers missing between the first and the last
    std::uint64_t records = 0;
    std::uint64_t fewest = 0;  ///< records of one member
    std::uint64_t most = 0;
    std::uint64_t rows = 0;       ///< "row" lines that belong to the records
    std::uint64_t nonfinite = 0;  ///< records that say that NaN or Inf was among their values
    std::int64_t first_token = 0;
    std::int64_t last_token = 0;

    /// "4 x 20", "4 x 18..20" or "20"
    std::string records_text() const;
};

/// Collects the families of one run, in order of first appearance.
class FamilyCollector {
  public:
    /// `names` may be null: checkpoints are called what the trace calls them.
    FamilyCollector(const Trace& trace, const RunNames* names) : trace_(trace), names_(names) {}

    /// `kind` as the line has it, "log" where it has none.
    void add(const Entry& entry, std::string_view kind);
    std::vector<CheckpointFamily> finish() const;

  private:
    struct Range {
        std::string first;  ///< as written, with leading zeros
        std::string last;
    };
    struct Collected {
        CheckpointFamily family;
        std::string pattern;
        std::vector<Range> ranges;
        std::unordered_set<StringId> dtypes;
        std::optional<StringId> last_dtype;
        std::optional<StringId> last_shape;
        std::vector<std::uint64_t> records_of;  ///< by member
    };
    struct Place {
        std::size_t family = 0;
        std::size_t member = 0;
    };

    Place place_of(const Entry& entry);
    Place add_member(std::string_view name);
    std::size_t find_family(std::string_view name);
    CheckpointFamily finish(const Collected& collected) const;

    const Trace& trace_;
    const RunNames* names_;
    std::vector<Collected> families_;
    std::unordered_map<std::string, std::size_t> by_pattern_;
    std::unordered_map<StringId, Place> by_checkpoint_;
    std::unordered_map<std::string_view, Place> given_;  ///< by given name: of many checkpoints
    std::unordered_set<std::string> thinned_;  ///< patterns that do not have all their numbers
};

/// What two shapes have in common: "[20,128]" and "[1,128]" -> "[*,128]".
std::string common_shape(std::string_view a, std::string_view b);
void add_once(std::vector<std::string>& set, std::string_view value);

}  // namespace orch
