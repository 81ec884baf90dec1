#include "analyzer/weights/index_writer.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <climits>
#include <cmath>
#include <ctime>
#include <map>
#include <mutex>

#include "analyzer/export/output_file.hpp"
#include "analyzer/util/parallel.hpp"
#include "analyzer/util/text.hpp"
#include "analyzer/weights/role.hpp"
#include "analyzer/weights/weight_sketch.hpp"
#include "core/json_line.hpp"
#include "core/ledger.hpp"
#include "core/records.hpp"

namespace orch {
namespace {

constexpr std::size_t shown_values = 10;
constexpr std::size_t shown_names = 3;

std::string timestamp() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    const std::time_t seconds = ms / 1000;
    std::tm utc = {};
    ::gmtime_r(&seconds, &utc);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                       utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

std::string host_name() {
    std::array<char, HOST_NAME_MAX + 1> name{};
    ::gethostname(name.data(), name.size() - 1);
    return name.data();
}

void text(JsonLine& json, std::string_view key, std::string_view value) {
    json.field(key, value);
}

/// Makes one line at a time; `fill` adds the members between "team" and "values".
class LineMaker {
  public:
    explicit LineMaker(std::string team) : team_(std::move(team)), space_(1U << 16) {}

    template <class Fill>
    std::string line(const Fill& fill) {
        for (;;) {
            JsonLine json{space_};
            json.open_object();
            text(json, "ts", timestamp());
            text(json, "team", team_);
            fill(json);
            json.close_object();
            json.newline();
            if (!json.overflowed()) return {space_.data(), json.size()};
            space_.resize(space_.size() * 2);
        }
    }

