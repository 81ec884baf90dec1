#include "analyzer/judge/placed_rows.hpp"

#include <gtest/gtest.h>

#include "core/hash.hpp"
#include "synthetic.hpp"

namespace orch {
namespace {

using namespace synthetic;

Entry named_entry(std::int64_t first, std::int64_t last) {
    Entry entry;
    entry.token_positions = true;
    entry.first_position = first;
    entry.token_idx = last;
    return entry;
}

TEST(PlacedRows, AnEngineThatCountsRowsIsPlacedByItsPass) {
    const Matrix matrix = random_matrix(5, 64, 1);
    const PlacedRows rows = placed(side_of(matrix, 0), Entry{}, {7, 5});
    EXPECT_EQ(rows.first, 7);
    ASSERT_TRUE(rows.rows.contains(11));
    EXPECT_LT(row_error(digest_of(matrix[4]), rows.rows.at(11), true), 1e-12);
    EXPECT_EQ(position_of(rows, Entry{}, 2), 9);
}

TEST(PlacedRows, OneRowOfManyIsTheLast) {
    const PlacedRows rows = placed(side_of(random_matrix(1, 64, 1), 0), Entry{}, {7, 5});
    EXPECT_TRUE(rows.rows.contains(11));
    const PlacedRows some = placed(side_of(random_matrix(3, 64, 1), 0), Entry{}, {7, 5});
    EXPECT_TRUE(some.rows.empty()) << "three rows of five: which?";
}

TEST(PlacedRows, SignsOfSingleRowsAreUndone) {
    const Matrix matrix = random_matrix(1, 64, 2);
    // Keyed by position 9 on one side, by row 0 on the other.
    const PlacedRows a = placed(side_of(matrix, 9), named_entry(9, 9), {});
    const PlacedRows b = placed(side_of(matrix, 0), Entry{}, {9, 1});
    const MatrixPair pair = pair_rows(a, b, true);
    ASSERT_TRUE(pair.same_rows);
    ASSERT_TRUE(pair.a.mixed && pair.b.mixed);
    EXPECT_LT(sketch_error(*pair.a.mixed, *pair.b.mixed, pair.a.energy), 1e-12);
    ASSERT_EQ(pair.rows.size(), 1U);
    EXPECT_LT(row_error(pair.rows[0].a, pair.rows[0].b, true), 1e-12);
}

TEST(PlacedRows, MixedSketchesOfOtherSignsAreNotCompared) {
    const Matrix matrix = random_matrix(4, 64, 3);
    const PlacedRows a = placed(side_of(matrix, 8), named_entry(8, 11), {});
    const PlacedRows b = placed(side_of(matrix, 0), Entry{}, {8, 4});
    const MatrixPair pair = pair_rows(a, b, true);
    EXPECT_TRUE(pair.same_rows) << "sums over rows still compare";
    EXPECT_FALSE(pair.a.mixed);
}

TEST(PlacedRows, UnequalRowSetsMeetAtCommonPositionsOnly) {
    const Matrix matrix = random_matrix(6, 64, 4);
    const Matrix last(matrix.end() - 1, matrix.end());
    const MatrixPair pair = pair_rows(placed_of(matrix, 0), placed_of(last, 5), true);
    EXPECT_FALSE(pair.same_rows);
    ASSERT_EQ(pair.rows.size(), 1U);
    EXPECT_EQ(pair.rows[0].position, 5);
    EXPECT_LT(row_error(pair.rows[0].a, pair.rows[0].b, true), 1e-12);
}

TEST(PlacedRows, ChunksAddUpToTheWhole) {
    const Matrix matrix = random_matrix(6, 64, 5);
    const Matrix head(matrix.begin(), matrix.begin() + 2);
    const Matrix tail(matrix.begin() + 2, matrix.end());
    const PlacedRows whole = one_below_other({placed_of(head, 0), placed_of(tail, 2)});
    const MatrixPair pair = pair_rows(placed_of(matrix, 0), whole, true);
    EXPECT_TRUE(pair.same_rows);
    ASSERT_TRUE(pair.b.mixed);
    EXPECT_LT(sketch_error(*pair.a.mixed, *pair.b.mixed, pair.a.energy), 1e-12);
    EXPECT_EQ(pair.rows.size(), 6U);
}

TEST(PlacedRows, PartsOfAFusedResultAddUpInEnergyAndSum) {
    const Matrix fused = random_matrix(3, 96, 6);
    std::vector<PlacedRows> parts;
    for (const std::size_t begin : {std::size_t{0}, std::size_t{32}, std::size_t{64}}) {
        Matrix part;
        for (const Row& row : fused)
            part.emplace_back(row.begin() + static_cast<std::ptrdiff_t>(begin),
                              row.begin() + static_cast<std::ptrdiff_t>(begin) + 32);
        parts.push_back(placed_of(part, 0));
    }
    const MatrixPair pair = pair_rows(side_by_side(parts), placed_of(fused, 0), false);
    EXPECT_TRUE(pair.same_rows);
    EXPECT_FALSE(pair.a.mixed);
    ASSERT_EQ(pair.rows.size(), 3U);
    for (const RowPair& row : pair.rows)
        EXPECT_LT(row_error(row.a, row.b, false), 1e-12);
}

TEST(PlacedRows, TheFirstPartOfAFusedResultIsToldByItsValues) {
    const Matrix gate = random_matrix(4, 32, 7);
    const Matrix up = random_matrix(4, 32, 8);
    Matrix both = up;
    for (std::size_t row = 0; row < both.size(); ++row)
        both[row].insert(both[row].end(), gate[row].begin(), gate[row].end());
    const std::vector<PlacedRows> parts = {placed_of(gate, 0), placed_of(up, 0)};
    const auto values = values_of_first_part(parts, placed_of(both, 0));
    ASSERT_EQ(values.size(), 4U);
    EXPECT_EQ(values[2].a, values[2].b);
    EXPECT_EQ(values[2].a.front(), up[2].front());
    EXPECT_TRUE(values_of_first_part(parts, placed_of(random_matrix(4, 64, 9), 0)).empty());
}

}  // namespace
}  // namespace orch
