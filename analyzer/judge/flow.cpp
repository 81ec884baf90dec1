#include "analyzer/judge/flow.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace orch {
namespace {

using Expected = std::function<double(std::int64_t position)>;
constexpr std::int64_t whole_matrix = -1;
constexpr double tiny = 1e-300;

void take(Reading& reading, std::int64_t position, double error, double expected) {
    reading.error = std::max(reading.error, error);
    const double gain = error / std::max(expected, tiny);
    if (gain > reading.gain) {
        reading.gain = gain;
        reading.position = position;
        reading.error_at_gain = error;
        reading.expected_at_gain = expected;
    }
    if (gain > floors::suspicious && position != whole_matrix && reading.first_off < 0)
        reading.first_off = position;
}

/// NaN on both sides at the same place is no difference; elsewhere the larger count is news.
bool apart(const Nonfinite& a, const Nonfinite& b) {
    return a.nan != b.nan || a.pos_inf != b.pos_inf || a.neg_inf != b.neg_inf;
}

Reading read_matrix(const MatrixPair& matrix, const Expected& expected) {
    Reading reading;
    if (!matrix.present) return reading;
    reading.same_bits = matrix.same_bits;
    reading.exact = matrix.same_features;
    std::vector<double> errors;
    std::vector<double> gains;
    for (const RowPair& row : matrix.rows) {
        const double error = matrix.same_bits ? 0 : row_error(row.a, row.b, matrix.same_features);
        const double limit = expected(row.position);
        reading.rows.emplace(row.position, RowReading{error, limit});
        errors.push_back(error);
        if (row.position > 0) gains.push_back(error / std::max(limit, tiny));
        take(reading, row.position, error, limit);
        if (apart(row.a.nonfinite, row.b.nonfinite)) {
            reading.nonfinite = true;
            if (reading.first_off < 0) reading.first_off = row.position;
        }
        if (row.a.energy > 0) reading.energy_shifts.push_back(row.b.energy / row.a.energy - 1);
    }
    if (matrix.same_rows) {
        double error = 0;
        if (matrix.a.mixed && matrix.b.mixed)
            error = sketch_error(*matrix.a.mixed, *matrix.b.mixed, matrix.a.energy);
        else if (!matrix.same_bits)
            error = sum_error(matrix.a.energy, matrix.a.sum, matrix.b.energy, matrix.b.sum,
                              matrix.a.rows);
        reading.whole = error;
        take(reading, whole_matrix, error, expected(whole_matrix));
        if (apart(matrix.a.nonfinite, matrix.b.nonfinite)) reading.nonfinite = true;
    }
    reading.measured = !reading.rows.empty() || reading.whole;
    reading.typical = errors.empty() ? reading.whole.value_or(0) : median(errors);
    if (gains.size() >= floors::several_rows) reading.typical_gain = median(gains);
    if (reading.nonfinite) reading.gain = std::numeric_limits<double>::infinity();
    return reading;
}

/// Of the row or the whole, but no less than is typical: sixteen numbers may be near by chance.
double error_at(const Reading& reading, std::int64_t position) {
    const auto found = reading.rows.find(position);
    double error = reading.typical;
    if (found != reading.rows.end())
        error = found->second.error;
    else if (position == whole_matrix && reading.whole)
        error = *reading.whole;
    return std::max(error, reading.typical);
}

double error_up_to(const Reading& reading, std::int64_t position) {
    double worst = position == whole_matrix ? reading.whole.value_or(0) : 0;
    for (const auto& [row, value] : reading.rows)
        if (position == whole_matrix || row <= position) worst = std::max(worst, value.error);
    return worst;
}

bool last_argmax_differs(const MatrixPair& y) {
    if (y.rows.empty() || !y.same_features) return false;
    const RowPair& last = y.rows.back();
    return last.a.argmax && last.b.argmax && *last.a.argmax != *last.b.argmax;
}

bool is_qkv(Part part) {
    return part == Part::q || part == Part::k || part == Part::v || part == Part::qkv;
}

bool is_added_to_stream(Part part) {
    return part == Part::o || part == Part::down;
}

bool is_gate_or_up(Part part) {
    return part == Part::gate || part == Part::up || part == Part::gate_up;
}

}  // namespace

Step step_before(Part part, int layer) {
    if (is_qkv(part)) return layer == 0 ? Step::embedding : Step::norm;
    if (part == Part::o) return Step::attention;
    if (part == Part::down || part == Part::expert_down) return Step::activation;
    return part == Part::other ? Step::unknown : Step::norm;
}

