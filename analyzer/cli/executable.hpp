// What a command will run, found out before it runs, and whether LD_PRELOAD can reach it.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace orch {

/// As execvp finds it: in `search_path` unless the word has a slash. Empty: not found.
std::filesystem::path find_program(const std::string& word, std::string_view search_path);

/// What /proc/PID/exe will be, as well as can be told: symbolic links, "#!" and env are followed.
std::filesystem::path image_of(const std::vector<std::string>& command,
                               std::string_view search_path);

/// "is statically linked, so LD_PRELOAD does not reach it"; empty where nothing stands against it.
std::string why_out_of_reach(const std::filesystem::path& image);

}  // namespace orch
