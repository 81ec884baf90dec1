// Decoders of a libggml-base.so that the user has, for the block types that are not built in.
#pragma once
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "analyzer/weights/model_tensor.hpp"

namespace orch {

/// What can go wrong is told to the user as it is.
struct GgmlLibraryError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Stays loaded until the process ends: its decoders are called by pointer.
class GgmlLibrary {
  public:
    /// A file, or a name for the dynamic loader. Throws GgmlLibraryError.
    explicit GgmlLibrary(const std::string& name);

    /// Null if this ggml does not have the type as it is known here.
    BlockDecoder decoder(const ElementType& type) const;
    const std::string& path() const { return path_; }

  private:
    struct Traits;

    const Traits* traits_of(const ElementType& type) const;
    bool is_inside(const void* address) const;

    std::string path_;
    void* handle_ = nullptr;
    const void* base_ = nullptr;
    const Traits* (*get_type_traits_)(int type) = nullptr;
    const char* (*get_type_name_)(int type) = nullptr;
};

/// Gives the tensors of types that are not built in a decoder: of the library `named`, or, if that
/// is empty, of the first that is found: by the dynamic loader, then where npm installed it near
/// the current directory or near the program. The library's path; empty if none was needed. Throws
/// GgmlLibraryError: which tensors of which types want for a library, and what to do.
std::string attach_decoders(std::vector<ModelTensor>& tensors, const std::string& named,
                            const std::filesystem::path& program_dir);

}  // namespace orch
