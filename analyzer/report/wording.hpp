// Words and numbers that all formats of a report share.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "analyzer/judge/report.hpp"

namespace orch {

std::string_view verdict_name(Verdict verdict);   ///< "parity", "divergence", "not_comparable"
std::string_view verdict_title(Verdict verdict);  ///< "PARITY", "DIVERGENCE", "NOT COMPARABLE"
std::string_view grade_name(Grade grade);         ///< "within_floor"
std::string_view grade_meaning(Grade grade);      ///< what it says, in half a sentence

/// As short as it can be said: "0.147", "2.6e-3", "0"; "-" where there is none.
std::string error_text(double error);
std::string error_text(const std::optional<double>& error);
/// "15 %", "0.26 %", "under 0.01 %"; "5.4e17 times its size" where percent say nothing.
std::string percent_text(double share);
/// "57 times the floor of 2.6e-3", "0.4 times …"; what there is to say where the floor is 0.
std::string against_floor(double error, double floor);
/// "85 % sure"
std::string sure_text(double confidence);
/// "torch.jsonl:288 gemm.000031"
std::string place_text(const Place& place);
/// "attention of layer 2", "embedding"
std::string site_text(const FirstDivergence& first);

/// The comparison that decides the verdict: the first that diverges, else the first that could not
/// be made, else the first. Null: none.
const PairReport* deciding_pair(const Report& report);
/// Where the engines differ most, of all sites that were measured; null: none was.
const SiteRow* worst_site(const PairReport& pair);

struct TokenCounts {
    std::size_t compared = 0;
    std::size_t decided = 0;  ///< of these, the winning token is known in both
    std::size_t agree = 0;    ///< of these, it is the same
    std::size_t ties = 0;
    std::size_t hard = 0;
    std::size_t skipped = 0;
    const TokenRow* first_flip = nullptr;  ///< the first hard one, else the first tie
    std::optional<double> mean_kl;
    std::optional<double> max_kl;
    std::optional<double> worst_error;
};
TokenCounts count_tokens(const std::vector<TokenRow>& tokens);
/// One sentence about the choice of tokens.
std::string tokens_text(const std::vector<TokenRow>& tokens);

struct SiteCounts {
    std::size_t all = 0;
    std::size_t measured = 0;
    std::size_t same = 0;      ///< to the bit
    std::size_t products = 0;  ///< pairs, over all passes
};
SiteCounts count_sites(const PairReport& pair);

/// "29 of 29 of llama.cpp and 17 of 17 of pytorch recognised, in 17 matches"
std::string weights_text(const PairReport& pair);

std::string dropped_text(const LedgerRow& row);  ///< "attention operands (64), …"
std::uint64_t dropped_total(const LedgerRow& row);
/// What nobody looked at, so that no verdict covers it.
std::vector<std::string> not_seen(const PairReport& pair);

/// Shell commands that answer what a reader will ask next.
std::vector<std::string> next_commands(const Report& report);

}  // namespace orch
