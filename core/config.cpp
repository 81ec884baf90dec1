#include "core/config.hpp"

#include <array>
#include <charconv>

#include "core/slice.hpp"

namespace orch {
namespace {

bool parse_number(std::string_view text, std::uint64_t& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc{} && end == text.data() + text.size();
}

bool parse_log_file(Config& c, std::string_view value) {
    c.log_file.clear();
    if (c.log_file.append(value)) return true;
    c.log_file.clear();
    return false;
}

bool parse_team(Config& c, std::string_view value) {
    FixedString<255> team;
    if (!team.append(value)) return false;
    c.team = team;
    return true;
}

bool parse_values(Config& c, std::string_view value) {
    std::uint64_t number = 0;
    if (!parse_number(value, number) || number == 0 || number > (1U << 30)) return false;
    c.values = static_cast<std::int64_t>(number);
    return true;
}

bool parse_checkpoints(Config& c, std::string_view value) {
    return c.checkpoints.parse(value);
}

bool parse_rows(Config& c, std::string_view value) {
    std::uint64_t number = 0;
    if (value == "all") {
        c.rows = all_rows;
    } else if (value == "last") {
        c.rows = 1;
    } else if (parse_number(value, number) && number >= 1 && number <= 16) {
        c.rows = static_cast<int>(number);
    } else {
        return false;
    }
    return true;
}

bool parse_weights(Config& c, std::string_view value) {
    if (value == "proof") {
        c.weights = WeightMode::proof;
    } else if (value == "sketch") {
        c.weights = WeightMode::sketch;
    } else if (value == "names") {
        c.weights = WeightMode::names;
    } else if (value == "off") {
        c.weights = WeightMode::off;
    } else {
        return false;
    }
    return true;
}

bool parse_capture(Config& c, std::string_view value) {
    if (value == "mark") {
        c.capture = CaptureMode::mark;
    } else if (value == "callback") {
        c.capture = CaptureMode::callback;
    } else {
        return false;
    }
    return true;
}

bool parse_bytes(std::string_view value, std::uint64_t& out) {
    int shift = 0;
    if (!value.empty()) {
        switch (value.back()) {
            case 'K':
                shift = 10;
                break;
            case 'M':
                shift = 20;
                break;
            case 'G':
                shift = 30;
                break;
            default:
                break;
        }
    }
    if (shift != 0) value.remove_suffix(1);
    std::uint64_t number = 0;
    if (!parse_number(value, number) || number > (~0ULL >> shift)) return false;
    out = number << shift;
    return true;
}

bool parse_memory(Config& c, std::string_view value) {
    return parse_bytes(value, c.memory_bytes);
}

bool parse_full(Config& c, std::string_view value) {
    return c.full.parse(value);
}

bool parse_full_limit(Config& c, std::string_view value) {
    return parse_bytes(value, c.full_limit);
}

bool parse_full_ring(Config& c, std::string_view value) {
    std::uint64_t bytes = 0;
    if (!parse_bytes(value, bytes) || bytes > (4ULL << 30)) return false;
    c.full_ring = bytes;
    return true;
}

bool parse_graphs(Config& c, std::string_view value) {
    if (value == "digest") {
        c.graphs = GraphMode::digest;
    } else if (value == "report") {
        c.graphs = GraphMode::report;
    } else if (value == "off") {
        c.graphs = GraphMode::off;
    } else {
        return false;
    }
    return true;
}

bool parse_probes(Config& c, std::string_view value) {
    struct Probe {
        std::string_view name;
        bool Config::*flag;
        bool wanted;
    };
    Probe probes[] = {{"blas", &Config::probe_blas, false},
                      {"onednn", &Config::probe_onednn, false},
                      {"ggml", &Config::probe_ggml, false},
                      {"cublas", &Config::probe_cublas, false},
                      {"cuda", &Config::probe_cuda, false}};
    while (!value.empty()) {
        const std::string_view word = take_word(value);
        bool known = word == "all";
        for (Probe& probe : probes) {
            if (word != "all" && word != probe.name) continue;
            probe.wanted = known = true;
        }
        if (!known) return false;
    }
    for (const Probe& probe : probes)
        c.*probe.flag = probe.wanted;
    return true;
}

bool parse_off(Config& c, std::string_view value) {
    if (value != "on" && value != "off") return false;
    c.off = value == "off";
    return true;
}

bool parse_exclude(Config& c, std::string_view value) {
    return c.exclude.parse(value == "none" ? std::string_view{} : value);
}

constexpr std::array variables{
    ConfigVariable{"ORCH_TRACE", "on or off", "on",
                   "off: nothing is traced or looked at, whatever else is set", parse_off},
    ConfigVariable{"ORCH_LOG_FILE", "PATH", "",
                   "trace file; unset: tracing is off (%p pid, %r rank, %h host, %e executable)",
                   parse_log_file},
    ConfigVariable{"ORCH_LOG_TEAM", "NAME", "the executable's name",
                   "name of this engine in the trace", parse_team},
    ConfigVariable{"ORCH_LOG_VALUES", "1..1073741824", "10", "first values of a row to write",
                   parse_values},
    ConfigVariable{"ORCH_TRACE_CHECKPOINTS", "logits,layers,gemm,all or globs",
                   "gemm,layers,logits", "what to keep", parse_checkpoints},
    ConfigVariable{"ORCH_TRACE_ROWS", "1..16, last or all", "16",
                   "rows of a call that get a sketch of their own", parse_rows},
    ConfigVariable{"ORCH_TRACE_WEIGHTS", "proof, sketch, names or off", "proof",
                   "how weights are identified; proof: and their products checked", parse_weights},
    ConfigVariable{"ORCH_TRACE_CAPTURE", "mark or callback", "mark",
                   "how ggml tensors are kept until they are read", parse_capture},
    ConfigVariable{"ORCH_TRACE_MEMORY", "bytes, with K, M or G", "1G",
                   "memory that marking may add to one ggml graph; past it, the callback is used",
                   parse_memory},
    ConfigVariable{"ORCH_TRACE_GRAPHS", "digest, report or off", "digest",
                   "CUDA graphs: digests in them replay; report: say that they are not seen",
                   parse_graphs},
    ConfigVariable{"ORCH_TRACE_FULL", "as ORCH_TRACE_CHECKPOINTS", "",
                   "results to keep whole, as safetensors beside the trace; for debugging",
                   parse_full},
    ConfigVariable{"ORCH_TRACE_FULL_LIMIT", "bytes, with K, M or G", "16G",
                   "bytes of whole results that a process may write", parse_full_limit},
    ConfigVariable{"ORCH_TRACE_FULL_RING", "bytes up to 4G, with K, M or G", "64M",
                   "pinned memory that whole results of a GPU go through; no larger one fits",
                   parse_full_ring},
    ConfigVariable{"ORCH_TRACE_PROBES", "all or blas,onednn,ggml,cublas,cuda", "all",
                   "families of calls to look at", parse_probes},
    ConfigVariable{"ORCH_TRACE_EXCLUDE", "globs or none", "libnccl*,libnvshmem*",
                   "functions, and libraries that call, to be left alone", parse_exclude},
};

}  // namespace

std::span<const ConfigVariable> config_variables() noexcept {
    return variables;
}

Config read_config(Getenv get) noexcept {
    Config config;
    for (const ConfigVariable& variable : variables) {
        const char* value = get(variable.name);
        // An empty value means unset, as it does for most tools.
        if (value == nullptr || *value == '\0' || variable.parse(config, value)) continue;
        auto& problem = config.problem[config.problems++];
        problem.append(variable.name);
        problem.append("=");
        const std::string_view shown{value};
        problem.append(slice(shown, 0, 80));
        problem.append(" is none of: ");
        problem.append(variable.values);
        problem.append("; using ");
        problem.append(*variable.fallback != '\0' ? variable.fallback : "none");
    }
    return config;
}

FixedString<4095> expand_path(std::string_view pattern, const PathFacts& facts) noexcept {
    FixedString<4095> path;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] != '%' || i + 1 == pattern.size()) {
            path.append(slice(pattern, i, 1));
            continue;
        }
        switch (pattern[++i]) {
            case 'p':
                path.append_number(static_cast<unsigned long long>(facts.pid));
                break;
            case 'r':
                path.append(facts.rank);
                break;
            case 'h':
                path.append(facts.host);
                break;
            case 'e':
                path.append(facts.executable);
                break;
            default:
                path.append(slice(pattern, i - 1, 2));
                break;
        }
    }
    return path;
}

}  // namespace orch
