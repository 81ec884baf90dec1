#include "analyzer/selftest/recorder.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <stdexcept>

#include "core/digest.hpp"
#include "core/proof.hpp"
#include "core/records.hpp"
#include "core/trace.hpp"
#include "core/weights.hpp"

namespace orch::selftest {
namespace {

MatrixView view_of(const Matrix& m) {
    MatrixView view;
    view.data = m.values.data();
    view.rows = m.rows;
    view.cols = m.cols;
    view.row_stride = m.cols;
    return view;
}

void write_header(Trace& trace, bool names) {
    trace.line(8192, [&](JsonLine& line) {
        write_bare_envelope(line, "orchtrace.header", "header");
        line.field("schema", format_version);
        line.field("version", ORCH_VERSION);
        line.field("pid", static_cast<std::int64_t>(::getpid()));
        line.field("ppid", static_cast<std::int64_t>(::getppid()));
        line.field("host", "here");
        line.field("executable", names ? "selftest-named" : "selftest-nameless");
        line.field("isa", digest_isa());
        line.field("backend", "selftest");
        for (const char* list : {"libraries", "problems", "values"}) {
            line.key(list);
            line.open_array();
            line.close_array();
        }
    });
}

}  // namespace

struct Recorder::State {
    Trace* trace = nullptr;  ///< never freed: the drain thread lives as long as the process
    WeightTable weights;
    bool names = false;
    std::int64_t pass = -1;

    Digest digest_of(const Matrix& m, std::int64_t first, bool extremes, Projection* projection) {
        DigestRequest request;
        request.positions.first = names ? first : 0;
        request.extremes = extremes;
        request.projections = projection;
        Digest result;
        digest(view_of(m), request, result);
        return result;
    }

    CallRecord record(RecordClass record_class, const Matrix& y, const Digest& digest,
                      std::int64_t first) {
        bump(trace->ledger()[record_class].seen);
        CallRecord call;
        call.record_class = record_class;
        call.call = trace->next_call();
        call.pass = pass;
        call.positions_known = names;
        call.positions.first = names ? first : 0;
        call.result = {view_of(y), &digest, "f32"};
        return call;
    }
};

Recorder::Recorder(const std::filesystem::path& path, std::string_view team, bool names)
    : state_(std::make_unique<State>()) {
    Config config;
    config.log_file = FixedString<1023>{path.string()};
    config.team = FixedString<255>{team};
    PathFacts facts;
    facts.pid = ::getpid();
    state_->names = names;
    state_->trace = Trace::start(config, facts);
    if (state_->trace == nullptr) {
        throw std::runtime_error(fmt::format("{}: cannot be written", path.string()));
    }
    write_header(*state_->trace, names);
}

Recorder::~Recorder() = default;

void Recorder::begin_pass(const std::vector<int>& tokens, std::int64_t first_position,
                          std::string_view kv_dtype) {
    if (!state_->names) return;
    const std::vector<std::int32_t> ids(tokens.begin(), tokens.end());
    std::vector<std::int32_t> positions;
    for (std::size_t i = 0; i < tokens.size(); ++i)
        positions.push_back(static_cast<std::int32_t>(first_position) +
                            static_cast<std::int32_t>(i));
    bump(state_->trace->ledger()[RecordClass::pass].seen);
    PassRecord record;
    record.pass = ++state_->pass;
    record.op = "forward";
    record.kv_dtype = kv_dtype;
    record.n_tokens = static_cast<std::int64_t>(tokens.size());
    record.last_position = positions.back();
    record.tokens = ids;
    record.positions = positions;
    write_pass(*state_->trace, record);
}

void Recorder::product(std::string_view name, const Matrix& x, const Matrix& w, const Matrix& y,
                       std::int64_t first) {
    State& s = *state_;
    const std::string weight_name = s.names ? fmt::format("{}.weight", name) : std::string{};
    const WeightIdentity weight = s.weights.identify(*s.trace, view_of(w), "f32", weight_name);
    Projection projection;
    projection.probes = weight.probes;
    const bool provable = weight.probes.data != nullptr;
    const Digest input = s.digest_of(x, first, false, provable ? &projection : nullptr);
    const Digest result = s.digest_of(y, first, true, nullptr);
    Proof proof;
    const bool proven = provable && prove(projection, input, result, 1, proof);
    CallRecord call = s.record(RecordClass::gemm, y, result, first);
    const std::string checkpoint =
        s.names ? fmt::format("gemm.{}", name) : fmt::format("gemm.{:06}", call.call);
    const Side side{view_of(x), &input, "f32"};
    call.kind = "gemm";
    call.checkpoint = checkpoint;
    call.op = s.names ? "MUL_MAT" : "sgemm_";
    call.weight = weight.id;
    call.input = &side;
    if (proven) call.proof = &proof;
    write_call(*s.trace, call);
}

void Recorder::tensor(std::string_view checkpoint, const Matrix& y, std::int64_t first) {
    State& s = *state_;
    if (!s.names) return;
    const Digest result = s.digest_of(y, first, true, nullptr);
    CallRecord call = s.record(RecordClass::checkpoint, y, result, first);
    call.kind = "checkpoint";
    call.checkpoint = checkpoint;
    call.op = "ADD";
    write_call(*s.trace, call);
}

void Recorder::finish() {
    state_->trace->finish();
}

}  // namespace orch::selftest
