#include "analyzer/align/roles.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace orch {
namespace {

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

bool is_known(const Role& role) {
    return role.part != Part::other || role.layer >= 0;
}

std::string_view word_of(Part part) {
    switch (part) {
        case Part::q:
            return "attn_q";
        case Part::k:
            return "attn_k";
        case Part::v:
            return "attn_v";
        case Part::o:
            return "attn_out";
        case Part::gate:
            return "ffn_gate";
        case Part::up:
            return "ffn_up";
        case Part::down:
            return "ffn_down";
        default:
            return part_name(part);
    }
}

/// Of several parts that are fused, or read one input.
std::string word_of(const std::set<Part>& parts) {
    if (parts.size() == 1) return std::string{word_of(*parts.begin())};
    const auto has = [&](Part part) { return parts.contains(part); };
    const auto all_of = [&](std::initializer_list<Part> known) {
        return std::all_of(parts.begin(), parts.end(), [&](Part part) {
            return std::find(known.begin(), known.end(), part) != known.end();
        });
    };
    if (all_of({Part::q, Part::k, Part::v, Part::qkv}))
        return has(Part::q) && !has(Part::v)      ? "qk"
               : !has(Part::q) && !has(Part::qkv) ? "kv"
                                                  : "qkv";
    if (all_of({Part::gate, Part::up, Part::gate_up})) return "gate_up";
    std::string text;
    for (const Part part : parts)
        text += fmt::format("{}{}", text.empty() ? "" : "+", word_of(part));
    return text;
}

std::string label_of(int layer, int expert, const std::set<Part>& parts) {
    std::string text = word_of(parts);
    if (expert >= 0) text += fmt::format("_{}", expert);
    return layer >= 0 ? fmt::format("layer_{}_{}", layer, text) : text;
}

/// "blk.2.attn_q.weight" -> "blk.2.attn_q"
std::string_view without_suffix(std::string_view name) {
    constexpr std::string_view suffix = ".weight";
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
    return name;
}

class Labeller {
  public:
    explicit Labeller(Alignment& alignment) : alignment_(alignment) {}

    void label() {
        for (WeightMatch& match : alignment_.weights)
            match.role = named_role(match);
        infer_roles();
        for (WeightMatch& match : alignment_.weights)
            match.label = label_of_match(match);
        for (Site& site : alignment_.sites)
            label_site(site);
    }

  private:
    /// An index names content: where another weight stands in its place, that name misleads.
    Role named_role(const WeightMatch& match) const {
        const Weight& a = alignment_.a->weights[at(match.a[0])];
        const Weight& b = alignment_.b->weights[at(match.b[0])];
        const bool same_content = match.content != Content::changed;
        if (is_known(a.role) && (a.named_by_engine || same_content)) return a.role;
        if (is_known(b.role) && (b.named_by_engine || same_content)) return b.role;
        return {};
    }

    std::set<Part> parts_of(const WeightMatch& match) const {
        std::set<Part> parts;
        const auto add = [&](const EngineTrace& engine, const std::vector<int>& weights) {
            for (const int weight : weights) {
                const Role& role = engine.weights[at(weight)].role;
                if (is_known(role) && role.layer == match.role.layer) parts.insert(role.part);
            }
        };
        // The side with more parts tells more of them.
        const bool a_first = match.a.size() >= match.b.size();
        add(a_first ? *alignment_.a : *alignment_.b, a_first ? match.a : match.b);
        if (parts.empty())
            add(a_first ? *alignment_.b : *alignment_.a, a_first ? match.b : match.a);
        const bool is_one = match.a.size() == 1 && match.b.size() == 1;
        if (parts.empty() || is_one) parts = {match.role.part};
        return parts;
    }

    std::string label_of_match(const WeightMatch& match) const {
        if (match.role.part != Part::other)
            return label_of(match.role.layer, match.role.expert, parts_of(match));
        for (const auto& [engine, weights] :
             {std::pair{alignment_.a, &match.a}, std::pair{alignment_.b, &match.b}}) {
            const std::string& name = engine->weights[at(weights->front())].name;
            if (!name.empty()) return std::string{without_suffix(name)};
        }
        const std::string id = alignment_.a->weights[at(match.a[0])].record.id;
        return match.role.layer >= 0 ? fmt::format("layer_{}_{}", match.role.layer, id) : id;
    }

    const WeightMatch* match_of(std::size_t product) const {
        const int match = alignment_.products[product].match;
        return match < 0 ? nullptr : &alignment_.weights[at(match)];
    }

