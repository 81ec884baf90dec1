// A page of labelled lines for a terminal, as `orchtrace info` has them.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "analyzer/util/text.hpp"

namespace orch {

class Page {
  public:
    explicit Page(const Paint& paint) : paint_(paint) {}

    const Paint& paint() const { return paint_; }
    std::string take() { return std::move(out_); }

    /// "PARITY: headline", the first word painted.
    void title(std::string_view word, std::string_view painted, std::string_view text);
    /// "  tokens      8 of 8 …"; nothing at all where there is nothing to say.
    void fact(std::string_view label, std::string_view text);
    /// The label once, then a line or more for each text.
    void facts(std::string_view label, const std::vector<std::string>& texts);
    /// A line that may be pasted into a shell: folded behind backslashes, never cut.
    void command(std::string_view label, std::string_view command);
    void lines(std::string_view text) { out_ += text; }
    void blank() { out_ += '\n'; }

  private:
    const Paint& paint_;
    std::string out_;
};

}  // namespace orch
