#include "preload/cuda/drain.hpp"

#include <algorithm>
#include <atomic>

#include "core/futex.hpp"
#include "core/proof.hpp"
#include "core/quiet_thread.hpp"
#include "core/records.hpp"
#include "core/trace.hpp"
#include "device/decode.hpp"
#include "preload/cuda/capture.hpp"
#include "preload/cuda/dump.hpp"
#include "preload/cuda/nodes.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

/// Between looks at the rings: short while records are under way, long while nothing happens.
constexpr int busy_ms = 1;
constexpr int idle_ms = 50;
/// How long an engine that ends waits for records that do not come: its last kernels may still run.
constexpr int patience_ms = 1000;

constinit std::atomic<Trace*> drained_trace{nullptr};
constinit std::atomic<std::uint64_t> expected{0};
constinit std::atomic<std::uint64_t> arrived{0};
constinit std::atomic<std::uint32_t> wake{0};
constinit std::atomic<std::uint32_t> rounds{0};
constinit std::atomic<bool> some_lost{false};  ///< records, of nobody knows which class

MatrixView values_view(const device::Slot& slot, std::int64_t rows) noexcept {
    // One row of values stands for all: only the last one is read.
    return {device::RingReader::values_of(&slot), DType::f32, rows, slot.values, 0, 1};
}

WeightName weight_name(std::uint32_t number) noexcept {
    WeightName name{"w"};
    name.append_number(number);
    return name;
}

void write_weight_record(Trace& trace, const CallInfo& info, const device::Slot& slot) noexcept {
    WeightEntry& entry = *info.weight;
    const std::uint32_t number = device_weights().digested(
        entry, {info.product.weight, info.device, slot.sample, 0, info.life});
    if (info.with_probes) {
        entry.digested_sample = slot.sample;
        const bool finite =
            slot.side[0].nan == 0 && slot.side[0].pos_inf == 0 && slot.side[0].neg_inf == 0;
        if (finite) entry.probes_ready.store(info.life, std::memory_order_release);
    }
    if (number == 0) {
        bump(trace.ledger()[RecordClass::weight].filtered);
        return;
    }
    const WeightName id = weight_name(number);
    const device::Operand& weight = info.product.weight;
    Digest digest;
    device::to_digest(slot.side[0], weight, true, digest);
    WeightRecord record;
    record.id = id;
    record.weight = {values_view(slot, weight.rows), &digest, cublas::type_name(weight.type)};
    write_weight(trace, record);
}

bool make_proof(const CallInfo& info, const device::Slot& slot, const Digest& x, const Digest& y,
                Proof& proof) noexcept {
    if (!info.with_probes || info.weight == nullptr || slot.sample != info.weight->digested_sample)
        return false;
    Projection projection;
    // A device address: it says that there are probes, and is never read.
    const std::uint64_t probes = info.weight->probes.load(std::memory_order_relaxed);
    projection.probes = {reinterpret_cast<const float*>(probes), info.product.weight.rows,
                         info.product.weight.cols};
    device::to_projection(slot.side[1], projection);
    return prove(projection, x, y, info.product.alpha, proof);
}

