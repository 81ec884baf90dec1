#include "preload/cuda/dump.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "core/records.hpp"
#include "core/trace.hpp"
#include "preload/cuda/context.hpp"
#include "preload/cuda/graphs.hpp"
#include "preload/session.hpp"

namespace orch::cuda {
namespace {

using CallName = FixedString<31>;

/// In a graph a call gets its number when the graph is launched: until then it is "gemm.graph".
CallName name_at_launch(const CallInfo& info) noexcept {
    CallName name{info.kind == CallKind::copy ? "copy." : "gemm."};
    if (info.capture != nullptr) {
        name.append("graph");
    } else {
        name.append_number(info.call, 6);
    }
    return name;
}

bool is_selected(const CallInfo& info) noexcept {
    const Config& config = session::config();
    return !config.full.is_none() && info.kind != CallKind::weight &&
           config.full.selects_call(info.group, name_at_launch(info), info.op);
}

std::string_view safetensors_name(device::Type type) noexcept {
    switch (type) {
        case device::Type::f32:
            return "F32";
        case device::Type::f64:
            return "F64";
        case device::Type::f16:
            return "F16";
        case device::Type::bf16:
            return "BF16";
        case device::Type::e4m3:
            return "F8_E4M3";
        case device::Type::e5m2:
            return "F8_E5M2";
        case device::Type::i8:
            return "I8";
        case device::Type::i32:
            return "I32";
    }
    return {};
}

/// Files that wait for their records: as many as may be on their way through the digests' ring.
struct Waiting {
    const DeviceContext* context = nullptr;
    std::uint64_t run = 0;
    std::uint32_t op = 0;
    Dumped dumped{};  // all zeros: the table costs nothing until it is used
};

class WaitingFiles {
  public:
    void add(const DeviceContext& context, const device::DumpHeader& header,
             const Dumped& dumped) noexcept {
        // The oldest is overwritten: its record was lost.
        files_[added_ % most] = {&context, header.run, header.op, dumped};
        ++added_;
        count_ = std::min(count_ + 1, most);
    }

    std::optional<Dumped> take(const DeviceContext& context, std::uint32_t op,
                               std::uint64_t run) noexcept {
        for (std::uint64_t back = count_; back > 0; --back) {
            Waiting& file = files_[(added_ - back) % most];
            if (file.context != &context || file.op != op || file.run != run) continue;
            file.context = nullptr;
            const Dumped found = file.dumped;
            while (count_ > 0 && files_[(added_ - count_) % most].context == nullptr)
                --count_;
            return found;
        }
        return {};
    }

  private:
    static constexpr std::uint64_t most = 4096;

    Waiting files_[most]{};
    std::uint64_t added_ = 0;
    std::uint64_t count_ = 0;  ///< of the last ones, some of which were taken
};
constinit WaitingFiles waiting{};

void write_file(Trace& trace, const DeviceContext& context,
                const device::DumpReader::Result& result) noexcept {
    const device::DumpHeader& header = result.header;
    ClassCounts& counts = trace.ledger().full;
    CallInfo info;
    const bool known = find_call(header.op, info);
    const device::Operand& y = info.product.y;
    if (!known || header.bytes != device::dump_bytes(y)) {
        bump(counts.seen);
        bump(known && header.bytes == 0 ? counts.filtered : counts.dropped);
        return;
    }
    const RunOfCall run = run_of(trace, info, header.run);
    CallName name{info.kind == CallKind::copy ? "copy." : "gemm."};
    name.append_number(run.call, 6);
    CallRecord record;
    record.checkpoint = name;
    record.op = info.op;
    record.call = run.call;
    record.pass = run.pass;
    record.batch_index = info.batch_index;
    DevicePlace place;
    if (info.capture != nullptr) {
        place.graph = info.capture->number;
        place.replay = header.run - info.first_run;
    }
    record.device = &place;
    FullFile file(trace, record,
                  {safetensors_name(y.type), static_cast<std::size_t>(device::size_of(y.type)),
                   y.rows, y.cols});
    for (const auto& part : result.parts)
        file.append(part.data(), part.size());
    const FullName written = file.finish();
    if (!written.empty()) waiting.add(context, header, {run, written});
}

}  // namespace

void DumpRing::set_up(const Driver& driver, void* module, std::uint64_t bytes,
                      std::uint64_t state) noexcept {
    constexpr unsigned portable_and_mapped = 1U | 2U;  // CU_MEMHOSTREGISTER_PORTABLE | _DEVICEMAP
    constexpr std::uint64_t fewest_units = 2;
    const auto units = static_cast<std::uint32_t>(
        std::bit_floor(std::max(bytes / device::dump_unit, fewest_units)));
    const std::uint64_t size = device::dump_ring_bytes(units);
    // As the digests' ring: memory of our own, that stays when the context goes.
    void* ring = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED || state == 0 ||
        driver.module_get_function(&function_, module, "orch_dump") != success ||
        driver.mem_host_register(ring, size, portable_and_mapped) != success ||
        driver.mem_host_get_device_pointer(&ring_, ring, 0) != success) {
        session::blind_spot("ORCH_TRACE_FULL on a GPU",
                            "the driver refuses the memory that whole results go through; a "
                            "smaller ORCH_TRACE_FULL_RING may do");
        return;
    }
    auto* header = static_cast<device::RingHeader*>(ring);
    header->slots = units;
    header->slot_bytes = device::dump_unit;
    state_ = state;
    reader_.emplace(header);
}

bool DumpRing::launch(const Driver& driver, device::DumpJob& job, Stream stream) const noexcept {
    if (!reader_) return false;
    job.ring = ring_;
    job.state = state_;
    void* parameters[] = {&job};
    return driver.launch_kernel(function_, 1, 1, 1, device::block_threads, 1, 1, 0, stream,
                                parameters, nullptr) == success;
}

std::uint32_t DumpRing::newly_dropped() noexcept {
    const std::uint32_t before = dropped_;
    dropped_ = reader_->dropped();
    return dropped_ - before;
}

void dump_result(DeviceContext& context, const Driver& driver, const CallInfo& info,
                 const device::Job& digest, Stream stream) noexcept {
    if (!is_selected(info)) return;
    device::DumpJob job;
    job.tensor = info.product.y;
    job.runs = digest.runs;
    job.op = digest.op;
    Trace* trace = session::running_trace();
    if (trace == nullptr || context.dumps().launch(driver, job, stream)) return;
    bump(trace->ledger().full.seen);
    bump(trace->ledger().full.dropped);
}

bool drain_dumps(Trace& trace, DeviceContext& context) noexcept {
    device::DumpReader* reader = context.dumps().reader();
    if (reader == nullptr) return false;
    const bool any = reader->take_all(
        [&](const device::DumpReader::Result& result) { write_file(trace, context, result); });
    if (const std::uint32_t lost = context.dumps().newly_dropped(); lost != 0) {
        trace.ledger().full.seen.fetch_add(lost, std::memory_order_relaxed);
        trace.ledger().full.dropped.fetch_add(lost, std::memory_order_relaxed);
        session::blind_spot("ORCH_TRACE_FULL_RING",
                            "results that did not fit into it, or came faster than files were "
                            "written, are not kept whole; the ledger has their number");
    }
    return any;
}

std::optional<Dumped> take_dump(Trace& trace, DeviceContext& context, const CallInfo& info,
                                std::uint32_t op, std::uint64_t run) noexcept {
    if (!is_selected(info)) return {};
    std::optional<Dumped> found = waiting.take(context, op, run);
    if (!found && drain_dumps(trace, context)) found = waiting.take(context, op, run);
    return found;
}

}  // namespace orch::cuda
