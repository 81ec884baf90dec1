// How far off a place may be before it is spoken of, and before it is blamed. One digest of a small
// Llama's trace is off by a chosen amount, and looks like no bug.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "analyzer/judge/comparison.hpp"
#include "analyzer/selftest/small_llama.hpp"
#include "trace_files.hpp"

namespace orch {
namespace {

constexpr const char* place = "layer_1_output";
constexpr int pass = 2;

std::string small_llama() {
    const auto path =
        std::filesystem::temp_directory_path() / fmt::format("doubts_test_{}.jsonl", ::getpid());
    selftest::trace_small_llama(path, "left", {.names = true}, selftest::Fault::none, 0);
    std::stringstream text;
    text << std::ifstream{path}.rdbuf();
    std::filesystem::remove(path);
    return text.str();
}

/// The same, but for an error of about that relative size in one row.
std::string with_error(const std::string& trace, double size) {
    std::istringstream lines{trace};
    std::string text;
    for (std::string line; std::getline(lines, line);) {
        auto record = nlohmann::ordered_json::parse(line);
        if (record["checkpoint"] == place && record["pass"] == pass) {
            const double step = size * std::sqrt(record["y"]["energy"].get<double>()) / 4;
            int j = 0;
            for (auto& value : record["y"]["mixed"])
                value = value.get<double>() + (j++ % 3 == 0 ? -step : step);
        }
        text += record.dump() + '\n';
    }
    return text;
}

struct Pair {
    TraceFile a;
    TraceFile b;
    Alignment alignment;

    Pair(const std::string& left, const std::string& right)
        : a{left}, b{right}, alignment{align(a.engine(), b.engine())} {}

    double gain() const {
        Measurer measurer{alignment};
        for (const PassReadings& readings : compare_passes(alignment, {}, {}, measurer).readings)
            for (const SiteReading& site : readings)
                if (site.pass == pass && site.site->label == place) return site.tensor.gain;
        return 0;
    }
    PairReport report() const { return judge(alignment, nullptr, {}); }
    bool has_doubts() const {
        const PairReport found = report();
        return std::any_of(found.notes.begin(), found.notes.end(), [](const std::string& note) {
            return note.find("looks like no known bug") != std::string::npos;
        });
    }
};

/// A pair that is off by `gain` times what is expected there.
std::unique_ptr<Pair> pair_of_gain(double gain) {
    static const std::string reference = small_llama();
    constexpr double some = 1e-4;
    const double of_some = Pair{reference, with_error(reference, some)}.gain();
    auto pair = std::make_unique<Pair>(reference, with_error(reference, some * gain / of_some));
    EXPECT_NEAR(pair->gain(), gain, 0.02);
    return pair;
}

TEST(Doubts, ALittleMoreThanExpectedIsNotSpokenOf) {
    const auto pair = pair_of_gain(0.5 * (floors::suspicious + floors::doubtful));
    EXPECT_EQ(pair->report().verdict, Verdict::parity);
    EXPECT_EQ(pair->report().grade, Grade::within_floor);
    EXPECT_FALSE(pair->has_doubts());
}

TEST(Doubts, MoreIsSpokenOfAndNotBlamed) {
    const auto pair = pair_of_gain(0.5 * (floors::doubtful + floors::certain_of_attention));
    EXPECT_EQ(pair->report().verdict, Verdict::parity);
    EXPECT_EQ(pair->report().grade, Grade::reasonable);
    EXPECT_TRUE(pair->has_doubts());
}

TEST(Doubts, FarMoreIsBlamedWhateverItLooksLike) {
    const auto pair = pair_of_gain(1.2 * floors::certain_of_attention);
    ASSERT_EQ(pair->report().verdict, Verdict::divergence);
    EXPECT_EQ(pair->report().first_divergence->checkpoint, place);
}

}  // namespace
}  // namespace orch