  private:
    std::string team_;
    std::vector<char> space_;
};

void write_strings(JsonLine& json, std::string_view key, const std::vector<std::string>& texts) {
    json.key(key);
    json.open_array();
    for (const std::string& text : texts)
        json.string(text);
    json.close_array();
}

void write_model(JsonLine& json, const ModelFile& model) {
    json.key("model");
    json.open_object();
    text(json, "format", model.format);
    for_each_fact(model.facts, [&json](std::string_view name, const auto& value) {
        using Value = std::decay_t<decltype(value)>;
        if (value == Value{}) return;
        if constexpr (std::is_same_v<Value, std::string>) {
            text(json, name, value);
        } else if constexpr (std::is_same_v<Value, double>) {
            json.field(name, static_cast<float>(value));  // as GGUF has them
        } else {
            json.field(name, value);
        }
    });
    std::vector<std::string> files;
    for (const MappedFile& file : model.files)
        files.push_back(file.path().filename().string());
    write_strings(json, "files", files);
    json.close_object();
}

void write_header(JsonLine& json, const ModelFile& model, const IndexRequest& request) {
    write_bare_envelope(json, "orchtrace.header", "header");
    json.field("schema", format_version);
    json.field("version", ORCH_VERSION);
    json.field("pid", static_cast<std::int64_t>(::getpid()));
    json.field("ppid", static_cast<std::int64_t>(::getppid()));
    text(json, "host", host_name());
    json.field("executable", "orchtrace");
    write_strings(json, "argv", request.arguments);
    json.field("isa", digest_isa());
    json.field("backend", "index");
    json.key("config");
    json.open_object();
    json.field("values", static_cast<std::int64_t>(shown_values));
    json.field("weights", "sketch");
    json.close_object();
    write_model(json, model);
    write_strings(
        json, "libraries",
        request.ggml.empty() ? std::vector<std::string>{} : std::vector<std::string>{request.ggml});
    write_strings(json, "problems", {});
    json.empty_array("values");
}

// The same text as core/records.cpp makes: tests compare it with that of a trace.

void write_sum(JsonLine& json, std::string_view key, double value) {
    const auto narrow = static_cast<float>(value);
    if (std::isfinite(narrow) && (narrow != 0 || value == 0)) {
        json.field(key, narrow);
    } else {
        json.field(key, value);
    }
}

void write_nonfinite(JsonLine& json, const Nonfinite& counts) {
    if (!counts.any()) return;
    json.field("nan", counts.nan);
    json.field("pos_inf", counts.pos_inf);
    json.field("neg_inf", counts.neg_inf);
}

template <class Numbers>
void write_sketch(JsonLine& json, const Numbers& sketch) {
    json.key("sketch");
    json.open_array();
    for (const auto number : sketch)
        json.number(static_cast<float>(number));
    json.close_array();
}

void write_row_digest(JsonLine& json, const RowDigest& row) {
    json.open_object();
    json.field("row", row.row);
    write_sum(json, "energy", row.energy);
    write_sum(json, "sum", row.sum);
    json.field("absmax", row.absmax);
    if (row.argmax >= 0) {
        json.field("max", row.max);
        json.field("argmax", row.argmax);
    }
    write_nonfinite(json, row.nonfinite);
    write_sketch(json, row.sketch);
    json.close_object();
}

void write_role(JsonLine& json, const Role& role) {
    if (role.part == Part::other && role.layer < 0) return;
    json.key("role");
    json.open_object();
    if (role.layer >= 0) json.field("layer", role.layer);
    json.field("part", part_name(role.part));
    if (role.expert >= 0) json.field("expert", role.expert);
    json.close_object();
}

void write_values(JsonLine& json, const ModelTensor& tensor) {
    const std::vector<double> values = first_values(tensor, shown_values);
    bool any = false;
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (std::isfinite(values[i])) continue;
        if (!any) {
            json.key("nonfinite");
            json.open_array();
            any = true;
        }
        json.open_array();
        json.number(static_cast<std::uint64_t>(i));
        json.string(std::isnan(values[i]) ? "nan" : values[i] > 0 ? "inf" : "-inf");
        json.close_array();
    }
    if (any) json.close_array();
    json.key("values");
    json.open_array();
    for (const double value : values) {
        if (tensor.type.dtype == DType::f64) {
            json.number(value);
        } else {
            json.number(static_cast<float>(value));
        }
    }
    json.close_array();
}

void write_weight(JsonLine& json, const ModelTensor& tensor, const WeightSketch& sketch) {
    text(json, "checkpoint", "weight." + tensor.name);
    json.field("token_idx", std::int64_t{0});
    json.field("dtype", tensor.type.name);
    text(json, "shape", fmt::format("[{},{}]", tensor.outputs(), tensor.inputs()));
    json.field("kind", "weight");
    text(json, "weight", tensor.name);
    text(json, "name", tensor.name);
    write_role(json, role_of(tensor.name));
    if (tensor.transposed) json.field("transposed", true);
    write_sum(json, "energy", sketch.energy);
    write_sum(json, "sum", sketch.sum);
    json.field("absmax", sketch.absmax);
    json.key("hash");
    json.hex64(sketch.hash);
    write_nonfinite(json, sketch.nonfinite);
    write_sketch(json, sketch.sketch);
    json.key("row_digests");
    json.open_array();
    for (const RowDigest& row : sketch.rows)
        write_row_digest(json, row);
    json.close_array();
    write_values(json, tensor);
}

bool is_no_weight(const ModelTensor& tensor) {
    return tensor.type.kind == ElementType::Kind::integer || tensor.rows == 0 || tensor.cols == 0;
}

IndexCounts count(const ModelFile& model) {
    IndexCounts counts;
    for (const ModelTensor& tensor : model.tensors) {
        if (tensor.left_out.empty()) {
            ++counts.weights;
            counts.bytes += tensor.data.size();
        } else if (is_no_weight(tensor)) {
            ++counts.not_weights;
        } else {
            ++counts.unreadable;
        }
    }
    return counts;
}

void write_ledger(JsonLine& json, const IndexCounts& counts, std::uint64_t lines) {
    write_bare_envelope(json, "orchtrace.ledger", "ledger");
    json.field("final", true);
    json.key("classes");
    json.open_object();
    for (int i = 0; i < static_cast<int>(RecordClass::count); ++i) {
        const auto record_class = static_cast<RecordClass>(i);
        const IndexCounts of = record_class == RecordClass::weight ? counts : IndexCounts{};
        json.key(class_name(record_class));
        json.open_object();
        json.field("seen", of.weights + of.not_weights + of.unreadable);
        json.field("recorded", of.weights);
        json.field("filtered", of.not_weights);
        json.field("dropped", of.unreadable);
        json.close_object();
    }
    json.close_object();
    json.field("row_lines", std::uint64_t{0});
    json.field("dropped_rows", std::uint64_t{0});
    json.field("lines", lines);
    json.field("lost_lines", std::uint64_t{0});
    json.empty_array("values");
}

/// Takes digests in any order and writes the records in the checkpoint's.
class OrderedWeights {
  public:
    OrderedWeights(const ModelFile& model, const std::vector<RowBlock>& blocks, LineMaker& lines,
                   OutputFile& out)
        : model_(model), blocks_(blocks), lines_(lines), out_(out) {}

