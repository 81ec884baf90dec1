#include "preload/cuda/capture.hpp"

#include <algorithm>
#include <optional>

#include "core/proof.hpp"
#include "core/trace.hpp"
#include "preload/cuda/drain.hpp"
#include "preload/cuda/graphs.hpp"
#include "preload/cuda/layer_ends.hpp"
#include "preload/cuda/nodes.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

constinit CallTable call_table;
constinit thread_local LayerEnds layer_ends;
constinit DeviceWeights weight_table;

/// The digest's launch is legal wherever the engine's own was; where the engine sent its call to a
/// default stream, ours goes to the same one.
struct Place {
    const Driver* driver = nullptr;
    DeviceContext* context = nullptr;
    Stream stream = nullptr;
    Capture* capture = nullptr;

    bool usable() const { return context != nullptr; }
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

/// In a capture: the launch becomes a node, that runs as often as its graph does.
bool launch_node(const Place& place, CallInfo& info, device::Job& job) noexcept {
    Capture& capture = *place.capture;
    if (!graph_nodes().add(info, *place.context, *place.driver, job)) {
        session::blind_spot("graph", "more digests in CUDA graphs than orchtrace keeps");
        return false;
    }
    dump_result(*place.context, *place.driver, info, job, place.stream);
    if (!place.context->launch(*place.driver, job, place.stream, &capture)) {
        graph_nodes().launch_failed(job.op);
        return false;
    }
    capture.context = place.context;
    auto& nodes = info.kind == CallKind::copy ? capture.copies : capture.products;
    nodes.fetch_add(1, std::memory_order_relaxed);
    return true;
}

bool launch(Trace& trace, const Place& place, CallInfo& info, device::Job& job) noexcept {
    if (info.kind != CallKind::weight) {
        info.call = place.capture != nullptr
                        ? place.capture->products.load(std::memory_order_relaxed) +
                              place.capture->copies.load(std::memory_order_relaxed)
                        : trace.next_call();
    }
    if (place.capture != nullptr) return launch_node(place, info, job);
    job.op = call_table.add(info);
    dump_result(*place.context, *place.driver, info, job, place.stream);
    if (!place.context->launch(*place.driver, job, place.stream, nullptr)) return false;
    launched();
    return true;
}

/// Once per weight; behind a list when the drain thread wants to know what it shows, and in no
/// capture: read from another stream, its pointers may not be there yet.
bool is_asked_for(WeightEntry& entry, std::uint32_t life, bool behind_list,
                  const Place& place) noexcept {
    if (behind_list) {
        return place.capture == nullptr && entry.wanted.load(std::memory_order_relaxed) &&
               entry.wanted.exchange(false, std::memory_order_relaxed);
    }
    return entry.asked.load(std::memory_order_relaxed) != life &&
           entry.asked.exchange(life, std::memory_order_relaxed) != life;
}

/// Digests a weight once. In a capture that goes to a stream of ours: it must not become a node.
void ask_for_weight(const Place& place, Trace& trace, WeightEntry& entry,
                    const CallInfo& product) noexcept {
    const bool behind_list = product.product.weight.indirect;
    if (!is_asked_for(entry, product.life, behind_list, place)) return;
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
        // Behind a list they stay those of one weight: products that read them may be under way.
        const bool taken = behind_list && probes != 0;
        if (probes == 0) {
            probes = place.context->take_memory(*place.driver, probe_bytes(weight.cols));
            entry.probes.store(probes, std::memory_order_relaxed);
        }
        if (!taken) job.probes_out = probes;
    }
    info.with_probes = job.probes_out != 0;
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

bool probes_usable(const WeightEntry& entry, std::uint32_t life, Stream stream) noexcept {
    return entry.probes_ready.load(std::memory_order_acquire) == life ||
           entry.probes_stream.load(std::memory_order_acquire) == stream;
}

/// A call on its way to a record.
struct Observed {
    Trace& trace;
    Place place;
    CallInfo info;
    device::Job job;
};

/// The digest comes behind the call: an operand under the result is gone by then.
bool is_overwritten(const device::Operand& operand, const device::Operand& result) noexcept {
    return operand.data == result.data && operand.indirect == result.indirect;
}

/// Which weight the product has, if any, and whether it can be proved.
void look_for_weight(Observed& call) noexcept {
    const cublas::DeviceProduct& product = call.info.product;
    if (call.trace.config().weights == WeightMode::off) return;
    WeightEntry* weight = weight_table.find(product.weight, call.info.device, call.place.context);
    if (weight == nullptr) return;
    weight->used();
    if (weight->is_activation()) return;
    call.info.weight = weight;
    call.info.life = weight->life();
    call.job.weight = product.weight;
    ask_for_weight(call.place, call.trace, *weight, call.info);
    if (product.is_product && product.scalars_known && product.beta == 0 && product.x.data != 0 &&
        probes_usable(*weight, call.info.life, call.place.stream)) {
        call.job.probes = weight->probes.load(std::memory_order_relaxed);
    }
    call.info.with_probes = call.job.probes != 0;
}

/// Counts the call, and launches the digest of what `describe` says of it.
template <class Describe>
void record_call(const Hook& hook, RecordClass record_class, CheckpointGroup group,
                 std::string_view op, Stream stream, bool wanted, Describe describe) noexcept {
    Trace* trace = session::trace();
    if (trace == nullptr) return;
    const Guard guard;
    ClassCounts& counts = trace->ledger()[record_class];
    const std::string_view name = record_class == RecordClass::copy ? "copy" : "gemm";
    if (!wanted || !trace->config().checkpoints.selects_call(group, name, op)) {
        bump(counts.unselected);
        return;
    }
    std::optional<ContextOfStream> bound;
    Observed call{*trace, place_of(*trace, stream, bound), {}, {}};
    bool done = false;
    if (call.place.usable()) {
        call.info.op = op;
        call.info.group = group;
        call.info.caller = hook.caller;
        call.info.capture = call.place.capture;
        call.info.stream = call.place.stream;
        call.info.device = call.place.context->device();
        call.info.pass = session::current_pass();
        describe(call);
        const device::Operand& y = call.job.side[0] = call.info.product.y;
        call.job.values = static_cast<std::int32_t>(
            std::min({trace->config().values, y.cols, most_device_values}));
        done = y.data != 0 && launch(*trace, call.place, call.info, call.job);
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

DeviceWeights& device_weights() noexcept {
    return weight_table;
}

void count_undigested(RecordClass record_class) noexcept {
    Trace* trace = session::trace();
    if (trace == nullptr) return;
    ClassCounts& counts = trace->ledger()[record_class];
    bump(counts.seen);
    bump(counts.dropped);
}

void record_product(const Hook& hook, std::string_view op, Stream stream,
                    const cublas::DeviceProduct& product, std::int64_t batch_index) noexcept {
    const bool wanted = !product.empty();
    const CheckpointGroup group = batch_index < 0
                                      ? layer_ends.group_of(product.y.cols, product.x.cols)
                                      : CheckpointGroup::gemm;
    record_call(hook, RecordClass::gemm, group, op, stream, wanted, [&](Observed& call) {
        call.info.product = product;
        call.info.batch_index = batch_index;
        const bool x_is_gone = is_overwritten(product.x, product.y);
        const bool weight_is_gone = is_overwritten(product.weight, product.y);
        if (x_is_gone) call.info.product.x.data = 0;
        if (call.info.product.x.data != 0) call.job.side[1] = product.x;
        if (x_is_gone || weight_is_gone) {
            session::blind_spot("overwritten",
                                "a product's result lies over one of its operands, which cannot "
                                "be read behind the call");
        }
        if (!weight_is_gone) look_for_weight(call);
        // A product of two activations has no weight to be joined by, and there are many.
        const WeightEntry* weight = call.info.weight;
        const bool has_weight =
            weight != nullptr &&
            (!product.weight.indirect || weight->holds_weights.load(std::memory_order_relaxed));
        const int rows = call.trace.config().rows;
        call.job.selected_rows = !has_weight ? 1 : rows == all_rows ? max_selected_rows : rows;
    });
}

bool is_unselected_copy(std::string_view op) noexcept {
    Trace* trace = session::trace();
    if (trace == nullptr) return true;
    if (trace->config().checkpoints.selects_call(CheckpointGroup::logits, "copy", op)) return false;
    bump(trace->ledger()[RecordClass::copy].unselected);
    return true;
}

void record_copy(const Hook& hook, std::string_view op, Stream stream,
                 const SeenCopy& copy) noexcept {
    // What leaves the device is logits, most often.
    record_call(hook, RecordClass::copy, CheckpointGroup::logits, op, stream, copy.wanted,
                [&](Observed& call) {
                    call.info.kind = CallKind::copy;
                    call.info.bytes = copy.bytes;
                    call.info.between_devices = copy.between_devices;
                    call.info.from = copy.from;
                    call.info.to = copy.to;
                    call.job.selected_rows = 1;
                    // A kernel may read what is on its own GPU; the memory of others only if the
                    // engine has asked for that, and nobody says whether it has.
                    const auto readable = [&](const device::Operand& end, int device) {
                        return end.data != 0 &&
                               (device == the_only_device || device == call.info.device);
                    };
                    if (readable(copy.source, copy.from)) {
                        call.info.product.y = copy.source;
                    } else if (readable(copy.target, copy.to)) {
                        call.info.product.y = copy.target;
                    } else {
                        session::blind_spot(
                            op, copy.source.data == 0 && copy.target.data == 0
                                    ? "copies of CUDA arrays, or of slices that are not close "
                                      "together, are not digested"
                                    : "neither end of the copy is on the GPU of its stream");
                    }
                });
}

}  // namespace orch::cuda
