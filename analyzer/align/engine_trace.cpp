#include "analyzer/align/engine_trace.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <unordered_map>
#include <utility>

#include "analyzer/align/index_names.hpp"
#include "analyzer/align/pass_cut.hpp"

namespace orch {
namespace {

/// w1, w2, …: ids that orchtrace gives, no names.
bool is_given_id(std::string_view id) {
    return id.size() > 1 && id[0] == 'w' &&
           std::all_of(id.begin() + 1, id.end(),
                       [](unsigned char c) { return std::isdigit(c) != 0; });
}

class Reader {
  public:
    Reader(const Trace& trace, const RunRange& run, RunSummary facts)
        : parser_(trace), entries_(trace.entries()) {
        engine_.trace = &trace;
        engine_.run = run;
        engine_.path = trace.path();
        for (const std::string& team : facts.teams) {
            if (engine_.team.empty()) engine_.team = team;
        }
        engine_.facts = std::move(facts);
    }

    EngineTrace read(const ModelIndex* index) {
        sort_entries();
        add_products();
        if (index != nullptr) name_weights(engine_, *index);
        if (tells_passes_)
            add_told_passes();
        else
            cut_passes(engine_);
        add_tensors();
        drop_empty_input();
        count_passes();
        mark_activations();
        return std::move(engine_);
    }

  private:
    void sort_entries() {
        for (std::size_t i = engine_.run.begin; i < engine_.run.end; ++i) {
            const Entry& entry = entries_[i];
            switch (entry.kind) {
                case RecordKind::gemm:
                    calls_.push_back(i);
                    tells_passes_ = tells_passes_ || entry.pass >= 0;
                    break;
                case RecordKind::checkpoint:
                    tensors_.push_back(i);
                    tells_passes_ = tells_passes_ || entry.pass >= 0;
                    break;
                case RecordKind::log:
                    engine_.logs.push_back(i);
                    break;
                case RecordKind::weight:
                    add_weight(entry);
                    break;
                case RecordKind::pass:
                    pass_records_.push_back(i);
                    tells_passes_ = true;
                    break;
                default:
                    break;
            }
        }
        // Threads' lines are mixed in the file; calls are numbered.
        const auto earlier = [this](std::size_t a, std::size_t b) {
            return entries_[a].call < entries_[b].call;
        };
        std::stable_sort(calls_.begin(), calls_.end(), earlier);
        std::stable_sort(tensors_.begin(), tensors_.end(), earlier);
    }

    void add_weight(const Entry& entry) {
        const auto [found, fresh] =
            weight_of_.try_emplace(entry.weight, static_cast<int>(engine_.weights.size()));
        if (!fresh) return;
        Weight weight;
        weight.record = parser_.weight(entry);
        weight.record.id = engine_.trace->string(entry.weight);
        weight.is_activation = weight.record.is_activation();
        name(weight);
        engine_.weights.push_back(std::move(weight));
    }

    static void name(Weight& weight) {
        weight.name = weight.record.name;
        if (weight.name.empty() && !is_given_id(weight.record.id)) weight.name = weight.record.id;
        weight.named_by_engine = !weight.name.empty();
        if (weight.named_by_engine) weight.role = role_of(weight.name);
    }

    /// Its own record may be missing: then its shape is known, and maybe its name.
    int weight_of(const Entry& entry) {
        if (entry.weight == 0) return -1;
        const auto [found, fresh] =
            weight_of_.try_emplace(entry.weight, static_cast<int>(engine_.weights.size()));
        if (fresh) {
            Weight weight;
            weight.record.id = engine_.trace->string(entry.weight);
            weight.record.rows = entry.y_cols;
            weight.record.cols = entry.x_cols;
            name(weight);
            engine_.weights.push_back(std::move(weight));
        }
        ++engine_.weights[static_cast<std::size_t>(found->second)].uses;
        return found->second;
    }

    void add_products() {
        engine_.products.reserve(calls_.size());
        for (const std::size_t call : calls_)
            engine_.products.push_back({call, weight_of(entries_[call]), -1});
    }

    void add_told_passes() {
        number_passes();
        for (const std::size_t record : pass_records_) {
            const PassRecord told = parser_.pass(entries_[record]);
            if (entries_[record].pass < 0) continue;
            Pass& pass = engine_.passes[static_cast<std::size_t>(pass_of_[entries_[record].pass])];
            pass.told = true;
            pass.tokens = told.n_tokens;
            pass.token_ids = told.tokens;
            pass.positions = told.positions;
            if (!told.positions.empty()) pass.first_position = told.positions.front();
            if (engine_.kv_dtype.empty()) engine_.kv_dtype = told.kv_dtype;
        }
        for (std::size_t i = 0; i < engine_.products.size(); ++i) {
            Product& product = engine_.products[i];
            product.pass = place(engine_.entry(product));
            if (product.pass >= 0)
                engine_.passes[static_cast<std::size_t>(product.pass)].products.push_back(i);
        }
    }

