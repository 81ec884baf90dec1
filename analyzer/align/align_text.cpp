#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "analyzer/align/align_print.hpp"
#include "analyzer/util/table.hpp"

namespace orch {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t most_unmatched = 5;
constexpr std::size_t most_passes = 12;

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

std::string ids_text(const EngineTrace& engine, const std::vector<int>& weights) {
    std::vector<std::string> ids;
    for (const int weight : weights) {
        const Weight& own = engine.weights[at(weight)];
        ids.push_back(printable(own.name.empty() ? own.record.id : own.name));
    }
    return joined(ids, " + ");
}

std::string number_text(double number) {
    return number == 0 ? "0" : fmt::format("{:.1e}", number);
}

/// Weights of the same part in all layers, as one line.
struct Family {
    std::string label;
    int first_layer = -1;
    int last_layer = -1;
    std::string a;
    std::string b;
    std::size_t members = 0;
    double distance = 0;
    double runner_up = 0;
    Content content = Content::unknown;
    std::string rows;
};

std::string family_label(const Family& family) {
    if (family.first_layer < 0) return family.label;
    const std::string layers = family.first_layer == family.last_layer
                                   ? fmt::format("{}", family.first_layer)
                                   : fmt::format("{}..{}", family.first_layer, family.last_layer);
    const std::string own = fmt::format("layer_{}_", family.first_layer);
    return family.label.starts_with(own)
               ? fmt::format("layer_{}_{}", layers, family.label.substr(own.size()))
               : family.label;
}

std::string rows_cell(const WeightMatch& match) {
    if (!match.rows_text.empty()) return printable(match.rows_text);
    return match.rows == RowOrder::unknown ? "" : std::string{row_order_name(match.rows)};
}

std::vector<Family> families_of(const Alignment& alignment, bool verbose) {
    std::vector<Family> families;
    std::map<std::string, std::size_t> place;
    for (const WeightMatch& match : alignment.weights) {
        const std::string rows = rows_cell(match);
        const std::string head = fmt::format("layer_{}_", match.role.layer);
        const bool in_layer = match.role.layer >= 0 && match.label.starts_with(head);
        // What stands out stays alone.
        const bool alone = verbose || !in_layer || match.content == Content::changed;
        const std::string parts = match.a.size() + match.b.size() > 2 ? std::string{} : rows;
        const std::string key =
            fmt::format("{}|{}|{}|{}", match.label.substr(in_layer ? head.size() : 0),
                        static_cast<int>(match.content), parts, match.b.size());
        const auto found = place.find(key);
        if (alone || found == place.end()) {
            if (!alone) place[key] = families.size();
            families.push_back({match.label, match.role.layer, match.role.layer,
                                ids_text(*alignment.a, match.a), ids_text(*alignment.b, match.b), 1,
                                match.distance, match.runner_up, match.content, rows});
            continue;
        }
        Family& family = families[found->second];
        ++family.members;
        family.last_layer = std::max(family.last_layer, match.role.layer);
        family.b += ", " + ids_text(*alignment.b, match.b);
        family.distance = std::max(family.distance, match.distance);
        if (match.runner_up > 0)
            family.runner_up = family.runner_up == 0 ? match.runner_up
                                                     : std::min(family.runner_up, match.runner_up);
    }
    return families;
}

std::string weights_text(const Alignment& alignment, bool verbose) {
    Rows rows;
    for (const Family& family : families_of(alignment, verbose)) {
        rows.push_back({printable(family_label(family)), family.a, family.b,
                        number_text(family.distance),
                        family.runner_up == 0 ? "-" : fmt::format("{:.2f}", family.runner_up),
                        std::string{content_name(family.content)}, family.rows});
    }
    if (rows.empty()) return {};
    return fmt::format("\n  weights\n{}", table({{"label", 20},
                                                 {clipped(printable(alignment.a->team), 18), 18},
                                                 {clipped(printable(alignment.b->team), 18), 18},
                                                 {"distance", 8, true},
                                                 {"next", 5, true},
                                                 {"content", 9},
                                                 {"rows", 11}},
                                                rows));
}

/// The texts that the table has no room for, each once.
std::string row_texts(const Alignment& alignment) {
    std::map<std::string, std::vector<std::string>> labels;
    for (const WeightMatch& match : alignment.weights) {
        const bool is_fused = match.a.size() + match.b.size() > 2;
        if (!match.rows_text.empty() && !is_fused) labels[match.rows_text].push_back(match.label);
    }
    std::string out;
    for (const auto& [text, list] : labels) {
        out += wrapped("    rows: ", fmt::format("{}: {} of {}{}", printable(text),
                                                 counted(list.size(), "weight"), list.front(),
                                                 list.size() > 1 ? ", ..." : ""));
    }
    return out;
}

std::string passes_text(const Alignment& alignment, bool verbose) {
    Rows rows;
    const auto chunks = [](const std::vector<int>& list) {
        return list.size() == 1 ? fmt::format("{}", list[0])
                                : fmt::format("{}..{}", list.front(), list.back());
    };
    for (const PassPair& pass : alignment.passes) {
        if (rows.size() == most_passes && !verbose) break;
        std::int64_t tokens = 0;
        for (const int own : pass.chunks_b)
            tokens += alignment.b->passes[at(own)].tokens;
        rows.push_back({chunks(pass.chunks_a), chunks(pass.chunks_b),
                        tokens == 1 ? fmt::format("{}", pass.first_position)
                                    : fmt::format("{}..{}", pass.first_position,
                                                  pass.first_position + tokens - 1),
                        evidence_text(pass.evidence)});
    }
    if (rows.empty()) return {};
    std::string out =
        fmt::format("\n  passes\n{}", table({{clipped(printable(alignment.a->team), 20), 20, true},
                                             {clipped(printable(alignment.b->team), 20), 20, true},
                                             {"positions", 20},
                                             {"evidence", 30}},
                                            rows));
    if (rows.size() < alignment.passes.size()) {
        out +=
            fmt::format("    ... and {}; --verbose shows all\n",
                        counted(alignment.passes.size() - rows.size(), "more pass", "more passes"));
    }
    return out;
}

/// What one engine multiplied where the reference multiplied something else.
std::string wrong_text(const Alignment& alignment, const Paint& paint) {
    std::map<std::string, std::uint64_t> count;
    std::vector<std::string> order;
    for (const Site& site : alignment.sites) {
        for (const std::size_t product : site.products) {
            const ProductPair& pair = alignment.products[product];
            if (pair.wrong_match < 0) continue;
            const std::string text = fmt::format(
                "{} multiplies the weight of {} in the place of {}", printable(alignment.b->team),
                alignment.weights[at(pair.wrong_match)].label,
                pair.match >= 0 ? alignment.weights[at(pair.match)].label : site.label);
            if (count[text]++ == 0) order.push_back(text);
        }
    }
    std::string out;
    for (const std::string& text : order) {
        out += wrapped("  " + paint.red("wrong weight") + ": ",
                       fmt::format("{} ({})", text, counted(count[text], "pass", "passes")));
    }
    return out.empty() ? out : "\n" + out;
}

std::string sites_text(const Alignment& alignment) {
    Rows rows;
    for (const Site& site : alignment.sites) {
        std::vector<std::string> evidence;
        std::size_t calls_a = site.products.empty() ? 1 : 0;
        std::size_t calls_b = calls_a;
        unsigned common = ~0U;
        for (const std::size_t product : site.products) {
            const ProductPair& pair = alignment.products[product];
            calls_a += pair.a.size();
            calls_b += pair.b.size();
            common &= pair.evidence;
        }
        if (site.tensor >= 0) common = alignment.tensors[at(site.tensor)].evidence;
        rows.push_back({site.pass < 0 ? "-" : fmt::format("{}", site.pass), printable(site.label),
                        fmt::format("{} : {}", calls_a, calls_b), evidence_text(common)});
    }
    if (rows.empty()) return {};
    return fmt::format(
        "\n  sites, in the order of the reference's data flow\n{}",
        table({{"pass", 6, true}, {"label", 40}, {"calls", 11}, {"evidence", 34}}, rows));
}

std::string ledger_text(const EngineTrace& engine, const SideLedger& ledger) {
    std::string out =
        wrapped(fmt::format("    {}: ", clipped(printable(engine.team), 30)),
                fmt::format("{} = {} matched + {} merged + {} dropped + {} unmatched{}",
                            counted(ledger.total, "record"), grouped(ledger.matched),
                            grouped(ledger.merged), grouped(ledger.dropped_total()),
                            grouped(ledger.unmatched.size()),
                            ledger.adds_up() ? "" : "; THIS DOES NOT ADD UP"));
    for (const auto& [reason, count] : ledger.dropped)
        out += wrapped(fmt::format("      {:>8} dropped: ", grouped(count)), printable(reason));
    for (std::size_t i = 0; i < std::min(ledger.unmatched.size(), most_unmatched); ++i) {
        const Unmatched& one = ledger.unmatched[i];
        const Entry& entry = engine.trace->entries()[one.entry];
        out += wrapped("      unmatched: ",
                       fmt::format("{}:{} {}: {}", printable(engine.path), entry.line,
                                   printable(engine.trace->string(entry.checkpoint)), one.why));
    }
    if (ledger.unmatched.size() > most_unmatched)
        out += fmt::format("      ... and {} more\n",
                           grouped(ledger.unmatched.size() - most_unmatched));
    return out;
}

std::string verdict_text(const Alignment& alignment, const Paint& paint) {
    if (!alignment.not_comparable.empty()) return paint.red("not comparable");
    std::vector<std::string> facts;
    if (!alignment.products.empty())
        facts.push_back(fmt::format("{} of {} paired",
                                    counted(alignment.products.size(), "product"),
                                    counted(alignment.passes.size(), "pass", "passes")));
    if (!alignment.tensors.empty())
        facts.push_back(counted(alignment.tensors.size(), "named tensor"));
    return fmt::format("{}: {}", paint.green("comparable"), joined(facts, ", "));
}

}  // namespace

std::string align_text(const Alignment& alignment, const Paint& paint, bool verbose) {
    std::string out = fmt::format("{}\n", verdict_text(alignment, paint));
    for (const std::string& why : alignment.not_comparable)
        out += wrapped("  ", printable(why));
    for (const auto& [letter, engine] :
         {std::pair{"a", alignment.a}, std::pair{"b", alignment.b}}) {
        out += wrapped(
            fmt::format("  {}: ", letter),
            fmt::format("{}: {}, {} of {}, {}", printable(engine->path), printable(engine->team),
                        counted(engine->products.size(), "product"),
                        counted(engine->passes.size(), "pass", "passes"),
                        completeness_name(engine->facts.completeness)));
    }
    out += passes_text(alignment, verbose);
    out += weights_text(alignment, verbose);
    out += row_texts(alignment);
    out += wrong_text(alignment, paint);
    if (verbose) out += sites_text(alignment);
    out += "\n  ledger\n";
    out += ledger_text(*alignment.a, alignment.ledger_a);
    out += ledger_text(*alignment.b, alignment.ledger_b);
    if (!alignment.notes.empty()) out += "\n";
    for (const std::string& note : alignment.notes)
        out += wrapped("  note: ", printable(note));
    return out;
}

}  // namespace orch
