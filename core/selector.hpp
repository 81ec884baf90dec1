// Which checkpoints a trace keeps: ORCH_TRACE_CHECKPOINTS = logits | layers | gemm | all | globs,
// comma separated.
#pragma once
#include <cstddef>
#include <string_view>

#include "core/fixed_string.hpp"

namespace orch {

enum class CheckpointGroup { inner, logits, layers, gemm };

/// `*` matches any run of characters, `?` any one.
bool glob_matches(std::string_view pattern, std::string_view text) noexcept;

/// Globs, comma separated.
class GlobList {
  public:
    explicit GlobList(std::string_view text) noexcept : text_(text) {}

    /// False if the text is too long or has an empty element; then nothing changes. Empty: no
    /// globs.
    bool parse(std::string_view text) noexcept;
    bool matches(std::string_view name) const noexcept;
    std::string_view text() const noexcept { return text_; }

  private:
    static constexpr std::size_t max_text = 1023;
    FixedString<max_text> text_;
};

class Selector {
  public:
    static constexpr std::string_view default_text = "gemm,layers,logits";

    /// Selects nothing.
    static Selector none() noexcept;

    /// False if the text is too long, empty or has an empty element; then nothing changes.
    bool parse(std::string_view text) noexcept;

    bool group(CheckpointGroup group) const noexcept;
    bool is_none() const noexcept { return text_size_ == 0; }
    bool has_globs() const noexcept { return glob_count_ > 0; }
    /// Either name may decide: the stable one or the engine's own.
    bool selects(CheckpointGroup group, std::string_view checkpoint,
                 std::string_view engine_name = {}) const noexcept;
    /// Of a product or a copy without a name: it is of the group gemm, and may be of another too.
    bool selects_call(CheckpointGroup also, std::string_view name,
                      std::string_view op) const noexcept {
        return selects(CheckpointGroup::gemm, name, op) || group(also);
    }
    std::string_view text() const noexcept { return {text_, text_size_}; }

  private:
    static constexpr std::size_t max_text = 1024;
    static constexpr std::size_t max_globs = 64;
    bool logits_ = true;
    bool layers_ = true;
    bool gemm_ = true;
    bool all_ = false;
    char text_[max_text] = "gemm,layers,logits";
    std::size_t text_size_ = default_text.size();
    std::size_t glob_count_ = 0;
    std::size_t glob_begin_[max_globs] = {};
    std::size_t glob_size_[max_globs] = {};
};

}  // namespace orch
