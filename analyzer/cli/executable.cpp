#include "analyzer/cli/executable.hpp"

#include <elf.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

namespace orch {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error);
}

/// "#!/usr/bin/env -S python3 -u" -> {"/usr/bin/env", "-S", "python3", "-u"}
std::vector<std::string> interpreter_of(const fs::path& script) {
    std::ifstream in(script, std::ios::binary);
    std::string line(256, '\0');  // the kernel reads no more
    in.read(line.data(), static_cast<std::streamsize>(line.size()));
    line.resize(static_cast<std::size_t>(in.gcount()));
    if (!line.starts_with("#!")) return {};
    std::istringstream words(line.substr(2, line.find('\n') - 2));
    std::vector<std::string> result;
    for (std::string word; words >> word;)
        result.push_back(word);
    return result;
}

/// Behind env's own options and NAME=VALUE stands what it runs.
std::vector<std::string> without_env(std::vector<std::string> command) {
    std::size_t at = 1;
    while (at < command.size() &&
           (command[at].starts_with('-') || command[at].find('=') != std::string::npos)) {
        ++at;
    }
    command.erase(command.begin(), command.begin() + static_cast<std::ptrdiff_t>(at));
    return command;
}

template <class T>
bool read_at(std::ifstream& in, std::uint64_t offset, T& out) {
    in.seekg(static_cast<std::streamoff>(offset));
    return static_cast<bool>(in.read(reinterpret_cast<char*>(&out), sizeof out));
}

constexpr unsigned char own_class = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;

std::string why_elf_out_of_reach(const fs::path& image) {
    std::ifstream in(image, std::ios::binary);
    Elf64_Ehdr header = {};
    if (!read_at(in, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
    if (header.e_ident[EI_CLASS] != own_class) {
        return "is built for another word size, so liborchtrace.so cannot be loaded into it";
    }
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr segment = {};
        if (!read_at(in, header.e_phoff + std::uint64_t{i} * header.e_phentsize, segment))
            return {};
        if (segment.p_type == PT_INTERP) return {};
    }
    return "is statically linked, so LD_PRELOAD does not reach it";
}

}  // namespace

fs::path find_program(const std::string& word, std::string_view search_path) {
    if (word.find('/') != std::string::npos) return is_file(word) ? fs::path{word} : fs::path{};
    fs::path not_executable;
    for (;;) {
        const std::size_t colon = search_path.find(':');
        const std::string_view directory = search_path.substr(0, colon);
        fs::path candidate = fs::path{directory.empty() ? "." : directory} / word;
        if (!word.empty() && is_file(candidate)) {
            if (::access(candidate.c_str(), X_OK) == 0) return candidate;
            if (not_executable.empty()) not_executable = candidate;
        }
        if (colon == std::string_view::npos) return not_executable;
        search_path.remove_prefix(colon + 1);
    }
}

fs::path image_of(const std::vector<std::string>& command, std::string_view search_path) {
    std::vector<std::string> words = command;
    fs::path image;
    // A script may name a script; the kernel follows four.
    for (int depth = 0; depth < 8 && !words.empty(); ++depth) {
        const fs::path found = find_program(words[0], search_path);
        if (found.empty()) break;
        std::error_code error;
        image = fs::canonical(found, error);
        if (error) image = found;
        if (found.filename() == "env") {
            words = without_env(words);
        } else {
            words = interpreter_of(image);
        }
    }
    return image;
}

std::string why_out_of_reach(const fs::path& image) {
    struct stat info = {};
    if (::stat(image.c_str(), &info) != 0) return {};
    const bool other_user = (info.st_mode & S_ISUID) != 0 && info.st_uid != ::getuid();
    const bool other_group = (info.st_mode & S_ISGID) != 0 && info.st_gid != ::getgid();
    if (other_user || other_group) return "runs as another user (setuid), which drops LD_PRELOAD";
    if (::getuid() != 0 && ::getxattr(image.c_str(), "security.capability", nullptr, 0) > 0) {
        return "has file capabilities, which drop LD_PRELOAD";
    }
    return why_elf_out_of_reach(image);
}

}  // namespace orch
