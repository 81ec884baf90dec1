// The passes of an engine, request by request.
#pragma once
#include <cstdint>
#include <vector>

#include "analyzer/align/engine_trace.hpp"

namespace orch {

/// Passes that go on where the one before ended.
struct Request {
    std::vector<int> passes;  ///< into EngineTrace::passes
    std::int64_t first = 0;   ///< position of its first token
    std::int64_t tokens = 0;
    std::int64_t prompt = 0;  ///< tokens up to the first that the engine chose
    bool scattered = false;   ///< one pass over several sequences: positions do not tell its rows
};

/// `split_turns`: a pass of several tokens behind one of a single token starts a request although
/// its positions go on. An engine that counts rows has to be read so, and its partner likewise.
std::vector<Request> requests_of(const EngineTrace& engine, bool split_turns);

/// True if positions are the engine's own, not counted.
bool tells_positions(const EngineTrace& engine);

}  // namespace orch
