#include "analyzer/weights/ggml_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <set>

#include "analyzer/util/text.hpp"
#include "analyzer/weights/block_decoders.hpp"

namespace orch {

namespace fs = std::filesystem;

/// ggml_type_traits as ggml has laid it out since `blck_size_interleave` came. Believed per type,
/// once its members agree with what is known of the type.
struct GgmlLibrary::Traits {
    const char* type_name;
    std::int64_t block_values;
    std::int64_t block_values_interleaved;
    std::size_t block_bytes;
    bool is_quantized;
    BlockDecoder to_float;
};

namespace {

/// One block of a type that is built in: the library must decode it as we do.
bool decodes_as_we_do(BlockDecoder theirs) {
    std::array<std::uint8_t, 34> block{};
    for (std::size_t i = 0; i < block.size(); ++i)
        block[i] = static_cast<std::uint8_t>(37 * i + 11);
    block[1] = 0x2c;  // a scale that is neither huge nor tiny
    std::array<float, 32> ours{};
    std::array<float, 32> other{};
    built_in_decoder(GgmlType::q8_0)(block.data(), ours.data(), ours.size());
    theirs(block.data(), other.data(), other.size());
    return ours == other;
}

}  // namespace

GgmlLibrary::GgmlLibrary(const std::string& name) : path_(name) {
    handle_ = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) {
        const char* why = ::dlerror();
        throw GgmlLibraryError(printable(why != nullptr ? why : name));
    }
    const auto find = [this](auto& function, const char* symbol) {
        void* address = ::dlsym(handle_, symbol);
        if (address == nullptr)
            throw GgmlLibraryError(
                fmt::format("{}: it does not export {}; is it libggml-base.so?", path_, symbol));
        std::memcpy(&function, &address, sizeof function);
    };
    find(get_type_traits_, "ggml_get_type_traits");
    find(get_type_name_, "ggml_type_name");
    Dl_info info = {};
    if (::dladdr(reinterpret_cast<const void*>(get_type_traits_), &info) != 0) {
        base_ = info.dli_fbase;
        path_ = info.dli_fname;
    }
    const Traits* known = traits_of(ggml_element_type(static_cast<std::uint32_t>(GgmlType::q8_0)));
    if (known == nullptr || !decodes_as_we_do(known->to_float))
        throw GgmlLibraryError(
            fmt::format("{}: its tables are not laid out as known; try another version", path_));
}

bool GgmlLibrary::is_inside(const void* address) const {
    Dl_info info = {};
    return ::dladdr(address, &info) != 0 && info.dli_fbase == base_;
}

/// A type that is newer than the library lies past the end of its table, where anything may stand:
/// each pointer is looked at before it is followed.
const GgmlLibrary::Traits* GgmlLibrary::traits_of(const ElementType& type) const {
    const auto id = static_cast<int>(type.ggml_id);
    const Traits* traits = get_type_traits_(id);
    if (traits == nullptr || !is_inside(traits) || !is_inside(traits + 1)) return nullptr;
    const bool as_known =
        is_inside(traits->type_name) && traits->type_name == get_type_name_(id) &&
        std::strncmp(traits->type_name, type.name.data(), type.name.size()) == 0 &&
        traits->type_name[type.name.size()] == '\0' && traits->block_values == type.block_values &&
        traits->block_bytes == static_cast<std::size_t>(type.block_bytes) &&
        is_inside(reinterpret_cast<const void*>(traits->to_float));
    return as_known ? traits : nullptr;
}

BlockDecoder GgmlLibrary::decoder(const ElementType& type) const {
    const Traits* traits = traits_of(type);
    return traits != nullptr ? traits->to_float : nullptr;
}

namespace {

std::vector<std::string> candidates_near(const fs::path& program_dir) {
    std::vector<std::string> candidates = {"libggml-base.so", "libggml-base.so.0"};
    for (const fs::path& root : {fs::path{"."}, program_dir / "..", program_dir / "../.."}) {
        for (const char* modules : {"node_modules", ".cache/engines/llama.cpp/node_modules"}) {
            // …/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so
            std::error_code error;
            const fs::path packages = root / modules / "@node-llama-cpp";
            for (const fs::directory_entry& package : fs::directory_iterator{packages, error}) {
                for (const fs::directory_entry& bin :
                     fs::directory_iterator{package.path() / "bins", error}) {
                    const fs::path library = bin.path() / "libggml-base.so";
                    if (fs::exists(library, error))
                        candidates.push_back(fs::absolute(library, error).string());
                }
            }
        }
    }
    return candidates;
}

/// The first candidate that loads and is what it should be.
std::optional<GgmlLibrary> find_library(const fs::path& program_dir) {
    for (const std::string& candidate : candidates_near(program_dir)) {
        try {
            return GgmlLibrary{candidate};
        } catch (const GgmlLibraryError&) {
            continue;  // another version, another machine's, or none
        }
    }
    return std::nullopt;
}

bool wants_library(const ModelTensor& tensor) {
    return tensor.left_out.empty() && tensor.type.kind == ElementType::Kind::block &&
           tensor.type.decode == nullptr;
}

/// "3 tensors of the types iq4_nl and mxfp4 (blk.0.ffn_up.weight, ...)"
std::string wanting(const std::vector<ModelTensor>& tensors) {
    std::set<std::string_view> types;
    std::string first;
    std::size_t count = 0;
    for (const ModelTensor& tensor : tensors) {
        if (!wants_library(tensor)) continue;
        types.insert(tensor.type.name);
        if (count++ == 0) first = printable(tensor.name);
    }
    return fmt::format("{} of type {} ({}{})", counted(count, "tensor"), fmt::join(types, ", "),
                       first, count > 1 ? ", ..." : "");
}

}  // namespace

std::string attach_decoders(std::vector<ModelTensor>& tensors, const std::string& named,
                            const fs::path& program_dir) {
    if (std::none_of(tensors.begin(), tensors.end(), wants_library)) return {};
    const std::optional<GgmlLibrary> library =
        named.empty() ? find_library(program_dir) : std::optional{GgmlLibrary{named}};
    if (!library)
        throw GgmlLibraryError(
            fmt::format("{}: only ggml can decode these, and no libggml-base.so was found;\n"
                        "name one with --ggml PATH (it comes with every llama.cpp)",
                        wanting(tensors)));
    for (ModelTensor& tensor : tensors) {
        if (wants_library(tensor)) tensor.type.decode = library->decoder(tensor.type);
    }
    if (std::any_of(tensors.begin(), tensors.end(), wants_library))
        throw GgmlLibraryError(
            fmt::format("{}: {} does not have this type as it is known here;\nname another one "
                        "with --ggml PATH",
                        wanting(tensors), library->path()));
    return library->path();
}

}  // namespace orch
