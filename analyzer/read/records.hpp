// The numbers of single records (docs/FORMAT.md), parsed on demand.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "analyzer/read/trace.hpp"

namespace orch {
inline namespace reading {

using Sketch = std::array<double, 16>;

struct Nonfinite {
    std::int64_t nan = 0;
    std::int64_t pos_inf = 0;
    std::int64_t neg_inf = 0;
    std::int64_t total() const { return nan + pos_inf + neg_inf; }
};

struct RowDigest {
    double energy = 0;
    double sum = 0;
    double absmax = 0;
    std::optional<double> max;
    std::optional<std::int64_t> argmax;
    Nonfinite nonfinite;
    std::optional<Sketch> sketch;  ///< none: not representable
};

/// One side of a product, or a checkpoint's tensor.
struct Side {
    std::string dtype;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    double energy = 0;
    double sum = 0;
    double absmax = 0;
    std::optional<double> min;
    std::optional<double> max;
    std::optional<std::int64_t> argmax;
    std::optional<std::uint64_t> hash;
    Nonfinite nonfinite;
    std::optional<Sketch> mixed;
    std::optional<RowDigest> last_row;  ///< none: one row, which is the side
};

/// How far the engine's own product is from x·Wᵀ, by its own x and W: docs/FORMAT.md, "proof".
struct Proof {
    double error = 0;
    double worst = 0;
    std::vector<double> residual;  ///< 16 or 4 numbers; empty: the error is no more than rounding
};

/// A gemm or a checkpoint record.
struct CallRecord {
    std::string op;
    std::string name;        ///< the engine's own, may be empty
    std::string caller;      ///< module+offset, may be empty
    std::string arithmetic;  ///< of a product on a GPU; empty: as its types imply
    std::optional<Side> x;
    Side y;
    std::optional<Proof> proof;
    std::vector<double> values;  ///< null: NaN, or the infinity that "nonfinite" says
};

struct RowRecord {
    std::int64_t position = 0;
    std::optional<RowDigest> x;
    RowDigest y;
    std::vector<double> values;
};

struct WeightRecord {
    std::string id;
    std::string name;  ///< the engine's own, may be empty
    std::string dtype;
    std::int64_t rows = 0;  ///< outputs
    std::int64_t cols = 0;  ///< inputs
    double energy = 0;
    double sum = 0;
    double absmax = 0;
    std::optional<std::uint64_t> hash;
    Nonfinite nonfinite;
    std::optional<Sketch> sketch;
    std::vector<std::pair<std::int64_t, RowDigest>> row_digests;  ///< row number, digest
    /// One digest where there should be several: the address held changing content, an activation.
    bool is_activation() const { return rows > 1 && row_digests.size() < 2; }
};

struct PassRecord {
    std::int64_t number = 0;
    std::string op;
    std::int64_t n_tokens = 0;
    std::vector<std::int64_t> tokens;
    std::vector<std::int64_t> positions;
    std::vector<std::int64_t> sequences;
    std::string kv_dtype;  ///< of the cache, where the engine shows it
};

/// Whether records of that kind may have values.
inline bool has_values(RecordKind kind) {
    return kind == RecordKind::log || kind == RecordKind::checkpoint || kind == RecordKind::gemm ||
           kind == RecordKind::row || kind == RecordKind::copy;
}

/// Parses lines of a trace. One per thread. What a line lacks stays at its default: a reader of
/// foreign files cannot insist. The index pass looks at a line's structure only: a number that is
/// none is found here. The record is then empty, and problem() says why.
class RecordParser {
  public:
    explicit RecordParser(const Trace& trace);
    ~RecordParser();
    RecordParser(const RecordParser&) = delete;
    RecordParser& operator=(const RecordParser&) = delete;

    CallRecord call(const Entry& entry);
    RowRecord row(const Entry& entry);
    WeightRecord weight(const Entry& entry);
    PassRecord pass(const Entry& entry);
    std::vector<double> values(const Entry& entry);
    /// The same without a copy, for passes over all values: valid until the next call.
    std::span<const double> values_view(const Entry& entry);

    /// Why the entry asked for last could not be parsed; empty: it could.
    const std::string& problem() const;
    /// How many could not, so far.
    std::uint64_t bad_records() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace reading
}  // namespace orch
