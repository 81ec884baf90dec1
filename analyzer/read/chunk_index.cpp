#include "analyzer/read/chunk_index.hpp"

#include <algorithm>
#include <cstring>

#include "analyzer/read/byte_scan.hpp"

namespace orch {
namespace {

std::string_view trimmed(std::string_view line) {
    constexpr std::string_view white = " \t\r";
    const std::size_t first = line.find_first_not_of(white);
    if (first == std::string_view::npos) return {};
    return line.substr(first, line.find_last_not_of(white) + 1 - first);
}

}  // namespace

void ChunkIndex::clear() {
    entries.clear();
    texts.clear();
    counts = {};
    bad_lines.clear();
    marks.clear();
}

void ChunkReader::read(std::string_view file, std::size_t begin, std::size_t end,
                       ChunkIndex& chunk) {
    chunk.clear();
    chunk_ = &chunk;
    file_ = file;
    std::fill(std::begin(recent_), std::end(recent_), Recent{});
    has_log_ = false;
    pattern_.forget();
    const char* at = file.data() + begin;
    const char* const stop = file.data() + end;
    if (begin > 0 && at[-1] != '\n') {
        // The line that is under way here belongs to an earlier chunk.
        at = static_cast<const char*>(std::memchr(at, '\n', end - begin));
        if (at == nullptr) return;
        ++at;
    } else if (begin == 0 && file.starts_with("\xEF\xBB\xBF")) {
        at += 3;
    }
    while (at < stop) {
        ++chunk.counts.lines;
        const char* next = like_before(at);
        if (next == nullptr) next = usual_line(at);
        at = next != nullptr ? next : odd_line(at);
    }
}

/// Behind the line feed, if the line ends there; the file may end instead.
const char* ChunkReader::behind_line(const char* line_end) const {
    const char* const file_end = file_.data() + file_.size();
    if (line_end < file_end && *line_end == '\n') return line_end + 1;
    const char* at = end_of_run<Spaces>(line_end);
    if (*at == '\r' && at[1] == '\n') ++at;
    return line_end <= file_end && (at >= file_end || *at == '\n') ? at + 1 : nullptr;
}

const char* ChunkReader::like_before(const char* line) {
    std::string_view name;
    std::int64_t token = 0;
    std::uint32_t values = 0;
    const char* const line_end = pattern_.match(line, name, token, values);
    if (line_end == nullptr) return nullptr;
    const char* const next = behind_line(line_end);
    const auto length = static_cast<std::size_t>(line_end - line);
    if (next == nullptr || length > max_line) return nullptr;
    ChunkIndex& chunk = *chunk_;
    Entry& entry = chunk.entries.emplace_back(before_);
    entry.offset = static_cast<std::uint64_t>(line - file_.data());
    entry.length = static_cast<std::uint32_t>(length);
    entry.line = chunk.counts.lines;
    entry.token_idx = token;
    entry.values = values;
    entry.checkpoint = chunk.texts.id_of(name);
    ++chunk.counts.records;
    mark(entry);
    return next;
}

const char* ChunkReader::usual_line(const char* line_begin) {
    facts_ = {};
    const char* const line_end = scan_line(line_begin, facts_);
    if (line_end == nullptr) return nullptr;
    const char* const next = behind_line(line_end);
    const std::string_view line{line_begin, static_cast<std::size_t>(line_end - line_begin)};
    if (next == nullptr || line.size() > max_line) return nullptr;
    add(line, facts_);
    if (facts_.is_usual) {
        pattern_.learn(line, facts_);
        before_ = chunk_->entries.back();
    }
    return next;
}

const char* ChunkReader::odd_line(const char* line_begin) {
    const char* const file_end = file_.data() + file_.size();
    const auto left = static_cast<std::size_t>(file_end - line_begin);
    const auto* newline = static_cast<const char*>(std::memchr(line_begin, '\n', left));
    const char* const line_end = newline != nullptr ? newline : file_end;
    const std::string_view line =
        trimmed({line_begin, static_cast<std::size_t>(line_end - line_begin)});
    ReadCounts& counts = chunk_->counts;
    if (line.empty()) {
        ++counts.blank_lines;
        return line_end + 1;
    }
    std::string why = parser_.parse(line, facts_);
    if (why.empty()) {
        // The parser will overwrite its texts: they must not be compared with later ones.
        std::fill(std::begin(recent_), std::end(recent_), Recent{});
        add(line, facts_);
        std::fill(std::begin(recent_), std::end(recent_), Recent{});
        return line_end + 1;
    }
    ++counts.bad_lines;
    counts.truncated = newline == nullptr && line.front() == '{';
    if (counts.truncated) why = "cut off before its end";
    if (chunk_->bad_lines.size() < max_bad_lines_shown) {
        chunk_->bad_lines.push_back({counts.lines, std::move(why), counts.truncated});
    }
    return line_end + 1;
}

StringId ChunkReader::id_of(std::string_view text, int column) {
    Recent& recent = recent_[column];
    if (text == recent.text) return recent.id;
    recent = {text, chunk_->texts.id_of(text)};
    return recent.id;
}

void ChunkReader::add(std::string_view line, const LineFacts& facts) {
    ChunkIndex& chunk = *chunk_;
    Entry& entry = chunk.entries.emplace_back(facts.entry);
    entry.offset = static_cast<std::uint64_t>(line.data() - file_.data());
    entry.length = static_cast<std::uint32_t>(line.size());
    entry.line = chunk.counts.lines;
    entry.team = id_of(facts.team, 0);
    entry.checkpoint = id_of(facts.checkpoint, 1);
    entry.weight = id_of(facts.weight, 2);
    entry.dtype = id_of(facts.dtype, 3);
    entry.shape = id_of(facts.shape, 4);
    ++chunk.counts.records;
    mark(entry);
}

void ChunkReader::mark(const Entry& entry) {
    if (entry.kind == RecordKind::header) {
        chunk_->marks.push_back(chunk_->entries.size() - 1);
        has_log_ = false;
    } else if (entry.kind == RecordKind::log && (!has_log_ || entry.team != last_log_team_)) {
        chunk_->marks.push_back(chunk_->entries.size() - 1);
        has_log_ = true;
        last_log_team_ = entry.team;
    }
}

}  // namespace orch
