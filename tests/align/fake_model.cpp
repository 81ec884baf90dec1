#include "tests/align/fake_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

namespace orch {
namespace {

using Row = std::array<double, 16>;

std::string numbers(const Row& row) {
    return fmt::format("[{:.9g}]", fmt::join(row, ","));
}

double energy_of(const Row& row) {
    double energy = 0;
    for (const double value : row)
        energy += value * value;
    return energy;
}

double sum_of(const Row& row) {
    double sum = 0;
    for (const double value : row)
        sum += value;
    return sum;
}

Row random_row(std::mt19937& random) {
    std::normal_distribution<double> normal;
    Row row;
    for (double& value : row)
        value = normal(random);
    return row;
}

/// The same text gives the same matrix in every engine.
Row row_named(const std::string& text) {
    std::seed_seq seed(text.begin(), text.end());
    std::mt19937 random(seed);
    return random_row(random);
}

std::string side_text(const std::string& tag, std::int64_t rows, std::int64_t cols,
                      std::int64_t winner, bool is_zero, bool has_nan) {
    const Row row = is_zero ? Row{} : row_named(tag);
    std::string text = fmt::format(
        R"({{"dtype":"f32","rows":{},"cols":{},"energy":{:.9g},"sum":{:.9g},"mean":0,"absmax":1,)",
        rows, cols, energy_of(row) * static_cast<double>(rows), sum_of(row));
    if (winner >= 0) text += fmt::format(R"("argmax":{},)", (rows - 1) * cols + winner);
    if (has_nan) text += R"("nan":3,"pos_inf":0,"neg_inf":0,)";
    text += fmt::format(R"("mixed":{})", numbers(row));
    if (rows > 1) {
        text += fmt::format(R"(,"last_row":{{"energy":{:.9g},"sum":{:.9g},"absmax":1,)",
                            energy_of(row), sum_of(row));
        if (winner >= 0) text += fmt::format(R"("argmax":{},)", winner);
        text += fmt::format(R"("sketch":{}}})", numbers(row));
    }
    return text + "}";
}

}  // namespace

FakeWeight random_weight(std::size_t outputs, std::int64_t inputs, unsigned seed) {
    std::mt19937 random(seed);
    FakeWeight weight;
    weight.inputs = inputs;
    for (std::size_t i = 0; i < outputs; ++i)
        weight.rows.push_back(random_row(random));
    return weight;
}

FakeWeight stacked(const std::vector<FakeWeight>& parts) {
    FakeWeight result = parts.front();
    for (std::size_t i = 1; i < parts.size(); ++i)
        result.rows.insert(result.rows.end(), parts[i].rows.begin(), parts[i].rows.end());
    return result;
}

FakeWeight half_split(const FakeWeight& weight, std::size_t head) {
    FakeWeight result = weight;
    for (std::size_t row = 0; row < weight.rows.size(); ++row) {
        const std::size_t in_head = row % head;
        const std::size_t pair = in_head / 2;
        result.rows[row - in_head + pair + (in_head % 2) * (head / 2)] = weight.rows[row];
    }
    return result;
}

FakeWeight rounded(const FakeWeight& weight, double relative, const std::string& dtype,
                   unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    FakeWeight result = weight;
    result.dtype = dtype;
    for (Row& row : result.rows) {
        for (double& value : row)
            value *= 1 + relative * normal(random);
    }
    return result;
}

FakeWeight scaled(const FakeWeight& weight, double factor) {
    FakeWeight result = weight;
    for (Row& row : result.rows) {
        for (double& value : row)
            value *= factor;
    }
    return result;
}

std::string weight_line(const std::string& id, const FakeWeight& weight, const std::string& name) {
    Row sketch{};
    double energy = 0;
    for (const Row& row : weight.rows) {
        energy += energy_of(row);
        for (std::size_t j = 0; j < row.size(); ++j)
            sketch[j] += row[j];
    }
    std::string digests;
    const std::size_t last = weight.rows.size() - 1;
    for (std::size_t row = 0; row <= last; ++row) {
        const bool shown = row == last || row == 0 || (row <= 32 && (row & (row - 1)) == 0);
        if (!shown) continue;
        digests += fmt::format(
            R"({}{{"row":{},"energy":{:.9g},"sum":{:.9g},"absmax":1,"max":1,"argmax":0,"sketch":{}}})",
            digests.empty() ? "" : ",", row, energy_of(weight.rows[row]), sum_of(weight.rows[row]),
            numbers(weight.rows[row]));
    }
    return fmt::format(
        R"("kind":"weight","weight":"{}",{}"energy":{:.9g},"sum":{:.9g},"absmax":1,"sketch":{},"row_digests":[{}],"values":[]}})"
        "\n",
        id, name.empty() ? "" : fmt::format(R"("name":"{}",)", name), energy, sum_of(sketch),
        numbers(sketch), digests);
}

std::string FakeTrace::head(const std::string& checkpoint, std::int64_t token,
                            const std::string& dtype, const std::string& shape) const {
    return fmt::format(
        R"({{"ts":"2026-01-31T12:00:00.000Z","team":"{}","checkpoint":"{}","token_idx":{},"dtype":"{}","shape":"{}",)",
        team_, checkpoint, token, dtype, shape);
}

void FakeTrace::pass(const std::vector<int>& tokens, std::int64_t first_position) {
    ++pass_;
    first_position_ = first_position;
    pass_tokens_ = static_cast<std::int64_t>(tokens.size());
    std::vector<std::int64_t> positions;
    for (std::size_t i = 0; i < tokens.size(); ++i)
        positions.push_back(first_position + static_cast<std::int64_t>(i));
    ++counts_["pass"];
    lines_.push_back(
        head("pass", positions.back(), "i32", "[]") +
        fmt::format(
            R"("kind":"pass","pass":{},"op":"llama_decode","n_tokens":{},"tokens":[{}],"token_positions":[{}],"values":[]}})"
            "\n",
            pass_, tokens.size(), fmt::join(tokens, ","), fmt::join(positions, ",")));
}

void FakeTrace::weight(const std::string& id, const FakeWeight& weight, const std::string& name) {
    if (std::exchange(known_weights_[id], true)) return;
    ++counts_["weight"];
    lines_.push_back(head("weight." + id, 0, weight.dtype,
                          fmt::format("[{},{}]", weight.rows.size(), weight.inputs)) +
                     weight_line(id, weight, name));
}

std::string FakeTrace::place() const {
    return pass_ < 0 ? R"("positions":"row")"
                     : fmt::format(R"("pass":{},"positions":"token")", pass_);
}

void FakeTrace::product(const FakeProduct& p) {
    const std::int64_t first = pass_ < 0 ? 0 : first_position_ + pass_tokens_ - p.rows;
    const std::string checkpoint = pass_ < 0 ? fmt::format("gemm.{:06}", call_)
                                             : "gemm." + p.weight.substr(0, p.weight.size() - 7);
    ++counts_["gemm"];
    lines_.push_back(
        head(checkpoint, first + p.rows - 1, "f32", fmt::format("[{},{}]", p.rows, p.outputs)) +
        fmt::format(
            R"("kind":"gemm","call":{},"op":"sgemm_",{},"first_position":{},{}"x":{},"y":{},"values":[]}})"
            "\n",
            call_, place(), first,
            p.weight.empty() ? "" : fmt::format(R"("weight":"{}",)", p.weight),
            side_text(p.x, p.rows, p.inputs, -1, p.x_is_zero, false),
            side_text(p.y, p.rows, p.outputs, p.winner, false, p.y_has_nan)));
    ++call_;
}

void FakeTrace::tensor(const std::string& checkpoint, std::int64_t rows, std::int64_t cols) {
    const std::int64_t first = first_position_ + pass_tokens_ - rows;
    ++counts_["checkpoint"];
    lines_.push_back(
        head(checkpoint, first + rows - 1, "f32", fmt::format("[{},{}]", rows, cols)) +
        fmt::format(
            R"("kind":"checkpoint","call":{},"name":"t","op":"ADD",{},"first_position":{},"y":{},"values":[]}})"
            "\n",
            call_, place(), first,
            side_text(checkpoint + std::to_string(first), rows, cols, -1, false, false)));
    ++call_;
}

void FakeTrace::log(const std::string& checkpoint, std::int64_t token, const std::string& shape) {
    ++counts_["log"];
    lines_.push_back(head(checkpoint, token, "f32", shape) + R"("values":[1,2]})" + "\n");
}

std::string FakeTrace::text() const {
    return fmt::format("{}", fmt::join(lines_, ""));
}

std::string FakeTrace::whole() const {
    std::string classes;
    for (const char* name : {"gemm", "checkpoint", "weight", "pass", "log"}) {
        const auto found = counts_.find(name);
        const std::uint64_t count = found == counts_.end() ? 0 : found->second;
        classes += fmt::format(R"({}"{}":{{"seen":{},"recorded":{},"filtered":0,"dropped":0}})",
                               classes.empty() ? "" : ",", name, count, count);
    }
    return head("orchtrace.header", 0, "", "[]") +
           R"("kind":"header","schema":1,"version":"0.1.0","pid":1,"ppid":1,"host":"h",)"
           R"("executable":"e","argv":[],"isa":"avx2","backend":"preload","config":{},)"
           R"("libraries":[],"problems":[],"values":[]})"
           "\n" +
           text() + head("orchtrace.ledger", 0, "", "[]") +
           fmt::format(
               R"("kind":"ledger","final":true,"classes":{{{}}},"row_lines":0,"dropped_rows":0,"lines":{},"lost_lines":0,"values":[]}})"
               "\n",
               classes, lines_.size() + 1);
}

FakeModel fake_model(int layers, unsigned seed) {
    FakeModel model;
    model.layers = layers;
    const auto add = [&](const std::string& name, std::size_t outputs, std::int64_t inputs) {
        model.weights[name] = random_weight(outputs, inputs, seed++);
    };
    for (int layer = 0; layer < layers; ++layer) {
        const std::string head = std::to_string(layer) + ".";
        add(head + "q", 64, 64);
        add(head + "k", 32, 64);
        add(head + "v", 32, 64);
        add(head + "o", 64, 64);
        add(head + "gate", 96, 64);
        add(head + "up", 96, 64);
        add(head + "down", 64, 96);
    }
    add("head", 160, 64);
    return model;
}

namespace {

/// One run of an engine, call by call.
class Runner {
  public:
    Runner(const FakeModel& model, const FakeEngine& engine, FakeTrace& trace)
        : model_(model), engine_(engine), trace_(trace) {}

