// gzip and zstd, told by their first bytes; what is damaged gives what can be read.
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "analyzer/read/trace.hpp"
#include "tests/cli/cli_test_support.hpp"
#include "tests/read/trace_lines.hpp"

namespace orch {
namespace {

std::string as_gzip(std::string_view text) {
    std::string packed(::compressBound(text.size()) + 32, '\0');
    z_stream stream = {};
    EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
    packed.resize(stream.total_out);
    ::deflateEnd(&stream);
    return packed;
}

std::string as_zstd(std::string_view text) {
    std::string packed(::ZSTD_compressBound(text.size()), '\0');
    packed.resize(::ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
    return packed;
}

using Pack = std::string (*)(std::string_view);

std::string lines(int from, int to) {
    std::string text;
    for (int i = from; i < to; ++i)
        text += log_line(i, fmt::format("layer_{}_output", i % 7)) + '\n';
    return text;
}

class Archive : public InDirectory, public testing::WithParamInterface<Pack> {
  protected:
    static std::string pack(std::string_view text) { return GetParam()(text); }

    static void expect_lines(const Trace& trace, int count) {
        ASSERT_EQ(trace.entries().size(), static_cast<std::size_t>(count));
        EXPECT_EQ(trace.counts().lines, static_cast<std::uint64_t>(count));
        EXPECT_EQ(trace.counts().bad_lines, 0U);
        for (int i = 0; i < count; ++i)
            ASSERT_EQ(trace.entries()[static_cast<std::size_t>(i)].token_idx, i);
    }
};

// The archives' own functions would do; only the two names are wanted in the list of tests.
std::string name_of(const testing::TestParamInfo<Pack>& info) {
    return info.param == static_cast<Pack>(as_gzip) ? "gzip" : "zstd";
}

TEST_P(Archive, IsReadWhateverItsName) {
    const std::string text = lines(0, 20000);  // several blocks
    const Trace trace{file("t.jsonl", pack(text))};
    expect_lines(trace, 20000);
    EXPECT_EQ(trace.counts().bytes, text.size());
    EXPECT_EQ(trace.text(trace.entries()[3]), log_line(3, "layer_3_output"));
}

TEST_P(Archive, PartsMayStandOneBehindTheOther) {
    const std::string packed =
        pack(lines(0, 10)) + pack("") + pack(lines(10, 3000)) + pack(lines(3000, 3001));
    expect_lines(Trace{file("t.gz", packed)}, 3001);
}

TEST_P(Archive, AnEmptyOneHoldsNothing) {
    EXPECT_EQ(Trace{file("t.gz", pack(""))}.counts().lines, 0U);
}

TEST_P(Archive, CutAnywhereItGivesWhatCameBefore) {
    const std::string text = lines(0, 2000);
    const std::string packed = pack(text);
    std::size_t most = 0;
    for (std::size_t size = 4; size < packed.size(); size += 1 + size / 40) {
        const Trace trace{file("t.gz", packed.substr(0, size))};
        const ReadCounts& c = trace.counts();
        EXPECT_EQ(c.lines, c.records + c.bad_lines + c.blank_lines) << size;
        EXPECT_GE(c.bad_lines, 1U) << size;
        EXPECT_TRUE(c.truncated) << size;
        EXPECT_TRUE(contains(trace.bad_lines().back().why, "archive ends early")) << size;
        for (const Entry& entry : trace.entries())
            ASSERT_EQ(trace.text(entry),
                      lines(entry.token_idx, entry.token_idx + 1).substr(0, entry.length));
        most = std::max(most, trace.entries().size());
    }
    EXPECT_GT(most, 0U);
}

TEST_P(Archive, DamagedItGivesWhatCameBeforeAndTheReason) {
    std::string packed = pack(lines(0, 2000)) + pack(lines(2000, 2001));
    packed[packed.size() - 3] ^= 0x55;  // gzip: its length
    packed[packed.size() - 20] ^= 0x55;
    const Trace trace{file("t.gz", packed)};
    EXPECT_GE(trace.entries().size(), 2000U);
    EXPECT_GE(trace.counts().bad_lines, 1U);
    EXPECT_TRUE(contains(trace.bad_lines().back().why, "archive is damaged"))
        << trace.bad_lines().back().why;
}

TEST_P(Archive, NoBytesButTheFirstSurvive) {
    for (const char fill : {'\0', '\xff', 'a'}) {
        const std::string packed = pack(lines(0, 10)).substr(0, 4) + std::string(5000, fill);
        const Trace trace{file("t.gz", packed)};
        EXPECT_EQ(trace.entries().size(), 0U);
        EXPECT_EQ(trace.counts().bad_lines, 1U);
    }
}

INSTANTIATE_TEST_SUITE_P(Formats, Archive, testing::Values(as_gzip, as_zstd), name_of);

class GzipArchive : public InDirectory {};

TEST_F(GzipArchive, ZerosBehindItArePaddingAndOtherThingsAreTold) {
    const std::string packed = as_gzip(lines(0, 10));
    const Trace padded{file("t.gz", packed + std::string(10000, '\0'))};
    EXPECT_EQ(padded.counts().bad_lines, 0U);
    EXPECT_EQ(padded.entries().size(), 10U);
    const Trace followed{file("t.gz", packed + "and so on")};
    EXPECT_EQ(followed.entries().size(), 10U);
    EXPECT_EQ(followed.counts().bad_lines, 1U);
    EXPECT_TRUE(contains(followed.bad_lines()[0].why, "what follows the gzip archive"));
}

TEST_F(GzipArchive, TheTemporaryFileGoesWhereThereIsRoom) {
    const WithVariable nowhere{"TMPDIR", path("none")};
    EXPECT_EQ(Trace{file("t.gz", as_gzip(lines(0, 10)))}.entries().size(), 10U);
}

TEST_F(GzipArchive, NoTemporaryFileIsLeft) {
    const WithVariable here{"TMPDIR", directory_.string()};
    const Trace trace{file("t.gz", as_gzip(lines(0, 10)))};
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator{directory_})
        ++files;
    EXPECT_EQ(files, 1U);
}

}  // namespace
}  // namespace orch
