#include "analyzer/selftest/small_llama.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "analyzer/selftest/matrix.hpp"
#include "analyzer/selftest/recorder.hpp"
#include "core/hash.hpp"

namespace orch::selftest {
namespace {

constexpr std::int64_t hidden = 64;
constexpr std::int64_t heads = 4;
constexpr std::int64_t kv_heads = 2;
constexpr std::int64_t head_dim = hidden / heads;
constexpr std::int64_t half = head_dim / 2;
constexpr std::int64_t ffn = 160;
constexpr std::int64_t vocabulary = 128;
constexpr std::int64_t k_tail = 8;  ///< inputs that Fault::k_tail leaves out
constexpr float eps = 1e-5F;
constexpr double rope_base = 10000;
constexpr double wrong_rope_base = 500000;
constexpr int decode_steps = 3;

// ---- weights: the same numbers in every form

struct Layer {
    std::vector<float> attn_norm;
    std::vector<float> ffn_norm;
    Matrix q, k, v, o, gate, up, down;
    Matrix qkv, gate_up;  ///< fused forms
};

struct Model {
    Matrix embedding;
    std::vector<Layer> layers;
    std::vector<float> final_norm;
    Matrix head;
};

/// Uniform, of the given standard deviation: the same on every machine.
class Numbers {
  public:
    float next(double deviation) {
        const auto bits = static_cast<double>(mix64(++count_ * 0x9e3779b97f4a7c15ULL) >> 11);
        return static_cast<float>((bits / (1ULL << 52) - 1) * std::numbers::sqrt3 * deviation);
    }
    Matrix matrix(std::int64_t rows, std::int64_t cols, double deviation) {
        Matrix m(rows, cols);
        for (float& value : m.values)
            value = next(deviation);
        return m;
    }
    std::vector<float> norm() {
        std::vector<float> weights(hidden);
        for (float& value : weights)
            value = 1 + next(0.05);
        return weights;
    }

  private:
    std::uint64_t count_ = 0;
};

Model make_model() {
    Numbers numbers;
    const auto scaled = [&](std::int64_t rows, std::int64_t cols) {
        return numbers.matrix(rows, cols, 1 / std::sqrt(static_cast<double>(cols)));
    };
    Model model;
    model.embedding = numbers.matrix(vocabulary, hidden, 0.5);
    for (int i = 0; i < layer_count; ++i) {
        Layer layer;
        layer.attn_norm = numbers.norm();
        layer.ffn_norm = numbers.norm();
        layer.q = scaled(heads * head_dim, hidden);
        layer.k = scaled(kv_heads * head_dim, hidden);
        layer.v = scaled(kv_heads * head_dim, hidden);
        layer.o = scaled(hidden, heads * head_dim);
        layer.gate = scaled(ffn, hidden);
        layer.up = scaled(ffn, hidden);
        layer.down = scaled(hidden, ffn);
        model.layers.push_back(std::move(layer));
    }
    model.final_norm = numbers.norm();
    model.head = numbers.matrix(vocabulary, hidden, 4 / std::sqrt(static_cast<double>(hidden)));
    return model;
}

/// Rows whose values rotate together: j and j + half become neighbours.
Matrix neighbours(const Matrix& w) {
    Matrix out(w.rows, w.cols);
    for (std::int64_t r = 0; r < w.rows; ++r) {
        const std::int64_t in_head = r % head_dim;
        const std::int64_t to = r - in_head + 2 * (in_head % half) + in_head / half;
        std::copy(w.row(r), w.row(r) + w.cols, out.row(to));
    }
    return out;
}

/// To the eleven significant bits of an f16; its range does not matter here.
float rounded_to_f16(float value) {
    int exponent = 0;
    const float fraction = std::frexp(value, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(fraction, 11)), exponent - 11);
}

// ---- the engine

class Engine {
  public:
    Engine(const Form& form, Fault fault, int layer, Recorder& recorder)
        : form_(form),
          fault_(fault),
          faulty_layer_(layer),
          recorder_(recorder),
          model_(make_model()) {
        if (fault == Fault::other_layer_down) {
            const int other = (layer + 1) % layer_count;
            at(layer).down = at(other).down;
        }
        for (Layer& l : model_.layers) {
            if (form.names) {
                l.q = neighbours(l.q);
                l.k = neighbours(l.k);
            }
            if (!form.fused) continue;
            l.qkv = stacked({&l.q, &l.k, &l.v});
            l.gate_up = stacked({&l.gate, &l.up});
        }
        keys_.resize(layer_count);
        values_.resize(layer_count);
    }

