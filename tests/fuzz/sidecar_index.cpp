// A trace's saved index with some of its bytes changed, and its checksum made right again. What is
// loaded in spite of it must lead nowhere outside of the trace.
//
// Input: a byte by which the file becomes longer or shorter, then changes of ten bytes each: a
// place and the eight bytes that stand there.
#include "analyzer/read/sidecar_index.hpp"

#include <stdlib.h>

#include <cstring>
#include <fstream>

#include "analyzer/read/records.hpp"
#include "analyzer/read/text_hash.hpp"
#include "tests/fuzz/target.hpp"

namespace {

using orch::fuzz::require;

// The layout of the file, as sidecar_index.cpp has it: its head, then five tables.
constexpr std::size_t checksum_at = 16;
constexpr std::size_t identity_end = 64;  ///< magic, version, checksum, and which trace it is of
constexpr std::size_t sizes[] = {sizeof(orch::RunRange), 8, 8, 1, 1};
constexpr std::size_t counts_size = std::size(sizes) * 8;  ///< the last numbers of the head

std::uint64_t word_at(const std::string& bytes, std::size_t at) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    return word;
}

std::uint64_t combined(std::uint64_t sum, std::uint64_t hash) {
    return orch::folded_product(sum ^ 0x9e3779b97f4a7c15ULL, hash | 1U) + hash;
}

/// A trace on disk and the index that belongs to it.
class Saved {
  public:
    Saved() {
        std::string name = (std::filesystem::temp_directory_path() / "fuzz.XXXXXX").string();
        require(::mkdtemp(name.data()) != nullptr, "there is room for a temporary directory");
        directory_ = name;
        write(trace_path(), text);
        const orch::Content content{trace_path()};
        const orch::TraceIndex index = orch::index_of(content, 1);
        orch::save_sidecar(trace_path(), content, index, 1);
        std::ifstream in(path(), std::ios::binary);
        bytes_ = {std::istreambuf_iterator<char>(in), {}};
        head_ = sizeof_head();
        check_layout(content);
    }
    ~Saved() { std::filesystem::remove_all(directory_); }
    Saved(const Saved&) = delete;
    Saved& operator=(const Saved&) = delete;

    std::filesystem::path trace_path() const { return directory_ / "trace.jsonl"; }
    std::filesystem::path path() const { return orch::sidecar_path(trace_path()); }
    std::size_t head() const { return head_; }
    const std::string& bytes() const { return bytes_; }

    static void write(const std::filesystem::path& path, std::string_view content) {
        std::ofstream(path, std::ios::binary) << content;
    }

    /// As if the bytes had been saved like this.
    void write_as_right(std::string bytes) const {
        std::memcpy(bytes.data(), bytes_.data(), identity_end);
        const std::uint64_t checksum = checksum_of(bytes);
        std::memcpy(bytes.data() + checksum_at, &checksum, sizeof checksum);
        write(path(), bytes);
    }

  private:
    static constexpr std::string_view text =
        R"({"ts":"t","team":"a","checkpoint":"orchtrace.header","token_idx":0,"dtype":"","shape":"[]","kind":"header","schema":1,"values":[]})"
        "\n"
        R"({"ts":"t","team":"a","checkpoint":"gemm.x","token_idx":2,"dtype":"f32","shape":"[3,2]","kind":"gemm","call":1,"weight":"w0","x":{"rows":3,"cols":4},"y":{"rows":3,"cols":2},"values":[1.5,-2.25]})"
        "\n"
        R"({"ts":"t","team":"a","checkpoint":"gemm.x","token_idx":0,"dtype":"f32","shape":"[3,2]","kind":"row","call":1,"y":{"energy":1},"values":[3,4,5,6,7,8,9,10]})"
        "\nnonsense\n"
        R"({"ts":"t","team":"b","checkpoint":"logits","token_idx":7,"dtype":"f32","shape":"[2]","values":[null,1e9]})"
        "\n";

    /// Where the tables, as long as the numbers before them say, end with the file.
    std::size_t sizeof_head() const {
        for (std::size_t head = identity_end + counts_size; head < bytes_.size(); head += 8) {
            std::size_t end = head;
            for (std::size_t i = 0; i < std::size(sizes); ++i)
                end += word_at(bytes_, head - counts_size + 8 * i) * sizes[i];
            if (end == bytes_.size()) return head;
        }
        require(false, "the layout of a saved index is as known here");
        return 0;
    }

    /// A table's hash is that of blocks of a mebibyte; here each has one, or none.
    std::uint64_t checksum_of(const std::string& bytes) const {
        const std::string_view all{bytes};
        std::uint64_t sum = orch::text_hash(all.substr(checksum_at + 8, head_ - (checksum_at + 8)));
        std::size_t at = head_;
        for (std::size_t i = 0; i < std::size(sizes); ++i) {
            const std::uint64_t count = word_at(bytes, head_ - counts_size + 8 * i);
            if (count > (bytes.size() - at) / sizes[i]) return 0;  // refused whatever it is
            const std::string_view part = all.substr(at, count * sizes[i]);
            if (!part.empty()) sum = combined(sum, orch::text_hash(part));
            at += part.size();
        }
        return sum;
    }

    /// Otherwise every input would be refused, and nothing be tested.
    void check_layout(const orch::Content& content) const {
        write_as_right(bytes_);
        require(orch::load_sidecar(trace_path(), content, 1).has_value(),
                "the layout of a saved index is as known here");
        std::string other = bytes_;
        other[identity_end] ^= 1;  // of the number of lines
        write_as_right(other);
        require(orch::load_sidecar(trace_path(), content, 1).has_value(),
                "the checksum of a saved index is as known here");
    }

    std::filesystem::path directory_;
    std::string bytes_;
    std::size_t head_ = 0;
};

std::string changed(std::string bytes, std::string_view input, std::size_t least) {
    if (!input.empty()) {
        const auto more = static_cast<signed char>(input.front());
        bytes.resize(std::max(least, bytes.size() + static_cast<std::size_t>(more)));
        input.remove_prefix(1);
    }
    for (; input.size() >= 10; input.remove_prefix(10)) {
        std::uint16_t place = 0;
        std::memcpy(&place, input.data(), sizeof place);
        const std::size_t at = place % (bytes.size() - 7);
        std::memcpy(bytes.data() + at, input.data() + 2, 8);
    }
    return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Saved saved;
    saved.write_as_right(changed(saved.bytes(), orch::fuzz::as_text(data, size), saved.head()));
    const orch::Trace trace{saved.trace_path(), {.threads = 1, .big_file = 0}};
    orch::RecordParser parser{trace};
    for (const orch::Entry& entry : trace.entries()) {
        (void)trace.text(entry);
        for (const orch::StringId id :
             {entry.team, entry.checkpoint, entry.weight, entry.dtype, entry.shape})
            require(trace.string(id).size() < 1U << 20, "texts are in the table");
        (void)parser.values(entry);
        (void)parser.call(entry);
    }
    for (const orch::RunRange& run : trace.runs()) {
        require(run.end <= trace.entries().size(), "runs are in the table");
        (void)trace.rows_of(run, 1);
    }
    return 0;
}
