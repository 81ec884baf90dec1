// What weights and sites are called: by the names that either engine, or an index, has for them;
// else by the cycle of shapes that the layers of a transformer make.
#pragma once
#include "analyzer/align/alignment.hpp"

namespace orch {

/// Fills role and label of all matches and sites; the rest of the alignment is known.
void label(Alignment& alignment);

}  // namespace orch
