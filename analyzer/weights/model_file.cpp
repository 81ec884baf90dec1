#include "analyzer/weights/model_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "analyzer/read/read_counts.hpp"
#include "analyzer/util/text.hpp"
#include "analyzer/weights/gguf.hpp"
#include "analyzer/weights/role.hpp"
#include "analyzer/weights/safetensors.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view shard_index_name = "model.safetensors.index.json";
constexpr std::uint64_t max_json = std::uint64_t{256} << 20;

template <class Parse>
auto parsed(const MappedFile& file, const Parse& parse) {
    try {
        return parse(file.bytes());
    } catch (const MalformedFile& error) {
        throw UnreadableFile(fmt::format("{}: {}", file.path().string(), error.what()));
    }
}

/// "name-00002-of-00005.gguf", taken apart.
struct Shard {
    std::string stem;
    int number = 0;
    int count = 0;

    fs::path sibling(const fs::path& path, int which) const {
        return path.parent_path() /
               fmt::format("{}-{:05}-of-{:05}{}", stem, which, count, path.extension().string());
    }
};

std::optional<Shard> shard_of(const fs::path& path) {
    const std::string stem = path.stem().string();
    constexpr std::string_view pattern = "-00000-of-00000";
    if (stem.size() <= pattern.size()) return std::nullopt;
    const std::string tail = stem.substr(stem.size() - pattern.size());
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const bool digit = tail[i] >= '0' && tail[i] <= '9';
        if (pattern[i] == '0' ? !digit : tail[i] != pattern[i]) return std::nullopt;
    }
    Shard shard{stem.substr(0, stem.size() - pattern.size()), std::stoi(tail.substr(1, 5)),
                std::stoi(tail.substr(10, 5))};
    if (shard.number < 1 || shard.number > shard.count) return std::nullopt;
    return shard;
}

/// The files of a model of which one was named. Missing ones are named in the error.
std::vector<fs::path> with_siblings(const fs::path& path) {
    const auto shard = shard_of(path);
    if (!shard) return {path};
    std::vector<fs::path> files;
    std::vector<std::string> missing;
    for (int i = 1; i <= shard->count; ++i) {
        files.push_back(shard->sibling(path, i));
        std::error_code error;
        if (!fs::exists(files.back(), error)) missing.push_back(files.back().filename().string());
    }
    if (missing.empty()) return files;
    const std::size_t count = missing.size();
    constexpr std::size_t most_shown = 3;
    if (count > most_shown) missing.resize(most_shown);
    throw UnreadableFile(fmt::format("{}: {} of its {} files missing beside it: {}{}",
                                     path.string(), count, shard->count, joined(missing, ", "),
                                     count > most_shown ? ", ..." : ""));
}

void append(ModelFile& model, std::vector<ModelTensor> tensors) {
    std::move(tensors.begin(), tensors.end(), std::back_inserter(model.tensors));
}

void check_unique(const ModelFile& model, const fs::path& path) {
    std::set<std::string_view> names;
    for (const ModelTensor& tensor : model.tensors) {
        if (!names.insert(tensor.name).second)
            throw UnreadableFile(fmt::format("{}: two of its files have a tensor {}", path.string(),
                                             printable(tensor.name)));
    }
}

void read_gguf(ModelFile& model, const fs::path& path) {
    model.format = "gguf";
    const std::vector<fs::path> paths = with_siblings(path);
    for (const fs::path& each : paths) {
        model.files.emplace_back(each);
        GgufFile gguf = parsed(model.files.back(), parse_gguf);
        if (gguf.split_count != paths.size() && gguf.split_count > 1)
            throw UnreadableFile(fmt::format(
                "{}: one of {} files; give them their names back: NAME-00001-of-{:05}.gguf",
                each.string(), gguf.split_count, gguf.split_count));
        if (each == paths.front()) model.facts = gguf.facts;
        append(model, std::move(gguf.tensors));
    }
}

/// The hyper-parameters that lie beside the weights; without them the weights are still good.
ModelFacts facts_beside(const fs::path& directory) {
    for (const char* name : {"config.json", "params.json"}) {
        std::error_code error;
        if (!fs::is_regular_file(directory / name, error)) continue;
        const MappedFile file{directory / name};
        if (file.bytes().size() <= max_json) return parsed(file, parse_config);
    }
    return {};
}

fs::path directory_of(const fs::path& path) {
    return path.has_parent_path() ? path.parent_path() : fs::path{"."};
}

void read_safetensors(ModelFile& model, const std::vector<fs::path>& paths) {
    model.format = "safetensors";
    for (const fs::path& path : paths) {
        model.files.emplace_back(path);
        append(model, parsed(model.files.back(), parse_safetensors));
    }
    model.facts = facts_beside(directory_of(paths.front()));
}

void read_shard_index(ModelFile& model, const fs::path& path) {
    const MappedFile json{path};
    if (json.bytes().size() > max_json)
        throw UnreadableFile(fmt::format("{}: absurdly large", path.string()));
    const auto shards = parsed(json, parse_shard_index);
    std::vector<fs::path> paths;
    for (const auto& [file, tensors] : shards) {
        paths.push_back(directory_of(path) / file);
        std::error_code error;
        if (!fs::exists(paths.back(), error))
            throw UnreadableFile(fmt::format("{}: {}, which it names, is missing beside it",
                                             path.string(), printable(file)));
    }
    read_safetensors(model, paths);
    std::set<std::string_view> found;
    for (const ModelTensor& tensor : model.tensors)
        found.insert(std::string_view{tensor.name}.substr(0, tensor.name.find('[')));
    for (const auto& [file, tensors] : shards) {
        for (const std::string& tensor : tensors) {
            if (!found.contains(tensor))
                throw UnreadableFile(fmt::format("{}: tensor {} is not in {}, nor in another file",
                                                 path.string(), printable(tensor),
                                                 printable(file)));
        }
    }
}

