#include "analyzer/judge/suspect.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace orch {
namespace {

/// Passes that are read for evidence: as many as a person would look at.
constexpr std::size_t max_passes = 10;
constexpr int passes_before = 2;

/// A place with a suspicious input cannot be evidence for what the place itself does.
bool is_clean(const Reading& reading) {
    return !reading.measured || reading.gain <= floors::certain_of_attention;
}

bool is_clean_before(const std::vector<SiteReading>& pass, const SuspectPlace& place) {
    for (const SiteReading& site : pass) {
        const bool here = site.site->label == place.site->site->label;
        if (here && place.product == nullptr) return true;
        if (!is_clean(site.x) || !is_clean(site.tensor)) return false;
        if (here) return true;
        for (const ProductReading& product : site.products)
            if (!is_clean(product.y)) return false;
    }
    return false;  // the pass does not have the place
}

const SiteData* find_site(const PassData& pass, const std::string& label) {
    for (const SiteData& site : pass.sites)
        if (site.site->label == label) return &site;
    return nullptr;
}

const ProductData* find_product(const SiteData& site, const ProductReading* reading) {
    if (reading == nullptr) return site.products.empty() ? nullptr : &site.products.front();
    for (const ProductData& product : site.products)
        if (product.role == reading->role && product.pair->match == reading->pair->match)
            return &product;
    for (const ProductData& product : site.products)
        if (product.role.part == reading->role.part) return &product;
    return nullptr;
}

bool is_addend(Part part) {
    return part == Part::o || part == Part::down;
}

/// What was added to the residual stream before a site.
std::vector<const MatrixPair*> addends_before(const PassData& pass, const std::string& label) {
    std::vector<const MatrixPair*> addends;
    for (const SiteData& site : pass.sites) {
        if (site.site->label == label) break;
        for (const ProductData& product : site.products)
            if (is_addend(product.role.part)) addends.push_back(&product.y);
    }
    return addends;
}

std::optional<Sketch> row_of(const MatrixPair& matrix, std::int64_t position) {
    const auto found = matrix.all_a.find(position);
    return found == matrix.all_a.end() ? std::nullopt : found->second.sketch;
}

/// The reference's stream in front of a norm, row by row.
std::vector<NormRow> norm_rows(const PassData& pass, const SiteData& site,
                               const std::vector<SuspectRow>& rows, std::int64_t cols) {
    std::vector<NormRow> result;
    const auto addends = addends_before(pass, site.site->label);
    const bool after_layer = site.site->part != Part::gate && site.site->part != Part::up &&
                             site.site->part != Part::gate_up;
    const int named_layer = site.site->part == Part::head ? -2 : site.site->layer - 1;
    for (const SuspectRow& row : rows) {
        NormRow norm;
        norm.at = row;
        const std::int64_t position = row.row.position;
        const auto embedding = pass.stream.find(-1);
        if (embedding != pass.stream.end() && embedding->second.rows.contains(position))
            norm.before = embedding->second.rows.at(position).sketch;
        for (std::size_t i = 0; norm.before && i < addends.size(); ++i) {
            const auto addend = row_of(*addends[i], position);
            if (!addend) {
                norm.before.reset();
            } else if (i + 1 == addends.size()) {
                norm.addend = addend;
                norm.addend_of_row_before = row_of(*addends[i], position - 1);
                if (i > 0) norm.earlier = row_of(*addends[i - 1], position);
            } else {
                norm.before = added(*norm.before, *addend);
            }
        }
        double energy = 0;
        if (norm.before)
            energy = squared(norm.addend ? added(*norm.before, *norm.addend) : *norm.before);
        for (const auto& [layer, named] : pass.stream) {
            const bool this_one =
                layer == named_layer || (named_layer == -2 && layer == pass.stream.rbegin()->first);
            if (after_layer && this_one && named.rows.contains(position))
                energy = named.rows.at(position).energy;
        }
        norm.mean_square = cols > 0 ? energy / static_cast<double>(cols) : 0;
        result.push_back(norm);
    }
    return result;
}

/// How the stream before `label` grows by an addend, and the noise of that addend in it.
struct Growth {
    double factor = 1;
    double noise = 0;
    /// An error of that size would be lost at the next norm, behind a far larger addend.
    bool hides(double error) const { return error / std::max(factor, 1e-300) < 2 * noise; }
};

Growth growth_of(const PassData& pass, const std::string& label, const MatrixPair& addend) {
    const auto embedding = pass.stream.find(-1);
    if (embedding == pass.stream.end()) return {};
    const std::vector<const MatrixPair*> addends = addends_before(pass, label);
    std::vector<double> growth;
    std::vector<double> noise;
    for (const RowPair& row : addend.rows) {
        const auto start = embedding->second.rows.find(row.position);
        if (start == embedding->second.rows.end() || !start->second.sketch || !row.a.sketch ||
            !row.b.sketch)
            continue;
        Sketch stream = *start->second.sketch;
        for (const MatrixPair* earlier : addends)
            if (const auto more = row_of(*earlier, row.position)) stream = added(stream, *more);
        const double before = squared(stream);
        const double after = std::max(squared(added(stream, *row.a.sketch)), 1e-300);
        growth.push_back(std::sqrt(after / std::max(before, 1e-300)));
        noise.push_back(std::sqrt(squared(subtracted(*row.b.sketch, *row.a.sketch)) / after));
    }
    if (growth.empty()) return {};
    return {median(growth), median(noise)};
}

/// The reference's results of v, alone or as a part of a fused product.
std::map<std::int64_t, RowDigest> values_of(const Alignment& alignment, const PassData& pass,
                                            int layer) {
    std::map<std::int64_t, RowDigest> values;
    for (const SiteData& site : pass.sites)
        for (const ProductData& product : site.products) {
            if (product.role.layer != layer) continue;
            if (product.role.part == Part::v)
                for (const RowPair& row : product.y.rows)
                    values.emplace(row.position, row.a);
            const std::vector<const Weight*> weights = weights_of(*alignment.a, product.pair->a);
            for (std::size_t part = 0; part < std::min(weights.size(), product.y.parts_a.size());
                 ++part) {
                if (weights[part] == nullptr || weights[part]->role.part != Part::v) continue;
                for (std::size_t row = 0; row < product.y.rows.size(); ++row)
                    values.emplace(product.y.rows[row].position, product.y.parts_a[part][row]);
            }
        }
    return values;
}

/// Where the other engine's chunks of a pass begin.
std::vector<std::int64_t> chunks_of(const Alignment& alignment, int number) {
    const PassPair& pass = alignment.passes[static_cast<std::size_t>(number)];
    std::vector<std::int64_t> chunks;
    if (pass.b < 0) return chunks;
    for (const int chunk : pass.chunks_b)
        chunks.push_back(first_position_in_b(*alignment.b, chunk, pass));
    return chunks;
}

void add_digits(Digits& to, const Digits& from) {
    to.most = std::max(to.most, from.most);
    to.samples += from.samples;
}

}  // namespace

