// The values of one row, as its line shows them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/digest.hpp"
#include "core/float_text.hpp"
#include "core/json_line.hpp"
#include "core/matrix.hpp"

namespace orch {

/// `values` of one row, and `nonfinite` before it where there are any.
class RowValues {
  public:
    RowValues(const MatrixView& matrix, std::int64_t row, std::int64_t limit) noexcept
        : matrix_(matrix),
          row_(row),
          count_(std::min(matrix.cols, limit)),
          finite_(is_contiguous() && all_finite()) {}

    std::size_t max_bytes() const noexcept {
        constexpr std::size_t nonfinite_text = 18;  // [12345,"-inf"],
        const std::size_t number =
            matrix_.dtype == DType::f64 ? max_f64_text + 1 : max_f32_text + 1;
        return static_cast<std::size_t>(count_) * (number + (finite_ ? 0 : nonfinite_text)) + 64;
    }

    void write(JsonLine& line) const noexcept {
        if (!finite_) write_nonfinite(line);
        line.key("values");
        line.open_array();
        if (finite_) {
            write_list(line);
        } else {
            for (std::int64_t i = 0; i < count_; ++i)
                write_one(line, i);
        }
        line.close_array();
    }

  private:
    /// By the exponent alone, in a loop that vectorises: nearly every row is finite.
    template <class Bits>
    bool no_exponent_is(Bits mask) const noexcept {
        const auto* bits = reinterpret_cast<const Bits*>(at(0));
        Bits found = 0;
        for (std::int64_t i = 0; i < count_; ++i) {
            found = static_cast<Bits>(found | static_cast<Bits>((bits[i] & mask) == mask));
        }
        return found == 0;
    }

    bool all_finite() const noexcept {
        switch (matrix_.dtype) {
            case DType::f16:
                return no_exponent_is<std::uint16_t>(0x7c00U);
            case DType::bf16:
                return no_exponent_is<std::uint16_t>(0x7f80U);
            default:
                return no_exponent_is<std::uint32_t>(0x7f800000U);
        }
    }

    bool is_contiguous() const noexcept {
        return matrix_.col_stride == 1 && matrix_.dtype != DType::block &&
               matrix_.dtype != DType::f64;
    }

    const char* at(std::int64_t col) const noexcept {
        return static_cast<const char*>(matrix_.data) +
               (row_ * matrix_.row_stride + col * matrix_.col_stride) *
                   static_cast<std::int64_t>(element_size(matrix_.dtype));
    }

    double value(std::int64_t col) const noexcept {
        if (matrix_.dtype == DType::f64) {
            double v;
            std::memcpy(&v, at(col), sizeof v);
            return v;
        }
        float v = 0;
        if (matrix_.dtype == DType::block) {
            float block[max_block];
            const std::int64_t first = col / matrix_.block_values * matrix_.block_values;
            if (matrix_.block_values > max_block) return NAN;
            copy_row_f32(matrix_, row_, first, matrix_.block_values, block);
            return block[col - first];
        }
        copy_row_f32(matrix_, row_, col, 1, &v);
        return v;
    }

    void write_nonfinite(JsonLine& line) const noexcept {
        bool any = false;
        for (std::int64_t i = 0; i < count_; ++i) {
            const double v = value(i);
            if (std::isfinite(v)) continue;
            if (!any) {
                line.key("nonfinite");
                line.open_array();
            }
            any = true;
            line.open_array();
            line.number(i);
            line.string(std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
            line.close_array();
        }
        if (any) line.close_array();
    }

    void write_one(JsonLine& line, std::int64_t i) const noexcept {
        const double v = value(i);
        if (matrix_.dtype == DType::f64) {
            line.number(v);
        } else {
            line.number(static_cast<float>(v));
        }
    }

    void write_list(JsonLine& line) const noexcept {
        const auto n = static_cast<std::size_t>(count_);
        char* out = line.reserve(n * (max_f32_text + 1));
        if (out == nullptr || n == 0) return;
        switch (matrix_.dtype) {
            case DType::f16:
                out = write_f16_list(out, reinterpret_cast<const std::uint16_t*>(at(0)), n);
                break;
            case DType::bf16:
                out = write_bf16_list(out, reinterpret_cast<const std::uint16_t*>(at(0)), n);
                break;
            default:
                out = write_f32_list(out, reinterpret_cast<const float*>(at(0)), n);
                break;
        }
        line.advance_to(out);
    }

    static constexpr std::int64_t max_block = 256;
    const MatrixView& matrix_;
    std::int64_t row_;
    std::int64_t count_;
    bool finite_;  ///< known to be all finite, and contiguous
};

}  // namespace orch
