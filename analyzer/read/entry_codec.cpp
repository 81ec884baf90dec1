#include "analyzer/read/entry_codec.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace orch {
namespace {

/// An entry as numbers. What changes most often comes first: which ones have changed is written as
/// a set of bits in front, whose leading zeros cost nothing.
enum Field : std::size_t {
    f_length,
    f_checkpoint,
    f_token_idx,
    f_values,
    f_offset,
    f_flags,
    f_call,
    f_x_key,
    f_y_key,
    f_weight,
    f_rows,
    f_x_cols,
    f_y_cols,
    f_shape,
    f_dtype,
    f_pass,
    f_first_position,
    f_team,
    f_line,
    field_count,
};
using Numbers = std::array<std::uint64_t, field_count>;

constexpr std::uint64_t kind_bits = 15;
constexpr std::uint64_t token_positions_bit = 16;
constexpr std::uint64_t nonfinite_bit = 32;

Numbers numbers_of(const Entry& e) {
    Numbers n{};
    n[f_length] = e.length;
    n[f_checkpoint] = e.checkpoint;
    n[f_token_idx] = static_cast<std::uint64_t>(e.token_idx);
    n[f_values] = e.values;
    n[f_offset] = e.offset;
    n[f_flags] = static_cast<std::uint64_t>(e.kind) |
                 (e.token_positions ? token_positions_bit : 0) | (e.nonfinite ? nonfinite_bit : 0);
    n[f_call] = static_cast<std::uint64_t>(e.call);
    n[f_x_key] = e.x_key;
    n[f_y_key] = e.y_key;
    n[f_weight] = e.weight;
    n[f_rows] = e.rows;
    n[f_x_cols] = e.x_cols;
    n[f_y_cols] = e.y_cols;
    n[f_shape] = e.shape;
    n[f_dtype] = e.dtype;
    n[f_pass] = static_cast<std::uint64_t>(std::int64_t{e.pass});
    n[f_first_position] = static_cast<std::uint64_t>(e.first_position);
    n[f_team] = e.team;
    n[f_line] = e.line;
    return n;
}

/// False where the number does not fit.
template <class T>
bool put(T& to, std::uint64_t number) {
    to = static_cast<T>(number);
    if constexpr (std::is_signed_v<T>) {
        return static_cast<std::uint64_t>(std::int64_t{to}) == number;
    } else {
        return to == number;
    }
}

bool make_entry(const Numbers& n, Entry& e) {
    const std::uint64_t flags = n[f_flags];
    const std::uint64_t kind = flags & kind_bits;
    if (kind > static_cast<std::uint64_t>(RecordKind::other) || flags >= 2 * nonfinite_bit) {
        return false;
    }
    e.kind = static_cast<RecordKind>(kind);
    e.token_positions = (flags & token_positions_bit) != 0;
    e.nonfinite = (flags & nonfinite_bit) != 0;
    return put(e.length, n[f_length]) && put(e.checkpoint, n[f_checkpoint]) &&
           put(e.token_idx, n[f_token_idx]) && put(e.values, n[f_values]) &&
           put(e.offset, n[f_offset]) && put(e.call, n[f_call]) && put(e.x_key, n[f_x_key]) &&
           put(e.y_key, n[f_y_key]) && put(e.weight, n[f_weight]) && put(e.rows, n[f_rows]) &&
           put(e.x_cols, n[f_x_cols]) && put(e.y_cols, n[f_y_cols]) && put(e.shape, n[f_shape]) &&
           put(e.dtype, n[f_dtype]) && put(e.pass, n[f_pass]) &&
           put(e.first_position, n[f_first_position]) && put(e.team, n[f_team]) &&
           put(e.line, n[f_line]);
}

/// What the next entry will probably be.
class Forecast {
  public:
    const Numbers& next() const { return next_; }
    void learn(const Numbers& now) {
        // Lines follow each other at the same distance, if they are not padded.
        const std::uint64_t gap = now[f_offset] - end_;
        end_ = now[f_offset] + now[f_length];
        next_ = now;
        next_[f_offset] = end_ + gap;
        ++next_[f_line];
    }

  private:
    Numbers next_{};
    std::uint64_t end_ = 0;
};

bool is_hash(std::size_t field) {
    return field == f_x_key || field == f_y_key;
}

/// Small numbers of either sign in few bytes, seven bits each.
void write_number(std::string& out, std::uint64_t number) {
    for (; number >= 128; number >>= 7)
        out += static_cast<char>(number | 128);
    out += static_cast<char>(number);
}

/// The sign goes to the lowest bit.
std::uint64_t folded(std::uint64_t difference) {
    return (difference << 1) ^ (std::uint64_t{0} - (difference >> 63));
}
std::uint64_t unfolded(std::uint64_t number) {
    return (number >> 1) ^ (std::uint64_t{0} - (number & 1));
}

/// Never reads past the end; once something was missing, all that follows is.
class Reader {
  public:
    explicit Reader(std::string_view bytes) : bytes_(bytes) {}

    std::uint64_t number() {
        std::uint64_t number = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (at_ == bytes_.size()) break;
            const auto byte = static_cast<unsigned char>(bytes_[at_++]);
            number |= static_cast<std::uint64_t>(byte & 127U) << shift;
            if (byte < 128) return number;
        }
        ok_ = false;
        return 0;
    }
    std::uint64_t hash() {
        std::uint64_t hash = 0;
        if (bytes_.size() - at_ < sizeof hash) {
            ok_ = false;
            return 0;
        }
        std::memcpy(&hash, bytes_.data() + at_, sizeof hash);
        at_ += sizeof hash;
        return hash;
    }
    bool ok() const { return ok_; }
    bool is_at_end() const { return at_ == bytes_.size(); }

  private:
    std::string_view bytes_;
    std::size_t at_ = 0;
    bool ok_ = true;
};

}  // namespace

void reading::encode(std::span<const Entry> entries, std::string& out) {
    Forecast forecast;
    for (const Entry& entry : entries) {
        const Numbers now = numbers_of(entry);
        std::uint64_t changed = 0;
        for (std::size_t i = 0; i < field_count; ++i)
            changed |= static_cast<std::uint64_t>(now[i] != forecast.next()[i] ? 1 : 0) << i;
        write_number(out, changed);
        for (; changed != 0; changed &= changed - 1) {
            const auto i = static_cast<std::size_t>(std::countr_zero(changed));
            if (is_hash(i)) {
                out.append(reinterpret_cast<const char*>(&now[i]), sizeof now[i]);
            } else {
                write_number(out, folded(now[i] - forecast.next()[i]));
            }
        }
        forecast.learn(now);
    }
}

bool reading::decode(std::string_view bytes, std::span<Entry> entries) {
    Reader reader{bytes};
    Forecast forecast;
    for (Entry& entry : entries) {
        Numbers now = forecast.next();
        std::uint64_t changed = reader.number();
        if (changed >> field_count != 0) return false;
        for (; changed != 0; changed &= changed - 1) {
            const auto i = static_cast<std::size_t>(std::countr_zero(changed));
            now[i] = is_hash(i) ? reader.hash() : now[i] + unfolded(reader.number());
        }
        if (!reader.ok() || !make_entry(now, entry)) return false;
        forecast.learn(now);
    }
    return reader.is_at_end();
}

}  // namespace orch