    void add(std::size_t block, const Digest& digest) {
        waiting_.emplace(block, digest);
        for (auto next = waiting_.find(at_); next != waiting_.end(); next = waiting_.find(at_)) {
            done_.push_back(next->second);
            waiting_.erase(next);
            const std::size_t tensor = blocks_[at_].tensor;
            ++at_;
            if (at_ < blocks_.size() && blocks_[at_].tensor == tensor) continue;
            const WeightSketch sketch{done_};
            done_.clear();
            out_.write(lines_.line(
                [&](JsonLine& json) { write_weight(json, model_.tensors[tensor], sketch); }));
        }
    }

  private:
    const ModelFile& model_;
    const std::vector<RowBlock>& blocks_;
    LineMaker& lines_;
    OutputFile& out_;
    std::size_t at_ = 0;
    std::map<std::size_t, Digest> waiting_;
    std::vector<Digest> done_;  ///< blocks of the tensor at `at_`
};

}  // namespace

std::vector<std::pair<std::string, std::string>> unreadable_tensors(const ModelFile& model) {
    std::map<std::string, std::vector<std::string>> names;
    for (const ModelTensor& tensor : model.tensors) {
        if (!tensor.left_out.empty() && !is_no_weight(tensor))
            names[tensor.left_out].push_back(printable(tensor.name));
    }
    std::vector<std::pair<std::string, std::string>> result;
    for (auto& [why, which] : names) {
        const std::size_t count = which.size();
        if (count > shown_names) which.resize(shown_names);
        result.emplace_back(fmt::format("{}: {}{}", counted(count, "tensor"), joined(which, ", "),
                                        count > shown_names ? ", ..." : ""),
                            why);
    }
    return result;
}

IndexCounts write_index(const ModelFile& model, const IndexRequest& request, OutputFile& out) {
    const IndexCounts counts = count(model);
    const std::vector<RowBlock> blocks = row_blocks(model.tensors);
    const auto unreadable = unreadable_tensors(model);
    LineMaker lines{model.name};
    out.write(lines.line([&](JsonLine& json) { write_header(json, model, request); }));
    for (const auto& [what, why] : unreadable) {
        out.write(lines.line([&, &what = what, &why = why](JsonLine& json) {
            write_bare_envelope(json, "orchtrace.blind_spot", "blind_spot");
            text(json, "what", what);
            text(json, "why", why);
            json.empty_array("values");
        }));
    }

    OrderedWeights weights{model, blocks, lines, out};
    std::mutex guard;
    std::uint64_t done = 0;
    for_each_chunk(blocks.size(), 1, request.threads, [&](std::size_t i, std::size_t, std::size_t) {
        const ModelTensor& tensor = model.tensors[blocks[i].tensor];
        for (const MappedFile& file : model.files)
            file.check_still_there();
        const Digest digest = digest_rows(tensor, blocks[i].first, blocks[i].count);
        const std::lock_guard lock{guard};
        weights.add(i, digest);
        done += tensor.data.size() / static_cast<std::uint64_t>(tensor.outputs()) *
                static_cast<std::uint64_t>(blocks[i].count);
        if (request.progress) request.progress(done, counts.bytes);
    });
    const std::uint64_t written = 1 + unreadable.size() + counts.weights;
    out.write(lines.line([&](JsonLine& json) { write_ledger(json, counts, written); }));
    return counts;
}

}  // namespace orch
