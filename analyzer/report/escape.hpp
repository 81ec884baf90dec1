// Text of unknown origin (an engine names its tensors as it likes) in documents that have a syntax.
#pragma once
#include <string>
#include <string_view>

namespace orch {

/// U+FFFD in place of every byte that is no UTF-8.
std::string valid_utf8(std::string_view text);
/// For an attribute or a text of XML 1.0; what XML cannot hold becomes U+FFFD.
std::string xml_text(std::string_view text);
/// For a cell of a table or a paragraph in Markdown: nothing in it is markup.
std::string markdown_text(std::string_view text);
/// For a path in a URI reference: an absolute one becomes "file:///…".
std::string uri_of_path(std::string_view path);

}  // namespace orch