    void run() {
        std::int64_t position = 0;
        for (std::size_t pass = 0; pass < engine_.passes.size(); ++pass) {
            tokens_ = engine_.passes[pass];
            const std::vector<int> ids(engine_.tokens.begin() + position,
                                       engine_.tokens.begin() + position + tokens_);
            input_ = fmt::format("{}", fmt::join(ids, "-"));
            position_ = position;
            const bool logits = engine_.logits.empty() || engine_.logits[pass];
            const std::int64_t winner = pass < engine_.winners.size() ? engine_.winners[pass] : 5;
            if (engine_.named && engine_.telling) trace_.pass(ids, position);
            for (int layer = 0; layer < model_.layers; ++layer)
                run_layer(layer, logits);
            if (logits) multiply({{-1, "head"}}, "final", 1, winner);
            position += tokens_;
        }
    }

  private:
    struct Part {
        int layer;
        std::string op;
    };

    static std::string gguf_name(const Part& part) {
        static const std::map<std::string, std::string> words = {
            {"q", "attn_q"},      {"k", "attn_k"},  {"v", "attn_v"},      {"o", "attn_output"},
            {"gate", "ffn_gate"}, {"up", "ffn_up"}, {"down", "ffn_down"}, {"head", "output"}};
        const std::string word = words.at(part.op);
        return part.layer < 0 ? word + ".weight"
                              : fmt::format("blk.{}.{}.weight", part.layer, word);
    }

