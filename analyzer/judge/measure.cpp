#include "analyzer/judge/measure.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "analyzer/judge/floors.hpp"
#include "analyzer/judge/placed_rows.hpp"

namespace orch {
namespace {

struct Call {
    PlacedRows x;
    PlacedRows y;
    std::optional<Proof> proof;
    std::string arithmetic;
    double rounding = 0;  ///< of that arithmetic
};

Call read_call(const EngineTrace& engine, RecordParser& parser, const Entry& entry,
               const PositionRange& range) {
    const CallRecord record = parser.call(entry);
    Call call;
    call.proof = record.proof;
    call.y = placed(record.y, entry, range);
    if (!call.y.rows.empty()) call.y.values.emplace(call.y.rows.begin()->first, record.values);
    if (record.x) {
        call.x = placed(*record.x, entry, range);
        call.arithmetic = record.arithmetic;
        call.rounding = arithmetic_rounding(record.arithmetic, record.x->dtype, record.x->cols);
    }
    for (const Entry* line : engine.trace->rows_of(engine.run, entry.call)) {
        const RowRecord row = parser.row(*line);
        const std::int64_t position = position_of(call.y, entry, row.position);
        if (position < 0) continue;
        call.y.rows.emplace(position, row.y);
        call.y.values.emplace(position, row.values);
        if (row.x) call.x.rows.emplace(position, *row.x);
    }
    return call;
}

/// The calls of one side of a pair: chunks of one weight's product, and parts of a fused one.
struct SideOfPair {
    PlacedRows x;
    PlacedRows y;
    std::vector<PlacedRows> parts;  ///< y, by weight
    std::optional<Proof> proof;
    std::string arithmetic;  ///< of the coarsest of them
    double rounding = 0;
    std::uint64_t x_key = 0;
    std::uint64_t y_key = 0;
    std::string weight_type;
};

template <class Range>
SideOfPair read_side(const EngineTrace& engine, RecordParser& parser,
                     const std::vector<std::size_t>& products, const Range& range) {
    SideOfPair side;
    std::vector<std::pair<int, std::vector<Call>>> by_weight;
    for (const std::size_t index : products) {
        const Product& product = engine.products[index];
        const Entry& entry = engine.entry(product);
        auto found = std::find_if(by_weight.begin(), by_weight.end(),
                                  [&](const auto& group) { return group.first == product.weight; });
        if (found == by_weight.end() || product.weight < 0)
            found = by_weight.insert(by_weight.end(), {product.weight, {}});
        found->second.push_back(read_call(engine, parser, entry, range(product.pass)));
        const Call& call = found->second.back();
        if (call.rounding >= side.rounding && !call.arithmetic.empty()) {
            side.rounding = call.rounding;
            side.arithmetic = call.arithmetic;
        }
        const std::optional<Proof>& proof = call.proof;
        if (proof && (!side.proof || error_of(*proof) > error_of(*side.proof))) side.proof = proof;
        side.x_key = entry.x_key;
        side.y_key = entry.y_key;
        if (product.weight >= 0)
            side.weight_type =
                engine.weights[static_cast<std::size_t>(product.weight)].record.dtype;
    }
    std::vector<PlacedRows> inputs;
    for (const auto& [weight, calls] : by_weight) {
        std::vector<PlacedRows> xs;
        std::vector<PlacedRows> ys;
        for (const Call& call : calls) {
            xs.push_back(call.x);
            ys.push_back(call.y);
        }
        inputs.push_back(one_below_other(xs));
        side.parts.push_back(one_below_other(ys));
    }
    side.x = inputs.front();
    side.y = side_by_side(side.parts);
    if (products.size() > 1) side.x_key = side.y_key = 0;
    return side;
}

std::vector<std::vector<RowDigest>> rows_by_part(const SideOfPair& side, const MatrixPair& pair) {
    std::vector<std::vector<RowDigest>> result;
    if (side.parts.size() < 2) return result;
    for (const PlacedRows& part : side.parts) {
        result.emplace_back();
        for (const RowPair& row : pair.rows)
            result.back().push_back(part.rows.at(row.position));
    }
    return result;
}

/// "layer_3_output" -> 3, "embedding" -> -1
std::optional<int> stream_layer(std::string_view checkpoint) {
    if (checkpoint == "embedding") return -1;
    constexpr std::string_view head = "layer_";
    constexpr std::string_view tail = "_output";
    if (!checkpoint.starts_with(head) || !checkpoint.ends_with(tail)) return {};
    checkpoint.remove_prefix(head.size());
    checkpoint.remove_suffix(tail.size());
    int layer = 0;
    const auto [end, error] =
        std::from_chars(checkpoint.data(), checkpoint.data() + checkpoint.size(), layer);
    if (error != std::errc{} || end != checkpoint.data() + checkpoint.size()) return {};
    return layer;
}

/// Where in a layer's work a place is; 0: not known.
int phase_of(const Site& site) {
    if (site.tensor < 0) {
        switch (site.part) {
            case Part::q:
            case Part::k:
            case Part::v:
            case Part::qkv:
                return 1;
            case Part::o:
                return 3;
            case Part::gate:
            case Part::up:
            case Part::gate_up:
            case Part::router:
                return 6;
            case Part::down:
                return 8;
            case Part::head:
                return 11;
            default:
                return 0;
        }
    }
    constexpr std::pair<std::string_view, int> tails[] = {
        {"embedding", 1}, {"attn_norm", 1}, {"attn_out", 4},    {"ffn_norm", 5},
        {"ffn_out", 9},   {"_output", 10},  {"final_norm", 10}, {"logits", 12}};
    for (const auto& [tail, phase] : tails)
        if (std::string_view{site.label}.ends_with(tail)) return phase;
    return site.layer >= 0 ? 2 : 0;  // inside of attention
}

/// In the order of the data's way, which is not that of the records where one side works in chunks.
void sort_by_flow(std::vector<const Site*>& sites) {
    if (std::any_of(sites.begin(), sites.end(),
                    [](const Site* site) { return phase_of(*site) == 0; }))
        return;
    const auto key = [](const Site* site) {
        const int phase = phase_of(*site);
        constexpr int behind_all = 1 << 30;
        if (site->label == "embedding") return std::pair{-1, phase};
        return std::pair{site->layer < 0 || site->part == Part::head ? behind_all : site->layer,
                         phase};
    };
    std::stable_sort(sites.begin(), sites.end(),
                     [&](const Site* a, const Site* b) { return key(a) < key(b); });
}

}  // namespace

double error_of(const Proof& proof) {
    // Right products, and wrong ones that are off all over, measured: worst is up to 2.4 error.
    constexpr double one_row = 3;
    return std::max(proof.error, proof.worst / one_row);
}

std::int64_t first_position_in_b(const EngineTrace& b, int engine_pass, const PassPair& pass) {
    const std::int64_t own = b.passes[static_cast<std::size_t>(engine_pass)].first_position;
    if (pass.b < 0) return own;
    return own + pass.first_position - b.passes[static_cast<std::size_t>(pass.b)].first_position;
}

Measurer::Measurer(const Alignment& alignment)
    : alignment_{alignment}, parser_a_{*alignment.a->trace}, parser_b_{*alignment.b->trace} {
    for (const Site& site : alignment.sites)
        sites_[site.pass].push_back(&site);
    for (auto& [pass, sites] : sites_)
        sort_by_flow(sites);
}

PositionRange Measurer::range(bool of_b, int engine_pass, const PassPair& pass) const {
    const EngineTrace& engine = of_b ? *alignment_.b : *alignment_.a;
    if (engine_pass < 0) return {};
    const Pass& own = engine.passes[static_cast<std::size_t>(engine_pass)];
    return {of_b ? first_position_in_b(engine, engine_pass, pass) : own.first_position, own.tokens};
}

/// The same numbers of the same type with another hash stand in other rows.
bool Measurer::has_other_row_order(const ProductPair& pair) const {
    if (pair.match < 0 || pair.a.size() != 1 || pair.b.size() != 1) return false;
    const int a = alignment_.a->products[pair.a[0]].weight;
    const int b = alignment_.b->products[pair.b[0]].weight;
    if (a < 0 || b < 0) return false;
    const WeightRecord& left = alignment_.a->weights[static_cast<std::size_t>(a)].record;
    const WeightRecord& right = alignment_.b->weights[static_cast<std::size_t>(b)].record;
    const Content content = alignment_.weights[static_cast<std::size_t>(pair.match)].content;
    return content == Content::equal && left.dtype == right.dtype && left.hash && right.hash &&
           *left.hash != *right.hash;
}

ProductData Measurer::read_product(std::size_t index, const PassPair& pass) {
    const ProductPair& pair = alignment_.products[index];
    ProductData data;
    data.pair = &pair;
    data.index = index;
    bool same_features = pair.a.size() == 1 && pair.b.size() == 1;
    if (pair.match >= 0) {
        const WeightMatch& match = alignment_.weights[static_cast<std::size_t>(pair.match)];
        data.role = match.role;
        data.content = match.content;
        // Where the order of the rows could not be told: it is the rotated ones' that differs.
        const Part part = match.role.part;
        const bool keeps_order = part == Part::o || part == Part::down || part == Part::gate ||
                                 part == Part::up || part == Part::head || part == Part::v;
        same_features =
            match.a.size() == match.b.size() && match.a.size() == 1 &&
            (match.rows == RowOrder::same || (match.rows == RowOrder::unknown && keeps_order));
    }
    same_features = same_features && !has_other_row_order(pair);
    const auto range_of = [&](bool of_b) {
        return [this, &pass, of_b](int engine_pass) { return range(of_b, engine_pass, pass); };
    };
    const SideOfPair a = read_side(*alignment_.a, parser_a_, pair.a, range_of(false));
    const SideOfPair b = read_side(*alignment_.b, parser_b_, pair.b, range_of(true));
    data.x = pair_rows(a.x, b.x, true);
    data.y = pair_rows(a.y, b.y, same_features);
    data.x.same_bits = a.x_key != 0 && a.x_key == b.x_key;
    data.y.same_bits = a.y_key != 0 && a.y_key == b.y_key;
    data.y.parts_a = rows_by_part(a, data.y);
    if (a.parts.size() > 1 && b.parts.size() == 1)
        data.y.values = values_of_first_part(a.parts, b.parts.front());
    data.y.parts_b = rows_by_part(b, data.y);
    data.proof_a = a.proof;
    data.proof_b = b.proof;
    data.arithmetic_a = a.arithmetic;
    data.arithmetic_b = b.arithmetic;
    data.rounding_a = a.rounding;
    data.rounding_b = b.rounding;
    data.weight_type_a = a.weight_type;
    data.weight_type_b = b.weight_type;
    return data;
}

/// One operand of attention's own products: no weight, and its features may stand in any order.
bool Measurer::multiplies_activations(std::size_t index) const {
    const ProductPair& pair = alignment_.products[index];
    const auto any = [](const EngineTrace& engine, const std::vector<std::size_t>& products) {
        return std::any_of(products.begin(), products.end(), [&](std::size_t product) {
            const int weight = engine.products[product].weight;
            if (weight < 0) return true;
            const Weight& operand = engine.weights[static_cast<std::size_t>(weight)];
            return operand.is_activation ||
                   (operand.name.empty() && operand.passes < 2 && engine.passes.size() > 1);
        });
    };
    return pair.match < 0 ? any(*alignment_.a, pair.a) && any(*alignment_.b, pair.b)
                          : any(*alignment_.a, pair.a) || any(*alignment_.b, pair.b);
}

MatrixPair Measurer::read_tensor(const TensorPair& tensor, const PassPair& pass) {
    const Entry& a = alignment_.a->trace->entries()[tensor.a];
    const Entry& b = alignment_.b->trace->entries()[tensor.b];
    if (a.kind != RecordKind::checkpoint || b.kind != RecordKind::checkpoint) return {};
    const Call call_a = read_call(*alignment_.a, parser_a_, a, range(false, pass.a, pass));
    const Call call_b = read_call(*alignment_.b, parser_b_, b, range(true, pass.b, pass));
    MatrixPair pair = pair_rows(call_a.y, call_b.y, true);
    pair.same_bits = a.y_key != 0 && a.y_key == b.y_key;
    return pair;
}

void Measurer::read_stream(PassData& data, const PassPair& pass) {
    for (const bool of_b : {false, true}) {
        const EngineTrace& engine = of_b ? *alignment_.b : *alignment_.a;
        std::vector<int> chunks = of_b ? pass.chunks_b : pass.chunks_a;
        if (chunks.empty()) chunks.push_back(of_b ? pass.b : pass.a);
        std::map<int, std::vector<PlacedRows>> found;
        for (const int chunk : chunks) {
            if (chunk < 0) continue;
            for (const std::size_t index : engine.passes[static_cast<std::size_t>(chunk)].tensors) {
                const Entry& entry = engine.trace->entries()[index];
                const auto layer = stream_layer(engine.trace->string(entry.checkpoint));
                if (!layer) continue;
                found[*layer].push_back(
                    read_call(engine, of_b ? parser_b_ : parser_a_, entry, range(of_b, chunk, pass))
                        .y);
            }
        }
        for (const auto& [layer, parts] : found) {
            const PlacedRows rows = one_below_other(parts);
            if (!data.stream.contains(layer))
                data.stream[layer] = {rows.rows, rows.side};
            else if (of_b && layer == -1)
                data.embedding_b = {rows.rows, rows.side};
        }
    }
}

PassData Measurer::read(int pass) {
    PassData data;
    data.pass = pass;
    PassPair whole;
    if (pass >= 0) whole = alignment_.passes[static_cast<std::size_t>(pass)];
    data.first_position = whole.first_position;
    data.tokens = whole.tokens;
    for (const Site* site : sites_[pass]) {
        SiteData entry;
        entry.site = site;
        for (const std::size_t index : site->products)
            if (!multiplies_activations(index))
                entry.products.push_back(read_product(index, whole));
        if (site->tensor >= 0)
            entry.tensor =
                read_tensor(alignment_.tensors[static_cast<std::size_t>(site->tensor)], whole);
        data.sites.push_back(std::move(entry));
    }
    if (pass >= 0) read_stream(data, whole);
    return data;
}

}  // namespace orch
