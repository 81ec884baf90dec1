#include "preload/ggml_plan.hpp"

#include <sys/mman.h>

#include <new>

#include "preload/ggml_notes.hpp"

namespace orch {
namespace {

/// Engines run graphs on a few threads that live as long as they do (Node's pool has four); a plan
/// is 60 MB of address space, and touched only as far as it is used.
thread_local constinit GraphPlan* plan_of_thread = nullptr;

GraphPlan* thread_plan() noexcept {
    if (plan_of_thread != nullptr) return plan_of_thread;
    void* memory = ::mmap(nullptr, sizeof(GraphPlan), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    plan_of_thread = static_cast<GraphPlan*>(memory);  // its parts are set before they are read
    return plan_of_thread;
}

class Planner {
  public:
    Planner(const GgmlApi& api, GraphPlan& plan, Notes& notes)
        : api_(api), plan_(plan), notes_(notes) {}

    void add(void* node) noexcept {
        const TensorNote* note = notes_.find(node);
        if (note == nullptr) return;
        const std::string_view op = api_.op(node);
        if (note->kind == NoteKind::rope && op == "ROPE") add_positions(node, *note);
        if (note->kind == NoteKind::rows && op == "GET_ROWS") add_rows(node, *note);
        if (note->kind == NoteKind::product && note->wanted_product && op.starts_with("MUL_MAT")) {
            add_product(node, *note);
        }
        // The name says whether this is still the tensor that the note is about.
        StableName name;
        if (note->wanted && stable_name(api_.name(node), op, name) &&
            std::string_view{name.checkpoint} == note->name.checkpoint) {
            add_checkpoint(node, *note);
        }
    }

  private:
    void add_positions(void* node, const TensorNote& note) noexcept {
        if (plan_.positions != nullptr) return;
        plan_.positions = note.index;
        plan_.tokens = api_.shape(node).ne[2];
    }

    void add_rows(void* node, const TensorNote& note) noexcept {
        if (note.index == nullptr || !api_.is_leaf(note.index)) return;
        const bool is_embedding = api_.is_leaf(note.source);
        if (is_embedding && plan_.tokens == 0) plan_.tokens = api_.shape(node).ne[1];
        if (!is_embedding && plan_.outputs == nullptr) plan_.outputs = note.index;
    }

    int tensor_index(void* tensor) noexcept {
        // Inputs of products are shared by neighbours: q, k and v; gate and up.
        for (int i = plan_.tensors - 1; i >= 0 && i >= plan_.tensors - 16; --i) {
            if (plan_.tensor[i].tensor == tensor) return i;
        }
        if (plan_.tensors == GraphPlan::max_tensors) return -1;
        plan_.tensor[plan_.tensors].tensor = tensor;
        plan_.tensor[plan_.tensors].product = -1;
        return plan_.tensors++;
    }

    PlannedRecord* new_record(void* node) noexcept {
        const int result = tensor_index(node);
        if (result < 0 || plan_.records == GraphPlan::max_records) {
            plan_.truncated = true;
            return nullptr;
        }
        auto* record = new (&plan_.record[plan_.records++]) PlannedRecord;
        record->result = result;
        return record;
    }

    void add_product(void* node, const TensorNote& note) noexcept {
        const int input = tensor_index(note.source);
        PlannedRecord* record = new_record(node);
        if (record == nullptr) return;
        record->input = input;
        record->weight = note.weight;
        if (input >= 0) {
            int* link = &plan_.tensor[input].product;
            while (*link >= 0)
                link = &plan_.record[*link].next_product;
            *link = static_cast<int>(record - plan_.record);
        }
        record->group = CheckpointGroup::gemm;
        record->checkpoint = product_name(api_.name(note.weight));
        set_callback(*record, note.by_callback || input < 0);
    }

    /// One name may stand for several steps (a product, then its bias): the last one keeps it.
    void add_checkpoint(void* node, const TensorNote& note) noexcept {
        PlannedRecord* record = nullptr;
        for (int i = plan_.records - 1; i >= 0 && i >= plan_.records - 64; --i) {
            PlannedRecord& earlier = plan_.record[i];
            if (earlier.weight == nullptr &&
                std::string_view{earlier.checkpoint} == note.name.checkpoint) {
                record = &earlier;
            }
        }
        if (record != nullptr) {
            const int result = tensor_index(node);
            if (result >= 0) record->result = result;
        } else {
            record = new_record(node);
        }
        if (record == nullptr) return;
        record->checkpoint = note.name.checkpoint;
        record->group = note.name.group;
        set_callback(*record, note.by_callback);
    }

    void set_callback(PlannedRecord& record, bool by_callback) noexcept {
        record.by_callback = by_callback;
        plan_.uses_callback = plan_.uses_callback || by_callback;
    }

    const GgmlApi& api_;
    GraphPlan& plan_;
    Notes& notes_;
};

}  // namespace

GraphPlan* plan_graph(const GgmlApi& api, void* graph) noexcept {
    GraphPlan* plan = thread_plan();
    if (plan == nullptr) return nullptr;
    const int nodes = api.graph_n_nodes(graph);
    const std::uint64_t generation = Notes::generation();
    if (plan->graph == graph && plan->nodes == nodes && plan->generation == generation) return plan;
    plan->graph = graph;
    plan->nodes = nodes;
    plan->generation = generation;
    plan->tensors = plan->records = 0;
    plan->uses_callback = plan->truncated = false;
    plan->positions = plan->outputs = nullptr;
    plan->tokens = 0;
    Notes notes;
    Planner planner(api, *plan, notes);
    for (int i = 0; i < nodes; ++i)
        planner.add(api.graph_node(graph, i));
    return plan;
}

}  // namespace orch
