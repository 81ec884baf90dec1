#include "analyzer/judge/facts.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "analyzer/util/text.hpp"

namespace orch {
namespace {

constexpr std::array<std::string_view, 12> kernels = {"blas",    "mkl",   "ggml",    "dnnl",
                                                      "onednn",  "cudnn", "cutlass", "rocblas",
                                                      "hipblas", "blis",  "eigen",   "flash_attn"};
constexpr std::size_t shown = 5;

std::string precision_text(const Arithmetic& arithmetic) {
    std::vector<std::string> parts;
    if (arithmetic.weights != arithmetic.activations)
        parts.push_back(arithmetic.weights + " weights");
    const std::string told = arithmetic.inferred ? " by its values" : "";
    parts.push_back(parts.empty() ? arithmetic.activations + told
                                  : arithmetic.activations + " activations" + told);
    if (!arithmetic.kv.empty()) parts.push_back(arithmetic.kv + " KV cache");
    if (!arithmetic.products.empty()) parts.push_back("products in " + arithmetic.products);
    return joined(parts, ", ");
}

}  // namespace

std::vector<std::string> kernel_libraries(const EngineTrace& engine) {
    std::vector<std::string> result;
    if (!engine.facts.header) return result;
    for (std::string_view library : engine.facts.header->libraries) {
        library.remove_prefix(library.rfind('/') + 1);
        const std::string_view name = library.substr(0, library.find(".so"));
        const bool decides = std::any_of(
            kernels.begin(), kernels.end(),
            [&](std::string_view word) { return name.find(word) != std::string_view::npos; });
        if (decides && std::find(result.begin(), result.end(), name) == result.end())
            result.emplace_back(name);
    }
    return result;
}

EngineFacts engine_facts(const EngineTrace& engine, const Arithmetic& arithmetic) {
    EngineFacts facts;
    facts.team = engine.team;
    facts.path = engine.path;
    if (engine.facts.header) facts.executable = engine.facts.header->executable;
    facts.completeness = completeness_name(engine.facts.completeness);
    facts.findings = engine.facts.findings;
    for (const BlindSpot& spot : engine.facts.blind_spots)
        facts.blind_spots.push_back(spot.what + ": " + spot.why);
    facts.libraries = kernel_libraries(engine);
    facts.precision = precision_text(arithmetic);
    facts.products = engine.products.size();
    for (const Pass& pass : engine.passes) {
        if (!pass.dropped.empty()) continue;
        ++facts.passes;
        facts.tokens += static_cast<std::uint64_t>(std::max<std::int64_t>(0, pass.tokens));
    }
    facts.names = arithmetic.named;
    return facts;
}

LedgerRow ledger_row(const EngineTrace& engine, const SideLedger& ledger) {
    LedgerRow row;
    row.team = engine.team;
    row.total = ledger.total;
    row.matched = ledger.matched;
    row.merged = ledger.merged;
    row.unmatched = ledger.unmatched.size();
    row.dropped = ledger.dropped;
    row.adds_up = ledger.adds_up();
    for (const Unmatched& one : ledger.unmatched) {
        if (row.unmatched_first.size() >= shown) break;
        const Entry& entry = engine.trace->entries()[one.entry];
        row.unmatched_first.push_back(fmt::format("{}:{} {}: {}", engine.path, entry.line,
                                                  engine.trace->string(entry.checkpoint), one.why));
    }
    return row;
}

}  // namespace orch
