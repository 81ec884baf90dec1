// What two engines computed in one pass, place by place, as far as their digests can be held
// against each other: positions found, signs undone, fused parts added up.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analyzer/align/alignment.hpp"
#include "analyzer/judge/sketch_error.hpp"

namespace orch {

/// One matrix on both sides.
struct MatrixPair {
    bool present = false;        ///< both sides have it
    bool same_features = false;  ///< in the same order, so that sketches can be subtracted
    bool same_rows = false;      ///< both cover the same positions, so that sums over rows compare
    bool same_bits = false;
    Side a;  ///< mixed: only if same_rows and same_features, with the signs of both alike
    Side b;
    std::vector<RowPair> rows;                ///< positions that both sides show, ascending
    std::map<std::int64_t, RowDigest> all_a;  ///< every row that its side shows
    std::map<std::int64_t, RowDigest> all_b;
    /// The parts of a fused product on each side, where that side is fused: rows by part.
    std::vector<std::vector<RowDigest>> parts_a;
    std::vector<std::vector<RowDigest>> parts_b;
    /// First values of rows on both sides, where the features are the same.
    struct Values {
        std::int64_t position = 0;
        std::vector<double> a;
        std::vector<double> b;
    };
    std::vector<Values> values;
    std::vector<double> values_a;  ///< of all rows of a side, whatever the other shows
    std::vector<double> values_b;
};

/// What a proof says of its product: one wrong output may hide in the sum over all rows, and not in
/// the worst of them.
double error_of(const Proof& proof);

struct ProductData {
    const ProductPair* pair = nullptr;
    std::size_t index = 0;  ///< into Alignment::products
    Role role;
    MatrixPair x;
    MatrixPair y;
    std::optional<Proof> proof_a;  ///< the worst of its parts
    std::optional<Proof> proof_b;
    std::string arithmetic_a;  ///< as records have it; empty: as its types imply
    std::string arithmetic_b;
    double rounding_a = 0;  ///< what that arithmetic may lose
    double rounding_b = 0;
    std::string weight_type_a;
    std::string weight_type_b;
    Content content = Content::unknown;
};

struct SiteData {
    const Site* site = nullptr;
    std::vector<ProductData> products;
    MatrixPair tensor;  ///< of a site without products
};

/// A tensor that one engine has a name for: row sketches by position, and the sum over all rows.
struct NamedRows {
    std::map<std::int64_t, RowDigest> rows;
    std::optional<Side> whole;
};

struct PassData {
    int pass = -1;
    std::int64_t first_position = 0;
    std::int64_t tokens = 0;
    std::vector<SiteData> sites;
    /// Residual stream as far as either engine names it: embedding under -1, outputs of layers. Of
    /// the reference where both do.
    std::map<int, NamedRows> stream;
    std::optional<NamedRows> embedding_b;  ///< where both name it
};

/// Positions of a pass, for engines that count rows.
struct PositionRange {
    std::int64_t first = 0;
    std::int64_t tokens = 0;
};

/// Position of the first row of one of b's own passes, which the reference places: b may count
/// rows.
std::int64_t first_position_in_b(const EngineTrace& b, int engine_pass, const PassPair& pass);

/// Reads the numbers of passes, on demand; one per thread.
class Measurer {
  public:
    explicit Measurer(const Alignment& alignment);
    PassData read(int pass);

  private:
    ProductData read_product(std::size_t index, const PassPair& pass);
    bool has_other_row_order(const ProductPair& pair) const;
    bool multiplies_activations(std::size_t index) const;
    MatrixPair read_tensor(const TensorPair& tensor, const PassPair& pass);
    void read_stream(PassData& data, const PassPair& pass);
    PositionRange range(bool of_b, int engine_pass, const PassPair& pass) const;

    const Alignment& alignment_;
    RecordParser parser_a_;
    RecordParser parser_b_;
    std::map<int, std::vector<const Site*>> sites_;
};

}  // namespace orch
