#include "preload/ggml_capture.hpp"

#include <algorithm>
#include <cstring>

#include "core/proof.hpp"
#include "core/records.hpp"
#include "core/scratch.hpp"
#include "preload/floating_point.hpp"
#include "preload/ggml_plan.hpp"
#include "preload/ggml_weights.hpp"
#include "preload/llama_pass.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch {
namespace {

using EvalCallback = bool (*)(void* tensor, bool ask, void* user_data);

struct EngineCallback {
    std::atomic<void*> sched{nullptr};
    std::atomic<void*> callback{nullptr};
    std::atomic<void*> user_data{nullptr};
};
constinit EngineCallback engine_callbacks[16] = {};

const EngineCallback* engine_callback(void* sched) noexcept {
    for (const EngineCallback& known : engine_callbacks) {
        if (known.sched.load(std::memory_order_acquire) == sched) return &known;
    }
    return nullptr;
}

constexpr std::int64_t max_tokens = 1 << 16;

/// Of one thread: index tensors, and copies of tensors that are not in host memory or not in row
/// order.
struct ThreadScratch {
    std::int32_t positions[max_tokens];
    std::int32_t output_rows[max_tokens];
    std::int32_t output_positions[max_tokens];
    Scratch copy;
    Scratch permuted;
};
thread_local constinit ThreadScratch* scratch_of_thread = nullptr;

ThreadScratch* thread_scratch() noexcept {
    if (scratch_of_thread != nullptr) return scratch_of_thread;
    // Zeros are its initial state.
    scratch_of_thread = static_cast<ThreadScratch*>(map_pages(sizeof(ThreadScratch)));
    return scratch_of_thread;
}

class Capture {
  public:
    Capture(const GgmlApi& api, Trace& trace, GraphPlan& plan, ThreadScratch& scratch, void* sched)
        : api_(api), trace_(trace), plan_(plan), scratch_(scratch), sched_(sched) {
        for (int i = 0; i < plan.tensors; ++i)
            plan.tensor[i].digested = false;
    }

    void read_indices() noexcept {
        if (indices_read_) return;
        indices_read_ = true;
        tokens_ = plan_.tokens;
        if (plan_.positions != nullptr) {
            positions_known_ = read_index(plan_.positions, tokens_, scratch_.positions);
        } else {
            positions_known_ = tokens_ > 0 && tokens_ <= max_tokens &&
                               positions_of_pass(tokens_, scratch_.positions);
        }
        outputs_ = plan_.outputs != nullptr ? api_.nelements(plan_.outputs) : 0;
        if (outputs_ == 0) return;
        if (!read_index(plan_.outputs, outputs_, scratch_.output_rows)) {
            outputs_ = 0;
            return;
        }
        for (std::int64_t i = 0; i < outputs_; ++i) {
            const std::int64_t row = scratch_.output_rows[i];
            scratch_.output_positions[i] = positions_known_ && row >= 0 && row < tokens_
                                               ? scratch_.positions[row]
                                               : static_cast<std::int32_t>(row);
        }
    }

    void write_record(const PlannedRecord& record) noexcept {
        // A chunk of a prompt of which no logits are wanted: there is nothing behind the last
        // attention.
        if (api_.nelements(plan_.tensor[record.result].tensor) == 0) return;
        const bool is_product = record.weight != nullptr;
        const RecordClass record_class = is_product ? RecordClass::gemm : RecordClass::checkpoint;
        bump(trace_.ledger()[record_class].seen);
        PlannedTensor& result = plan_.tensor[record.result];
        PlannedTensor* input = is_product ? &plan_.tensor[record.input] : nullptr;
        const bool readable = digest_tensor(result, record.checkpoint) &&
                              (input == nullptr || digest_tensor(*input, record.checkpoint));
        if (!readable) {
            bump(trace_.ledger()[record_class].dropped);
            session::blind_spot(record.checkpoint, "its type or layout cannot be read");
            return;
        }
        const GgmlShape shape = api_.shape(result.tensor);
        std::int64_t outermost_first[4];
        int dimensions = 4;
        while (dimensions > 2 && shape.ne[dimensions - 1] == 1)
            --dimensions;
        for (int i = 0; i < dimensions; ++i)
            outermost_first[i] = shape.ne[dimensions - 1 - i];
        CallRecord call;
        call.record_class = record_class;
        call.kind = is_product ? "gemm" : "checkpoint";
        call.checkpoint = record.checkpoint;
        call.engine_name = api_.name(result.tensor);
        call.op = api_.op(result.tensor);
        if (is_product) call.weight = api_.name(record.weight);
        if (record.by_callback) call.capture = "callback";
        call.group = record.group;
        call.call = trace_.next_call();
        call.pass = session::current_pass();
        call.positions_known =
            positions_known_ && (result.view.rows == tokens_ || result.view.rows == outputs_);
        call.positions = positions_for(result.view.rows);
        call.result = side_of(result);
        const Side input_side = input != nullptr ? side_of(*input) : Side{};
        call.input = input != nullptr ? &input_side : nullptr;
        call.shape = {outermost_first, static_cast<std::size_t>(dimensions)};
        Proof proof;
        if (input != nullptr && proven(record, *input, result, proof)) call.proof = &proof;
        write_call(trace_, call);
    }

