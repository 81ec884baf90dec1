// Runs a command in place of this process, as far as its caller can tell.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace orch {

struct ChildEnd {
    long pid = 0;
    int start_error = 0;  ///< errno of exec; the command never ran
    int signal = 0;       ///< that ended it, or 0
    int exit_code = 0;  ///< as a shell would report it: 128 + signal, 127, 126 or the command's own
};

/// Same stdin, stdout, stderr; `environment` is set on top of ours. SIGINT, SIGTERM, SIGHUP,
/// SIGQUIT, SIGUSR1 and SIGUSR2 go to the child. Call with one thread running.
ChildEnd run_child(const std::vector<std::string>& command,
                   const std::vector<std::pair<std::string, std::string>>& environment);

}  // namespace orch
