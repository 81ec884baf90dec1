// When a weight's products can be checked, and with what.
#include <gtest/gtest.h>

#include <cmath>
#include <latch>
#include <memory>
#include <thread>

#include "core/weights.hpp"
#include "tests/unit/product_support.hpp"
#include "tests/unit/records_support.hpp"

namespace orch {
namespace {

class WeightProbesTest : public RecordsTest {
  protected:
    Probes probes(const MatrixView& m) {
        return table_->identify(trace(), m, dtype_name(m.dtype), {}).probes;
    }
    Probes probes(const Buffer& b) { return probes(b.view); }

    std::unique_ptr<WeightTable> table_ = std::make_unique<WeightTable>();
};

/// An operand's memory gets other values, as an engine's buffer does.
void overwrite(Buffer& to, const Buffer& from) {
    std::copy(from.memory.begin(), from.memory.end(), to.memory.begin());
    to.values = from.values;
}

::testing::AssertionResult are_of(const Probes& probes, const Buffer& w) {
    if (probes.data == nullptr) return ::testing::AssertionFailure() << "there are none";
    if (probes.outputs != w.view.rows || probes.inputs != w.view.cols)
        return ::testing::AssertionFailure() << probes.outputs << "x" << probes.inputs;
    const OwnProbes wanted = probes_of(w);
    if (!std::equal(wanted.floats.begin(), wanted.floats.end(), probes.data))
        return ::testing::AssertionFailure() << "other values";
    return ::testing::AssertionSuccess();
}

TEST_F(WeightProbesTest, AreThereAtEveryCall) {
    const Buffer a = whole_numbers(Kind::f32, {40, 70}, {}, 1);
    const Buffer b = whole_numbers(Kind::f16, {17, 200}, {}, 2);
    const Buffer c = whole_numbers(Kind::block32, {20, 64}, {}, 3);
    for (int round = 0; round < 3; ++round) {
        for (const Buffer* w : {&a, &b, &c}) {
            EXPECT_TRUE(are_of(probes(*w), *w)) << round;
            EXPECT_TRUE(are_of(probes(*w), *w)) << round;
        }
    }
}

TEST_F(WeightProbesTest, AreMadeTwiceAndThenKept) {
    const Buffer a = whole_numbers(Kind::f32, {40, 70}, {}, 1);
    const Buffer b = whole_numbers(Kind::f32, {40, 70}, {}, 2);
    const float* first = probes(a).data;
    EXPECT_EQ(probes(a).data, first);
    EXPECT_EQ(probes(b).data, first) << "the thread has one place for what may be an activation";
    const float* kept = probes(a).data;
    EXPECT_NE(kept, first);
    probes(b);
    EXPECT_EQ(probes(a).data, kept);
}

TEST_F(WeightProbesTest, FollowTheContentAFewTimes) {
    Buffer w = whole_numbers(Kind::f32, {40, 70}, {}, 1);
    const Buffer other = whole_numbers(Kind::f32, {8, 8}, {}, 99);
    for (unsigned seed = 2; seed < 5; ++seed) {
        for (int i = 0; i < 3; ++i) {
            EXPECT_TRUE(are_of(probes(w), w)) << seed;
            probes(other);
        }
        overwrite(w, whole_numbers(Kind::f32, {40, 70}, {}, seed));
    }
    EXPECT_TRUE(are_of(probes(w), w));
    overwrite(w, whole_numbers(Kind::f32, {40, 70}, {}, 5));
    // An address that changes so often holds activations.
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(probes(w).data, nullptr);
}

TEST_F(WeightProbesTest, OfAWeightThatChangedUnnoticedAreMadeAnewOnSuspicion) {
    Buffer w = whole_numbers(Kind::f32, {64, 512}, {}, 1);
    const auto id = [&] {
        return std::string(std::string_view(table_->identify(trace(), w.view, "f32", {}).id));
    };
    EXPECT_EQ(id(), "w1");
    EXPECT_FALSE(table_->has_changed(trace(), w.view, 0.1)) << "it is what it was";
    constexpr std::size_t not_in_the_sample = 12345;
    const auto set = [&](float value) {
        w.values[not_in_the_sample] = value;
        std::memcpy(w.memory.data() + not_in_the_sample * sizeof value, &value, sizeof value);
    };
    set(100);
    EXPECT_EQ(id(), "w1") << "the sample does not show it";
    EXPECT_FALSE(are_of(probes(w), w));
    EXPECT_FALSE(table_->has_changed(trace(), w.view, 0.3)) << "that error was looked into";
    EXPECT_TRUE(table_->has_changed(trace(), w.view, 0.5));
    EXPECT_EQ(id(), "w2");
    EXPECT_TRUE(are_of(probes(w), w));
    EXPECT_FALSE(table_->has_changed(trace(), w.view, 0.1));
    // A cache that grows by a row at each step is given up.
    for (int step = 3; step < 6; ++step) {
        set(static_cast<float>(step) * 10);
        EXPECT_TRUE(table_->has_changed(trace(), w.view, step));
        EXPECT_EQ(id(), "w" + std::to_string(step));
    }
    EXPECT_EQ(probes(w).data, nullptr);
}

TEST_F(WeightProbesTest, AreNotMadeWhereTheyAreLargerThanTheWeight) {
    const Buffer narrow = whole_numbers(Kind::f32, {15, 5000});
    const Buffer small = whole_numbers(Kind::f32, {1, 4096});
    const Buffer wide = whole_numbers(Kind::f32, {16, 5000});
    MatrixView endless = wide.view;
    endless.rows = 16;
    endless.cols = (1 << 20) + 1;
    EXPECT_FALSE(worth_probing(endless));
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(probes(narrow).data, nullptr);
        EXPECT_TRUE(are_of(probes(small), small));
        EXPECT_TRUE(are_of(probes(wide), wide));
    }
}

TEST_F(WeightProbesTest, AreNotGivenForWhatIsNotFinite) {
    std::vector<float> values = normal_values({4, 8}, 1);
    values[9] = not_a_number;
    const Buffer w = f32_buffer({4, 8}, values);
    const Buffer other = whole_numbers(Kind::f32, {8, 8});
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(probes(w).data, nullptr);
        EXPECT_EQ(probes(w).data, nullptr);
        EXPECT_TRUE(are_of(probes(other), other));
    }
}

