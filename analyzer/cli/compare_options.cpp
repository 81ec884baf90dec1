#include "analyzer/cli/compare_options.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/cli/index_option.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

std::optional<std::int64_t> number_of(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < 0) return std::nullopt;
    return number;
}

}  // namespace

std::vector<std::int64_t> numbers_of(const std::string& option, const std::string& text) {
    constexpr std::size_t most = 1U << 20;
    std::vector<std::int64_t> numbers;
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(','), rest.size());
        const std::string_view part = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const std::size_t dash = part.find('-');
        const auto first = number_of(part.substr(0, dash));
        const auto last = dash == std::string_view::npos ? first : number_of(part.substr(dash + 1));
        if (!first || !last || *last < *first) {
            throw UsageError(fmt::format("{} {}: numbers and ranges are wanted, as in 0,3-5",
                                         option, printable(text)));
        }
        if (static_cast<std::uint64_t>(*last - *first) >= most - numbers.size()) {
            throw UsageError(
                fmt::format("{} {}: more than {} numbers", option, printable(text), grouped(most)));
        }
        for (std::int64_t n = *first; n <= *last; ++n)
            numbers.push_back(n);
    }
    return numbers;
}

void add_compare_options(CLI::App& app, CompareOptions& options) {
    ComparisonRequest& request = options.request;
    add_index_option(app, request.index);
    app.add_option("--floor", request.floor,
                   "a second run of the reference, plain or perturbed: its differences are no news")
        ->type_name("TRACE");
    app.add_option("--skip-positions", options.skip_positions,
                   "token positions that take no part, as in 0,3-5")
        ->type_name("LIST");
    app.add_flag("--skip-garbage", request.judge.skip_garbage,
                 "leave out positions that hold garbage values");
    app.add_option("--garbage", request.judge.garbage, "|v| from here on is garbage")
        ->type_name("V")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--reasonable", request.judge.reasonable,
                   "relative difference at the end that you accept")
        ->type_name("SHARE")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--bad", request.judge.bad, "relative difference from which it is called bad")
        ->type_name("SHARE")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--run", options.runs,
                   "which run of each file, counted from 1; as 2, or one for each: 2,1 [the last]")
        ->type_name("LIST");
}

ComparisonRequest request_of(const CompareOptions& options) {
    ComparisonRequest request = options.request;
    request.judge.skip_positions = numbers_of("--skip-positions", options.skip_positions);
    for (const std::int64_t run : numbers_of("--run", options.runs)) {
        if (run == 0) throw UsageError("--run 0: runs are counted from 1");
        request.runs.push_back(static_cast<std::size_t>(run));
    }
    if (request.judge.bad < request.judge.reasonable) {
        throw UsageError(fmt::format("--bad {} is below --reasonable {}", request.judge.bad,
                                     request.judge.reasonable));
    }
    return request;
}

int exit_code_of(Verdict verdict) {
    switch (verdict) {
        case Verdict::parity:
            return exit_ok;
        case Verdict::divergence:
            return exit_divergence;
        case Verdict::not_comparable:
            break;
    }
    return exit_unusable;
}

}  // namespace orch
