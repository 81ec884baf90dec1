// What a trace holds, and whether it holds all of it. Text and JSON are two printers of these
// structs (info_print.hpp), so they cannot disagree.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analyzer/info/checkpoint_family.hpp"
#include "analyzer/read/trace.hpp"

namespace orch {

enum class Completeness {
    complete,
    unknown,     ///< no ledger to tell: plain lines, made by another logger
    incomplete,  ///< records are missing, or nothing rules it out
};
std::string_view completeness_name(Completeness completeness);

struct HeaderFacts {
    std::int64_t schema = 0;
    std::int64_t pid = 0;
    std::int64_t ppid = 0;
    std::string version;
    std::string host;
    std::string executable;
    std::string isa;
    std::string backend;
    std::vector<std::string> argv;
    std::vector<std::string> libraries;
    std::vector<std::pair<std::string, std::string>> config;
};

struct ClassLedger {
    std::string name;
    std::uint64_t seen = 0;
    std::uint64_t recorded = 0;
    std::uint64_t filtered = 0;
    std::uint64_t dropped = 0;
    std::uint64_t in_file = 0;  ///< counted here, not by the writer
    bool adds_up() const { return seen == recorded + filtered + dropped; }
};

struct LedgerFacts {
    bool is_final = false;
    std::vector<ClassLedger> classes;
    std::uint64_t lines = 0;
    std::uint64_t lost_lines = 0;
    std::uint64_t dropped_rows = 0;
    std::string write_error;
};

struct WeightFacts {
    std::uint64_t count = 0;
    std::uint64_t named = 0;           ///< by the engine
    std::uint64_t named_by_index = 0;  ///< of the others
    std::map<std::string, std::uint64_t> dtypes;
    std::uint64_t nameless() const { return count - named - named_by_index; }
};

struct PassFacts {
    std::uint64_t count = 0;
    std::uint64_t tokens = 0;
};

/// Something that orchtrace could not see, as it says itself.
struct BlindSpot {
    std::string what;
    std::string why;
};

/// What the engine set in a library, that may change its results.
struct Setting {
    std::string op;
    std::uint64_t bytes = 0;
};

/// The lines that one process wrote.
struct RunSummary {
    std::vector<std::string> teams;
    std::string first_ts;
    std::string last_ts;
    std::uint64_t first_line = 0;
    std::uint64_t last_line = 0;
    std::uint64_t lines = 0;    ///< of all kinds but the ledger's
    std::uint64_t records = 0;  ///< with values: products, checkpoints, logged lines
    std::uint64_t rows = 0;
    std::optional<HeaderFacts> header;  ///< none: made by another logger
    std::optional<LedgerFacts> ledger;  ///< the last one
    WeightFacts weights;
    PassFacts passes;
    std::vector<CheckpointFamily> families;
    std::vector<BlindSpot> blind_spots;
    std::vector<Setting> settings;
    std::vector<std::string> config_problems;

    Completeness completeness = Completeness::unknown;
    std::uint64_t lost = 0;             ///< records and rows known to be missing
    std::string reason;                 ///< why incomplete, in a few words
    std::vector<std::string> findings;  ///< the same in whole sentences
};

struct TraceSummary {
    std::string path;
    std::string index;  ///< where names that no engine gave come from; empty: no index was given
    ReadCounts counts;
    std::vector<RunSummary> runs;
    std::vector<BadLine> bad_lines;  ///< the first few; counts has their number

    std::uint64_t records() const;
    Completeness completeness() const;
    /// "1 run of llama.cpp, 2,315 records of 20 passes, complete"
    std::string verdict() const;
};

TraceSummary summarize(const Trace& trace, const GivenNames& names = {});

/// Fills completeness, lost, reason and findings from the rest.
void judge_completeness(RunSummary& run);

}  // namespace orch
