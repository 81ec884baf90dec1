// Two traces, aligned the way the commands do it, and what must hold of every alignment.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>

#include "analyzer/align/align_print.hpp"
#include "analyzer/align/alignment.hpp"
#include "analyzer/align/load_engine.hpp"
#include "tests/align/fake_model.hpp"

namespace orch {

class EngineFile {
  public:
    explicit EngineFile(const std::string& text, const ModelIndex* index = nullptr) {
        static int count = 0;
        path_ =
            (std::filesystem::temp_directory_path() / ("align_test_" + std::to_string(::getpid()) +
                                                       "_" + std::to_string(count++) + ".jsonl"))
                .string();
        std::ofstream{path_} << text;
        loaded_ = std::make_unique<LoadedEngine>(load_engine(path_, {}, index, {1, false, 0}));
    }
    ~EngineFile() { std::filesystem::remove(path_); }
    EngineFile(const EngineFile&) = delete;
    EngineFile& operator=(const EngineFile&) = delete;

    const EngineTrace& engine() const { return loaded_->engine; }
    const std::string& path() const { return path_; }

  private:
    std::string path_;
    std::unique_ptr<LoadedEngine> loaded_;
};

/// Each record has one fate, and each index points at something.
inline void check_invariants(const Alignment& alignment) {
    const auto check_side = [&](const EngineTrace& engine, const SideLedger& ledger, bool of_b) {
        EXPECT_TRUE(ledger.adds_up());
        std::uint64_t records = engine.products.size() + engine.logs.size() + engine.tensors.size();
        for (const Pass& pass : engine.passes)
            records += pass.tensors.size();
        EXPECT_EQ(ledger.total, records);
        std::set<std::size_t> paired;
        for (const ProductPair& pair : alignment.products) {
            for (const std::size_t product : of_b ? pair.b : pair.a) {
                ASSERT_LT(product, engine.products.size());
                EXPECT_TRUE(paired.insert(product).second) << "product in two pairs";
            }
        }
        std::set<std::size_t> tensors;
        for (const TensorPair& pair : alignment.tensors)
            tensors.insert(of_b ? pair.b : pair.a);
        EXPECT_EQ(ledger.matched + ledger.merged, paired.size() + tensors.size());
    };
    check_side(*alignment.a, alignment.ledger_a, false);
    check_side(*alignment.b, alignment.ledger_b, true);
    std::set<std::size_t> in_sites;
    for (const Site& site : alignment.sites) {
        EXPECT_FALSE(site.label.empty());
        for (const std::size_t product : site.products)
            EXPECT_TRUE(in_sites.insert(product).second) << "product in two sites";
    }
    EXPECT_EQ(in_sites.size(), alignment.products.size());
    const bool holes =
        !alignment.ledger_a.unmatched.empty() || !alignment.ledger_b.unmatched.empty();
    EXPECT_TRUE(!holes || !alignment.not_comparable.empty());
}

struct Aligned {
    std::unique_ptr<EngineFile> a;
    std::unique_ptr<EngineFile> b;
    Alignment alignment;

    const Alignment* operator->() const { return &alignment; }
    std::string why() const {
        return alignment.not_comparable.empty() ? "" : alignment.not_comparable.front();
    }
    /// For the message of a check that fails.
    std::string text() const { return align_text(alignment, Paint{}, true); }
    const WeightMatch* weight(const std::string& label) const {
        const auto found =
            std::find_if(alignment.weights.begin(), alignment.weights.end(),
                         [&](const WeightMatch& match) { return match.label == label; });
        return found == alignment.weights.end() ? nullptr : &*found;
    }
    /// Labels of the sites of a pass, in order.
    std::vector<std::string> sites(int pass) const {
        std::vector<std::string> labels;
        for (const Site& site : alignment.sites) {
            if (site.pass == pass && site.tensor < 0) labels.push_back(site.label);
        }
        return labels;
    }
    const Site* site(int pass, const std::string& label) const {
        const auto found = std::find_if(
            alignment.sites.begin(), alignment.sites.end(),
            [&](const Site& site) { return site.pass == pass && site.label == label; });
        return found == alignment.sites.end() ? nullptr : &*found;
    }
};

inline Aligned aligned(const std::string& a, const std::string& b,
                       const ModelIndex* index = nullptr) {
    Aligned result;
    result.a = std::make_unique<EngineFile>(a, index);
    result.b = std::make_unique<EngineFile>(b, index);
    result.alignment = align(result.a->engine(), result.b->engine());
    check_invariants(result.alignment);
    return result;
}

inline Aligned aligned(const FakeModel& model, const FakeEngine& a, const FakeEngine& b) {
    return aligned(run(model, a).whole(), run(model, b).whole());
}

}  // namespace orch
