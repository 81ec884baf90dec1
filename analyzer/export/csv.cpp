#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "analyzer/export/writers.hpp"
#include "analyzer/util/csv.hpp"
#include "core/selector.hpp"

namespace orch {
namespace {

bool has_values(RecordKind kind) {
    return kind == RecordKind::log || kind == RecordKind::checkpoint || kind == RecordKind::gemm ||
           kind == RecordKind::row;
}

}  // namespace

Exported export_csv(const Trace& trace, const std::vector<std::string>& globs, std::ostream& out) {
    Exported exported;
    std::unordered_set<StringId> names;
    RecordParser parser{trace};
    out << "team,checkpoint,token_idx,line,dtype,shape,index,value\n";
    for (const Entry& entry : trace.entries()) {
        if (!has_values(entry.kind)) continue;
        const std::string_view name = trace.string(entry.checkpoint);
        const auto matches = [&](const std::string& glob) { return glob_matches(glob, name); };
        if (!globs.empty() && std::none_of(globs.begin(), globs.end(), matches)) continue;
        const std::vector<double> values = whole_values(trace, entry, parser);
        if (values.empty()) continue;
        const bool wide = trace.string(entry.dtype) == "f64";
        const std::string head =
            fmt::format("{},{},{},{},{},{}", csv_cell(trace.string(entry.team)), csv_cell(name),
                        entry.token_idx, entry.line, csv_cell(trace.string(entry.dtype)),
                        csv_cell(trace.string(entry.shape)));
        for (std::size_t i = 0; i < values.size(); ++i) {
            // The shortest text of the type that was logged.
            out << (wide ? fmt::format("{},{},{}\n", head, i, values[i])
                         : fmt::format("{},{},{}\n", head, i, static_cast<float>(values[i])));
        }
        ++exported.records;
        names.insert(entry.checkpoint);
    }
    exported.arrays = names.size();
    return exported;
}

}  // namespace orch
