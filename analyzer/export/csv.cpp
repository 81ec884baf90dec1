#include <fmt/format.h>

#include <unordered_set>

#include "analyzer/export/writers.hpp"
#include "analyzer/util/csv.hpp"

namespace orch {
Exported export_csv(const Trace& trace, const Selection& selection,
                    const std::function<void(std::string_view)>& write) {
    Exported exported;
    std::unordered_set<std::string_view> names;
    RecordParser parser{trace};
    for_each_selected(trace, selection, [&](const Entry& entry, std::string_view name) {
        const std::vector<double> values = whole_values(trace, entry, parser);
        if (values.empty()) return;
        if (exported.records == 0)
            write("team,checkpoint,token_idx,line,dtype,shape,index,value\n");
        const bool wide = trace.string(entry.dtype) == "f64";
        const std::string head =
            fmt::format("{},{},{},{},{},{}", csv_cell(trace.string(entry.team)), csv_cell(name),
                        entry.token_idx, entry.line, csv_cell(trace.string(entry.dtype)),
                        csv_cell(trace.string(entry.shape)));
        std::string lines;
        for (std::size_t i = 0; i < values.size(); ++i) {
            // The shortest text of the type that was logged.
            lines += wide ? fmt::format("{},{},{}\n", head, i, values[i])
                          : fmt::format("{},{},{}\n", head, i, static_cast<float>(values[i]));
        }
        write(lines);
        ++exported.records;
        names.insert(name);
    });
    exported.arrays = names.size();
    return exported;
}

}  // namespace orch
