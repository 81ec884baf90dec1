// What the environment asks for. One table (config.cpp) names every variable with its default and
// its help; docs and messages come from it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/fixed_string.hpp"
#include "core/selector.hpp"

namespace orch {

/// Each does what the next one does, and more.
enum class WeightMode : std::uint8_t { proof, sketch, names, off };
enum class CaptureMode : std::uint8_t { mark, callback };
/// Digests in CUDA graphs: nodes that replay; or none, which a blind spot says. `off` does not even
/// look at what the engine does with graphs.
enum class GraphMode : std::uint8_t { digest, report, off };

inline constexpr int all_rows = -1;
/// Vectors of more values than this go to a sidecar file: no line may exceed 1 MiB, which stock
/// readers (pyarrow, Ray) refuse, and an f64 takes 26 characters, or 23 where it is not finite.
inline constexpr std::int64_t max_inline_values = 20000;

struct Config {
    bool off = false;            ///< whatever else is set
    FixedString<1023> log_file;  ///< as given, template not expanded; empty: tracing is off
    FixedString<255> team;
    std::int64_t values = 10;
    Selector checkpoints;
    int rows = 16;  ///< selected rows per call, or all_rows
    WeightMode weights = WeightMode::proof;
    CaptureMode capture = CaptureMode::mark;
    GraphMode graphs = GraphMode::digest;
    std::uint64_t memory_bytes = 1ULL << 30;  ///< that marking outputs may add to a graph
    Selector full = Selector::none();         ///< records whose tensors are kept whole
    std::uint64_t full_limit = 16ULL << 30;   ///< bytes of them that a process may write
    std::uint64_t full_ring = 64ULL << 20;    ///< pinned bytes that they go through on a GPU
    bool probe_blas = true;
    bool probe_onednn = true;
    bool probe_ggml = true;
    bool probe_cublas = true;
    bool probe_cuda = true;
    /// Libraries and functions whose calls are left alone. NCCL and NVSHMEM run kernels that wait
    /// for other GPUs: what is put between those can wait for ever (vllm#48486).
    GlobList exclude{"libnccl*,libnvshmem*"};

    /// One sentence per variable whose value was refused.
    static constexpr std::size_t max_problems = 16;
    FixedString<255> problem[max_problems];
    std::size_t problems = 0;

    bool enabled() const { return !off && !log_file.empty(); }
};

struct ConfigVariable {
    const char* name;
    const char* values;
    const char* fallback;
    const char* help;
    /// False: `value` is refused and the default stays.
    bool (*parse)(Config&, std::string_view value);
};

std::span<const ConfigVariable> config_variables() noexcept;

using Getenv = const char* (*)(const char*);
Config read_config(Getenv get) noexcept;

/// Expands %p (pid), %r (rank), %h (host) and %e (executable) in a file name template.
struct PathFacts {
    long pid = 0;
    std::string_view rank = "0";
    std::string_view host;
    std::string_view executable;
};
FixedString<4095> expand_path(std::string_view pattern, const PathFacts& facts) noexcept;

}  // namespace orch
