#include "analyzer/read/entry_codec.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

namespace orch {
namespace {

constexpr unsigned kinds = static_cast<unsigned>(RecordKind::other) + 1;

/// As logs have them, and now and then with a number that no log has.
std::vector<Entry> entries_like_a_log(std::size_t count, unsigned seed) {
    std::mt19937_64 random{seed};
    std::vector<Entry> entries(count);
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < count; ++i) {
        Entry& e = entries[i];
        e.kind = RecordKind::log;
        e.offset = offset;
        e.line = i + 1;
        e.length = 240 + static_cast<std::uint32_t>(random() % 10);
        e.values = 130;
        e.team = 1;
        e.checkpoint = static_cast<StringId>(2 + i % 32);
        e.token_idx = static_cast<std::int64_t>(i / 32);
        offset += e.length + 1;
        if (random() % 50 != 0) continue;
        e.kind = static_cast<RecordKind>(random() % kinds);
        e.offset = random();
        e.line = random();
        e.x_key = random();
        e.y_key = random();
        e.call = static_cast<std::int64_t>(random());
        e.token_idx = std::numeric_limits<std::int64_t>::min();
        e.first_position = std::numeric_limits<std::int64_t>::max();
        e.length = static_cast<std::uint32_t>(random());
        e.values = std::numeric_limits<std::uint32_t>::max();
        e.pass = std::numeric_limits<std::int32_t>::max();
        e.weight = static_cast<StringId>(random());
        e.rows = static_cast<std::uint32_t>(random());
        e.x_cols = 1;
        e.y_cols = std::numeric_limits<std::uint32_t>::max();
        e.dtype = 7;
        e.shape = 8;
        e.token_positions = random() % 2 == 0;
        e.nonfinite = random() % 2 == 0;
    }
    return entries;
}

bool same(const Entry& a, const Entry& b) {
    return a.offset == b.offset && a.line == b.line && a.x_key == b.x_key && a.y_key == b.y_key &&
           a.call == b.call && a.token_idx == b.token_idx && a.first_position == b.first_position &&
           a.length == b.length && a.values == b.values && a.pass == b.pass && a.team == b.team &&
           a.checkpoint == b.checkpoint && a.weight == b.weight && a.dtype == b.dtype &&
           a.shape == b.shape && a.rows == b.rows && a.x_cols == b.x_cols && a.y_cols == b.y_cols &&
           a.kind == b.kind && a.token_positions == b.token_positions && a.nonfinite == b.nonfinite;
}

TEST(EntryCodec, EveryFieldComesBack) {
    for (unsigned seed = 0; seed < 20; ++seed) {
        const std::vector<Entry> entries = entries_like_a_log(2000, seed);
        std::string bytes;
        encode(entries, bytes);
        std::vector<Entry> back(entries.size());
        ASSERT_TRUE(decode(bytes, back));
        for (std::size_t i = 0; i < entries.size(); ++i)
            ASSERT_TRUE(same(entries[i], back[i])) << seed << ' ' << i;
    }
}

TEST(EntryCodec, ALogTakesFewBytes) {
    std::vector<Entry> entries = entries_like_a_log(1, 1);
    std::uint64_t offset = 0;
    while (entries.size() < 1000) {
        Entry next = entries.back();
        next.offset = offset += 245;
        next.line = entries.size() + 1;
        next.checkpoint = static_cast<StringId>(2 + entries.size() % 32);
        entries.push_back(next);
    }
    std::string bytes;
    encode(entries, bytes);
    EXPECT_LT(bytes.size(), 10 * entries.size());
}

TEST(EntryCodec, OtherBytesAreRefusedOrGiveEntries) {
    const std::vector<Entry> entries = entries_like_a_log(200, 3);
    std::string bytes;
    encode(entries, bytes);
    std::vector<Entry> back(entries.size());
    EXPECT_FALSE(decode(bytes + 'x', back));
    for (std::size_t size = 0; size < bytes.size(); ++size)
        ASSERT_FALSE(decode(bytes.substr(0, size), back)) << size;
    std::mt19937 random{4};
    for (int i = 0; i < 5000; ++i) {
        std::string damaged = bytes;
        for (int k = 0; k < 3; ++k)
            damaged[random() % damaged.size()] = static_cast<char>(random());
        if (!decode(damaged, back)) continue;
        for (const Entry& entry : back)
            ASSERT_LE(entry.kind, RecordKind::other);
    }
    std::string noise(5000, '\0');
    for (char& c : noise)
        c = static_cast<char>(random());
    EXPECT_FALSE(decode(noise, back));
}

}  // namespace
}  // namespace orch