  private:
    Side side_of(const PlannedTensor& planned) const noexcept {
        return {planned.view, &planned.digest, api_.type_name(api_.type(planned.tensor))};
    }

    bool read_index(void* tensor, std::int64_t count, std::int32_t* out) noexcept {
        constexpr std::string_view wanted = "i32";
        if (count <= 0 || count > max_tokens || count > api_.nelements(tensor)) return false;
        if (wanted != api_.type_name(api_.type(tensor))) return false;
        api_.tensor_get(tensor, out, 0, static_cast<std::size_t>(count) * sizeof(std::int32_t));
        return true;
    }

    Positions positions_for(std::int64_t rows) const noexcept {
        if (rows == tokens_) return {0, positions_known_ ? scratch_.positions : nullptr};
        if (rows == outputs_) return {0, scratch_.output_positions};
        return {};
    }

    const void* host_data(const void* tensor) noexcept {
        void* backend = api_.sched_get_tensor_backend(sched_, const_cast<void*>(tensor));
        const bool host =
            backend == nullptr || api_.buft_is_host(api_.backend_get_default_buffer_type(backend));
        if (host) return api_.get_data(tensor);
        const std::size_t size = api_.nbytes(tensor);
        void* copy = scratch_.copy.at_least(size);
        if (copy != nullptr) api_.tensor_get(tensor, copy, 0, size);
        return copy;
    }

    /// Rows are tokens: the outermost extent that equals their number. Attention scores, and what
    /// they weigh, are the exception, [heads, tokens, keys]: their rows are gathered.
    bool view_of(const void* tensor, std::string_view checkpoint, MatrixView& view) noexcept {
        view = {};
        if (!api_.is_contiguous(tensor) || !api_.describe_type(api_.type(tensor), view))
            return false;
        if (view.dtype == DType::block) return false;
        const GgmlShape shape = api_.shape(tensor);
        const std::int64_t n = shape.elements();
        view.data = host_data(tensor);
        if (view.data == nullptr || n <= 0) return false;
        const bool heads_outermost = checkpoint.ends_with("_attn_scores") ||
                                     checkpoint.ends_with("_kq") || checkpoint.ends_with("_kqv");
        if (heads_outermost && shape.ne[3] == 1) return gather_heads(shape, view);
        view.rows = rows_of(shape);
        view.cols = n / view.rows;
        view.row_stride = view.cols;
        return true;
    }

    /// The outermost extent above 1, if it is a number of tokens; else the whole is one row.
    std::int64_t rows_of(const GgmlShape& shape) const noexcept {
        for (int d = 3; d >= 1; --d) {
            const std::int64_t extent = shape.ne[d];
            if (extent == 1) continue;
            return extent == tokens_ || extent == outputs_ ? extent : 1;
        }
        return 1;
    }

    bool gather_heads(const GgmlShape& shape, MatrixView& view) noexcept {
        const std::size_t size = element_size(view.dtype);
        const auto keys = static_cast<std::size_t>(shape.ne[0]) * size;
        char* out = static_cast<char*>(
            scratch_.permuted.at_least(static_cast<std::size_t>(shape.elements()) * size));
        if (out == nullptr) return false;
        const char* from = static_cast<const char*>(view.data);
        view.data = out;
        for (std::int64_t token = 0; token < shape.ne[1]; ++token) {
            for (std::int64_t head = 0; head < shape.ne[2]; ++head) {
                const std::int64_t row = head * shape.ne[1] + token;
                std::memcpy(out, from + static_cast<std::size_t>(row) * keys, keys);
                out += keys;
            }
        }
        view.rows = shape.ne[1];
        view.cols = view.row_stride = shape.ne[0] * shape.ne[2];
        return true;
    }

    bool proven(const PlannedRecord& record, const PlannedTensor& input,
                const PlannedTensor& result, Proof& proof) const noexcept {
        if (!prove(record.projection, input.digest, result.digest, 1, proof)) return false;
        MatrixView weight;
        const bool suspicious =
            api_.describe_type(api_.type(record.weight), weight) &&
            exceeds_rounding(proof, input.view.dtype, weight.dtype, result.view.dtype);
        return !suspicious || !weight_has_changed(api_, record.weight, proof.error);
    }