/// The residual stream: what both engines added up so far. Sketches are linear, so the difference
/// of the streams is known although no trace shows them.
struct Flow::Stream {
    struct Row {
        Sketch a{};
        Sketch difference{};
        double unseen = 0;  ///< squared size of differences that no sketch shows
    };
    std::map<std::int64_t, Row> rows;  ///< whole_matrix: the mixed sketch
    const std::map<int, NamedRows>* named = nullptr;
    std::int64_t middle = 0;  ///< position in the middle of the pass
    bool started = false;
    bool broken = false;   ///< an addend could not be compared
    double roundings = 0;  ///< squared, relative
    double worst = 0;      ///< typical error of anything so far, for places without a model
    Reading qkv_input;
    double qkv_floor = 0;
    Reading values;
    std::vector<Reading> gate_up;
    double gate_up_floor = 0;
    Reading gate_up_input;

    void begin(const PassData& pass) {
        named = &pass.stream;
        middle = pass.first_position + pass.tokens / 2;
        const auto found = pass.stream.find(-1);
        if (found == pass.stream.end()) return;
        const auto& other = pass.embedding_b;
        for (const auto& [position, row] : found->second.rows) {
            if (!row.sketch) continue;
            rows[position].a = *row.sketch;
            if (other && other->rows.contains(position) && other->rows.at(position).sketch)
                rows[position].difference =
                    subtracted(*other->rows.at(position).sketch, *row.sketch);
        }
        const auto& whole = found->second.whole;
        if (whole && whole->mixed && whole->rows > 1) {
            rows[whole_matrix].a = *whole->mixed;
            if (other && other->whole && other->whole->mixed && other->whole->rows == whole->rows)
                rows[whole_matrix].difference = subtracted(*other->whole->mixed, *whole->mixed);
        }
        started = true;
    }

    /// What the first norm shows of the embedding's difference, where nothing else does.
    void start_with(const Reading& first_input) {
        for (auto& [position, row] : rows) {
            if (squared(row.difference) > 0) continue;
            const double error = position == whole_matrix
                                     ? first_input.whole.value_or(first_input.typical)
                                     : first_input.typical;
            row.unseen = error * error * squared(row.a);
        }
    }

    void add(const MatrixPair& y, double rounding) {
        if (!y.present || !y.same_features) {
            broken = true;
            return;
        }
        std::map<std::int64_t, Row> next;
        const auto add_row = [&](std::int64_t position, const Sketch& a, const Sketch& b) {
            const auto found = rows.find(position);
            if (found == rows.end() && started) return;
            Row row = found == rows.end() ? Row{} : found->second;
            row.a = added(row.a, a);
            row.difference = added(row.difference, subtracted(b, a));
            next.emplace(position, row);
        };
        for (const RowPair& row : y.rows)
            if (row.a.sketch && row.b.sketch) add_row(row.position, *row.a.sketch, *row.b.sketch);
        if (y.a.mixed && y.b.mixed && y.a.rows > 1) add_row(whole_matrix, *y.a.mixed, *y.b.mixed);
        rows = std::move(next);
        started = true;
        roundings += rounding * rounding;
    }

    /// Relative difference of the streams that enter the norm behind `layer`'s output, or in its
    /// middle.
    std::optional<double> error(std::int64_t position, std::optional<int> layer) const {
        if (broken) return {};
        const auto found = rows.find(position);
        if (found == rows.end()) return {};
        double energy = squared(found->second.a);
        if (layer && named->contains(*layer) && position != whole_matrix) {
            const auto& known = named->at(*layer).rows;
            if (known.contains(position)) energy = known.at(position).energy;
        }
        if (energy <= 0) return {};
        const double size = squared(found->second.difference) + found->second.unseen;
        return std::sqrt(size / energy + roundings);
    }
};

double Flow::known(const std::string& place) const {
    // The reference against itself says how far apart two right runs are; the margin is the notes'.
    const auto found = options_.known.find(place);
    return found == options_.known.end() ? 0 : 3 * found->second;
}

double Flow::bracket_input(Step step, int layer, std::int64_t position,
                           const Stream& stream) const {
    switch (step) {
        case Step::embedding:
            return 0;
        case Step::attention: {
            double in = std::max(error_up_to(stream.qkv_input, position),
                                 stream.values.exact ? error_up_to(stream.values, position) : 0);
            const auto cached = cached_.find(layer);
            if (cached != cached_.end()) in = std::max(in, cached->second);
            return std::hypot(in, stream.qkv_floor);
        }
        case Step::activation: {
            double in = 0;
            for (const Reading& reading : stream.gate_up)
                in = std::hypot(in, reading.exact ? error_at(reading, position)
                                                  : error_at(stream.gate_up_input, position));
            return std::hypot(in, stream.gate_up_floor);
        }
        case Step::norm:
        case Step::product:
        case Step::tensor:
        case Step::unknown:
            break;
    }
    return stream.worst;
}

