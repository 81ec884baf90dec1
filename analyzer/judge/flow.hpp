// The error of every place of a pass, beside the error that one had to expect there from what goes
// into it and from the arithmetic.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analyzer/judge/floors.hpp"
#include "analyzer/judge/measure.hpp"

namespace orch {

struct RowReading {
    double error = 0;
    double expected = 0;
};

/// One matrix of one pass.
struct Reading {
    bool measured = false;
    bool exact = false;  ///< by sketches, not by sums alone
    double error = 0;    ///< the largest, of rows and of the whole
    double gain = 0;     ///< the largest ratio of an error to what was expected of it
    double error_at_gain = 0;
    double expected_at_gain = 0;
    std::int64_t position = -1;   ///< of the largest gain; -1: the whole
    std::int64_t first_off = -1;  ///< first position whose gain is suspicious
    double typical = 0;           ///< median error of the rows, or that of the whole
    double typical_gain = 0;      ///< median over rows, but the first position of attention; 0: few
    std::map<std::int64_t, RowReading> rows;
    std::optional<double> whole;
    bool nonfinite = false;  ///< NaN or infinities on one side alone
    bool same_bits = false;
    std::vector<double> energy_shifts;  ///< per row, E_b / E_a - 1
};

struct ProductReading {
    const ProductPair* pair = nullptr;
    std::size_t index = 0;
    Role role;
    Reading x;
    Reading y;
    double floor = 0;       ///< of the product alone
    double rounding_a = 0;  ///< what the arithmetic that a's record names may lose
    double rounding_b = 0;
    std::optional<double> proof_a;
    std::optional<double> proof_b;
    bool other_weight = false;  ///< another weight than the reference's, or changed numbers
};

struct SiteReading {
    int pass = -1;
    const Site* site = nullptr;
    Step step = Step::product;  ///< what lies before it
    Reading x;                  ///< of its products' input, the worst of them
    double bracket_floor = 0;
    std::vector<ProductReading> products;
    Reading tensor;
    bool token_differs = false;  ///< logits: another token has the largest
};

struct FlowOptions {
    Arithmetic a;
    Arithmetic b;
    /// Largest errors at each place in a run of the reference against itself, "label x" or
    /// "label y op"; may be empty.
    std::map<std::string, double> known;
};

/// Carries errors through the passes in their order.
class Flow {
  public:
    explicit Flow(FlowOptions options) : options_{std::move(options)} {}
    std::vector<SiteReading> read(const PassData& pass);

  private:
    struct Stream;

    SiteReading read_site(const SiteData& data, Stream& stream);
    double known(const std::string& place) const;
    double bracket_input(Step step, int layer, std::int64_t position, const Stream& stream) const;

    FlowOptions options_;
    /// Largest typical error so far of what attention reads of earlier passes, by layer.
    std::map<int, double> cached_;
};

Step step_before(Part part, int layer);

}  // namespace orch
