#include "analyzer/read/line.hpp"

#include <array>
#include <utility>

namespace orch {
namespace {

constexpr std::array<std::pair<std::string_view, RecordKind>, 10> kinds{{
    {"gemm", RecordKind::gemm},
    {"row", RecordKind::row},
    {"checkpoint", RecordKind::checkpoint},
    {"weight", RecordKind::weight},
    {"pass", RecordKind::pass},
    {"header", RecordKind::header},
    {"ledger", RecordKind::ledger},
    {"blind_spot", RecordKind::blind_spot},
    {"copy", RecordKind::copy},
    {"setting", RecordKind::setting},
}};

}  // namespace

RecordKind reading::kind_of(std::string_view text) {
    if (text.empty()) return RecordKind::log;
    for (const auto& [name, kind] : kinds) {
        if (name == text) return kind;
    }
    return RecordKind::other;
}

std::string_view reading::kind_name(RecordKind kind) {
    for (const auto& [name, each] : kinds) {
        if (each == kind) return name;
    }
    return kind == RecordKind::log ? "log" : "other";
}

}  // namespace orch
