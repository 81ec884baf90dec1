// What the report says about each engine, beside what was found.
#pragma once
#include <string>
#include <vector>

#include "analyzer/judge/floors.hpp"
#include "analyzer/judge/report.hpp"

namespace orch {

EngineFacts engine_facts(const EngineTrace& engine, const Arithmetic& arithmetic);
LedgerRow ledger_row(const EngineTrace& engine, const SideLedger& ledger);

/// Libraries whose kernels decide what the numbers are, without folder and version.
std::vector<std::string> kernel_libraries(const EngineTrace& engine);

}  // namespace orch
