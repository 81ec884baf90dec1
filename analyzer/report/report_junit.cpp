// One suite for each pair: "comparable", "parity", and a case for each place that was compared.
#include <fmt/format.h>

#include "analyzer/report/escape.hpp"
#include "analyzer/report/report_print.hpp"
#include "analyzer/report/wording.hpp"

namespace orch {
namespace {

struct Case {
    std::string name;
    std::string element;  ///< "failure", "error", "skipped"; empty: it passed
    std::string message;
    std::string type;
    std::string body;
};

std::string lines(const std::vector<std::string>& texts) {
    std::string out;
    for (const std::string& text : texts)
        out += text + '\n';
    return out;
}

std::string evidence(const FirstDivergence& first) {
    std::string out = fmt::format(
        "{}\n{} is wrong: {}\n", site_text(first),
        first.team.empty() ? "it is undetermined which engine" : first.team, first.team_because);
    out += fmt::format("error {}, {} ({}); input error {}\n", error_text(first.error),
                       against_floor(first.error, first.floor), first.floor_from,
                       error_text(first.input_error));
    out += fmt::format("signature {}, {}: {}\nrefuted if: {}\n", first.signature.name,
                       sure_text(first.signature.confidence), first.signature.because,
                       first.signature.falsifier);
    out += lines(first.evidence);
    return out + fmt::format("{}\n{}\n", place_text(first.reference), place_text(first.other));
}

Case comparable_case(const PairReport& pair) {
    if (pair.verdict != Verdict::not_comparable) return {"comparable", {}, {}, {}, {}};
    return {"comparable", "error", pair.headline, "not_comparable", lines(pair.reasons)};
}

Case parity_case(const PairReport& pair) {
    switch (pair.verdict) {
        case Verdict::parity:
            return {"parity", {}, {}, {}, {}};
        case Verdict::divergence:
            return {"parity", "failure", pair.headline, std::string{grade_name(pair.grade)},
                    pair.first_divergence ? evidence(*pair.first_divergence) : lines(pair.reasons)};
        case Verdict::not_comparable:
            break;
    }
    return {"parity", "skipped", "not comparable", {}, {}};
}

Case site_case(const PairReport& pair, const SiteRow& site) {
    Case result{site.checkpoint, {}, {}, {}, {}};
    const std::string numbers =
        fmt::format("input error {}, output error {}, floor {}", error_text(site.input_error),
                    error_text(site.output_error), error_text(site.floor));
    if (site.state == "FIRST") {
        result.element = "failure";
        result.message = numbers;
        result.type = pair.first_divergence ? pair.first_divergence->signature.name : "unknown";
        if (pair.first_divergence) result.body = evidence(*pair.first_divergence);
    } else if (site.state == "after") {
        result.element = "skipped";
        result.message = "after the first divergence: " + numbers;
    } else if (!site.input_error && !site.output_error) {
        result.element = "skipped";
        result.message = "not measured";
    }
    return result;
}

std::string case_text(const PairReport& pair, const Case& c) {
    std::string out = fmt::format(R"(    <testcase classname="orchtrace.{}" name="{}")",
                                  xml_text(pair.b.team), xml_text(c.name));
    if (c.element.empty()) return out + "/>\n";
    out += fmt::format(">\n      <{} message=\"{}\"", c.element, xml_text(c.message));
    if (!c.type.empty()) out += fmt::format(" type=\"{}\"", xml_text(c.type));
    out += c.body.empty() ? "/>" : fmt::format(">{}</{}>", xml_text(c.body), c.element);
    return out + "\n    </testcase>\n";
}

struct Counts {
    std::size_t tests = 0;
    std::size_t failures = 0;
    std::size_t errors = 0;
    std::size_t skipped = 0;

    void add(const Case& c) {
        ++tests;
        failures += c.element == "failure" ? 1 : 0;
        errors += c.element == "error" ? 1 : 0;
        skipped += c.element == "skipped" ? 1 : 0;
    }
    std::string attributes() const {
        return fmt::format(R"(tests="{}" failures="{}" errors="{}")", tests, failures, errors);
    }
};

}  // namespace

std::string report_junit(const Report& report) {
    std::string suites;
    Counts all;
    for (const PairReport& pair : report.pairs) {
        std::vector<Case> cases{comparable_case(pair), parity_case(pair)};
        for (const SiteRow& site : pair.sites)
            cases.push_back(site_case(pair, site));
        Counts counts;
        std::string body;
        for (const Case& c : cases) {
            counts.add(c);
            all.add(c);
            body += case_text(pair, c);
        }
        suites += fmt::format(
            "  <testsuite name=\"{} against {}\" {} skipped=\"{}\">\n{}  </testsuite>\n",
            xml_text(pair.b.team), xml_text(pair.a.team), counts.attributes(), counts.skipped,
            body);
    }
    return fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"orchtrace compare\" "
        "{}>\n{}</testsuites>\n",
        all.attributes(), suites);
}

}  // namespace orch
