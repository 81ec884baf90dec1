#include "analyzer/align/index_names.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analyzer/align/weight_units.hpp"
#include "analyzer/weights/model_index.hpp"

namespace orch {
namespace {

/// As in identity.cpp: the nearest is the one, if it is near and the next is clearly further.
constexpr double max_distance = 0.4;
constexpr double clearly = 3;

/// One or several weights of the checkpoint that engines fuse.
struct Known {
    WeightUnit unit;
    std::string name;
    Role role;
};

class Namer {
  public:
    Namer(EngineTrace& engine, const ModelIndex& index) : engine_(engine) {
        for (const IndexedWeight& weight : index.weights) {
            // Looked up, not multiplied; where it is tied, the other use is the LM head.
            const bool is_embedding = weight.role.part == Part::embedding;
            add({&weight}, is_embedding ? Part::head : weight.role.part);
            layers_[{weight.role.layer, weight.role.expert}][weight.role.part] = &weight;
        }
        for (const auto& [layer, parts] : layers_) {
            if (layer.first < 0) continue;
            add_sum(parts, {Part::q, Part::k, Part::v}, Part::qkv);
            add_sum(parts, {Part::k, Part::v}, Part::other);
            add_sum(parts, {Part::gate, Part::up}, Part::gate_up);
            add_sum(parts, {Part::expert_gate, Part::expert_up}, Part::gate_up);
        }
    }

    void name_all() {
        for (const WeightUnit& unit : units_of(engine_)) {
            const Known* known = nearest(unit);
            if (known == nullptr) continue;
            for (const int part : unit.weights())
                give(engine_.weights[static_cast<std::size_t>(part)], *known, unit.count);
        }
    }

  private:
    using Shape = std::array<std::int64_t, 2>;
    using Parts = std::map<Part, const IndexedWeight*>;

    void add(const std::vector<const IndexedWeight*>& weights, Part part) {
        std::vector<const WeightRecord*> records;
        std::string name;
        for (const IndexedWeight* weight : weights) {
            records.push_back(&weight->record);
            name += (name.empty() ? "" : " + ") + weight->record.name;
        }
        Known known{unit_of(records), std::move(name), weights.front()->role};
        if (known.unit.count == 0) return;
        known.role.part = part;
        known_[{known.unit.rows, known.unit.cols}].push_back(std::move(known));
    }

    void add_sum(const Parts& parts, std::initializer_list<Part> wanted, Part fused) {
        std::vector<const IndexedWeight*> weights;
        for (const Part part : wanted) {
            const auto found = parts.find(part);
            if (found == parts.end() ||
                found->second->record.cols != parts.find(*wanted.begin())->second->record.cols)
                return;
            weights.push_back(found->second);
        }
        add(weights, fused);
    }

    const Known* nearest(const WeightUnit& unit) const {
        const auto bucket = known_.find({unit.rows, unit.cols});
        if (bucket == known_.end()) return nullptr;
        const Known* best = nullptr;
        double best_distance = max_distance;
        for (const Known& known : bucket->second) {
            // A sum against a sum is found part by part.
            if (unit.count > 1 && known.unit.count > 1) continue;
            const double d = distance(known.unit, unit);
            // Of equal ones the last: an LM head stands behind the embedding that it is tied to.
            if (d > best_distance) continue;
            best = &known;
            best_distance = d;
        }
        if (best == nullptr) return nullptr;
        for (const Known& known : bucket->second) {
            const double d = distance(known.unit, unit);
            const bool is_copy = d <= 2 * best_distance + 1e-5;
            if (!is_copy && d < clearly * best_distance && d < 2 * max_distance) return nullptr;
        }
        return best;
    }

    static void give(Weight& weight, const Known& known, int parts) {
        if (weight.named_by_engine || !weight.name.empty()) return;
        weight.name = parts == 1 ? known.name : known.name + " (part)";
        weight.role = known.role;
    }

    EngineTrace& engine_;
    std::map<std::pair<int, int>, Parts> layers_;
    std::map<Shape, std::vector<Known>> known_;
};

}  // namespace

void name_weights(EngineTrace& engine, const ModelIndex& index) {
    Namer{engine, index}.name_all();
}

}  // namespace orch
