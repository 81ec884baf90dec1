#include "preload/cuda/capture.hpp"

#include <algorithm>
#include <optional>

#include "core/proof.hpp"
#include "core/trace.hpp"
#include "preload/cuda/drain.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

constinit CallTable call_table;
constinit DeviceWeights weight_table;

/// The digest's launch is legal wherever the engine's own was; where the engine sent its call to a
/// default stream, ours goes to the same one.
struct Place {
    const Driver* driver = nullptr;
    DeviceContext* context = nullptr;
    Stream stream = nullptr;
    Capture* capture = nullptr;

    bool usable() const { return context != nullptr; }
    std::uint64_t capture_id() const {
        return capture != nullptr ? capture->id.load(std::memory_order_relaxed) : 0;
    }
};

/// `bound` keeps the stream's context current for as long as it lives.
Place place_of(Trace& trace, Stream stream, std::optional<ContextOfStream>& bound) noexcept {
    Place place;
    place.driver = driver();
    if (place.driver == nullptr) {
        session::blind_spot("device", "no CUDA driver is loaded, or one that lacks functions");
        return place;
    }
    place.stream = stream == nullptr ? legacy_stream() : stream;
    bool captured = false;
    place.capture = current_capture(*place.driver, place.stream, captured);
    if (captured && (place.capture == nullptr || trace.config().graphs != GraphMode::digest)) {
        session::blind_spot("graph", trace.config().graphs == GraphMode::digest
                                         ? "more captures than orchtrace keeps"
                                         : "what runs in CUDA graphs is not digested: "
                                           "ORCH_TRACE_GRAPHS says so");
        return place;
    }
    bound.emplace(*place.driver, place.stream);
    place.context = contexts().of(bound->context(), *place.driver, trace);
    return place;
}

bool launch(Trace& trace, const Place& place, CallInfo& info, device::Job& job) noexcept {
    if (info.kind != CallKind::weight) {
        info.call = place.capture != nullptr
                        ? place.capture->products.load(std::memory_order_relaxed) +
                              place.capture->copies.load(std::memory_order_relaxed)
                        : trace.next_call();
    }
    job.op = call_table.add(info);
    if (job.op == 0) {
        session::blind_spot("graph", "more digests in CUDA graphs than orchtrace keeps");
        return false;
    }
    if (place.capture != nullptr) {
        job.runs = place.context->take_counter(*place.driver);
        if (job.runs == 0) return false;
    }
    if (!place.context->launch(*place.driver, job, place.stream, place.capture_id())) return false;
    if (place.capture != nullptr) {
        auto& nodes = info.kind == CallKind::copy ? place.capture->copies : place.capture->products;
        nodes.fetch_add(1, std::memory_order_relaxed);
    } else {
        launched();
    }
    return true;
}

/// Digests a weight once. In a capture that goes to a stream of ours: it must not become a node.
void ask_for_weight(const Place& place, Trace& trace, WeightEntry& entry,
                    const CallInfo& product) noexcept {
    if (entry.asked.load(std::memory_order_relaxed) ||
        entry.asked.exchange(true, std::memory_order_relaxed)) {
        return;
    }
    ClassCounts& counts = trace.ledger()[RecordClass::weight];
    bump(counts.seen);
    if (trace.config().weights == WeightMode::names) {
        bump(counts.filtered);
        return;
    }
    const device::Operand& weight = product.product.weight;
    CallInfo info = product;
    info.kind = CallKind::weight;
    info.capture = nullptr;
    device::Job job;
    job.side[0] = weight;
    job.weight = weight;
    job.selected_rows = weight_rows;
    job.sign_rows = false;
    const MatrixView shape{nullptr, DType::f32, weight.rows, weight.cols, 0, 1};
    if (trace.config().weights == WeightMode::proof && worth_probing(shape)) {
        std::uint64_t probes = entry.probes.load(std::memory_order_relaxed);
        if (probes == 0) {
            probes = place.context->take_memory(*place.driver, probe_bytes(weight.cols));
            entry.probes.store(probes, std::memory_order_relaxed);
        }
        job.probes_out = probes;
    }
    Place where = place;
    if (place.capture != nullptr) {
        where.stream = place.context->own_stream();
        where.capture = nullptr;
    }
    const bool done = launch(trace, where, info, job);
    if (!done) bump(counts.dropped);
    if (done && job.probes_out != 0)
        entry.probes_stream.store(where.stream, std::memory_order_release);
}