std::vector<const Weight*> weights_of(const EngineTrace& engine,
                                      const std::vector<std::size_t>& products) {
    std::vector<const Weight*> weights;
    for (const std::size_t product : products) {
        const int weight = engine.products[product].weight;
        const Weight* own =
            weight < 0 ? nullptr : &engine.weights[static_cast<std::size_t>(weight)];
        if (own == nullptr || std::find(weights.begin(), weights.end(), own) == weights.end())
            weights.push_back(own);
    }
    return weights;
}

std::optional<bool> persists_in(const PassData& pass, const std::string& label, double error) {
    bool found = false;
    const SiteData* next = nullptr;
    const MatrixPair* addend = nullptr;
    for (const SiteData& site : pass.sites) {
        if (found && !site.products.empty() &&
            step_before(site.site->part, site.site->layer) == Step::norm) {
            next = &site;
            break;
        }
        if (site.site->label == label) found = true;
        if (!found) continue;
        for (const ProductData& product : site.products)
            if (is_addend(product.role.part)) addend = &product.y;
    }
    if (next == nullptr || addend == nullptr) return {};
    constexpr double too_large = 1e10;  // what comes behind garbage tells nothing
    std::vector<DirectionRow> rows;
    double energy = 0;
    for (const RowPair& row : next->products.front().x.rows) {
        const auto change =
            std::find_if(addend->rows.begin(), addend->rows.end(),
                         [&](const RowPair& other) { return other.position == row.position; });
        if (change == addend->rows.end() || !change->a.sketch || !change->b.sketch) continue;
        if (!row.a.sketch || !row.b.sketch) continue;
        if (row.b.nonfinite.total() > 0 || change->b.absmax > too_large ||
            change->b.nonfinite.total() > 0)
            return {};
        rows.push_back(
            {*row.a.sketch, *row.b.sketch, {subtracted(*change->b.sketch, *change->a.sketch)}});
        energy += row.a.energy;
    }
    if (rows.empty() || energy <= 0) return {};
    double open = 0;
    for (const DirectionRow& row : rows) {
        const double alone = dot(row.a, row.b) / std::max(squared(row.a), 1e-300);
        open += squared(subtracted(row.b, scaled(row.a, alone)));
    }
    const DirectionFit fit = fit_directions(rows);
    const double before = std::sqrt(open / energy);
    const double left = before * std::sqrt(std::max(0.0, 1 - fit.explained));
    // A stream that grew many times since hides what was wrong with it before, unless it shows.
    const Growth growth = growth_of(pass, label, *addend);
    constexpr double shows = 10;
    if (growth.hides(error) && left < shows * growth.noise) return {};
    // The norm's weights differ between features, so the direction is right to a tenth or so.
    return left > 0.4 * before && left > 1e-5;
}

