#include "analyzer/read/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <tuple>

#include "analyzer/read/content.hpp"
#include "analyzer/read/sidecar_index.hpp"
#include "analyzer/read/trace_index.hpp"

namespace orch {
namespace {

struct RowPlace {
    std::int64_t call;
    std::size_t entry;
    bool operator<(const RowPlace& other) const {
        return std::tie(call, entry) < std::tie(other.call, other.entry);
    }
};

}  // namespace

struct Trace::State {
    explicit State(const std::filesystem::path& file) : path(file.string()), content(file) {}

    std::string path;
    Content content;
    TraceIndex index;
    std::once_flag rows_found;
    std::vector<RowPlace> rows;  ///< by call, once somebody asks

    /// An archive that ends early is told as one more line, which is missing.
    void report_damage() {
        if (content.damage().empty()) return;
        ReadCounts& counts = index.counts;
        ++counts.lines;
        ++counts.bad_lines;
        counts.truncated = true;
        if (index.bad_lines.size() < max_bad_lines_shown) {
            index.bad_lines.push_back({counts.lines, content.damage(), true});
        }
    }

    void find_rows() {
        const std::span<const Entry> entries = index.entries.entries();
        for (std::size_t i = 0; i < entries.size(); ++i) {
            if (entries[i].kind == RecordKind::row) rows.push_back({entries[i].call, i});
        }
        std::sort(rows.begin(), rows.end());
    }
};

Trace::Trace(const std::filesystem::path& path, const ReadOptions& options)
    : state_(std::make_unique<State>(path)) {
    State& s = *state_;
    const bool has_sidecar = options.sidecar_index && s.content.is_the_file() &&
                             s.content.bytes().size() >= options.big_file;
    if (has_sidecar) {
        if (auto saved = load_sidecar(path, s.content, options.threads)) {
            s.index = std::move(*saved);
            return;
        }
    }
    s.index = index_of(s.content, options.threads);
    s.report_damage();
    if (s.content.is_cut()) {
        throw UnreadableFile(fmt::format("{}: it was cut short while it was read", s.path));
    }
    if (has_sidecar) save_sidecar(path, s.content, s.index, options.threads);
}

Trace::~Trace() = default;
Trace::Trace(Trace&&) noexcept = default;
Trace& Trace::operator=(Trace&&) noexcept = default;

const std::string& Trace::path() const {
    return state_->path;
}

std::span<const Entry> Trace::entries() const {
    return state_->index.entries.entries();
}

std::span<const RunRange> Trace::runs() const {
    return state_->index.runs;
}

std::string_view Trace::string(StringId id) const {
    return id < state_->index.texts.size() ? state_->index.texts[id] : std::string_view{};
}

std::optional<StringId> Trace::find(std::string_view text) const {
    return state_->index.texts.find(text);
}

std::string_view Trace::text(const Entry& entry) const {
    const std::string_view file = state_->content.bytes();
    return file.substr(std::min<std::size_t>(entry.offset, file.size()), entry.length);
}

void Trace::forget_text(std::uint64_t begin, std::uint64_t end) const {
    state_->content.forget(begin, std::min<std::uint64_t>(end, state_->content.bytes().size()));
}

std::vector<const Entry*> Trace::rows_of(const RunRange& run, std::int64_t call) const {
    std::call_once(state_->rows_found, [&] { state_->find_rows(); });
    std::vector<const Entry*> result;
    const std::span<const Entry> all = entries();
    const auto& rows = state_->rows;
    for (auto at = std::lower_bound(rows.begin(), rows.end(), RowPlace{call, run.begin});
         at != rows.end() && at->call == call && at->entry < run.end; ++at) {
        result.push_back(&all[at->entry]);
    }
    return result;
}

const ReadCounts& Trace::counts() const {
    return state_->index.counts;
}

const std::vector<BadLine>& Trace::bad_lines() const {
    return state_->index.bad_lines;
}

}  // namespace orch