SiteReading Flow::read_site(const SiteData& data, Stream& stream) {
    SiteReading result;
    result.site = data.site;
    result.step = step_before(data.site->part, data.site->layer);
    const std::string label = data.site->label;
    const int layer = data.site->layer;
    const bool after_layer = is_qkv(data.site->part) || data.site->part == Part::head;
    const auto stream_layer =
        after_layer && layer > 0 ? std::optional<int>{layer - 1} : std::optional<int>{};

    const Expected expected_x = [&](std::int64_t position) {
        double in = bracket_input(result.step, layer, position, stream);
        if (result.step == Step::norm)
            in = stream.error(position, stream_layer).value_or(stream.worst);
        // All rows together are like one in the middle.
        const std::int64_t where = position == whole_matrix ? stream.middle : position;
        const double floor = step_floor(result.step, options_.a, options_.b, where);
        return std::max(std::hypot(floors::amplification * in, floor), known(label + " x"));
    };
    for (const ProductData& product : data.products) {
        ProductReading reading;
        reading.pair = product.pair;
        reading.index = product.index;
        reading.role = product.role;
        reading.x = read_matrix(product.x, expected_x);
        if (reading.x.gain >= result.x.gain) result.x = reading.x;
        reading.floor = std::hypot(product_floor(options_.a, options_.b, product.weight_type_a,
                                                 product.weight_type_b, product.content),
                                   std::hypot(product.rounding_a, product.rounding_b));
        reading.rounding_a = product.rounding_a;
        reading.rounding_b = product.rounding_b;
        const std::string place = label + " y " + std::string{part_name(product.role.part)};
        reading.y = read_matrix(product.y, [&](std::int64_t position) {
            const double in = floors::amplification * error_at(reading.x, position);
            // Sums are one sample of the error where sketches are sixteen.
            const double samples = product.y.same_features ? 1 : floors::of_one_sample;
            return std::max(samples * std::hypot(in, reading.floor), known(place));
        });
        if (product.proof_a) reading.proof_a = error_of(*product.proof_a);
        if (product.proof_b) reading.proof_b = error_of(*product.proof_b);
        reading.other_weight =
            product.pair->wrong_match >= 0 || product.content == Content::changed;
        stream.worst =
            std::max({stream.worst, reading.x.typical, reading.y.exact ? reading.y.typical : 0});
        const Part part = product.role.part;
        if (is_qkv(part)) {
            stream.qkv_input = reading.x;
            stream.qkv_floor = std::max(stream.qkv_floor, reading.floor);
            if (part == Part::v) stream.values = reading.y;
        }
        if (is_gate_or_up(part)) {
            stream.gate_up.push_back(reading.y);
            stream.gate_up_input = reading.x;
            stream.gate_up_floor = std::max(stream.gate_up_floor, reading.floor);
        }
        if (is_added_to_stream(part)) {
            stream.add(product.y,
                       std::hypot(narrow_rounding(options_.a), narrow_rounding(options_.b)));
        }
        if (part == Part::head) result.token_differs = last_argmax_differs(product.y);
        result.products.push_back(std::move(reading));
    }
    if (data.products.empty()) {
        result.step = Step::tensor;
        result.tensor = read_matrix(data.tensor, [&](std::int64_t position) {
            double in = stream.worst;
            if (label.ends_with("_output")) in = stream.error(position, {}).value_or(in);
            if (label == "embedding") in = 0;
            const Step step = label == "embedding" ? Step::embedding : Step::tensor;
            const double floor = step_floor(step, options_.a, options_.b, position);
            return std::max(std::hypot(floors::amplification * in, floor), known(label + " x"));
        });
        stream.worst = std::max(stream.worst, result.tensor.typical);
        if (label == "logits") result.token_differs = last_argmax_differs(data.tensor);
    }
    result.bracket_floor = step_floor(result.step, options_.a, options_.b,
                                      std::max<std::int64_t>(0, result.x.position));
    if (result.step == Step::embedding && result.x.measured) stream.start_with(result.x);
    if (is_qkv(data.site->part) && result.x.measured)
        cached_[layer] = std::max(cached_[layer], result.x.typical);
    return result;
}

std::vector<SiteReading> Flow::read(const PassData& pass) {
    Stream stream;
    stream.begin(pass);
    std::vector<SiteReading> readings;
    int layer = std::numeric_limits<int>::min();
    for (const SiteData& site : pass.sites) {
        if (site.site->layer != layer) {  // what a layer's brackets read is its own
            layer = site.site->layer;
            stream.gate_up.clear();
            stream.gate_up_floor = stream.qkv_floor = 0;
            stream.qkv_input = stream.values = stream.gate_up_input = Reading{};
        }
        readings.push_back(read_site(site, stream));
        readings.back().pass = pass.pass;
    }
    return readings;
}

}  // namespace orch