    /// Logits of the last token.
    Matrix forward(const std::vector<int>& tokens) {
        const auto count = static_cast<std::int64_t>(tokens.size());
        recorder_.begin_pass(tokens, length_, form_.f16_cache ? "f16" : "f32");
        first_ = length_;
        length_ += count;
        Matrix x(count, hidden);
        for (std::int64_t r = 0; r < count; ++r) {
            const float* row = model_.embedding.row(tokens[static_cast<std::size_t>(r)]);
            std::copy(row, row + hidden, x.row(r));
        }
        recorder_.tensor("embedding", x, first_);
        for (int i = 0; i < layer_count; ++i)
            block(i, x);
        if (x.rows > 1) narrow(x);
        x = normed(x, model_.final_norm, -1);
        recorder_.tensor("final_norm", x, first_);
        Matrix logits = product("output", x, model_.head);
        recorder_.tensor("logits", logits, first_);
        prefill_ = false;
        return logits;
    }

  private:
    Layer& at(int layer) { return model_.layers[static_cast<std::size_t>(layer)]; }
    bool has(Fault fault, int layer) const { return fault_ == fault && faulty_layer_ == layer; }

    void narrow(Matrix& x) {
        first_ += x.rows - 1;
        x = rows_of(x, x.rows - 1, x.rows);
    }

    void block(int i, Matrix& x) {
        const Layer& layer = at(i);
        Matrix context = attention(i, normed(x, layer.attn_norm, i));
        if (form_.last_row && i + 1 == layer_count && x.rows > 1) {
            context = rows_of(context, context.rows - 1, context.rows);
            narrow(x);
        }
        add(x, projected_context(i, context));
        const Matrix h = normed(x, layer.ffn_norm, -1);
        const auto [gate, up] = gate_and_up(i, h);
        add(x, product(name(i, "ffn_down"), activated(i, gate, up), layer.down));
        recorder_.tensor(fmt::format("layer_{}_output", i), x, first_);
    }

    static std::string name(int layer, const char* part) {
        return fmt::format("blk.{}.{}", layer, part);
    }

    static void add(Matrix& x, const Matrix& y) {
        for (std::size_t i = 0; i < x.values.size(); ++i)
            x.values[i] += y.values[i];
    }

    Matrix product(const std::string& product_name, const Matrix& x, const Matrix& w) {
        Matrix y = times_transposed(x, w, form_.lanes);
        recorder_.product(product_name, x, w, y, first_);
        return y;
    }

    Matrix projected_context(int i, const Matrix& context) {
        const Layer& layer = at(i);
        if (!has(Fault::k_tail, i)) return product(name(i, "attn_output"), context, layer.o);
        Matrix y = times_transposed(columns_of(context, 0, hidden - k_tail),
                                    columns_of(layer.o, 0, hidden - k_tail), form_.lanes);
        recorder_.product(name(i, "attn_output"), context, layer.o, y, first_);
        return y;
    }

    std::pair<Matrix, Matrix> gate_and_up(int i, const Matrix& h) {
        const Layer& layer = at(i);
        if (!form_.fused) {
            Matrix gate = product(name(i, "ffn_gate"), h, layer.gate);
            return {std::move(gate), product(name(i, "ffn_up"), h, layer.up)};
        }
        const Matrix both = product(name(i, "ffn_gate_up"), h, layer.gate_up);
        return {columns_of(both, 0, ffn), columns_of(both, ffn, 2 * ffn)};
    }

    Matrix activated(int i, const Matrix& gate, const Matrix& up) const {
        Matrix out(gate.rows, gate.cols);
        const bool gelu = has(Fault::gelu, i);
        for (std::size_t n = 0; n < out.values.size(); ++n) {
            const float g = gate.values[n];
            const float active = gelu ? 0.5F * g * (1 + std::erf(g / std::numbers::sqrt2_v<float>))
                                      : g / (1 + std::exp(-g));
            out.values[n] = active * up.values[n];
        }
        return out;
    }

    /// `layer` is -1 where no fault may be planted.
    Matrix normed(const Matrix& x, const std::vector<float>& weight, int layer) const {
        Matrix y(x.rows, x.cols);
        const float factor = layer >= 0 && has(Fault::norm_scaled, layer) ? 1.05F : 1.0F;
        for (std::int64_t r = 0; r < x.rows; ++r) {
            double sum = 0;
            for (std::int64_t c = 0; c < x.cols; ++c)
                sum += static_cast<double>(x.at(r, c)) * x.at(r, c);
            const auto scale =
                static_cast<float>(1 / std::sqrt(sum / static_cast<double>(x.cols) + eps));
            for (std::int64_t c = 0; c < x.cols; ++c)
                y.at(r, c) = x.at(r, c) * scale * weight[static_cast<std::size_t>(c)] * factor;
        }
        return y;
    }

