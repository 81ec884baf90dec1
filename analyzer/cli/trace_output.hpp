// The trace files of `orchtrace run`: where they will be, that they can be written, and which were.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace orch {

/// The host's name, and the rank that the injected library will see.
struct OutputFacts {
    std::string host;
    std::string rank;
    std::string executable;  ///< best guess of %e
};
OutputFacts output_facts(const std::filesystem::path& image);

struct WrittenTrace {
    std::filesystem::path path;
    std::uint64_t bytes = 0;  ///< added by this run
    std::uint64_t lines = 0;
    std::uint64_t trimmed = 0;  ///< bytes of a torn last line that were taken back
};

class TraceOutput {
  public:
    /// `pattern` as given: %p, %r, %h and %e are expanded by the injected library.
    TraceOutput(std::string_view pattern, OutputFacts facts);

    /// With the current directory in front: the command may change its own.
    const std::string& absolute_pattern() const { return pattern_; }

    /// Throws UsageError where nothing could be written, or where something that is no trace would
    /// be lost. An old trace is emptied, or with `append` kept.
    void prepare(bool append);

    /// Regular files that grew since prepare() and that nobody writes any more. With `trim`, what
    /// follows their last newline is cut off.
    std::vector<WrittenTrace> written(bool trim) const;

    /// The trace goes into a pipe or a device: nothing can be said about it.
    bool is_stream() const { return is_stream_; }

  private:
    struct Before {
        std::uint64_t inode;
        std::uint64_t size;
    };

    bool has_template(std::string_view text) const;
    void check_directory() const;
    void prepare_file(const std::filesystem::path& path, bool append);
    std::vector<std::filesystem::path> candidates() const;
    std::string glob_pattern() const;

    std::string pattern_;
    OutputFacts facts_;
    bool is_stream_ = false;
    std::map<std::filesystem::path, Before> before_;
};

}  // namespace orch
