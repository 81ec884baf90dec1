#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/exit_codes.hpp"

int main(int argc, char** argv) {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    const char* no_color = std::getenv("NO_COLOR");
    const bool color = ::isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
    orch::Context context{std::cout, std::cerr, color, self.parent_path(), {}, false};
    const int code = orch::run_cli({argv + 1, argv + argc}, context);
    std::cout.flush();
    // A report that a full disk cut short must not look like success.
    return std::cout ? code : orch::exit_unusable;
}
