// Counts what products cost a process beside their results: allocations, mappings, threads.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/apps/lc_product.hpp"

extern "C" void* __libc_malloc(std::size_t size);
static long allocations = 0;
extern "C" void* malloc(std::size_t size) {
    ++allocations;
    return __libc_malloc(size);
}

namespace {

long lines_of(const char* path) {
    static char text[65536];
    const int fd = ::open(path, O_RDONLY);
    long lines = 0;
    for (ssize_t n; (n = ::read(fd, text, sizeof text)) > 0;) {
        for (ssize_t i = 0; i < n; ++i)
            lines += text[i] == '\n';
    }
    ::close(fd);
    return lines;
}

/// "Threads:" of /proc/self/status.
int threads() {
    std::FILE* file = std::fopen("/proc/self/status", "r");
    char line[256];
    int count = 0;
    while (std::fgets(line, sizeof line, file)) {
        if (std::sscanf(line, "Threads: %d", &count) == 1) break;
    }
    std::fclose(file);
    return count;
}

}  // namespace

int main(int arguments, char**) {
    if (arguments > 1) {  // no product at all
        std::printf("threads %d\n", threads());
        return 0;
    }
    std::printf("%g\n", static_cast<double>(lc::product(0)));  // stdio has its buffer from here on
    const long maps = lines_of("/proc/self/maps");
    const long before = allocations;
    double sum = 0;
    for (int i = 0; i < 1000; ++i)
        sum += static_cast<double>(lc::product(i));
    const long after = allocations;
    const long more_maps = lines_of("/proc/self/maps") - maps;
    std::printf("%.9g, %ld allocations, %ld mappings, %d threads\n", sum, after - before, more_maps,
                threads());
    return 0;
}