/// One model's files, by their names without shard numbers.
std::map<std::string, fs::path> models_in(const fs::path& directory, std::string_view extension) {
    std::map<std::string, fs::path> models;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator{directory, error}) {
        if (entry.path().extension() == extension)
            models.emplace(model_stem(entry.path()), entry.path());
    }
    if (error) throw UnreadableFile(fmt::format("{}: {}", directory.string(), error.message()));
    return models;
}

/// What in a directory is the model.
fs::path choose_in(const fs::path& directory) {
    std::error_code error;
    if (fs::exists(directory / shard_index_name, error)) return directory / shard_index_name;
    for (const char* extension : {".safetensors", ".gguf"}) {
        const auto models = models_in(directory, extension);
        if (models.size() == 1) return models.begin()->second;
        const auto usual = models.find("model");
        if (usual != models.end()) return usual->second;
        if (!models.empty())
            throw UnreadableFile(fmt::format("{}: {} models in it, as {} and {}; name one",
                                             directory.string(), models.size(),
                                             models.begin()->second.filename().string(),
                                             models.rbegin()->second.filename().string()));
    }
    throw UnreadableFile(
        fmt::format("{}: no .safetensors and no .gguf file in it", directory.string()));
}

std::string most_common_type(const std::vector<ModelTensor>& tensors) {
    std::map<std::string_view, double> values;
    for (const ModelTensor& tensor : tensors) {
        if (tensor.type.kind == ElementType::Kind::plain ||
            tensor.type.kind == ElementType::Kind::block) {
            values[tensor.type.name] +=
                static_cast<double>(tensor.rows) * static_cast<double>(tensor.cols);
        }
    }
    const auto most = std::max_element(values.begin(), values.end(),
                                       [](auto& a, auto& b) { return a.second < b.second; });
    return most != values.end() ? std::string{most->first} : std::string{};
}

void read_file(ModelFile& model, const fs::path& path) {
    if (path.filename() == shard_index_name) return read_shard_index(model, path);
    if (path.extension() == ".bin" || path.extension() == ".pt" || path.extension() == ".pth")
        throw UnreadableFile(fmt::format(
            "{}: PyTorch's pickles are programs and are not read; save it as safetensors",
            path.string()));
    if (path.extension() == ".safetensors") return read_safetensors(model, with_siblings(path));
    // Blobs without an extension, as caches name them, are told by their first bytes.
    const MappedFile file{path};
    if (path.extension() == ".gguf" || is_gguf(file.bytes())) return read_gguf(model, path);
    constexpr std::size_t header_at = 8;
    const ByteSpan bytes = file.bytes();
    if (bytes.size() <= header_at || bytes[header_at] != std::byte{'{'})
        throw UnreadableFile(fmt::format("{}: neither GGUF nor safetensors", path.string()));
    read_safetensors(model, {path});
}

}  // namespace

std::string model_stem(const fs::path& path) {
    if (path.filename() == shard_index_name) return "model";
    const auto shard = shard_of(path);
    return shard ? shard->stem : path.stem().string();
}

void mark_transposed(std::vector<ModelTensor>& tensors, const ModelFacts& facts) {
    const auto ends = [](const ModelTensor& tensor, std::string_view end) {
        return std::string_view{tensor.name}.ends_with(end);
    };
    const bool conv1d = std::any_of(tensors.begin(), tensors.end(), [&](const ModelTensor& t) {
        return ends(t, ".attn.c_attn.weight") && t.rows > 1 && t.cols % 3 == 0 &&
               t.cols / 3 == t.rows;
    });
    constexpr std::string_view conv1d_names[] = {".attn.c_attn.weight", ".attn.c_proj.weight",
                                                 ".mlp.c_fc.weight", ".mlp.c_proj.weight"};
    for (ModelTensor& tensor : tensors) {
        for (const std::string_view name : conv1d_names)
            tensor.transposed = tensor.transposed || (conv1d && ends(tensor, name));
        // Experts in one tensor: the side that is the model's width tells inputs from outputs.
        const std::int64_t width = facts.embedding_length;
        if (width == 0 || tensor.rows == tensor.cols || !tensor.name.ends_with(']')) continue;
        const bool down = role_of(tensor.name).part == Part::expert_down;
        tensor.transposed = down ? tensor.cols == width : tensor.rows == width;
    }
    for (ModelTensor& tensor : tensors) {
        if (tensor.transposed && tensor.type.kind != ElementType::Kind::plain &&
            tensor.left_out.empty()) {
            tensor.left_out =
                fmt::format("its rows are inputs, which {} cannot be read by", tensor.type.name);
        }
    }
}

ModelFile open_model(const fs::path& path) {
    ModelFile model;
    std::error_code error;
    const bool directory = fs::is_directory(path, error);
    const fs::path absolute = fs::absolute(path, error).lexically_normal();
    model.name = (absolute.has_filename() ? absolute : absolute.parent_path()).filename().string();
    read_file(model, directory ? choose_in(path) : path);
    check_unique(model, path);
    if (model.facts.file_type.empty()) model.facts.file_type = most_common_type(model.tensors);
    complete(model.facts);
    if (model.format == "safetensors") mark_transposed(model.tensors, model.facts);
    if (model.tensors.empty())
        throw UnreadableFile(fmt::format("{}: it holds no tensor", path.string()));
    return model;
}

}  // namespace orch
