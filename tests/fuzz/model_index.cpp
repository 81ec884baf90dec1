// Any bytes as a model.idx: read_index.
#include "analyzer/weights/model_index.hpp"

#include "tests/fuzz/file_in_memory.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using orch::fuzz::require;
    const orch::fuzz::FileInMemory file{orch::fuzz::as_text(data, size)};
    try {
        const orch::ModelIndex index = orch::read_index(file.path());
        require(!index.weights.empty(), "an index has weights");
    } catch (const orch::UnreadableFile& error) {
        require(*error.what() != '\0', "what is wrong is said");
    }
    return 0;
}
