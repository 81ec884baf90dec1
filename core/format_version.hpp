// Of docs/FORMAT.md; the writer says it in the header of each run, and the reader looks at it.
#pragma once

namespace orch {

inline constexpr int format_version = 1;

}  // namespace orch
