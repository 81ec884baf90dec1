#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "analyzer/judge/signature.hpp"
#include "synthetic.hpp"

namespace orch {
namespace {

using namespace synthetic;

constexpr std::size_t tokens = 20;
constexpr std::size_t heads = 8;
constexpr std::size_t dim = 32;
constexpr double expected = 2e-3;

/// A small attention over random q, k and v; position matters as in a rotation.
struct Attention {
    double scale = 1;
    double turn = 1;  ///< how fast pairs of features turn with position
    std::size_t window = tokens;
    bool causal = true;
    std::size_t values_shift = 0;  ///< heads read the values of others
};

Row turned(const Row& row, std::size_t head, std::size_t position, double turn) {
    Row result(dim);
    for (std::size_t i = 0; i < dim; i += 2) {
        const double angle =
            turn * static_cast<double>(position) * std::pow(100, -static_cast<double>(i) / dim);
        const double x = row[head * dim + i];
        const double y = row[head * dim + i + 1];
        result[i] = x * std::cos(angle) - y * std::sin(angle);
        result[i + 1] = x * std::sin(angle) + y * std::cos(angle);
    }
    return result;
}

Matrix attend(const Attention& how) {
    const Matrix q = random_matrix(tokens, heads * dim, 1);
    const Matrix k = random_matrix(tokens, heads * dim, 2);
    const Matrix v = random_matrix(tokens, heads * dim, 3);
    Matrix out(tokens, Row(heads * dim, 0.0));
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t h = 0; h < heads; ++h) {
            const Row query = turned(q[t], h, t, how.turn);
            std::vector<double> weights(tokens, 0.0);
            double sum = 0;
            for (std::size_t s = 0; s < tokens; ++s) {
                if (how.causal && s > t) continue;
                if (s + how.window <= t) continue;
                const Row key = turned(k[s], h, s, how.turn);
                double score = 0;
                for (std::size_t i = 0; i < dim; ++i)
                    score += query[i] * key[i];
                weights[s] = std::exp(how.scale * score / std::sqrt(dim));
                sum += weights[s];
            }
            const std::size_t from = (h + how.values_shift) % heads;
            for (std::size_t s = 0; s < tokens; ++s)
                for (std::size_t i = 0; i < dim; ++i)
                    out[t][h * dim + i] += weights[s] / sum * v[s][from * dim + i];
        }
    return out;
}

std::string best(const Attention& how) {
    const Suspect suspect =
        suspect_of(Step::attention, {{attend({})}, {noisy(attend(how), 1e-4, 4)}}, expected);
    const auto findings = find_signatures(suspect);
    return findings.empty() ? "unknown" : findings.front().signature.name;
}

TEST(SignatureAttention, WeightsTooSharpOrTooFlat) {
    EXPECT_EQ(best({.scale = 4}), "attention_scale");
    EXPECT_EQ(best({.scale = 0.5}), "attention_scale");
}

TEST(SignatureAttention, AnotherRotation) {
    EXPECT_EQ(best({.turn = 0}), "rope");
    EXPECT_EQ(best({.turn = -1}), "rope");
    EXPECT_EQ(best({.turn = 1.3}), "rope");
}

TEST(SignatureAttention, PositionsThatSeeWhatIsNotYetThere) {
    EXPECT_EQ(best({.causal = false}), "mask");
}

TEST(SignatureAttention, PositionsThatLoseSightOfTheFirst) {
    EXPECT_EQ(best({.window = 4}), "mask");
}

TEST(SignatureAttention, HeadsThatReadOtherHeadsValues) {
    EXPECT_EQ(best({.values_shift = 1}), "gqa_map");
}

TEST(SignatureAttention, RightPromptAndWrongGeneration) {
    Passes passes;
    const Matrix all = attend({});
    passes.a.emplace_back(all.begin(), all.end() - 3);
    for (std::size_t t = tokens - 3; t < tokens; ++t)
        passes.a.push_back({all[t]});
    passes.b = passes.a;
    for (std::size_t i = 1; i < passes.b.size(); ++i)
        passes.b[i] = noisy(passes.b[i], 0.2, static_cast<unsigned>(5 + i));
    const auto findings = find_signatures(suspect_of(Step::attention, passes, expected));
    ASSERT_FALSE(findings.empty());
    EXPECT_EQ(findings.front().signature.name, "stale");
}

TEST(SignatureAttention, OffBehindGateAndUpIsTheActivation) {
    const Matrix a = random_matrix(9, 256, 6);
    const Matrix b = changed(a, [](Row& row, std::size_t) {
        for (double& value : row)
            value = value > 0 ? value : 0.1 * value;
    });
    const auto findings = find_signatures(suspect_of(Step::activation, {{a}, {b}}, expected));
    ASSERT_FALSE(findings.empty());
    EXPECT_EQ(findings.front().signature.name, "activation");
}

TEST(SignatureAttention, ScoresOfTheOtherSignExchangeTwoWeights) {
    Suspect suspect = suspect_of(Step::attention,
                                 {{attend({})}, {noisy(attend({.scale = -1}), 1e-5, 4)}}, expected);
    const Matrix v = random_matrix(tokens, heads * dim, 3);
    for (std::int64_t position = 0; position < 2; ++position)
        suspect.values.emplace(std::pair{0, position},
                               digest_of(v[static_cast<std::size_t>(position)]));
    EXPECT_EQ(find_signatures(suspect).front().signature.name, "sign");
    Suspect turned = suspect_of(Step::attention,
                                {{attend({})}, {noisy(attend({.turn = -1}), 1e-5, 4)}}, expected);
    turned.values = suspect.values;
    EXPECT_EQ(find_signatures(turned).front().signature.name, "rope");
}

TEST(SignatureAttention, LaterChunksThatReadAWrongCache) {
    const Matrix right = attend({});
    const Matrix noise = noisy(right, 0.2, 4);
    Matrix wrong = right;
    std::copy(noise.begin() + 9, noise.end(), wrong.begin() + 9);
    Suspect suspect = suspect_of(Step::attention, {{right}, {wrong}}, expected);
    EXPECT_NE(find_signatures(suspect).front().signature.name, "stale");
    suspect.passes[0].chunks = {0, 9};
    EXPECT_EQ(find_signatures(suspect).front().signature.name, "stale");
}

TEST(SignatureAttention, AChunkThatSeesTheFirstKeyAlone) {
    const Matrix right = attend({});
    Matrix wrong = right;
    const Matrix noise = noisy(right, 0.2, 4);
    std::copy(noise.begin() + 9, noise.end(), wrong.begin() + 9);
    wrong[9] = right[0];
    Suspect suspect = suspect_of(Step::attention, {{right}, {wrong}}, expected);
    suspect.passes[0].chunks = {0, 9};
    // The reference shows no row at the start of the chunk.
    suspect.passes[0].matrix.all_a.erase(9);
    std::erase_if(suspect.rows, [](const SuspectRow& row) { return row.row.position == 9; });
    EXPECT_EQ(find_signatures(suspect).front().signature.name, "mask");
}

TEST(SignatureAttention, ASmallErrorFromOnePositionOnIsNoCertainMask) {
    const Matrix right = attend({});
    const Matrix noise = noisy(right, 2e-2, 4);
    Matrix wrong = right;
    std::copy(noise.begin() + 5, noise.end(), wrong.begin() + 5);
    const auto found = find_mask(suspect_of(Step::attention, {{right}, {wrong}}, expected));
    EXPECT_TRUE(!found || found->signature.confidence < floors::explained);
}

}  // namespace
}  // namespace orch
