#include "analyzer/selftest/cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "analyzer/report/compare_traces.hpp"
#include "analyzer/report/wording.hpp"
#include "analyzer/selftest/small_llama.hpp"

namespace orch::selftest {
namespace {

namespace fs = std::filesystem;

constexpr Form reference_form{true, false, false, true, 1};
constexpr Form rebuilt_form{false, true, false, false, 4};
constexpr Form cached_form{true, false, true, true, 1};  ///< the reference with an f16 cache
constexpr const char* cached_name = "reference-f16.jsonl";

struct Case {
    const char* name;
    const char* file;
    Form form;
    Fault fault = Fault::none;
    int layer = 0;
    /// Of a divergence: where, in the report's words.
    const char* op = nullptr;
    const char* signature = nullptr;
    const char* reference = reference_name;
};

std::vector<Case> all_cases() {
    return {
        {"the same engine again", "again.jsonl", reference_form},
        {"nameless, fused, rows reordered", "rebuilt.jsonl", rebuilt_form},
        {"the same, the reference's cache in f16", "f32-cache.jsonl", rebuilt_form, Fault::none, 0,
         nullptr, nullptr, cached_name},
        {"rotation with another base", "rope.jsonl", rebuilt_form, Fault::rope_base, 1, "attention",
         "rope"},
        {"attention sees one future token", "mask.jsonl", rebuilt_form, Fault::mask_sees_next, 1,
         "attention", "mask"},
        {"query heads read other key heads", "heads.jsonl", rebuilt_form, Fault::key_heads, 1,
         "attention", "gqa_map"},
        {"generated tokens are not cached", "cache.jsonl", rebuilt_form, Fault::stale_cache, 1,
         "attention", "stale"},
        {"a norm that is 5 % too large", "norm.jsonl", rebuilt_form, Fault::norm_scaled, 2,
         "attn_norm", "scale"},
        {"GELU in place of SiLU", "gelu.jsonl", rebuilt_form, Fault::gelu, 0, "activation",
         "activation"},
        {"a product without its last inputs", "k-tail.jsonl", rebuilt_form, Fault::k_tail, 1, "o",
         "dropped_k_tail"},
        {"the weight of another layer", "other-layer.jsonl", rebuilt_form, Fault::other_layer_down,
         0, "down", "wrong_weight"},
    };
}

std::string place_of(int layer, const std::string& op, const std::string& signature) {
    return fmt::format("layer {} {}: {}", layer, op, signature);
}

std::string found_text(const Report& report) {
    const PairReport& pair = report.pairs.front();
    if (report.verdict != Verdict::divergence || !pair.first_divergence) {
        return std::string{verdict_name(report.verdict)};
    }
    const FirstDivergence& first = *pair.first_divergence;
    return place_of(first.layer, first.op, first.signature.name);
}

Result result_of(const std::string& name, const std::string& expected, const fs::path& directory,
                 const std::string& reference, const std::string& file) {
    ComparisonRequest request;
    request.traces = {(directory / reference).string(), (directory / file).string()};
    Result result{name, expected, {}, file, false, compare_traces(request)};
    result.found = found_text(result.report);
    result.good = result.found == expected;
    return result;
}

/// A trace of which one line in a hundred got lost on the way.
void lose_records(const fs::path& from, const fs::path& to) {
    std::ifstream in(from, std::ios::binary);
    std::ofstream out(to, std::ios::binary);
    std::size_t number = 0;
    for (std::string line; std::getline(in, line);) {
        if (++number % 100 != 50) out << line << '\n';
    }
    if (!out.flush()) throw std::runtime_error(to.string() + ": cannot be written");
}

}  // namespace

void run_cases(const fs::path& directory, const std::function<void(const Result&)>& each) {
    trace_small_llama(directory / reference_name, "reference", reference_form, Fault::none, 0);
    trace_small_llama(directory / cached_name, "reference", cached_form, Fault::none, 0);
    for (const Case& c : all_cases()) {
        trace_small_llama(directory / c.file, "other", c.form, c.fault, c.layer);
        const std::string expected =
            c.op == nullptr ? "parity" : place_of(c.layer, c.op, c.signature);
        each(result_of(c.name, expected, directory, c.reference, c.file));
    }
    lose_records(directory / "rebuilt.jsonl", directory / "lost.jsonl");
    each(result_of("one record in a hundred is lost", "not_comparable", directory, reference_name,
                   "lost.jsonl"));
}

}  // namespace orch::selftest
