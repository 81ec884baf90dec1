// Checkpoints in memory, good and bad.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "analyzer/weights/byte_reader.hpp"

namespace orch {

inline ByteSpan bytes_of_text(std::string_view text) {
    return std::as_bytes(std::span{text.data(), text.size()});
}

template <class Number>
std::string raw(Number value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

inline std::string raw_floats(const std::vector<float>& values) {
    std::string bytes;
    for (const float value : values)
        bytes += raw(value);
    return bytes;
}

/// 0.25, -0.5, 0.75, …: numbers whose sums are exact.
inline std::vector<float> some_floats(std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i)
        values[i] = static_cast<float>(i % 97 + 1) * (i % 2 == 0 ? 0.25F : -0.25F);
    return values;
}

struct GgufBuilder {
    std::uint32_t version = 3;
    std::uint64_t alignment = 32;
    std::string values;
    std::uint64_t value_count = 0;
    std::string infos;
    std::uint64_t tensor_count = 0;
    std::string data;

    static std::string string(std::string_view text) {
        return raw(std::uint64_t{text.size()}) + std::string{text};
    }

    void value(std::string_view key, std::uint32_t type, const std::string& bytes) {
        values += string(key) + raw(type) + bytes;
        ++value_count;
    }
    void text(std::string_view key, std::string_view text) { value(key, 8, string(text)); }
    void u32(std::string_view key, std::uint32_t number) { value(key, 4, raw(number)); }
    void f32(std::string_view key, float number) { value(key, 6, raw(number)); }
    void array(std::string_view key, std::uint32_t type, std::uint64_t count,
               const std::string& bytes) {
        value(key, 9, raw(type) + raw(count) + bytes);
    }

    /// Extents innermost first, as the file has them.
    void info(std::string_view name, const std::vector<std::uint64_t>& extents, std::uint32_t type,
              std::uint64_t offset) {
        infos += string(name) + raw(static_cast<std::uint32_t>(extents.size()));
        for (const std::uint64_t extent : extents)
            infos += raw(extent);
        infos += raw(type) + raw(offset);
        ++tensor_count;
    }
    void tensor(std::string_view name, const std::vector<std::uint64_t>& extents,
                std::uint32_t type, const std::string& bytes) {
        data.resize((data.size() + alignment - 1) / alignment * alignment, '\0');
        info(name, extents, type, data.size());
        data += bytes;
    }
    void f32_tensor(std::string_view name, std::uint64_t rows, std::uint64_t cols) {
        tensor(name, {cols, rows}, 0, raw_floats(some_floats(rows * cols)));
    }

    std::string header() const {
        return "GGUF" + raw(version) + raw(tensor_count) + raw(value_count) + values + infos;
    }
    std::string file() const {
        std::string bytes = header();
        bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0');
        return bytes + data;
    }
};

inline std::string safetensors(std::string_view header, std::string_view data) {
    return raw(std::uint64_t{header.size()}) + std::string{header} + std::string{data};
}

}  // namespace orch
