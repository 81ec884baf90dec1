// A small model of random weights, and engines that run it: the traces that they would leave, with
// digests that add up as real ones do.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace orch {

/// A weight of sixteen inputs, so that a row is its own sketch; a trace may call them more.
struct FakeWeight {
    std::vector<std::array<double, 16>> rows;
    std::int64_t inputs = 16;
    std::string dtype = "f32";
};

FakeWeight random_weight(std::size_t outputs, std::int64_t inputs, unsigned seed);
/// One below the other.
FakeWeight stacked(const std::vector<FakeWeight>& parts);
/// The rows of heads of `head`, first halves first: as Hugging Face has them, from GGUF's.
FakeWeight half_split(const FakeWeight& weight, std::size_t head);
/// Every value off by a random share.
FakeWeight rounded(const FakeWeight& weight, double relative, const std::string& dtype,
                   unsigned seed);
FakeWeight scaled(const FakeWeight& weight, double factor);

/// The second half of a line of JSON, from "kind" to its line feed.
std::string weight_line(const std::string& id, const FakeWeight& weight,
                        const std::string& name = {});

struct FakeProduct {
    std::string weight;  ///< id; empty: none
    std::string x;       ///< what it reads: equal texts, equal digests
    std::string y;
    std::int64_t rows = 1;
    std::int64_t inputs = 16;
    std::int64_t outputs = 16;
    std::int64_t winner = -1;  ///< argmax of the last row
    bool x_is_zero = false;
    bool y_has_nan = false;
};

/// What an engine writes, call by call.
class FakeTrace {
  public:
    explicit FakeTrace(std::string team) : team_(std::move(team)) {}

    /// Passes are told from here on.
    void pass(const std::vector<int>& tokens, std::int64_t first_position);
    void weight(const std::string& id, const FakeWeight& weight, const std::string& name = {});
    void product(const FakeProduct& product);
    void tensor(const std::string& checkpoint, std::int64_t rows, std::int64_t cols);
    void log(const std::string& checkpoint, std::int64_t token, const std::string& shape);
    void line(const std::string& text) { lines_.push_back(text); }
    /// A header in front, a ledger behind that counts everything.
    std::string whole() const;
    std::vector<std::string> lines() const { return lines_; }
    std::string text() const;
    std::int64_t calls() const { return call_; }

  private:
    std::string head(const std::string& checkpoint, std::int64_t token, const std::string& dtype,
                     const std::string& shape) const;
    std::string place() const;

    std::string team_;
    std::vector<std::string> lines_;
    std::map<std::string, std::uint64_t> counts_;
    std::map<std::string, bool> known_weights_;
    std::int64_t call_ = 0;
    std::int64_t pass_ = -1;
    std::int64_t first_position_ = 0;
    std::int64_t pass_tokens_ = 0;
};

struct FakeModel {
    int layers = 3;
    std::map<std::string, FakeWeight> weights;  ///< "0.q", …, "head"
    const FakeWeight& at(int layer, const std::string& op) const {
        return weights.at(std::to_string(layer) + "." + op);
    }
};

FakeModel fake_model(int layers = 3, unsigned seed = 1);

/// How an engine goes about it.
struct FakeEngine {
    std::string team = "engine";
    bool named = false;
    bool fused_qkv = false;
    bool fused_gate_up = false;
    int heads = 0;         ///< attention products in each layer and pass, two a head
    bool narrows = false;  ///< its last layer goes on with the last row alone
    bool telling = true;   ///< a named engine that tells its passes
    std::vector<std::int64_t> passes{4, 1, 1};
    std::vector<bool> logits;  ///< by pass; empty: in all
    std::vector<int> tokens{7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};
    std::vector<std::int64_t> winners;                                      ///< by pass
    std::function<FakeWeight(int layer, const std::string& op)> weight_of;  ///< null: the model's
    /// Ids of nameless weights by place; null: each place has its own.
    std::function<std::string(int layer, const std::string& op)> id_of;
};

/// Runs it and adds to the trace.
void run(const FakeModel& model, const FakeEngine& engine, FakeTrace& trace);
FakeTrace run(const FakeModel& model, const FakeEngine& engine);

FakeEngine llama();
FakeEngine torch();

}  // namespace orch
