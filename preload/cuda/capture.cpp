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
    if (entry.asked.exchange(true, std::memory_order_relaxed)) return;
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
    job.selected_rows = 8;
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

}  // namespace

CallTable& calls() noexcept {
    return call_table;
}

DeviceWeights& weights() noexcept {
    return weight_table;
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
    Trace* trace = session::trace();
    if (trace == nullptr) return;
    const Guard guard;
    ClassCounts& counts = trace->ledger()[RecordClass::gemm];
    if (product.empty() ||
        !trace->config().checkpoints.selects(CheckpointGroup::gemm, "gemm", op)) {
        bump(counts.seen);
        bump(counts.filtered);
        return;
    }
    std::optional<ContextOfStream> bound;
    const Place place = place_of(*trace, stream, bound);
    CallInfo info;
    info.op = op;
    info.caller = caller_name(hook);
    info.product = product;
    info.capture = place.capture;
    info.stream = place.stream;
    info.batch_index = batch_index;
    info.pass = session::current_pass();
    bool done = false;
    if (place.usable()) {
        info.device = place.context->device();
        if (trace->config().weights != WeightMode::off)
            info.weight = weight_table.find(product.weight, info.device);
        if (info.weight != nullptr && info.weight->is_activation()) info.weight = nullptr;
        device::Job job;
        job.side[0] = product.y;
        job.side[1] = product.x;
        if (info.weight != nullptr) {
            ask_for_weight(place, *trace, *info.weight, info);
            job.weight = product.weight;
            if (product.is_product && product.scalars_known && product.beta == 0 &&
                probes_usable(*info.weight, place.stream)) {
                job.probes = info.weight->probes.load(std::memory_order_relaxed);
            }
        }
        info.with_probes = job.probes != 0;
        // A product of two activations has no weight to be joined by, and there are many.
        info.row_digests = info.weight != nullptr && trace->config().rows != 1;
        job.selected_rows = !info.row_digests                  ? 1
                            : trace->config().rows == all_rows ? 16
                                                               : trace->config().rows;
        job.values = static_cast<std::int32_t>(
            std::min({trace->config().values, product.y.cols, most_device_values}));
        done = launch(*trace, place, info, job);
    }
    // What a graph holds is counted when it runs.
    if (place.capture != nullptr && done) return;
    bump(counts.seen);
    if (!done) bump(counts.dropped);
}

void record_copy(const Hook& hook, std::string_view op, Stream stream, std::uint64_t source,
                 std::uint64_t bytes) noexcept {
    Trace* trace = session::trace();
    if (trace == nullptr || bytes == 0) return;
    const Guard guard;
    ClassCounts& counts = trace->ledger()[RecordClass::copy];
    // Token ids and flags: nothing that a sketch says more of than the call does.
    constexpr std::uint64_t smallest = 64;
    if (bytes < smallest || bytes % sizeof(float) != 0 || source % sizeof(float) != 0 ||
        !trace->config().checkpoints.selects(CheckpointGroup::gemm, "copy", op)) {
        bump(counts.seen);
        bump(counts.filtered);
        return;
    }
    std::optional<ContextOfStream> bound;
    const Place place = place_of(*trace, stream, bound);
    CallInfo info;
    info.kind = CallKind::copy;
    info.row_digests = false;
    info.op = op;
    info.caller = caller_name(hook);
    info.capture = place.capture;
    info.stream = place.stream;
    info.pass = session::current_pass();
    info.bytes = bytes;
    const auto count = static_cast<std::int64_t>(bytes / sizeof(float));
    info.product.y = {source, 1, count, count, 1, device::Type::f32, false};
    bool done = false;
    if (place.usable()) {
        info.device = place.context->device();
        device::Job job;
        job.side[0] = info.product.y;
        job.selected_rows = 1;
        job.values = static_cast<std::int32_t>(
            std::min({trace->config().values, count, most_device_values}));
        done = launch(*trace, place, info, job);
    }
    if (place.capture != nullptr && done) return;
    bump(counts.seen);
    if (!done) bump(counts.dropped);
}

}  // namespace orch::cuda
