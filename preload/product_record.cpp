#include "preload/product_record.hpp"

#include "core/digest.hpp"
#include "core/proof.hpp"
#include "core/records.hpp"
#include "preload/floating_point.hpp"
#include "preload/resolver.hpp"
#include "preload/session.hpp"

namespace orch {
void record_product(const Hook& hook, std::string_view op, const Product& product,
                    std::int64_t batch_index) noexcept {
    Trace* trace = session::trace();
    if (trace == nullptr) return;
    const Guard guard;
    const KeepFloatingPoint keep;
    ClassCounts& counts = trace->ledger()[RecordClass::gemm];
    bump(counts.seen);
    const std::uint64_t call = trace->next_call();
    FixedString<31> name{"gemm."};
    name.append_number(call, 6);
    if (product.empty() || !trace->config().checkpoints.selects(CheckpointGroup::gemm, name, op)) {
        bump(counts.filtered);
        return;
    }
    const auto identify = [&] {
        return session::weights().identify(*trace, product.weight, dtype_name(product.weight.dtype),
                                           {});
    };
    WeightIdentity weight = identify();
    Digest y;
    Digest x;
    DigestRequest request;
    // A product of two activations (one head's attention) has no weight to be joined by, and there
    // are many: its rows are seen through the mixed sketch only.
    request.selected_rows =
        weight.changes || trace->config().rows == all_rows ? 1 : trace->config().rows;
    digest(product.y, request, y);
    request.extremes = false;
    Proof proof;
    const bool provable = product.is_product && product.beta == 0;
    const auto check = [&] {
        Projection projection;
        projection.probes = weight.probes;
        const bool checked = provable && weight.probes.data != nullptr;
        request.projections = checked ? &projection : nullptr;
        digest(product.x, request, x);
        return checked && prove(projection, x, y, product.alpha, proof);
    };
    bool proven = check();
    if (proven && exceeds_rounding(proof, product.x.dtype, product.weight.dtype, product.y.dtype) &&
        session::weights().has_changed(*trace, product.weight, proof.error)) {
        weight = identify();
        proven = check();
    }
    const CallerName caller = caller_name(hook.caller);
    const Side input{product.x, &x, dtype_name(product.x.dtype)};
    CallRecord record;
    record.kind = "gemm";
    record.checkpoint = name;
    record.op = op;
    record.caller = caller;
    record.weight = weight.id;
    record.call = call;
    record.pass = session::current_pass();
    record.result = {product.y, &y, dtype_name(product.y.dtype)};
    record.input = &input;
    record.batch_index = batch_index;
    record.alpha = product.alpha;
    record.beta = product.beta;
    if (proven) record.proof = &proof;
    write_call(*trace, record);
}

}  // namespace orch