    FakeWeight weight(const Part& part) const {
        if (engine_.weight_of) return engine_.weight_of(part.layer, part.op);
        return model_.weights.at(part.layer < 0 ? part.op
                                                : fmt::format("{}.{}", part.layer, part.op));
    }

    std::string id(const std::vector<Part>& parts) {
        if (engine_.named) return gguf_name(parts.front());
        if (engine_.id_of) {
            const std::string own = engine_.id_of(parts.front().layer, parts.front().op);
            if (!own.empty()) return own;
        }
        const std::string key = fmt::format("{}.{}", parts.front().layer, parts.front().op);
        const auto [found, fresh] = ids_.try_emplace(key, "");
        if (fresh) found->second = fmt::format("w{}", 1000 + ids_.size());
        return found->second;
    }

    void multiply(const std::vector<Part>& parts, const std::string& input, std::int64_t rows,
                  std::int64_t winner = -1) {
        std::vector<FakeWeight> weights;
        for (const Part& part : parts)
            weights.push_back(weight(part));
        const FakeWeight all = stacked(weights);
        const std::string own = id(parts);
        trace_.weight(own, all, engine_.named ? own : "");
        FakeProduct product;
        product.weight = own;
        product.x = input_ + "." + input;
        product.y = product.x + "." + parts.front().op;
        product.rows = rows;
        product.inputs = all.inputs;
        product.outputs = static_cast<std::int64_t>(all.rows.size());
        product.winner = winner;
        trace_.product(product);
    }