void write_product(Trace& trace, DeviceContext& context, const CallInfo& info,
                   const device::Slot& slot) noexcept {
    const bool is_copy = info.kind == CallKind::copy;
    Digest y;
    Digest x;
    device::to_digest(slot.side[0], info.product.y, true, y);
    if (!is_copy) device::to_digest(slot.side[1], info.product.x, false, x);
    Proof proof;
    const bool proven = !is_copy && make_proof(info, slot, x, y, proof);
    const std::optional<Dumped> dumped = take_dump(trace, context, info, slot.op, slot.run);
    const RunOfCall run = dumped ? dumped->run : run_of(trace, info, slot.run);
    WeightName weight;
    if (info.weight != nullptr) {
        const auto before = static_cast<std::uint64_t>(std::max<std::int64_t>(0, info.batch_index));
        const std::uint32_t number = device_weights().number_of(
            *info.weight,
            {info.product.weight, info.device, slot.sample, run.call - before, info.life});
        if (number != 0) weight = weight_name(number);
    }
    CallRecord record;
    record.record_class = is_copy ? RecordClass::copy : RecordClass::gemm;
    record.kind = is_copy ? "copy" : "gemm";
    record.call = run.call;
    FixedString<31> name{is_copy ? "copy." : "gemm."};
    name.append_number(record.call, 6);
    record.checkpoint = name;
    record.op = info.op;
    const CallerName caller = caller_name(info.caller);
    record.caller = caller;
    record.weight = weight;
    record.result = {values_view(slot, info.product.y.rows), &y,
                     cublas::type_name(info.product.y.type)};
    const Side input{{}, &x, cublas::type_name(info.product.x.type)};
    if (!is_copy && info.product.x.data != 0) record.input = &input;
    record.batch_index = info.batch_index;
    record.alpha = info.product.alpha;
    record.beta = info.product.beta;
    record.scalars_known = info.product.scalars_known;
    record.arithmetic = cublas::arithmetic_name(info.product.arithmetic);
    // Behind a list the probes may be of a content that was not worth an id.
    if (proven && !record.weight.empty()) record.proof = &proof;
    DevicePlace place;
    place.device = info.device;
    place.stream = reinterpret_cast<std::uintptr_t>(info.stream);
    place.bytes = info.bytes;
    if (info.between_devices) {
        place.from = info.from;
        place.to = info.to;
    }
    if (is_copy) place.direction = info.between_devices ? "peer" : "host";
    record.pass = run.pass;
    if (info.capture != nullptr) {
        place.graph = info.capture->number;
        place.replay = slot.run - info.first_run;
    }
    record.device = &place;
    if (dumped) record.full = dumped->file;
    write_call(trace, record);
}

/// A launch is counted when it is made, unless nobody told us of it.
void count_unannounced(Trace& trace, const CallInfo& info, const device::Slot& slot) noexcept {
    if (info.capture == nullptr || slot.run - info.first_run < info.capture->launches.load())
        return;
    bump(trace.ledger()[info.kind == CallKind::copy ? RecordClass::copy : RecordClass::gemm].seen);
    launched();
}

/// True if there was anything.
bool drain_context(Trace& trace, DeviceContext& context) noexcept {
    bool any = drain_dumps(trace, context);
    device::RingReader& ring = context.ring();
    for (const device::Slot* slot = nullptr; ring.next(slot); ring.release()) {
        any = true;
        CallInfo info;
        if (!find_call(slot->op, info)) {
            bump(trace.ledger()[RecordClass::gemm].dropped);
            some_lost.store(true, std::memory_order_relaxed);
        } else if (info.kind == CallKind::weight) {
            write_weight_record(trace, info, *slot);
        } else {
            count_unannounced(trace, info, *slot);
            write_product(trace, context, info, *slot);
            // Whoever sees the count may give the capture's place to another one.
            if (info.capture != nullptr)
                info.capture->arrived.fetch_add(1, std::memory_order_release);
        }
        arrived.fetch_add(1, std::memory_order_release);
    }
    const std::uint32_t lost = context.newly_dropped();
    if (lost != 0) {
        any = true;
        trace.ledger()[RecordClass::gemm].dropped.fetch_add(lost, std::memory_order_relaxed);
        some_lost.store(true, std::memory_order_relaxed);
        arrived.fetch_add(lost, std::memory_order_release);
        session::blind_spot("ring",
                            "the device wrote faster than its ring was emptied; the ledger "
                            "has the number of lost records");
    }
    return any;
}

bool drain_all(Trace& trace) noexcept {
    bool any = false;
    for (std::size_t i = 0; DeviceContext* context = contexts().at(i); ++i) {
        if (context->has_ring()) any = drain_context(trace, *context) || any;
    }
    return any;
}

