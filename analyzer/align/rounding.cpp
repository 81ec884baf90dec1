#include "analyzer/align/rounding.hpp"

#include <algorithm>
#include <iterator>

namespace orch {
namespace {

struct TypeRounding {
    std::string_view dtype;
    double relative;
};

/// Of floats: a uniform error of half a unit in the last place. Of block types: the step that the
/// largest of a block of normally distributed values leads to, over the square root of 12.
constexpr TypeRounding types[] = {
    {"f16", 2.0e-4},   {"bf16", 1.7e-3},    {"q8_0", 5.0e-3},    {"q8_1", 5.0e-3},
    {"q8_k", 5.0e-3},  {"q6_k", 1.9e-2},    {"q5_0", 4.3e-2},    {"q5_1", 3.9e-2},
    {"q5_k", 3.8e-2},  {"q4_0", 8.8e-2},    {"q4_1", 7.9e-2},    {"q4_k", 7.6e-2},
    {"q3_k", 0.16},    {"q2_k", 0.31},      {"iq4_nl", 7.7e-2},  {"iq4_xs", 8e-2},
    {"iq3_s", 0.16},   {"iq3_xxs", 0.2},    {"iq2_s", 0.27},     {"iq2_xs", 0.3},
    {"iq2_xxs", 0.33}, {"mxfp4", 0.12},     {"nvfp4", 0.1},      {"e4m3", 2.7e-2},
    {"e5m2", 5.3e-2},  {"f8_e4m3", 2.7e-2}, {"f8_e5m2", 5.3e-2},
};

}  // namespace

double rounding_of(std::string_view dtype) {
    const auto* found = std::find_if(std::begin(types), std::end(types),
                                     [&](const auto& type) { return type.dtype == dtype; });
    return found != std::end(types) ? found->relative : 0;
}

}  // namespace orch