TEST_F(WeightProbesTest, AreMadeInModeProofOnly) {
    const Buffer w = whole_numbers(Kind::f32, {40, 70});
    for (WeightMode mode : {WeightMode::sketch, WeightMode::names, WeightMode::off}) {
        config_.weights = mode;
        PathFacts facts;
        facts.pid = getpid();
        Trace* own = Trace::start(config_, facts);
        ASSERT_NE(own, nullptr);
        const auto table = std::make_unique<WeightTable>();
        for (int i = 0; i < 3; ++i)
            EXPECT_EQ(table->identify(*own, w.view, "f32", {}).probes.data, nullptr);
        own->finish();
    }
}

TEST_F(WeightProbesTest, ThatAreKeptAreNotBuiltAgainForAnotherThread) {
    const Buffer w = whole_numbers(Kind::f32, {40, 70}, {}, 1);
    const Buffer other = whole_numbers(Kind::f32, {40, 70}, {}, 2);
    probes(w);
    probes(other);
    const float* kept = probes(w).data;
    const float* seen = nullptr;
    std::thread([&] { seen = probes(w).data; }).join();
    EXPECT_EQ(seen, kept);
}

TEST_F(WeightProbesTest, From16ThreadsAreAlwaysThoseOfTheWeight) {
    constexpr std::size_t thread_count = 16;
    constexpr unsigned weights = 24;
    std::vector<Buffer> all;
    std::vector<OwnProbes> wanted;
    for (unsigned i = 0; i < weights; ++i) {
        all.push_back(whole_numbers(Kind::f32, {33, 40 + 16 * (i % 3)}, {}, i + 1));
        wanted.push_back(probes_of(all.back()));
    }
    trace();
    std::latch together(thread_count);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < thread_count; ++t) {
        threads.emplace_back([&, t] {
            together.arrive_and_wait();
            for (std::size_t round = 0; round < 20; ++round) {
                for (std::size_t i = 0; i < weights; ++i) {
                    const std::size_t at = (i * (1 + t % 5) + round) % weights;
                    const std::vector<float>& floats = wanted[at].floats;
                    const Probes found = probes(all[at]);
                    if (found.data == nullptr ||
                        !std::equal(floats.begin(), floats.end(), found.data)) {
                        ++wrong;
                    }
                }
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace orch