    void rotate(Matrix& m, int layer) const {
        const double base = has(Fault::rope_base, layer) ? wrong_rope_base : rope_base;
        for (std::int64_t r = 0; r < m.rows; ++r) {
            for (std::int64_t head = 0; head < m.cols; head += head_dim) {
                for (std::int64_t j = 0; j < half; ++j) {
                    const double angle = static_cast<double>(first_ + r) *
                                         std::pow(base, -static_cast<double>(j) / half);
                    const auto c = static_cast<float>(std::cos(angle));
                    const auto s = static_cast<float>(std::sin(angle));
                    float& a = m.at(r, head + (form_.names ? 2 * j : j));
                    float& b = m.at(r, head + (form_.names ? 2 * j + 1 : j + half));
                    const float turned = a * c - b * s;
                    b = b * c + a * s;
                    a = turned;
                }
            }
        }
    }

    void remember(Matrix& cache, const Matrix& fresh, int layer) const {
        if (cache.rows == 0) cache = Matrix(0, fresh.cols);
        const bool keep_old = has(Fault::stale_cache, layer) && !prefill_;
        for (const float value : fresh.values) {
            const float kept = keep_old ? 0.0F : value;
            cache.values.push_back(form_.f16_cache ? rounded_to_f16(kept) : kept);
        }
        cache.rows += fresh.rows;
    }

    Matrix attention(int i, const Matrix& h) {
        const Layer& layer = at(i);
        Matrix q;
        Matrix k;
        Matrix v;
        constexpr std::int64_t q_size = heads * head_dim;
        constexpr std::int64_t kv_size = kv_heads * head_dim;
        if (form_.fused) {
            const Matrix all = product(name(i, "attn_qkv"), h, layer.qkv);
            q = columns_of(all, 0, q_size);
            k = columns_of(all, q_size, q_size + kv_size);
            v = columns_of(all, q_size + kv_size, q_size + 2 * kv_size);
        } else {
            q = product(name(i, "attn_q"), h, layer.q);
            k = product(name(i, "attn_k"), h, layer.k);
            v = product(name(i, "attn_v"), h, layer.v);
        }
        rotate(q, i);
        rotate(k, i);
        Matrix& keys = keys_[static_cast<std::size_t>(i)];
        Matrix& values = values_[static_cast<std::size_t>(i)];
        remember(keys, k, i);
        remember(values, v, i);
        Matrix context(h.rows, q_size);
        for (std::int64_t head = 0; head < heads; ++head) {
            const std::int64_t from =
                has(Fault::key_heads, i) ? head % kv_heads : head / (heads / kv_heads);
            attend(i, q, keys, values, head * head_dim, from * head_dim, context);
        }
        return context;
    }

    /// One head: columns from `query` of q, from `key` of keys and values.
    void attend(int layer, const Matrix& q, const Matrix& keys, const Matrix& values,
                std::int64_t query, std::int64_t key, Matrix& context) const {
        std::vector<double> score(static_cast<std::size_t>(keys.rows));
        for (std::int64_t r = 0; r < q.rows; ++r) {
            const std::int64_t future = has(Fault::mask_sees_next, layer) ? 2 : 1;
            const std::int64_t seen = std::min(first_ + r + future, keys.rows);
            double most = -1e30;
            for (std::int64_t t = 0; t < seen; ++t) {
                double sum = 0;
                for (std::int64_t c = 0; c < head_dim; ++c)
                    sum += static_cast<double>(q.at(r, query + c)) * keys.at(t, key + c);
                score[static_cast<std::size_t>(t)] = sum / std::sqrt(static_cast<double>(head_dim));
                most = std::max(most, score[static_cast<std::size_t>(t)]);
            }
            double total = 0;
            for (std::int64_t t = 0; t < seen; ++t) {
                double& s = score[static_cast<std::size_t>(t)];
                s = std::exp(s - most);
                total += s;
            }
            for (std::int64_t c = 0; c < head_dim; ++c) {
                double sum = 0;
                for (std::int64_t t = 0; t < seen; ++t)
                    sum += score[static_cast<std::size_t>(t)] * values.at(t, key + c);
                context.at(r, query + c) = static_cast<float>(sum / total);
            }
        }
    }

    Form form_;
    Fault fault_;
    int faulty_layer_;
    Recorder& recorder_;
    Model model_;
    std::vector<Matrix> keys_;
    std::vector<Matrix> values_;
    std::int64_t length_ = 0;
    std::int64_t first_ = 0;  ///< position of the first row that is worked on
    bool prefill_ = true;
};

}  // namespace

void trace_small_llama(const std::filesystem::path& path, std::string_view team, const Form& form,
                       Fault fault, int layer) {
    Recorder recorder(path, team, form.names);
    Engine engine(form, fault, layer, recorder);
    std::vector<int> tokens{1, 87, 19, 55, 102, 7, 64, 31, 19};
    for (int step = 0; step <= decode_steps; ++step) {
        engine.forward(tokens);
        // Both engines are fed the same text, whatever they would have chosen.
        tokens = {(40 + 37 * step) % static_cast<int>(vocabulary)};
    }
    recorder.finish();
}

}  // namespace orch::selftest
