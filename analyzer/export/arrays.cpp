#include "analyzer/export/arrays.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <unordered_map>

#include "core/half.hpp"
#include "core/selector.hpp"

namespace orch {
namespace {

struct Sidecar {
    std::string file;
    std::int64_t offset = -1;
    std::int64_t count = 0;
    std::string dtype;
};

std::optional<Sidecar> sidecar_of(std::string_view line) {
    if (line.find("\"sidecar\"") == std::string_view::npos) return std::nullopt;
    simdjson::dom::parser parser;
    simdjson::dom::object found;
    if (parser.parse(line)["sidecar"].get(found) != simdjson::SUCCESS) return std::nullopt;
    Sidecar sidecar;
    std::string_view text;
    if (found["file"].get(text) == simdjson::SUCCESS) sidecar.file = text;
    if (found["dtype"].get(text) == simdjson::SUCCESS) sidecar.dtype = text;
    if (found["offset"].get(sidecar.offset) != simdjson::SUCCESS) sidecar.offset = -1;
    if (found["count"].get(sidecar.count) != simdjson::SUCCESS) sidecar.count = 0;
    return sidecar;
}

std::size_t size_of(std::string_view dtype) {
    if (dtype == "f64") return 8;
    if (dtype == "f32") return 4;
    if (dtype == "f16" || dtype == "bf16") return 2;
    return 0;
}

double element(const char* at, std::string_view dtype) {
    if (dtype == "f64") {
        double value = 0;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    if (dtype == "f32") {
        float value = 0;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    std::uint16_t bits = 0;
    std::memcpy(&bits, at, sizeof bits);
    return dtype == "f16" ? f16_to_f32(bits) : bf16_to_f32(bits);
}

/// Empty where the file does not hold what the line says.
std::vector<double> read_sidecar(const std::filesystem::path& trace, const Sidecar& sidecar) {
    // A name, not a path: a trace must not make us read other files.
    const std::size_t size = size_of(sidecar.dtype);
    if (sidecar.file.find('/') != std::string::npos || size == 0) return {};
    if (sidecar.offset < 0 || sidecar.count <= 0) return {};
    const std::filesystem::path path = trace.parent_path() / sidecar.file;
    std::error_code error;
    const auto length = std::filesystem::file_size(path, error);
    const auto offset = static_cast<std::uint64_t>(sidecar.offset);
    const auto count = static_cast<std::uint64_t>(sidecar.count);
    if (error || offset > length || count > (length - offset) / size) return {};
    std::ifstream in(path, std::ios::binary);
    in.seekg(sidecar.offset);
    std::vector<char> bytes(count * size);
    if (!in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) return {};
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i)
        values[i] = element(bytes.data() + i * size, sidecar.dtype);
    return values;
}

struct Member {
    std::string_view name;
    std::vector<const Entry*> entries;
};

std::vector<Member> members_of(const Trace& trace, const Selection& selection) {
    std::vector<Member> members;
    std::unordered_map<std::string_view, std::size_t> where;
    for_each_selected(trace, selection, [&](const Entry& entry, std::string_view name) {
        const auto [at, is_new] = where.try_emplace(name, members.size());
        if (is_new) members.push_back({name, {}});
        members[at->second].entries.push_back(&entry);
    });
    return members;
}

ValueArray array_of(const Trace& trace, const Member& member, RecordParser& parser) {
    ValueArray array;
    array.name = member.name;
    array.shape = trace.string(member.entries.front()->shape);
    std::vector<std::vector<double>> rows;
    for (const Entry* entry : member.entries) {
        rows.push_back(whole_values(trace, *entry, parser));
        array.f64 = array.f64 || trace.string(entry->dtype) == "f64";
        array.cols = std::max(array.cols, rows.back().size());
        array.token_idx.push_back(entry->token_idx);
        array.line.push_back(static_cast<std::int64_t>(entry->line));
        array.count.push_back(static_cast<std::int64_t>(rows.back().size()));
    }
    array.data.reserve(rows.size() * array.cols);
    for (std::vector<double>& row : rows) {
        array.data.insert(array.data.end(), row.begin(), row.end());
        array.data.resize(array.data.size() + array.cols - row.size(),
                          std::numeric_limits<double>::quiet_NaN());
        row = {};
    }
    return array;
}

}  // namespace

void for_each_selected(const Trace& trace, const Selection& selection,
                       const std::function<void(const Entry&, std::string_view name)>& use) {
    const std::vector<std::string>& globs = selection.globs;
    for (std::size_t number = 0; number < trace.runs().size(); ++number) {
        const RunRange& run = trace.runs()[number];
        const RunNames* names = selection.names.of_run(number);
        for (const Entry& entry : trace.entries().subspan(run.begin, run.end - run.begin)) {
            if (!has_values(entry.kind)) continue;
            const std::string_view name = checkpoint_name(trace, entry.checkpoint, names);
            const auto matches = [&](const std::string& glob) { return glob_matches(glob, name); };
            if (globs.empty() || std::any_of(globs.begin(), globs.end(), matches)) use(entry, name);
        }
    }
}

std::vector<double> whole_values(const Trace& trace, const Entry& entry, RecordParser& parser) {
    if (const auto sidecar = sidecar_of(trace.text(entry))) {
        std::vector<double> values = read_sidecar(trace.path(), *sidecar);
        if (!values.empty()) return values;
    }
    return parser.values(entry);
}

std::size_t for_each_array(const Trace& trace, const Selection& selection,
                           const std::function<void(ValueArray&&)>& use) {
    RecordParser parser{trace};
    std::size_t arrays = 0;
    for (const Member& member : members_of(trace, selection)) {
        ValueArray array = array_of(trace, member, parser);
        if (array.cols == 0) continue;
        use(std::move(array));
        ++arrays;
    }
    return arrays;
}

}  // namespace orch
