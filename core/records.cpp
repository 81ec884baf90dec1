#include "core/records.hpp"

#include <algorithm>
#include <cmath>

#include "core/proof.hpp"
#include "core/row_values.hpp"
#include "core/trace.hpp"

namespace orch {
namespace {

/// Names, keys and fixed members of a call's line, generously.
constexpr std::size_t line_base = 6144;
/// A row's digest: a dozen numbers, and its sketch.
constexpr std::size_t row_room = 768;

using Shape = FixedString<127>;

Shape shape_text(std::span<const std::int64_t> dimensions) noexcept {
    Shape text;
    text.append("[");
    for (std::size_t i = 0; i < dimensions.size(); ++i) {
        if (i != 0) text.append(",");
        text.append_number(static_cast<unsigned long long>(dimensions[i]));
    }
    text.append("]");
    return text;
}

/// Every line of every kind starts with these, behind "ts" and "team".
void envelope(JsonLine& line, std::string_view checkpoint, std::int64_t token_idx,
              std::string_view dtype, std::string_view shape, std::string_view kind) noexcept {
    line.field("checkpoint", checkpoint);
    line.field("token_idx", token_idx);
    line.field("dtype", dtype);
    line.field("shape", shape);
    if (!kind.empty()) line.field("kind", kind);
}

void write_numbers(JsonLine& line, std::string_view key, std::span<const float> numbers) noexcept {
    line.key(key);
    line.open_array();
    for (float number : numbers)
        line.number(number);
    line.close_array();
}

/// Sums have seven good digits (they are added up in f32 tiles); more would only look exact. Beyond
/// the range of f32, as squares of garbage are, they stay doubles.
void write_sum(JsonLine& line, std::string_view key, double value) noexcept {
    const auto narrow = static_cast<float>(value);
    if (std::isfinite(narrow) && (narrow != 0 || value == 0)) {
        line.field(key, narrow);
    } else {
        line.field(key, value);
    }
}

/// Only where there are any: a clean trace is not cluttered with zeros.
void write_nonfinite_counts(JsonLine& line, const Nonfinite& counts) noexcept {
    if (!counts.any()) return;
    line.field("nan", counts.nan);
    line.field("pos_inf", counts.pos_inf);
    line.field("neg_inf", counts.neg_inf);
}

void write_row_members(JsonLine& line, const RowDigest& row) noexcept {
    write_sum(line, "energy", row.energy);
    write_sum(line, "sum", row.sum);
    line.field("absmax", row.absmax);
    if (row.argmax >= 0) {
        line.field("max", row.max);
        line.field("argmax", row.argmax);
    }
    write_nonfinite_counts(line, row.nonfinite);
    write_numbers(line, "sketch", row.sketch);
}

void write_side(JsonLine& line, std::string_view key, const Side& side) noexcept {
    const Digest& d = *side.digest;
    line.key(key);
    line.open_object();
    line.field("dtype", side.dtype);
    line.field("rows", d.rows);
    line.field("cols", d.cols);
    write_sum(line, "energy", d.energy);
    write_sum(line, "sum", d.sum);
    write_sum(line, "mean", d.sum / (static_cast<double>(d.rows) * static_cast<double>(d.cols)));
    line.field("absmax", d.absmax);
    if (d.argmax >= 0) {
        line.field("min", d.min);
        line.field("max", d.max);
        line.field("argmax", d.argmax);
    }
    if (d.has_extremes) {
        line.key("hash");
        line.hex64(d.hash);
    }
    write_nonfinite_counts(line, d.nonfinite);
    write_numbers(line, "mixed", d.mixed);
    if (d.rows > 1) {
        line.key("last_row");
        line.open_object();
        write_row_members(line, d.row[static_cast<std::size_t>(d.selected) - 1]);
        line.close_object();
    }
    line.close_object();
}

bool goes_to_sidecar(const Trace& trace, const MatrixView& m) noexcept {
    return std::min(m.cols, trace.config().values) > max_inline_values && m.col_stride == 1 &&
           element_size(m.dtype) != 0;
}

/// The values of a row as its line will show them.
RowValues values_of_row(const Trace& trace, const MatrixView& m, std::int64_t row) noexcept {
    constexpr std::int64_t shown_of_sidecar = 10;
    return {m, row,
            goes_to_sidecar(trace, m) ? shown_of_sidecar
                                      : std::min(trace.config().values, max_inline_values)};
}

void write_values_of_row(Trace& trace, JsonLine& line, const MatrixView& m, std::int64_t row,
                         const RowValues& values) noexcept {
    if (goes_to_sidecar(trace, m)) {
        const std::int64_t wanted = std::min(m.cols, trace.config().values);
        const std::size_t size = element_size(m.dtype);
        const auto* from =
            static_cast<const char*>(m.data) + row * m.row_stride * static_cast<std::int64_t>(size);
        const std::int64_t offset =
            trace.append_sidecar(from, static_cast<std::size_t>(wanted) * size);
        line.key("sidecar");
        line.open_object();
        FixedString<511> name{trace.file().sidecar_name()};
        name.append(".values");
        line.field("file", std::string_view{name});
        line.field("offset", offset);
        line.field("count", offset < 0 ? std::int64_t{0} : wanted);
        line.field("dtype", dtype_name(m.dtype));
        line.close_object();
    }
    values.write(line);
}

std::int64_t last_position(const CallRecord& r) noexcept {
    return r.positions[r.result.digest->rows - 1];
}

void write_device_members(JsonLine& line, const DevicePlace& place) noexcept {
    line.field("device", static_cast<std::int64_t>(place.device));
    line.key("stream");
    line.hex64(place.stream);
    if (place.graph >= 0) {
        line.field("graph", place.graph);
        line.field("replay", place.replay);
    }
    if (place.bytes != 0) line.field("bytes", place.bytes);
    if (!place.direction.empty()) line.field("direction", place.direction);
    if (place.from >= 0) line.field("from", static_cast<std::int64_t>(place.from));
    if (place.to >= 0) line.field("to", static_cast<std::int64_t>(place.to));
}

/// The file of the whole result: made by now, or by the drain thread of the GPU.
FullName full_of(Trace& trace, const CallRecord& r) noexcept {
    if (r.device != nullptr) return FullName{r.full};
    if (!wants_full(trace.config(), r.group, r.checkpoint, r.engine_name, r.op)) return {};
    return write_full(trace, r);
}

void write_full_member(JsonLine& line, const Trace& trace, const FullName& name) noexcept {
    if (name.empty()) return;
    FixedString<511> path{trace.file().sidecar_name()};
    path.append(".full/");
    path.append(name);
    line.field("full", std::string_view{path});
}

void write_call_members(JsonLine& line, const CallRecord& r) noexcept {
    line.field("call", r.call);
    if (r.pass >= 0) line.field("pass", r.pass);
    if (!r.engine_name.empty()) line.field("name", r.engine_name);
    line.field("op", r.op);
    if (!r.caller.empty()) line.field("caller", r.caller);
    line.field("positions", r.positions_known ? "token" : "row");
    line.field("first_position", r.positions[0]);
    if (!r.capture.empty()) line.field("capture", r.capture);
    if (r.batch_index >= 0) line.field("batch_index", r.batch_index);
    if (r.device != nullptr) write_device_members(line, *r.device);
    if (r.input != nullptr) {
        if (r.alpha != 1) line.field("alpha", r.alpha);
        if (r.beta != 0) line.field("beta", r.beta);
        if (!r.scalars_known) line.field("scalars", "device");
        if (!r.arithmetic.empty()) line.field("arithmetic", r.arithmetic);
        if (!r.weight.empty()) line.field("weight", r.weight);
        if (r.proof != nullptr) write_proof(line, *r.proof);
        write_side(line, "x", *r.input);
    }
    write_side(line, "y", r.result);
}

void write_row(Trace& trace, const CallRecord& r, std::string_view shape, const RowDigest& y,
               const RowDigest* x) noexcept {
    MatrixView known = r.result.matrix;
    if (r.device != nullptr) known.cols = 0;  // only the last row's values came back
    const RowValues values = values_of_row(trace, known, y.row);
    const auto fill = [&](JsonLine& line) {
        envelope(line, r.checkpoint, y.position, r.result.dtype, shape, "row");
        line.field("call", r.call);
        if (x != nullptr) {
            line.key("x");
            line.open_object();
            write_row_members(line, *x);
            line.close_object();
        }
        line.key("y");
        line.open_object();
        write_row_members(line, y);
        line.close_object();
        write_values_of_row(trace, line, known, y.row, values);
    };
    Ledger& ledger = trace.ledger();
    if (!trace.line(line_base + values.max_bytes(), fill, &ledger.row_lines))
        bump(ledger.dropped_rows);
}

/// ORCH_TRACE_ROWS=all: the rows that the digest of the call did not select, one by one.
void write_every_row(Trace& trace, const CallRecord& r, std::string_view shape) noexcept {
    Digest y;
    Digest x;
    const bool paired = r.input != nullptr && r.input->digest->rows == r.result.digest->rows;
    for (std::int64_t row = 0; row + 1 < r.result.digest->rows; ++row) {
        DigestRequest request;
        request.positions.first = r.positions[row];
        const auto one_row = [row](MatrixView m) {
            const std::int64_t size =
                m.dtype == DType::block ? 1 : static_cast<std::int64_t>(element_size(m.dtype));
            m.data = static_cast<const char*>(m.data) + row * m.row_stride * size;
            m.rows = 1;
            return m;
        };
        digest(one_row(r.result.matrix), request, y);
        if (paired) {
            request.extremes = r.input->digest->has_extremes;
            digest(one_row(r.input->matrix), request, x);
            request.extremes = true;
        }
        y.row[0].row = row;
        write_row(trace, r, shape, y.row[0], paired ? &x.row[0] : nullptr);
    }
}

}  // namespace

void write_call(Trace& trace, const CallRecord& r) noexcept {
    const Digest& d = *r.result.digest;
    if (d.rows == 0) {
        bump(trace.ledger()[r.record_class].dropped);
        return;
    }
    const std::int64_t flat[] = {d.rows, d.cols};
    const Shape shape = shape_text(r.shape.empty() ? std::span<const std::int64_t>{flat} : r.shape);
    const RowValues values = values_of_row(trace, r.result.matrix, d.rows - 1);
    const FullName full = full_of(trace, r);
    const std::size_t full_room = full.empty() ? 0 : 4096;
    trace.record(r.record_class, line_base + full_room + values.max_bytes(), [&](JsonLine& line) {
        envelope(line, r.checkpoint, last_position(r), r.result.dtype, shape, r.kind);
        write_full_member(line, trace, full);
        write_call_members(line, r);
        write_values_of_row(trace, line, r.result.matrix, d.rows - 1, values);
    });
    if (trace.config().rows == all_rows && r.device == nullptr) {
        write_every_row(trace, r, shape);
        return;
    }
    // Both sides have the same rows; where a call has not, its rows cannot be told apart by number.
    const bool paired = r.input != nullptr && r.input->digest->rows == d.rows;
    for (int i = 0; i + 1 < d.selected; ++i) {
        const auto index = static_cast<std::size_t>(i);
        write_row(trace, r, shape, d.row[index], paired ? &r.input->digest->row[index] : nullptr);
    }
}

void write_weight(Trace& trace, const WeightRecord& r) noexcept {
    const Digest& d = *r.weight.digest;
    FixedString<255> checkpoint{"weight."};
    checkpoint.append(r.id);
    const std::int64_t flat[] = {d.rows, d.cols};
    const Shape shape = shape_text(flat);
    const RowValues values = values_of_row(trace, r.weight.matrix, 0);
    trace.record(RecordClass::weight,
                 2 * line_base + max_selected_rows * row_room + values.max_bytes(),
                 [&](JsonLine& line) {
                     envelope(line, checkpoint, 0, r.weight.dtype, shape, "weight");
                     line.field("weight", r.id);
                     if (!r.name.empty()) line.field("name", r.name);
                     write_sum(line, "energy", d.energy);
                     write_sum(line, "sum", d.sum);
                     line.field("absmax", d.absmax);
                     line.key("hash");
                     line.hex64(d.hash);
                     write_nonfinite_counts(line, d.nonfinite);
                     write_numbers(line, "sketch", d.mixed);
                     line.key("row_digests");
                     line.open_array();
                     for (int i = 0; i < d.selected; ++i) {
                         line.open_object();
                         line.field("row", d.row[static_cast<std::size_t>(i)].row);
                         write_row_members(line, d.row[static_cast<std::size_t>(i)]);
                         line.close_object();
                     }
                     line.close_array();
                     write_values_of_row(trace, line, r.weight.matrix, 0, values);
                 });
}

void write_pass(Trace& trace, const PassRecord& r) noexcept {
    const auto list = [](JsonLine& line, std::string_view key,
                         std::span<const std::int32_t> numbers) {
        if (numbers.empty()) return;
        line.key(key);
        line.open_array();
        for (std::int32_t number : numbers)
            line.number(number);
        line.close_array();
    };
    constexpr std::size_t number_text = 12;
    const std::size_t numbers = r.tokens.size() + r.positions.size() + r.sequences.size();
    trace.record(RecordClass::pass, line_base + numbers * number_text, [&](JsonLine& line) {
        envelope(line, "pass", r.last_position, "i32", "[]", "pass");
        line.field("pass", r.pass);
        line.field("op", r.op);
        line.field("n_tokens", r.n_tokens);
        if (!r.kv_dtype.empty()) line.field("kv_dtype", r.kv_dtype);
        list(line, "tokens", r.tokens);
        list(line, "token_positions", r.positions);
        list(line, "sequences", r.sequences);
        line.empty_array("values");
    });
}

void write_log(Trace& trace, const LogRecord& r) noexcept {
    const MatrixView row{r.data, r.type, 1, r.count, r.count, 1};
    // Strings of the engine's own: each byte may take six.
    const std::size_t strings = (r.checkpoint.size() + r.dtype.size() + r.shape.size()) * 6;
    const RowValues values = values_of_row(trace, row, 0);
    trace.record(RecordClass::log, line_base + strings + values.max_bytes(), [&](JsonLine& line) {
        envelope(line, r.checkpoint, r.token_idx, r.dtype, r.shape, {});
        write_values_of_row(trace, line, row, 0, values);
    });
}

void write_bare_envelope(JsonLine& line, std::string_view checkpoint,
                         std::string_view kind) noexcept {
    envelope(line, checkpoint, 0, "", "[]", kind);
}

void write_setting(Trace& trace, std::string_view op, std::uint64_t bytes) noexcept {
    trace.line(line_base, [&](JsonLine& line) {
        write_bare_envelope(line, "orchtrace.setting", "setting");
        line.field("op", op);
        line.field("bytes", bytes);
        line.empty_array("values");
    });
}

void write_blind_spot(Trace& trace, std::string_view what, std::string_view why) noexcept {
    trace.line(line_base + (what.size() + why.size()) * 6, [&](JsonLine& line) {
        write_bare_envelope(line, "orchtrace.blind_spot", "blind_spot");
        line.field("what", what);
        line.field("why", why);
        line.empty_array("values");
    });
}

namespace {

std::uint64_t get(const std::atomic<std::uint64_t>& counter) noexcept {
    return counter.load(std::memory_order_relaxed);
}

void write_counts(JsonLine& line, std::string_view key, const ClassCounts& counts) noexcept {
    const std::uint64_t unselected = get(counts.unselected);
    line.key(key);
    line.open_object();
    line.field("seen", get(counts.seen) + unselected);
    line.field("recorded", get(counts.recorded));
    line.field("filtered", get(counts.filtered) + unselected);
    line.field("dropped", get(counts.dropped));
    line.close_object();
}

}  // namespace

void write_ledger_members(JsonLine& line, Ledger& ledger, const TraceFile& file,
                          bool final) noexcept {
    write_bare_envelope(line, "orchtrace.ledger", "ledger");
    line.field("final", final);
    line.key("classes");
    line.open_object();
    for (std::size_t i = 0; i < ledger.classes.size(); ++i) {
        write_counts(line, class_name(static_cast<RecordClass>(i)), ledger.classes[i]);
    }
    line.close_object();
    if (get(ledger.full.seen) != 0) write_counts(line, "full", ledger.full);
    line.field("row_lines", get(ledger.row_lines));
    line.field("dropped_rows", get(ledger.dropped_rows));
    line.field("lines", get(ledger.lines));
    line.field("lost_lines", get(ledger.lost_lines));
    if (file.error() != 0) line.field("write_error", ::strerrordesc_np(file.error()));
    line.empty_array("values");
}

}  // namespace orch