    /// Of the products that take this tensor in. Their weights are recorded by this.
    Projection* projections_of(const PlannedTensor& planned) noexcept {
        Projection* first = nullptr;
        Projection** link = &first;
        for (int i = planned.product; i >= 0; i = plan_.record[i].next_product) {
            Projection& projection = plan_.record[i].projection;
            projection.next = nullptr;
            projection.probes = record_weight(api_, plan_.record[i].weight);
            if (projection.probes.inputs != planned.view.cols) projection.probes = {};
            if (projection.probes.data == nullptr) continue;
            *link = &projection;
            link = &projection.next;
        }
        return first;
    }

    bool digest_tensor(PlannedTensor& planned, std::string_view checkpoint) noexcept {
        if (planned.digested) return true;
        if (!view_of(planned.tensor, checkpoint, planned.view)) return false;
        DigestRequest request;
        request.positions = positions_for(planned.view.rows);
        request.projections = projections_of(planned);
        request.selected_rows = trace_.config().rows == all_rows ? 1 : trace_.config().rows;
        digest(planned.view, request, planned.digest);
        planned.digested = true;
        return true;
    }

    const GgmlApi& api_;
    Trace& trace_;
    GraphPlan& plan_;
    ThreadScratch& scratch_;
    void* sched_;
    bool indices_read_ = false;
    bool positions_known_ = false;
    std::int64_t tokens_ = 0;
    std::int64_t outputs_ = 0;
};

/// The fallback: reads a tensor as soon as it is computed.
struct CallbackState {
    const GgmlApi& api;
    GraphPlan& plan;
    Capture& capture;
    EvalCallback engine;
    void* engine_data;

    const PlannedRecord* record_of(const void* tensor) const noexcept {
        for (int i = 0; i < plan.records; ++i) {
            const PlannedRecord& record = plan.record[i];
            if (record.by_callback && plan.tensor[record.result].tensor == tensor) return &record;
        }
        return nullptr;
    }
};

bool on_eval(void* tensor, bool ask, void* user_data) {
    const auto& state = *static_cast<CallbackState*>(user_data);
    const PlannedRecord* record = state.record_of(tensor);
    if (ask) {
        const bool engine_wants =
            state.engine != nullptr && state.engine(tensor, true, state.engine_data);
        return record != nullptr || engine_wants;
    }
    if (record != nullptr) {
        const Guard guard;
        const KeepFloatingPoint keep;
        state.capture.read_indices();
        for (int i = 0; i < state.plan.records; ++i) {
            const PlannedRecord& same = state.plan.record[i];
            if (same.by_callback && same.result == record->result) state.capture.write_record(same);
        }
    }
    // Told of a tensor that it did not ask for, the engine's callback may only say "go on".
    return state.engine == nullptr || state.engine(tensor, false, state.engine_data);
}

}  // namespace

void remember_engine_callback(void* sched, void* callback, void* user_data) noexcept {
    for (EngineCallback& known : engine_callbacks) {
        void* owner = nullptr;
        if (!known.sched.compare_exchange_strong(owner, sched) && owner != sched) continue;
        known.callback.store(callback);
        known.user_data.store(user_data);
        return;
    }
}

int compute_and_capture(const GgmlApi& api, GraphCompute real, void* sched, void* graph) noexcept {
    GraphPlan* plan = plan_graph(api, graph);
    if (plan == nullptr || plan->records == 0) return real(sched, graph);
    Trace* trace = session::trace();
    ThreadScratch* scratch = thread_scratch();
    if (trace == nullptr || scratch == nullptr) return real(sched, graph);
    if (plan->truncated)
        session::blind_spot("ggml", "a graph has more selected tensors than a plan holds");
    Capture capture(api, *trace, *plan, *scratch, sched);
    int status = 0;
    if (plan->uses_callback) {
        const EngineCallback* engine = engine_callback(sched);
        void* callback = engine != nullptr ? engine->callback.load() : nullptr;
        void* user_data = engine != nullptr ? engine->user_data.load() : nullptr;
        CallbackState state{api, *plan, capture, reinterpret_cast<EvalCallback>(callback),
                            user_data};
        api.sched_set_eval_callback(sched, reinterpret_cast<void*>(on_eval), &state);
        const Guard part_of_ggml;
        status = real(sched, graph);
        api.sched_synchronize(sched);
        api.sched_set_eval_callback(sched, callback, user_data);
    } else {
        // The products are ggml's: what it gives to a BLAS, or to cuBLAS, is no record of its own.
        const Guard part_of_ggml;
        status = real(sched, graph);
    }
    if (status != 0) return status;
    const Guard guard;
    api.sched_synchronize(sched);
    const KeepFloatingPoint keep;
    capture.read_indices();
    for (int i = 0; i < plan->records; ++i) {
        if (!plan->record[i].by_callback) capture.write_record(plan->record[i]);
    }
    return status;
}

}  // namespace orch