    /// Passes of several threads stand in the file in any order; their numbers tell.
    void number_passes() {
        for (const std::vector<std::size_t>* list : {&pass_records_, &calls_, &tensors_}) {
            for (const std::size_t entry : *list) {
                if (entries_[entry].pass >= 0) pass_of_.emplace(entries_[entry].pass, 0);
            }
        }
        for (auto& [number, index] : pass_of_) {
            index = static_cast<int>(engine_.passes.size());
            engine_.passes.emplace_back();
        }
    }

    /// The pass of a call; a pass without a record of its own is known by its calls.
    int place(const Entry& entry) {
        if (entry.pass < 0) return -1;
        const int index = pass_of_[entry.pass];
        Pass& pass = engine_.passes[static_cast<std::size_t>(index)];
        if (!pass.told) {
            const bool first = pass.tokens == 0;
            pass.tokens = std::max(pass.tokens, static_cast<std::int64_t>(entry.rows));
            if (entry.token_positions) {
                pass.first_position = first ? entry.first_position
                                            : std::min(pass.first_position, entry.first_position);
            }
        }
        return index;
    }

    void add_tensors() {
        for (const std::size_t tensor : tensors_) {
            const int pass = tells_passes_ ? place(entries_[tensor]) : -1;
            if (pass >= 0)
                engine_.passes[static_cast<std::size_t>(pass)].tensors.push_back(tensor);
            else
                engine_.tensors.push_back(tensor);
        }
    }

    /// An engine that makes room for its buffers runs on zeros first.
    void drop_empty_input() {
        const auto is_empty = [this](const Pass& pass) {
            if (pass.products.empty()) return false;
            const CallRecord call = parser_.call(engine_.entry(engine_.products[pass.products[0]]));
            return call.x && call.x->energy == 0 && call.x->nonfinite.total() == 0;
        };
        std::size_t empty = 0;
        while (empty < engine_.passes.size() && is_empty(engine_.passes[empty]))
            ++empty;
        if (empty == engine_.passes.size()) return;
        for (std::size_t i = 0; i < empty; ++i)
            engine_.passes[i].dropped = "warm-up on zeros";
        if (empty == 0 || tells_passes_) return;
        const std::int64_t shift = engine_.passes[empty].first_position;
        for (std::size_t i = empty; i < engine_.passes.size(); ++i) {
            if (i > empty && engine_.passes[i].first_position == 0) break;
            engine_.passes[i].first_position -= shift;
        }
    }

    void count_passes() {
        std::vector<int> last(engine_.weights.size(), -1);
        for (std::size_t i = 0; i < engine_.passes.size(); ++i) {
            for (const std::size_t index : engine_.passes[i].products) {
                const int weight = engine_.products[index].weight;
                if (weight < 0) continue;
                int& pass = last[static_cast<std::size_t>(weight)];
                if (pass == static_cast<int>(i)) continue;
                pass = static_cast<int>(i);
                ++engine_.weights[static_cast<std::size_t>(weight)].passes;
            }
        }
    }

    /// Only from its second content on does an address show that it holds no weight. Attention has
    /// operands of one pass, as long as the context: [context, head] and as many [head, context].
    void mark_activations() {
        for (const Pass& pass : engine_.passes) {
            const std::int64_t context = pass.first_position + pass.tokens;
            std::map<std::array<std::int64_t, 2>, int> count;
            for (const std::size_t index : pass.products) {
                const Entry& entry = engine_.entry(engine_.products[index]);
                ++count[{entry.y_cols, entry.x_cols}];
            }
            for (const std::size_t index : pass.products) {
                const int number = engine_.products[index].weight;
                if (number < 0) continue;
                Weight& weight = engine_.weights[static_cast<std::size_t>(number)];
                const std::int64_t rows = weight.record.rows;
                const std::int64_t cols = weight.record.cols;
                const bool fits =
                    (rows == context || cols == context) && std::min(rows, cols) <= longest_head;
                if (weight.passes != 1 || weight.named_by_engine || !fits) continue;
                const auto mirrored = count.find({cols, rows});
                if (mirrored != count.end() && mirrored->second == count[{rows, cols}] &&
                    (rows != cols || mirrored->second > 1))
                    weight.is_activation = true;
            }
        }
    }

    static constexpr std::int64_t longest_head = 256;
    RecordParser parser_;
    std::span<const Entry> entries_;
    EngineTrace engine_;
    std::vector<std::size_t> calls_;
    std::vector<std::size_t> tensors_;
    std::vector<std::size_t> pass_records_;
    std::unordered_map<StringId, int> weight_of_;
    std::map<int, int> pass_of_;  ///< by number
    bool tells_passes_ = false;
};

}  // namespace

EngineTrace read_engine(const Trace& trace, const RunRange& run, RunSummary facts,
                        const ModelIndex* index) {
    return Reader{trace, run, std::move(facts)}.read(index);
}

}  // namespace orch
