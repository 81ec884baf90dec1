// Lists of numbers in JSON, quickly.
#pragma once
#include <cstddef>
#include <optional>

namespace orch {
inline namespace reading {

struct NumberList {
    std::size_t count = 0;
    bool has_null = false;
};

/// Reads "[1.5,null,-2e-3]", null as NaN. Nothing where it is anything but a list of JSON's numbers
/// and nulls, or a number is beyond a double. There must be room for one number in two bytes of
/// text; reads up to 17 bytes past the list.
std::optional<NumberList> read_number_list(const char* text, double* out);

}  // namespace reading
}  // namespace orch