/// The device does not say of which class a lost record is; what was seen does, at the end.
void settle_losses(Trace& trace) noexcept {
    for (const RecordClass c : {RecordClass::gemm, RecordClass::weight, RecordClass::copy}) {
        ClassCounts& counts = trace.ledger()[c];
        const std::uint64_t kept = counts.recorded.load(std::memory_order_relaxed) +
                                   counts.filtered.load(std::memory_order_relaxed);
        const std::uint64_t seen = counts.seen.load(std::memory_order_relaxed);
        counts.dropped.store(seen > kept ? seen - kept : 0, std::memory_order_relaxed);
    }
}

void* drain_main(void* self) noexcept {
    Trace& trace = *static_cast<Trace*>(self);
    for (;;) {
        const std::uint32_t seen = wake.load(std::memory_order_acquire);
        const bool any = drain_all(trace);
        rounds.fetch_add(1, std::memory_order_release);
        futex_wake_all(rounds);
        if (any) continue;
        const bool waiting =
            expected.load(std::memory_order_relaxed) != arrived.load(std::memory_order_relaxed);
        futex_wait(wake, seen, waiting ? busy_ms : idle_ms);
    }
    return nullptr;
}

}  // namespace

bool find_call(std::uint32_t number, CallInfo& info) noexcept {
    const bool in_graph = (number & GraphNodes::number_bit) != 0;
    return in_graph ? graph_nodes().find(number, info) : calls().find(number, info);
}

RunOfCall run_of(Trace& trace, const CallInfo& info, std::uint64_t device_run) noexcept {
    if (info.capture == nullptr) return {info.call, info.pass};
    const std::uint64_t run = device_run - info.first_run;
    const Capture::Launch& launch = info.capture->launch[run % Capture::kept];
    const std::uint64_t call = launch.first_call.load(std::memory_order_relaxed) + info.call;
    const std::int64_t pass = launch.pass.load(std::memory_order_relaxed);
    // The engine is far ahead of the device, and the launch was forgotten.
    if (launch.run.load(std::memory_order_acquire) != run + 1) return {trace.next_call(), -1};
    return {call, pass};
}

bool start_drain(Trace& trace) noexcept {
    Trace* known = nullptr;
    if (!drained_trace.compare_exchange_strong(known, &trace)) return known == &trace;
    const bool started = start_quiet_thread(drain_main, &trace);
    if (!started) drained_trace.store(nullptr);
    return started;
}

void launched(std::uint64_t records) noexcept {
    expected.fetch_add(records, std::memory_order_relaxed);
}

void not_launched(std::uint64_t records) noexcept {
    expected.fetch_sub(records, std::memory_order_relaxed);
}

bool all_arrived() noexcept {
    return arrived.load(std::memory_order_acquire) == expected.load(std::memory_order_relaxed);
}

void finish(Trace& trace) noexcept {
    if (drained_trace.load(std::memory_order_acquire) != &trace) return;
    std::uint64_t last = arrived.load(std::memory_order_acquire);
    for (int waited = 0; waited < patience_ms;) {
        const std::uint32_t round = rounds.load(std::memory_order_acquire);
        wake.fetch_add(1, std::memory_order_release);
        futex_wake_all(wake);
        futex_wait(rounds, round, busy_ms);
        const std::uint64_t now = arrived.load(std::memory_order_acquire);
        const bool round_done = rounds.load(std::memory_order_acquire) != round;
        if (round_done && now == expected.load(std::memory_order_relaxed)) break;
        waited = now != last ? 0 : waited + busy_ms;
        last = now;
    }
    if (!all_arrived()) {
        session::blind_spot("device",
                            "records never came: the CUDA context was lost, or the device was "
                            "not done when the engine ended");
        some_lost.store(true, std::memory_order_relaxed);
    }
    if (some_lost.load(std::memory_order_relaxed)) settle_losses(trace);
}

}  // namespace orch::cuda
