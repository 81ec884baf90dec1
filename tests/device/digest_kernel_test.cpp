// The kernel's text against core/digest, which has tests of its own.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "core/half.hpp"
#include "tests/device/run_job.hpp"

namespace orch::device {
namespace {

/// What sums may differ by, as a share of the sum of magnitudes.
constexpr double tolerance = 1e-6;

struct Magnitudes {
    double all = 0;
    double largest_row = 0;
};

Magnitudes magnitudes_of(const MatrixView& view) {
    Magnitudes m;
    std::vector<float> row(static_cast<std::size_t>(view.cols));
    for (std::int64_t r = 0; r < view.rows; ++r) {
        copy_row_f32(view, r, 0, view.cols, row.data());
        double sum = 0;
        for (float v : row)
            sum += std::isfinite(v) ? std::fabs(static_cast<double>(v)) : 0;
        m.all += sum;
        m.largest_row = std::max(m.largest_row, sum);
    }
    return m;
}

template <class Result>
void expect_same_counts(const Result& actual, const Result& wanted) {
    EXPECT_EQ(actual.nonfinite.nan, wanted.nonfinite.nan);
    EXPECT_EQ(actual.nonfinite.pos_inf, wanted.nonfinite.pos_inf);
    EXPECT_EQ(actual.nonfinite.neg_inf, wanted.nonfinite.neg_inf);
    EXPECT_EQ(actual.absmax, wanted.absmax);
    EXPECT_EQ(actual.max, wanted.max);
    EXPECT_EQ(actual.argmax, wanted.argmax);
}

void expect_same_sketch(const Sketch& actual, const Sketch& wanted, double magnitude) {
    // Sums that may leave the range of f32 on the way: in which order of additions they do differs.
    if (magnitude > 1e38) return;
    for (std::size_t j = 0; j < 16; ++j) {
        EXPECT_NEAR(actual[j], wanted[j], magnitude * tolerance) << j;
    }
}

void expect_same(const Digest& actual, const Digest& wanted, const Magnitudes& magnitude) {
    // Squares of values below 1e-19 are rounded in the range of f32's denormals.
    constexpr double vanished = 1e-40;
    EXPECT_EQ(actual.rows, wanted.rows);
    EXPECT_EQ(actual.cols, wanted.cols);
    EXPECT_EQ(actual.hash, wanted.hash);
    EXPECT_EQ(actual.min, wanted.min);
    EXPECT_EQ(actual.has_extremes, wanted.has_extremes);
    expect_same_counts(actual, wanted);
    EXPECT_NEAR(actual.energy, wanted.energy, wanted.energy * tolerance + vanished);
    EXPECT_NEAR(actual.sum, wanted.sum, magnitude.all * tolerance);
    expect_same_sketch(actual.mixed, wanted.mixed, magnitude.all);
    ASSERT_EQ(actual.selected, wanted.selected);
    for (std::size_t i = 0; i < static_cast<std::size_t>(wanted.selected); ++i) {
        SCOPED_TRACE("selected row " + std::to_string(i));
        EXPECT_EQ(actual.row[i].row, wanted.row[i].row);
        EXPECT_EQ(actual.row[i].position, wanted.row[i].position);
        expect_same_counts(actual.row[i], wanted.row[i]);
        EXPECT_NEAR(actual.row[i].energy, wanted.row[i].energy,
                    wanted.row[i].energy * tolerance + vanished);
        EXPECT_NEAR(actual.row[i].sum, wanted.row[i].sum, magnitude.largest_row * tolerance);
        expect_same_sketch(actual.row[i].sketch, wanted.row[i].sketch, magnitude.largest_row);
    }
}

std::string shape_text(const MatrixView& view) {
    return std::string(dtype_name(view.dtype)) + " " + std::to_string(view.rows) + "x" +
           std::to_string(view.cols);
}

void expect_as_core(const MatrixView& view, std::int64_t first_position = 0,
                    int selected_rows = max_rows, bool sign_rows = true) {
    SCOPED_TRACE(shape_text(view));
    DigestRequest request = from_position(first_position);
    request.selected_rows = selected_rows;
    request.sign_rows = sign_rows;
    Job job;
    job.side[0] = operand_of(view);
    job.first_position = first_position;
    job.selected_rows = selected_rows;
    job.sign_rows = sign_rows;
    const Record record = run_job(job);
    expect_same(decoded(record, job, 0), digest_of(view, request), magnitudes_of(view));
    EXPECT_EQ(record.slot.side[1].selected, 0);
}

constexpr Kind device_kinds[] = {Kind::f32, Kind::f64, Kind::f16, Kind::bf16};
constexpr Shape more_shapes[] = {{1, 1},     {1, 15},    {1, 16},    {2, 1},    {3, 17},
                                 {4, 31},    {2, 1024},  {5, 1025},  {16, 64},  {300, 2049},
                                 {1030, 70}, {2050, 3},  {1, 5000},  {1, 9000}, {7, 4096},
                                 {40, 4104}, {600, 128}, {33, 20000}};

TEST(DigestKernel, IsAsCoreInEveryShapeAndType) {
    for (Kind kind : device_kinds) {
        for (Shape shape : more_shapes)
            expect_as_core(whole_numbers(kind, shape).view, 3);
    }
}

TEST(DigestKernel, WithStridesIsAsCore) {
    for (Kind kind : device_kinds) {
        for (Shape shape : {Shape{1, 15}, {3, 17}, {40, 300}, {70, 1025}, {700, 40}}) {
            for (Layout layout :
                 {Layout{3, 1, false}, {8, 1, false}, {0, 2, false}, {0, 1, true}, {5, 1, true}}) {
                expect_as_core(whole_numbers(kind, shape, layout).view, 100);
            }
        }
    }
}

TEST(DigestKernel, GoesBackwardsThroughMemory) {
    Buffer b = whole_numbers(Kind::f32, {20, 64});
    b.view.data = b.memory.data() + 19 * 64 * 4;
    b.view.row_stride = -64;
    expect_as_core(b.view);
}

TEST(DigestKernel, OfRandomValuesHasTheSameSums) {
    for (Shape shape : {Shape{1, 4096}, {9, 333}, {2000, 300}, {130, 3000}, {5000, 16}}) {
        for (float scale : {1.0F, 1e-20F, 1e-42F, 1e18F}) {
            expect_as_core(f32_buffer(shape, normal_values(shape, 7, scale)).view, 1);
        }
        std::vector<float> shifted = normal_values(shape, 8);
        for (float& v : shifted)
            v += 100;
        expect_as_core(f32_buffer(shape, shifted).view);
    }
}

TEST(DigestKernel, OfAnyHalfIsAsCore) {
    std::vector<std::uint16_t> patterns(1 << 16);
    std::iota(patterns.begin(), patterns.end(), std::uint16_t{0});
    for (DType type : {DType::f16, DType::bf16}) {
        for (Shape shape : {Shape{1, 65536}, {64, 1024}, {4096, 16}, {1024, 64}})
            expect_as_core(half_buffer(type, shape, patterns).view, 2);
    }
}

TEST(DigestKernel, CountsWhatIsNotFinite) {
    for (Shape shape : {Shape{1, 40}, {12, 33}, {50, 256}, {700, 64}}) {
        std::mt19937 random(5);
        std::vector<float> values = normal_values(shape, 3);
        for (float& v : values) {
            const auto kind = random() % 12;
            if (kind < 4)
                v = kind == 0   ? infinity
                    : kind == 1 ? -infinity
                    : kind == 2 ? not_a_number
                                : std::bit_cast<float>(0xffc12345U);
        }
        expect_as_core(f32_buffer(shape, values).view);
        for (float only : {infinity, -infinity, not_a_number})
            expect_as_core(f32_buffer(shape, std::vector<float>(values.size(), only)).view);
    }
}

TEST(DigestKernel, OfDoublesIsAsCore) {
    const Shape shape{20, 70};
    std::vector<double> doubles;
    for (float v : normal_values(shape, 4))
        doubles.push_back(v * 1.000000001);
    doubles[3] = 1e300;
    doubles[70] = -1e300;
    doubles[71] = std::numeric_limits<double>::infinity();
    doubles[72] = -std::numeric_limits<double>::infinity();
    doubles[200] = std::bit_cast<double>(0x7ff8123456789abcULL);
    doubles[201] = std::bit_cast<double>(0xfff0000000000001ULL);
    doubles[202] = 1e-300;
    Buffer b = f32_buffer(shape, std::vector<float>(1400));
    b.view.dtype = DType::f64;
    store(b, doubles, {});
    expect_as_core(b.view);
}

TEST(DigestKernel, OfHugeValuesSumsInDouble) {
    for (Shape shape : {Shape{1, 64}, {30, 100}})
        expect_as_core(f32_buffer(shape, normal_values(shape, 1, 1e30F)).view);
    // Sums of rows that leave the range of f32 are not representable.
    const Buffer b = f32_buffer({64, 16}, std::vector<float>(64 * 16, 3e38F));
    Job job;
    job.side[0] = operand_of(b.view);
    job.sign_rows = false;
    const Digest d = decoded(run_job(job), job, 0);
    EXPECT_NEAR(d.energy, 64 * 16 * 9e76, 1e73);
    EXPECT_TRUE(std::all_of(d.mixed.begin(), d.mixed.end(), [](float m) { return m != m; }));
}

TEST(DigestKernel, TellsTheFirstOfEqualMaxima) {
    for (Shape shape : {Shape{1, 6000}, {40, 9000}, {3000, 40}, {600, 600}}) {
        std::mt19937 random(6);
        std::vector<float> values(static_cast<std::size_t>(shape.rows * shape.cols));
        for (int i = 0; i < 20; ++i)
            values[random() % values.size()] = 5;
        expect_as_core(f32_buffer(shape, values).view);
        std::fill(values.begin(), values.end(), -2.0F);
        expect_as_core(f32_buffer(shape, values).view);
    }
}

TEST(DigestKernel, SelectsTheRowsThatCoreSelects) {
    for (std::int64_t rows : {1, 2, 17, 40, 3000}) {
        for (std::int64_t first : {0, 1, 5, 16, 17, 1000, 65000, -3}) {
            for (int selected : {16, 5, 2, 1})
                expect_as_core(whole_numbers(Kind::bf16, {rows, 24}).view, first, selected);
        }
    }
    expect_as_core(whole_numbers(Kind::f32, {70000, 4}).view);  // 17 rows of the spread: 15 fit
}

TEST(DigestKernel, WithoutSignsOfRowsIsTheSumOfRows) {
    for (Shape shape : {Shape{1, 100}, {900, 300}})
        expect_as_core(whole_numbers(Kind::f16, shape).view, 7, max_rows, false);
}

TEST(DigestKernel, OfBothSidesInOneLaunch) {
    for (std::int64_t rows : {1, 6, 500}) {
        const Buffer y = whole_numbers(Kind::f32, {rows, 700});
        const Buffer x = whole_numbers(Kind::bf16, {rows, 1500}, {}, 9);
        Job job;
        job.side[0] = operand_of(y.view);
        job.side[1] = operand_of(x.view);
        job.values = 10;
        job.op = 77;
        const Record record = run_job(job);
        expect_same(decoded(record, job, 0), digest_of(y), magnitudes_of(y.view));
        DigestRequest request;
        request.extremes = false;
        expect_same(decoded(record, job, 1, false), digest_of(x, request), magnitudes_of(x.view));
        EXPECT_EQ(record.slot.op, 77U);
        ASSERT_EQ(record.values.size(), 10U);
        for (std::int64_t c = 0; c < 10; ++c)
            EXPECT_EQ(record.values[static_cast<std::size_t>(c)], y.at(rows - 1, c));
    }
}

TEST(DigestKernel, OfNothingIsEmpty) {
    const Buffer b = whole_numbers(Kind::f32, {4, 4});
    for (int missing : {0, 1, 2}) {
        Job job;
        job.side[0] = operand_of(b.view);
        if (missing == 0) job.side[0].rows = 0;
        if (missing == 1) job.side[0].cols = 0;
        if (missing == 2) job.side[0].data = 0;
        job.values = 4;
        const Record record = run_job(job);
        EXPECT_EQ(record.slot.side[0].selected, 0);
        EXPECT_EQ(record.slot.side[0].hash, 0U);
        EXPECT_EQ(record.slot.side[0].argmax, -1);
        EXPECT_EQ(record.slot.values, 0);
        EXPECT_EQ(decoded(record, job, 0).rows, 0);
    }
}

TEST(DigestKernel, FollowsAPointer) {
    for (std::int64_t rows : {3, 900}) {
        const Buffer b = whole_numbers(Kind::bf16, {rows, 300});
        std::uint64_t pointer = reinterpret_cast<std::uint64_t>(b.view.data);
        Job job;
        job.side[0] = operand_of(b.view);
        job.side[0].data = reinterpret_cast<std::uint64_t>(&pointer);
        job.side[0].indirect = true;
        job.values = 2;
        const Record record = run_job(job);
        expect_same(decoded(record, job, 0), digest_of(b), magnitudes_of(b.view));
        EXPECT_EQ(record.values[1], b.at(rows - 1, 1));
        pointer = 0;
        const Record none = run_job(job);
        EXPECT_EQ(none.slot.side[0].selected, 0);
        EXPECT_EQ(none.slot.values, 0);
    }
}

// ---- Types that core does not know. -------------------------------------------------------------

/// By their definitions (OCP FP8): e4m3 without infinities and with one NaN, e5m2 as IEEE would.
float fp8_value(unsigned bits, int exponent_bits) {
    const int fraction_bits = 7 - exponent_bits;
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const auto exponent = static_cast<int>((bits & 0x7fU) >> fraction_bits);
    const unsigned fraction = bits & ((1U << fraction_bits) - 1);
    const double sign = (bits & 0x80U) != 0 ? -1 : 1;
    if (exponent_bits == 4 && (bits & 0x7fU) == 0x7f) return not_a_number;
    if (exponent_bits == 5 && exponent == 31) {
        if (fraction != 0) return not_a_number;
        return sign < 0 ? -infinity : infinity;
    }
    const double scaled = std::ldexp(fraction, -fraction_bits);
    return static_cast<float>(sign * (exponent == 0 ? std::ldexp(scaled, 1 - bias)
                                                    : std::ldexp(1 + scaled, exponent - bias)));
}

template <class Element, class Value>
void expect_as_f32(Type type, Shape shape, const std::vector<Element>& elements, Value value) {
    std::vector<float> floats;
    std::uint64_t hash = 0;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        floats.push_back(value(elements[i]));
        const auto cols = static_cast<std::size_t>(shape.cols);
        hash +=
            static_cast<std::uint64_t>(static_cast<std::make_unsigned_t<Element>>(elements[i])) *
            (feature_hash(static_cast<std::uint32_t>(i % cols)) | 1U) *
            position_multiplier(static_cast<std::int64_t>(i / cols));
    }
    const Buffer wanted = f32_buffer(shape, floats);
    Job job;
    job.side[0] = {reinterpret_cast<std::uint64_t>(elements.data()),
                   shape.rows,
                   shape.cols,
                   shape.cols,
                   1,
                   type,
                   false};
    job.values = 5;
    const Record record = run_job(job);
    Digest digest = digest_of(wanted);
    digest.hash = hash;
    expect_same(decoded(record, job, 0), digest, magnitudes_of(wanted.view));
    EXPECT_EQ(record.values[4], wanted.at(shape.rows - 1, 4));
}

TEST(DigestKernel, OfBytesAndIntegersIsThatOfTheirValues) {
    for (Shape shape : {Shape{1, 256}, {8, 80}, {300, 64}, {9, 33}}) {
        const auto count = static_cast<std::size_t>(shape.rows * shape.cols);
        std::vector<std::uint8_t> bytes(count);
        for (std::size_t i = 0; i < count; ++i)
            bytes[i] = static_cast<std::uint8_t>(i % 0x7f);  // finite ones, of both signs
        for (std::size_t i = 0; i < count; i += 3)
            bytes[i] |= 0x80U;
        const auto as_i8 = [](std::uint8_t b) {
            return static_cast<float>(static_cast<std::int8_t>(b));
        };
        expect_as_f32(Type::e4m3, shape, bytes, [](unsigned b) { return fp8_value(b, 4); });
        expect_as_f32(Type::e5m2, shape, bytes, [](unsigned b) { return fp8_value(b, 5); });
        expect_as_f32(Type::i8, shape, bytes, as_i8);
        if (count > 255) {
            std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
            expect_as_f32(Type::e4m3, shape, bytes, [](unsigned b) { return fp8_value(b, 4); });
            expect_as_f32(Type::e5m2, shape, bytes, [](unsigned b) { return fp8_value(b, 5); });
            expect_as_f32(Type::i8, shape, bytes, as_i8);
        }
        std::mt19937 random(2);
        std::vector<std::int32_t> ints(count);
        for (std::int32_t& i : ints)
            i = static_cast<std::int32_t>(random());
        expect_as_f32(Type::i32, shape, ints, [](std::int32_t i) { return static_cast<float>(i); });
    }
}

// ---- Order of blocks, and what launches leave. --------------------------------------------------

TEST(DigestKernel, IsTheSameInWhateverOrderBlocksRun) {
    const Shape of_y{700, 1300};
    const Buffer y = f32_buffer(of_y, normal_values(of_y, 1));
    const Buffer x = f32_buffer({700, 600}, normal_values({700, 600}, 2));
    Job job;
    job.side[0] = operand_of(y.view);
    job.side[1] = operand_of(x.view);
    job.weight = operand_of(x.view);
    const Record usual = run_job(job);
    for (unsigned seed : {1U, 2U, 3U}) {
        const Record other = run_job(job, seed);
        for (int side : {0, 1}) {
            const SideResult& a = usual.slot.side[side];
            const SideResult& b = other.slot.side[side];
            EXPECT_EQ(a.energy, b.energy);
            EXPECT_EQ(a.sum, b.sum);
            EXPECT_EQ(a.argmax, b.argmax);
            EXPECT_TRUE(std::ranges::equal(a.mixed, b.mixed));
            ASSERT_EQ(a.selected, b.selected);
            for (int i = 0; i < a.selected; ++i)
                EXPECT_TRUE(std::ranges::equal(a.row[i].sketch, b.row[i].sketch));
        }
        EXPECT_EQ(usual.slot.sample, other.slot.sample);
    }
}

TEST(DigestKernel, SamplesAWeight) {
    const Buffer y = whole_numbers(Kind::f32, {2, 8});
    for (Kind kind : device_kinds) {
        Buffer w = whole_numbers(kind, {400, 300}, {0, 1, true});
        const auto sample_of = [&](const Buffer& b) {
            Job job;
            job.side[0] = operand_of(y.view);
            job.weight = operand_of(b.view);
            return run_job(job).slot.sample;
        };
        const std::uint64_t before = sample_of(w);
        EXPECT_NE(before, 0U);
        EXPECT_EQ(sample_of(w), before);
        EXPECT_EQ(sample_of(whole_numbers(kind, {400, 300}, {5, 1, false})), before)
            << "layout is not content";
        const std::size_t size = element_size(w.view.dtype);
        for (std::uint32_t i : {0U, 13U, 31U}) {
            const std::size_t at = mix32(2 * i) % 400 * 1 + mix32(2 * i + 1) % 300 * 400;
            w.memory[at * size] = static_cast<char>(w.memory[at * size] ^ 1);
            EXPECT_NE(sample_of(w), before) << i;
            w.memory[at * size] = static_cast<char>(w.memory[at * size] ^ 1);
        }
    }
    Job job;
    job.side[0] = operand_of(y.view);
    EXPECT_EQ(run_job(job).slot.sample, 0U);
}

}  // namespace
}  // namespace orch::device