std::vector<const SuspectRow*> Suspect::off_rows() const {
    std::vector<const SuspectRow*> result;
    for (const SuspectRow& row : rows)
        if (row.off()) result.push_back(&row);
    return result;
}

std::vector<RowPair> Suspect::off_pairs() const {
    std::vector<RowPair> result;
    for (const SuspectRow* row : off_rows())
        result.push_back(row->row);
    return result;
}

double Suspect::noise() const {
    double most = 0;
    for (const SuspectRow& row : rows)
        most = std::max(most, row.expected);
    return most;
}

double Suspect::share_of_fullest_place() const {
    Sketch squares{};
    for (const SuspectRow* row : off_rows()) {
        if (!row->row.a.sketch || !row->row.b.sketch) continue;
        const Sketch difference = subtracted(*row->row.b.sketch, *row->row.a.sketch);
        for (std::size_t j = 0; j < squares.size(); ++j)
            squares[j] += difference[j] * difference[j];
    }
    double total = 0;
    for (const double square : squares)
        total += square;
    return total > 0 ? *std::max_element(squares.begin(), squares.end()) / total : 0;
}

Suspect build_suspect(const Alignment& alignment, const SuspectPlace& place,
                      const std::vector<std::vector<SiteReading>>& readings, Measurer& measurer,
                      const FlowOptions& options) {
    const SiteReading& site = *place.site;
    const bool is_tensor = site.site->tensor >= 0 && site.products.empty();
    const auto reading_of = [&](const SiteReading& at) -> const Reading& {
        if (is_tensor) return at.tensor;
        if (place.product == nullptr) return at.x;
        for (const ProductReading& product : at.products)
            if (product.role == place.product->role) return product.y;
        return at.x;
    };
    Suspect suspect;
    suspect.alignment = &alignment;
    suspect.team_a = alignment.a->team;
    suspect.team_b = alignment.b->team;
    suspect.step = place.product != nullptr ? Step::product : site.step;
    suspect.layer = site.site->layer;
    suspect.part = place.product != nullptr ? place.product->role.part : site.site->part;
    suspect.label = site.site->label;
    suspect.arithmetic_a = options.a;
    suspect.arithmetic_b = options.b;
    const Reading& first = reading_of(site);
    suspect.error = first.error_at_gain;
    suspect.expected = first.expected_at_gain;
    if (place.product != nullptr) suspect.input_error = place.product->x.error;

    std::vector<int> passes;
    for (const auto& pass : readings) {
        if (pass.empty() || passes.size() >= max_passes) continue;
        const int number = pass.front().pass;
        const bool near = number == 0 || number >= site.pass - passes_before;
        if (near && (number == site.pass || is_clean_before(pass, place))) passes.push_back(number);
    }
    for (const int number : passes) {
        const PassData pass = measurer.read(number);
        const SiteData* data = find_site(pass, suspect.label);
        if (data == nullptr) continue;
        const auto& of_pass = readings[static_cast<std::size_t>(number)];
        const auto reading = std::find_if(of_pass.begin(), of_pass.end(), [&](const auto& other) {
            return other.site->label == suspect.label;
        });
        if (reading == of_pass.end()) continue;
        Suspect::InPass in_pass{number,
                                pass.tokens > 1,
                                {},
                                reading_of(*reading).expected_at_gain,
                                chunks_of(alignment, number)};
        const ProductData* product = nullptr;
        if (is_tensor) {
            in_pass.matrix = data->tensor;
        } else {
            product = find_product(*data, place.product);
            if (product == nullptr) continue;
            in_pass.matrix = place.product != nullptr ? product->y : product->x;
            suspect.inputs.push_back(product->x);
            if (place.product != nullptr && number == site.pass) suspect.product = *product;
        }
        std::vector<SuspectRow> rows;
        for (const RowPair& row : in_pass.matrix.rows) {
            const auto& known = reading_of(*reading).rows;
            const auto found = known.find(row.position);
            if (found == known.end()) continue;
            rows.push_back(
                {number, in_pass.prefill, row, found->second.error, found->second.expected});
        }
        suspect.rows.insert(suspect.rows.end(), rows.begin(), rows.end());
        suspect.cols = in_pass.matrix.b.cols;
        suspect.same_features = in_pass.matrix.same_features;
        add_digits(suspect.digits_a, digits_of(in_pass.matrix, false));
        add_digits(suspect.digits_b, digits_of(in_pass.matrix, true));
        if (suspect.step == Step::norm || suspect.step == Step::embedding) {
            auto more = norm_rows(pass, *data, rows, suspect.cols);
            suspect.norm_rows.insert(suspect.norm_rows.end(), more.begin(), more.end());
            if (number == site.pass)
                suspect.persists = persists_in(pass, suspect.label, suspect.error);
        }
        if (suspect.step == Step::attention)
            for (const auto& [position, row] : values_of(alignment, pass, suspect.layer))
                suspect.values.emplace(std::pair{number, position}, row);
        suspect.passes.push_back(std::move(in_pass));
    }
    return suspect;
}

}  // namespace orch