    void run_layer(int layer, bool logits) {
        const auto in = [&](const char* what) { return fmt::format("{}.{}", layer, what); };
        const bool last = engine_.narrows && layer + 1 == model_.layers;
        if (engine_.fused_qkv) {
            multiply({{layer, "q"}, {layer, "k"}, {layer, "v"}}, in("attn"), tokens_);
        } else {
            multiply({{layer, "q"}}, in("attn"), tokens_);
            // llama.cpp's order, and PyTorch's.
            multiply({{layer, engine_.named ? "v" : "k"}}, in("attn"), tokens_);
            multiply({{layer, engine_.named ? "k" : "v"}}, in("attn"), tokens_);
        }
        attend(layer);
        multiply({{layer, "o"}}, in("context"), tokens_);
        if (last && !logits) return;
        const std::int64_t rows = last ? 1 : tokens_;
        if (engine_.fused_gate_up) {
            multiply({{layer, "gate"}, {layer, "up"}}, in("ffn"), rows);
        } else {
            multiply({{layer, "gate"}}, in("ffn"), rows);
            multiply({{layer, "up"}}, in("ffn"), rows);
        }
        multiply({{layer, "down"}}, in("act"), rows);
        if (engine_.named && engine_.telling)
            trace_.tensor(fmt::format("layer_{}_output", layer), rows, 64);
    }

    /// Queries by keys and weights by values of each head: operands that no other pass uses.
    void attend(int layer) {
        const std::int64_t context = position_ + tokens_;
        for (int head = 0; head < engine_.heads; ++head) {
            for (const bool keys : {true, false}) {
                // One id for each content, over all requests of a trace.
                const std::string operand = fmt::format("w{}", 100000 + trace_.calls());
                const auto rows = static_cast<std::size_t>(keys ? context : 16);
                trace_.weight(operand,
                              random_weight(rows, keys ? 16 : context,
                                            static_cast<unsigned>(trace_.calls() + 77777)));
                FakeProduct product;
                product.weight = operand;
                product.x = fmt::format("{}.{}.{}.{}", input_, layer, head, keys);
                product.y = product.x + "y";
                product.rows = tokens_;
                product.inputs = keys ? 16 : context;
                product.outputs = static_cast<std::int64_t>(rows);
                trace_.product(product);
            }
        }
    }

    const FakeModel& model_;
    const FakeEngine& engine_;
    FakeTrace& trace_;
    std::map<std::string, std::string> ids_;
    std::int64_t tokens_ = 0;
    std::int64_t position_ = 0;
    std::string input_;
};

}  // namespace

void run(const FakeModel& model, const FakeEngine& engine, FakeTrace& trace) {
    Runner{model, engine, trace}.run();
}

FakeTrace run(const FakeModel& model, const FakeEngine& engine) {
    FakeTrace trace(engine.team);
    run(model, engine, trace);
    return trace;
}

FakeEngine llama() {
    FakeEngine engine;
    engine.team = "llama.cpp";
    engine.named = true;
    engine.narrows = true;
    return engine;
}

FakeEngine torch() {
    FakeEngine engine;
    engine.team = "pytorch";
    engine.heads = 2;
    return engine;
}

}  // namespace orch