bool probes_usable(const WeightEntry& entry, Stream stream) noexcept {
    return entry.probes_ready.load(std::memory_order_acquire) ||
           entry.probes_stream.load(std::memory_order_acquire) == stream;
}

/// A call on its way to a record.
struct Observed {
    Trace& trace;
    Place place;
    CallInfo info;
    device::Job job;
};

/// Which weight the product has, if any, and whether it can be proved.
void look_for_weight(Observed& call) noexcept {
    const cublas::DeviceProduct& product = call.info.product;
    if (call.trace.config().weights == WeightMode::off) return;
    WeightEntry* weight = weight_table.find(product.weight, call.info.device);
    if (weight == nullptr || weight->is_activation()) return;
    call.info.weight = weight;
    call.job.weight = product.weight;
    ask_for_weight(call.place, call.trace, *weight, call.info);
    if (product.is_product && product.scalars_known && product.beta == 0 &&
        probes_usable(*weight, call.place.stream)) {
        call.job.probes = weight->probes.load(std::memory_order_relaxed);
    }
    call.info.with_probes = call.job.probes != 0;
}

/// Counts the call, and launches the digest of what `describe` says of it.
template <class Describe>
void record_call(const Hook& hook, RecordClass record_class, std::string_view name,
                 std::string_view op, Stream stream, bool wanted, Describe describe) noexcept {
    Trace* trace = session::trace();
    if (trace == nullptr) return;
    const Guard guard;
    ClassCounts& counts = trace->ledger()[record_class];
    if (!wanted || !trace->config().checkpoints.selects(CheckpointGroup::gemm, name, op)) {
        bump(counts.seen);
        bump(counts.filtered);
        return;
    }
    std::optional<ContextOfStream> bound;
    Observed call{*trace, place_of(*trace, stream, bound), {}, {}};
    bool done = false;
    if (call.place.usable()) {
        call.info.op = op;
        call.info.caller = caller_name(hook);
        call.info.capture = call.place.capture;
        call.info.stream = call.place.stream;
        call.info.device = call.place.context->device();
        call.info.pass = session::current_pass();
        describe(call);
        const device::Operand& y = call.job.side[0] = call.info.product.y;
        call.job.values = static_cast<std::int32_t>(
            std::min({trace->config().values, y.cols, most_device_values}));
        done = launch(*trace, call.place, call.info, call.job);
    }
    // What a graph holds is counted when it runs.
    if (done && call.place.capture != nullptr) return;
    bump(counts.seen);
    if (!done) bump(counts.dropped);
}

}  // namespace

CallTable& calls() noexcept {
    return call_table;
}

void count_undigested() noexcept {
    Trace* trace = session::trace();
    if (trace == nullptr) return;
    ClassCounts& counts = trace->ledger()[RecordClass::gemm];
    bump(counts.seen);
    bump(counts.dropped);
}

void record_product(const Hook& hook, std::string_view op, Stream stream,
                    const cublas::DeviceProduct& product, std::int64_t batch_index) noexcept {
    const bool wanted = !product.empty();
    record_call(hook, RecordClass::gemm, "gemm", op, stream, wanted, [&](Observed& call) {
        call.info.product = product;
        call.info.batch_index = batch_index;
        call.job.side[1] = product.x;
        look_for_weight(call);
        // A product of two activations has no weight to be joined by, and there are many.
        const int rows = call.trace.config().rows;
        call.job.selected_rows = call.info.weight == nullptr ? 1
                                 : rows == all_rows          ? max_selected_rows
                                                             : rows;
    });
}

void record_copy(const Hook& hook, std::string_view op, Stream stream, std::uint64_t source,
                 std::uint64_t bytes) noexcept {
    if (bytes == 0) return;
    // Token ids and flags: nothing that a sketch says more of than the call does.
    constexpr std::uint64_t smallest = 64;
    const bool wanted =
        bytes >= smallest && bytes % sizeof(float) == 0 && source % sizeof(float) == 0;
    record_call(hook, RecordClass::copy, "copy", op, stream, wanted, [&](Observed& call) {
        const auto count = static_cast<std::int64_t>(bytes / sizeof(float));
        call.info.kind = CallKind::copy;
        call.info.bytes = bytes;
        call.info.product.y = {source, 1, count, count, 1, device::Type::f32, false};
        call.job.selected_rows = 1;
    });
}

}  // namespace orch::cuda
