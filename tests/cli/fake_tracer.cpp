// As far as `orchtrace run` can tell, a tracer: each process that it is loaded into appends a
// header, a record and a final ledger to ORCH_LOG_FILE, of which it expands %p and %e.
// FAKE_TRACE=none: writes nothing; FAKE_TRACE=torn: ends with half a line.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string expanded(std::string path) {
    char exe[4096] = {};
    (void)!::readlink("/proc/self/exe", exe, sizeof exe - 1);
    const char* slash = std::strrchr(exe, '/');
    const std::string name = slash != nullptr ? slash + 1 : exe;
    for (const auto& [key, value] :
         {std::pair{"%p", std::to_string(::getpid())}, std::pair{"%e", name}}) {
        const std::size_t at = path.find(key);
        if (at != std::string::npos) path.replace(at, 2, value);
    }
    return path;
}

__attribute__((constructor)) void write_trace() {
    const char* file = std::getenv("ORCH_LOG_FILE");
    const char* mode = std::getenv("FAKE_TRACE");
    if (file == nullptr || (mode != nullptr && std::strcmp(mode, "none") == 0)) return;
    const std::string common =
        R"({"ts":"2026-01-31T12:00:00.000Z","team":"fake","token_idx":0,"dtype":"","shape":"[]",)";
    std::string text =
        common +
        R"("checkpoint":"orchtrace.header","kind":"header","schema":1,"values":[]})"
        "\n" +
        common +
        R"("checkpoint":"logits","kind":"checkpoint","values":[1]})"
        "\n" +
        common +
        R"("checkpoint":"orchtrace.ledger","kind":"ledger","final":true,"classes":{)"
        R"("checkpoint":{"seen":1,"recorded":1,"filtered":0,"dropped":0}},"row_lines":0,"lines":2,)"
        R"("lost_lines":0,"dropped_rows":0,"values":[]})"
        "\n";
    if (mode != nullptr && std::strcmp(mode, "torn") == 0) text += common + R"("checkpoint":"log)";
    const int fd = ::open(expanded(file).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    (void)!::write(fd, text.data(), text.size());
    ::close(fd);
}

}  // namespace