    void label_site(Site& site) const {
        if (site.tensor >= 0) return;
        std::set<Part> parts;
        int expert = -1;
        for (const std::size_t product : site.products) {
            const WeightMatch* match = match_of(product);
            if (match == nullptr || !is_known(match->role)) continue;
            if (parts.empty()) {
                site.layer = match->role.layer;
                site.part = match->role.part;
                expert = match->role.expert;
            }
            if (match->role.layer == site.layer) parts.merge(parts_of(*match));
        }
        if (parts.empty() || site.part == Part::other) {
            const WeightMatch* first = match_of(site.products.front());
            site.label = first != nullptr ? first->label : name_of_output(site.products.front());
        } else {
            site.label = label_of(site.layer, expert, parts);
        }
    }

    std::string name_of_output(std::size_t product) const {
        const Entry& entry =
            alignment_.a->entry(alignment_.a->products[alignment_.products[product].a[0]]);
        return std::string{alignment_.a->trace->string(entry.checkpoint)};
    }

    // ---- the cycle of a transformer's layers, where nothing has a name

    struct Shape {
        std::int64_t inputs = 0;
        std::int64_t outputs = 0;
        bool operator==(const Shape&) const = default;
    };

    Shape shape_of(const Site& site) const {
        Shape shape;
        std::set<int> weights;
        for (const std::size_t product : site.products) {
            for (const std::size_t part : alignment_.products[product].a) {
                const Product& own = alignment_.a->products[part];
                if (own.weight >= 0 && !weights.insert(own.weight).second) continue;
                shape.inputs = alignment_.a->entry(own).x_cols;
                shape.outputs += alignment_.a->entry(own).y_cols;
            }
        }
        return shape;
    }

    /// The sites of the pass that has most.
    std::vector<std::size_t> longest_pass() const {
        std::vector<std::size_t> best;
        std::vector<std::size_t> open;
        for (std::size_t i = 0; i < alignment_.sites.size(); ++i) {
            if (!open.empty() && alignment_.sites[open[0]].pass != alignment_.sites[i].pass)
                open.clear();
            open.push_back(i);
            if (open.size() > best.size()) best = open;
        }
        return best;
    }

    void infer_roles() {
        const std::vector<std::size_t> sites = longest_pass();
        constexpr std::size_t cycle = 4;  // qkv, o, gate and up, down
        if (sites.size() < cycle + 1 || sites.size() % cycle != 1) return;
        std::vector<Shape> shapes;
        shapes.reserve(sites.size());
        for (const std::size_t site : sites)
            shapes.push_back(shape_of(alignment_.sites[site]));
        const std::int64_t hidden = shapes[0].inputs;
        const bool is_layer = shapes[1].outputs == hidden && shapes[2].inputs == hidden &&
                              shapes[3].outputs == hidden && shapes[3].inputs != hidden &&
                              shapes.back().inputs == hidden;
        for (std::size_t i = cycle; i + 1 < shapes.size(); ++i) {
            if (shapes[i] != shapes[i - cycle]) return;
        }
        if (!is_layer) return;
        for (std::size_t i = 0; i < sites.size(); ++i) {
            const int layer = i + 1 < sites.size() ? static_cast<int>(i / cycle) : -1;
            give_roles(alignment_.sites[sites[i]], layer, layer < 0 ? cycle : i % cycle,
                       shapes[3].inputs);
        }
    }

    void give_roles(const Site& site, int layer, std::size_t place, std::int64_t inner) {
        const std::size_t count = site.products.size();
        std::vector<Part> parts(count, Part::other);
        if (place == 0 && count == 3) parts = {Part::q, Part::k, Part::v};
        if (place == 0 && count == 1) parts = {Part::qkv};
        if (place == 1) parts[0] = Part::o;
        if (place == 2 && count == 2) parts = {Part::gate, Part::up};
        if (place == 2 && count == 1)
            parts = {shape_of(site).outputs == 2 * inner ? Part::gate_up : Part::up};
        if (place == 3) parts[0] = Part::down;
        if (place == 4) parts[0] = Part::head;
        for (std::size_t i = 0; i < count; ++i) {
            const int match = alignment_.products[site.products[i]].match;
            if (match < 0 || is_known(alignment_.weights[at(match)].role)) continue;
            alignment_.weights[at(match)].role = {layer, parts[i], -1};
            inferred_ = true;
        }
        if (inferred_ && layer < 0)
            alignment_.notes.emplace_back(
                "no engine names its weights: layers and parts are inferred from the order of the "
                "products (q, k, v; output; gate, up; down)");
    }

    Alignment& alignment_;
    bool inferred_ = false;
};

}  // namespace

void label(Alignment& alignment) {
    Labeller{alignment}.label();
}

}  // namespace orch
